"""Tensors that change their affine law where a scalar crosses a threshold.

A comparison, a Sign or a Where makes one of them; it stands for a network's tensor only
once its laws meet at every threshold, which :func:`joined` decides.
"""

import math
from itertools import chain
from typing import NamedTuple

import numpy as np

from pyomo_relu.network.layer import Source
from pyomo_relu.network.onnx import budget
from pyomo_relu.network.onnx.tensors.multiples import (
    entrywise_abs,
    has_coefficients,
    multiple,
)
from pyomo_relu.network.onnx.tensors.tensors import AffineTensor, entries, stack

#: More thresholds per entry are not followed.
MAX_BREAKS = 32

#: Thresholds per second that numpy sorts.
_SORTED = 1e7


class Origin(NamedTuple):
    """The node that made a mask, in words, and the tensor that it compares."""

    node: str
    tensor: str


class PiecewiseTensor:
    """A tensor whose entry i follows one of several laws, chosen by a scalar v_i.

    With the thresholds t_1 <= ... <= t_K of an entry there are 2K + 1 cells: v < t_1,
    v = t_1, t_1 < v < t_2, ..., v > t_K.  The laws are affine tensors or constants; the
    tensor may jump.

    Parameters
    ----------
    base : AffineTensor
        The scalars v, in the tensor's shape.  An entry with no coefficients has the
        same law in all cells.
    breaks : numpy.ndarray, shape (K, size)
        Thresholds, ascending; ``inf`` where an entry has fewer.
    cells : sequence of (AffineTensor | numpy.ndarray)
        The 2K + 1 laws, each of the tensor's shape.
    origins : tuple of Origin

    Attributes
    ----------
    maker : str
        The node whose output it is, in words.
    """

    __slots__ = ("base", "breaks", "cells", "maker", "origins")

    def __init__(self, base, breaks, cells, origins):
        self.base, self.breaks, self.origins = base, breaks, tuple(origins)
        self.cells = [_law(c, base.shape) for c in cells]
        self.maker = "it"

    @classmethod
    def stepping(cls, base, threshold, values, origin):
        """The constants ``values`` below, at and above a threshold."""
        threshold = np.broadcast_to(threshold, base.shape).reshape(1, -1)
        threshold = threshold.astype(float)
        free = ~has_coefficients(base) | np.isinf(threshold[0])
        cells = [np.full(base.shape, v) for v in values]
        if np.any(free):
            side = 1 + np.sign(base.offset - threshold[0]).astype(int)
            fixed = np.asarray(values)[side].reshape(base.shape)
            where = free.reshape(base.shape)
            cells = [np.where(where, fixed, c) for c in cells]
            threshold[0, np.isinf(threshold[0])] = np.inf
        return cls(base, threshold, cells, (origin,))

    @property
    def shape(self):
        """Shape in the graph."""
        return self.base.shape

    @property
    def size(self):
        """Number of entries."""
        return self.base.size

    @property
    def is_constant(self):
        """Whether all laws are constants."""
        return not any(isinstance(c, AffineTensor) for c in self.cells)

    def arrays(self):
        """All that is stored."""
        laws = (c.arrays() if isinstance(c, AffineTensor) else (c,) for c in self.cells)
        return (*self.base.arrays(), self.breaks, *chain.from_iterable(laws))

    def reserve(self, size, breaks):
        """Raise unless the budget holds the tensor with other sizes.

        Parameters
        ----------
        size, breaks : int
            Number of entries, and of thresholds per entry.
        """
        law = max(sum(map(entries, affine(c).arrays())) for c in self.cells)
        each = law / max(1, self.size) + 1.5
        budget.require((2 * breaks + 1) * size * each, "a tensor with masks, a total")

    def broadcast_to(self, shape):
        """Repeat entries as ``numpy.broadcast_to`` does."""
        if tuple(shape) == self.shape:
            return self
        self.reserve(math.prod(shape), len(self.breaks))
        index = np.broadcast_to(self.base.index(), shape).reshape(-1)
        cells = [
            (
                c.broadcast_to(shape)
                if isinstance(c, AffineTensor)
                else np.broadcast_to(c, shape)
            )
            for c in self.cells
        ]
        base = self.base.broadcast_to(shape)
        return PiecewiseTensor(base, self.breaks[:, index], cells, self.origins)

    def law(self, which):
        """The law of cell ``which[i]`` for each entry i."""
        first = int(which[0])
        if np.all(which == first):
            return self.cells[first]
        if self.is_constant:
            table = np.array([np.ravel(c) for c in self.cells])
            return table[which, np.arange(self.size)].reshape(self.shape)
        used, place = np.unique(which, return_inverse=True)
        laws = stack([affine(self.cells[k]) for k in used])
        index = place.reshape(-1) * self.size + np.arange(self.size)
        return laws.select(index.reshape(self.shape))

    def on(self, breaks):
        """The same tensor with further thresholds (``breaks`` holds all of its own)."""
        self.reserve(self.size, len(breaks))
        cells = [self.law(w) for w in cells_of(self.breaks, breaks)]
        return PiecewiseTensor(self.base, breaks, cells, self.origins)

    def __repr__(self):
        return f"PiecewiseTensor{self.shape} with {len(self.breaks)} thresholds"


def affine(law):
    """A law as an affine tensor."""
    return law if isinstance(law, AffineTensor) else AffineTensor.constant(law)


def _law(law, shape):
    if isinstance(law, AffineTensor):
        return law.reshape(shape)
    law = np.broadcast_to(np.asarray(law), shape)
    return law.astype(float) if np.issubdtype(law.dtype, np.floating) else law


