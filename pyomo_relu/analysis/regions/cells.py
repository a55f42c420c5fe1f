"""Affine maps of a network on parts of its input box, built up layer by layer.

What the counting methods share; no counting in here.  Points are given by the *free*
inputs u (those with lower < upper): x = E u + e.  All maps are affine in u.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from pyomo_relu.common.matrices import dense
from pyomo_relu.errors import BoundsError, NetworkError
from pyomo_relu.linear.rounding import OF_MANY_TERMS
from pyomo_relu.network.pieces import post_map, pre_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyomo_relu.common.types import FloatArray


@dataclass(frozen=True)
class Region:
    """A full-dimensional set of inputs on which no neuron changes its state.

    Attributes
    ----------
    pattern : tuple of numpy.ndarray of int8, shapes (layer size,)
        State of every neuron: INACTIVE, ACTIVE or AT_CEILING.
    weights, offset : numpy.ndarray, shapes (n_outputs, n_inputs) and (n_outputs,)
        The network is ``y = weights @ x + offset`` here.  Columns of fixed inputs are
        zero: their contribution is in ``offset``.
    point : numpy.ndarray, shape (n_inputs,)
        A point in the interior.
    vertices : numpy.ndarray, shape (number of vertices, n_inputs), or None
        Corners, in order around the polygon (or the ends of the interval); None if
        the method does not compute them.
    """

    pattern: tuple[NDArray[np.int8], ...]
    weights: FloatArray = field(repr=False)
    offset: FloatArray = field(repr=False)
    point: FloatArray
    vertices: FloatArray | None = field(repr=False, default=None)


class Box:
    """The input box, split into free and fixed inputs."""

    def __init__(self, network, lower, upper):
        n = network.n_inputs
        try:
            self.lower, self.upper = (
                np.array(np.broadcast_to(np.asarray(b, dtype=float), (n,)))
                for b in (lower, upper)
            )
        except (TypeError, ValueError):
            raise BoundsError(
                f"{network.name}: the input box must be two numbers or two sequences "
                f"of {n} numbers, got {lower!r} and {upper!r}."
            ) from None
        finite = np.isfinite(self.lower) & np.isfinite(self.upper)
        bad = np.flatnonzero(~(finite & (self.lower <= self.upper)))
        if bad.size:
            i = bad[0]
            raise BoundsError(
                f"{network.name}: input {i} has the bounds [{self.lower[i]}, "
                f"{self.upper[i]}]; linear regions are counted in a finite box."
            )
        self.free = np.flatnonzero(self.lower < self.upper)

    @property
    def dimension(self):
        """Number of free inputs."""
        return self.free.size

    def full_point(self, u):
        """All inputs (float) of the free inputs ``u``: (..., dimension) to (..., n)."""
        u = np.asarray(u, dtype=float)
        x = np.array(np.broadcast_to(self.lower, (*u.shape[:-1], self.lower.size)))
        x[..., self.free] = u
        return x


class Maps:
    """The network's layers as maps of affine functions of the free inputs.

    Parameters
    ----------
    network : Network
    box : Box
    bounds : NeuronBounds, optional
        Neurons that these show to be stable are not looked at again.
    exact : bool
        Rational instead of floating-point arithmetic (arrays of Fractions).
    """

    def __init__(self, network, box, bounds=None, exact=False):
        if bounds is not None and bounds.network != network:
            raise BoundsError(
                f"the bounds belong to {bounds.network.name}, not to {network.name}."
            )
        if bounds is not None and not bounds.covers(box.lower, box.upper):
            raise BoundsError(
                f"{network.name}: the bounds were proven on a smaller input box. "
                "Compute them on the box in which regions are counted."
            )
        self.network, self.box, self.bounds, self.exact = network, box, bounds, exact
        self._weights = [[self.array(w) for w in la.weights] for la in network.layers]
        self._biases = [self.array(layer.bias) for layer in network.layers]
        selection = np.zeros((network.n_inputs, box.dimension))
        selection[box.free, np.arange(box.dimension)] = 1
        fixed = np.where(selection.any(axis=1), 0.0, box.lower)
        self.input_map = self.array(selection), self.array(fixed)
        self.cuts = [self._cuts(k) for k in range(len(network.activation_layers))]
        self.tolerances = [
            np.zeros(len(index)) if exact else OF_MANY_TERMS * magnitude[index]
            for magnitude, (index, _, _) in zip(
                _magnitudes(network, box), self.cuts, strict=True
            )
        ]

    def array(self, values):
        """``values`` in the chosen arithmetic."""
        if not self.exact:
            return values
        values = np.asarray(dense(values))
        flat = [Fraction(float(v)) for v in values.ravel()]
        return np.array(flat, dtype=object).reshape(values.shape)

    def _cuts(self, k):
        """The levels at which neurons of layer k change state inside the box.

        Returns the neurons, their levels (0 or the ceiling) and, per neuron of the
        layer, its state where no level is passed (that of a stable neuron).
        """
        layer = self.network.layers[k]
        index, level = list(range(layer.size)), [0.0] * layer.size
        base = np.zeros(layer.size, dtype=np.int8)
        ceiling = np.full(layer.size, np.inf)
        if layer.ceiling is not None:
            ceiling = layer.ceiling
            clipped = np.flatnonzero(np.isfinite(ceiling))
            index += clipped.tolist()
            level += ceiling[clipped].tolist()
        index, level = np.array(index, dtype=int), np.array(level)
        if self.bounds is not None:
            lower, upper = self.bounds.lower[k], self.bounds.upper[k]
            base += (lower >= 0) & (upper > 0)
            base += (lower >= ceiling) & (upper > 0)
            inside = (lower[index] < level) & (level < upper[index])
            index, level = index[inside], level[inside]
        return index, self.array(level), base

    def pre(self, k, pre, post):
        """Map (C, d) of layer k's pre-activation from the earlier layers' maps."""
        return pre_map(
            self.network.layers[k],
            self.box.dimension,
            self.input_map,
            pre,
            post,
            self._weights[k],
            self._biases[k],
        )

    def post(self, k, pre_map, state):
        """Map of layer k's post-activation where its neurons have these states."""
        return post_map(self.network.layers[k], pre_map, state, self.array)

    def region(self, pattern, u, output_map, vertices=None):
        """The record of a region, in floating-point numbers and full coordinates."""
        C, d = (np.asarray(part, dtype=float) for part in output_map)
        weights = np.zeros((C.shape[0], self.network.n_inputs))
        weights[:, self.box.free] = C
        if vertices is not None:
            vertices = self.box.full_point(vertices)
        point = self.box.full_point(np.asarray(u, dtype=float))
        return Region(tuple(pattern), weights, d, point, vertices)