def union(*breaks):
    """All thresholds of the arrays (K, n), ascending per entry, each once."""
    thresholds = sum(b.size for b in breaks)
    budget.require(3 * thresholds, "the laws between thresholds, a total")
    budget.check_time(thresholds, _SORTED)
    joint = np.sort(np.concatenate(breaks), axis=0)
    if len(joint) > 1:
        joint[1:][joint[1:] == joint[:-1]] = np.inf
        joint = np.sort(joint, axis=0)
    return joint[~np.all(np.isinf(joint), axis=1)]


def cells_of(coarse, fine):
    """For each cell of thresholds ``fine``: the cell of ``coarse`` that holds it.

    Yields
    ------
    numpy.ndarray of int, shape (n,)
    """
    yield np.zeros(fine.shape[1], dtype=int)
    for t in fine:
        after = np.sum(coarse <= t, axis=0)
        yield after + np.sum(coarse < t, axis=0)
        yield 2 * after


class Jump(NamedTuple):
    """Where laws fail to meet: entry, threshold, height (None: it varies)."""

    entry: int
    threshold: float
    height: float


def joined(tensor, layers, tolerance, label):
    """The tensor as one affine law with ReLU neurons, or the jump that forbids it.

    With the laws p_0, ..., p_K of the open cells, f is continuous where ``p_k -
    p_(k-1) = a_k (v - t_k)`` for all k, and then ``f = p_0 + sum_k a_k max(0, v -
    t_k)``.  The law at v = t_k itself must agree as well.

    Parameters
    ----------
    tensor : PiecewiseTensor
    layers : LayerBuilder
    tolerance : float
        Relative rounding error that the coefficients of the laws may have.
    label : str
        Name of the neurons' layers.

    Returns
    -------
    AffineTensor or Jump
    """
    if tensor.is_constant and not all(
        np.array_equal(c, tensor.cells[0]) for c in tensor.cells
    ):
        return _first_step(tensor)
    bends = []
    for k, t in enumerate(tensor.breaks):
        before, at, after = (affine(c) for c in tensor.cells[2 * k : 2 * k + 3])
        present = np.isfinite(t) & has_coefficients(tensor.base)
        threshold = np.where(present, t, 0.0)
        for law in (at, after):
            slope, rest = _step(tensor.base, threshold, before, law, tolerance)
            wrong = present & rest[0]
            if np.any(wrong):
                return _jump(threshold, slope, rest[1], wrong)
        bends.append((threshold, np.where(present, slope, 0.0)))
    return _with_neurons(tensor, bends, layers, label)


def _first_step(tensor):
    for k, t in enumerate(tensor.breaks):
        before, at, after = (c.reshape(-1) for c in tensor.cells[2 * k : 2 * k + 3])
        wrong = np.flatnonzero(((before != at) | (at != after)) & np.isfinite(t))
        if len(wrong):
            i = int(wrong[0])
            height = float(after[i]) - float(before[i])
            return Jump(i, float(t[i]), height or float(at[i]) - float(before[i]))
    raise AssertionError("constant laws that differ must differ at a threshold")


def _step(base, threshold, before, after, tolerance):
    """Slope a of ``after - before = a (v - t)``; which entries fail, and by what."""
    step = after - before
    sizes = entrywise_abs(after) + entrywise_abs(before)
    slope, constant, fails, slack = multiple(step, base, sizes, tolerance)
    # step = a v + constant, so that a t + constant is the height of the jump
    height = slope * threshold + constant
    slack = slack + tolerance * np.abs(slope * threshold)
    apart = fails | ~np.isfinite(height) | (np.abs(height) > slack)
    return slope, (apart, np.where(fails, np.nan, height))


def _jump(threshold, slope, height, wrong):
    i = int(np.flatnonzero(wrong)[0])
    return Jump(i, float(threshold[i]), float(height[i]))


def _with_neurons(tensor, bends, layers, label):
    """p_0 + sum of a_k max(0, v - t_k), with neurons only where a_k is not 0."""
    first = affine(tensor.cells[0])
    result, base = None, tensor.base
    for threshold, slope in bends:
        bent = np.flatnonzero(slope)
        if len(bent) == 0:
            continue
        whole = len(bent) == tensor.size
        v = layers.shifted(base, threshold)
        if not whole:
            v = v.select(bent)
        k = layers.activate(v, None, label)
        part = AffineTensor.of_source(Source(k), v.shape)
        if whole:
            if result is None:
                first = _from_neurons(first, v, k)
            part = part.reshape(base.shape).scale(slope)
        else:
            part = _spread(part.scale(slope[bent]), bent, base)
        result = first + part if result is None else result + part
    return first if result is None else result


def _from_neurons(law, v, layer):
    """``law`` read from the pre-activation v where it is a multiple of v."""
    sizes = entrywise_abs(law)
    slope, constant, fails, _ = multiple(law, v, sizes, 4 * np.finfo(float).eps)
    if np.any(fails) or not np.any(slope):
        return law
    pre = AffineTensor.of_source(Source(layer, post=False), law.shape)
    return pre.scale(slope) + constant.reshape(law.shape)


def _spread(part, places, like):
    """A tensor of the shape of ``like`` with ``part`` at ``places`` and 0 elsewhere."""
    index = np.zeros(like.size, dtype=int)
    index[places] = 1 + np.arange(len(places))
    return stack([AffineTensor.constant([0.0]), part]).select(index.reshape(like.shape))