def _magnitudes(network, box):
    """Upper bounds of all terms that are summed up in each layer's pre-activation."""
    x = np.maximum(np.abs(box.lower), np.abs(box.upper))[None]
    pre, post = [], []
    for layer in network.layers:
        pre.append(layer.magnitude(x, pre, post))
        post.append(np.minimum(pre[-1], layer.ceilings))
    return [v[0] for v in pre[:-1]]


def distinct_maps(regions, tolerance=1e-8):
    """Label each region by its affine function; equal functions get equal labels.

    Functions count as equal if all coefficients agree within ``tolerance`` times the
    largest one of that output over all regions (or if a chain of such links them).

    Returns
    -------
    numpy.ndarray of int, shape (number of regions,)
    """
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    if not regions:
        return np.zeros(0, dtype=int)
    maps = np.array([np.column_stack([r.weights, r.offset]) for r in regions])
    scale = np.abs(maps).max(axis=(0, 2), keepdims=True)
    maps = (maps / np.where(scale > 0, scale, 1)).reshape(len(regions), -1)
    # Rounding first keeps the number of pairs small if many regions are equal.
    grid, cell = np.unique(np.round(maps / tolerance), axis=0, return_inverse=True)
    pairs = KDTree(grid).query_pairs(1.5, p=np.inf, output_type="ndarray")
    return connected_components(_graph(pairs, len(grid)), directed=False)[1][cell]


def connected_pieces(labels, neighbours):
    """Number of maximal connected sets of regions that share an affine function.

    Parameters
    ----------
    labels : numpy.ndarray of int, shape (n,)
        As ``distinct_maps`` gives.
    neighbours : numpy.ndarray of int, shape (m, 2)
        Pairs of regions with a common facet.
    """
    from scipy.sparse.csgraph import connected_components

    pairs = np.asarray(neighbours, dtype=int).reshape(-1, 2)
    same = pairs[labels[pairs[:, 0]] == labels[pairs[:, 1]]]
    return int(connected_components(_graph(same, len(labels)), directed=False)[0])


def _graph(pairs, n):
    ones = np.ones(len(pairs), dtype=bool)
    return sparse.coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n))


def check_limit(max_regions, time_limit):
    """Raise unless the caps on regions and seconds make sense."""
    if max_regions < 1 or (time_limit is not None and not time_limit > 0):
        raise NetworkError(
            f"max_regions and time_limit must be positive, got {max_regions} and "
            f"{time_limit}."
        )
