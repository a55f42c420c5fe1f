"""Networks of one input: the intervals on which they are affine, as cells."""

from functools import partial

import numpy as np

from pyomo_relu.bounds.cells.partition import CellPartition
from pyomo_relu.common.arguments import bounds_record, checked, whole
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.rounding import NEGLIGIBLE

#: Breakpoints closer than this, relative to the box, count as one.
_SAME_POINT = 1e-11

#: A piece of an output that deviates less than this, relative to its range, is straight.
_STRAIGHT = 1e-12


def breakpoints(network, lower, upper, column=0, most=None):
    """Points between which a network is affine along one of its inputs.

    Layer by layer: between two neighbouring points all earlier layers are affine, so a
    neuron's pre-activation is a straight line there and crosses zero (or its ceiling)
    at most once.

    Parameters
    ----------
    network : Network
    lower, upper : array_like, shape (n_inputs,)
        Between which input ``column`` moves; the others stay at ``lower``.
    column : int
    most : int, optional
        Give up if there are more points than this.

    Returns
    -------
    numpy.ndarray, shape (P + 1,), or None
        Values of the input, ascending from its lower to its upper one, to rounding.
    """
    start = np.atleast_1d(np.asarray(lower, dtype=float))
    low, high = start[column], np.atleast_1d(upper)[column]
    points = np.array([low, high], dtype=float)
    if low == high:
        return points
    for k, layer in enumerate(network.activation_layers):
        x = np.tile(start, (points.size, 1))
        x[:, column] = points
        v = network.propagate(x)[0][k]
        levels = [np.zeros(layer.size)]
        if layer.ceiling is not None:
            levels.append(np.where(np.isfinite(layer.ceiling), layer.ceiling, 0.0))
        new = [points]
        for level in levels:
            left, right = v[:-1] - level, v[1:] - level
            at, i = np.nonzero(left * right < 0)
            share = left[at, i] / (left[at, i] - right[at, i])
            new.append(points[at] + share * (points[at + 1] - points[at]))
        points = _distinct(np.concatenate(new), low, high)
        if most is not None and points.size > most:
            return None
    return points


def _distinct(points, lower, upper):
    points = np.unique(np.clip(points, lower, upper))
    apart = _SAME_POINT * (upper - lower)
    keep = np.concatenate([[True], np.diff(points) > apart])
    points = points[keep]
    points[-1] = upper
    return points


@checked(BoundsError, bounds=bounds_record, max_cells=partial(whole, least=1))
def affine_pieces(bounds, max_cells, rows=None):
    """The cells of a network of one input on which its outputs are affine.

    Neighbouring pieces on one straight line are one cell.

    Parameters
    ----------
    bounds : NeuronBounds
        Of a network with one input.
    max_cells : int
    rows : (a, b, rhs), optional
        Rows ``a x + b y <= rhs`` that cells may assume; see ``CellPartition``.

    Returns
    -------
    CellPartition or None
        With ``exact`` True; None if there are more than ``max_cells`` pieces.

    Raises
    ------
    BoundsError
        If the network has several inputs.
    """
    network = bounds.network
    if network.n_inputs != 1:
        raise BoundsError(
            f"{network.name}: affine pieces are listed for networks of one input, and "
            f"this one has {network.n_inputs}. Use CellPartition.refine."
        )
    points = breakpoints(network, bounds.input_lower, bounds.input_upper)
    values = network.forward(points[:, None])
    at = _corners_of(points, values)
    if len(at) - 1 > max_cells:
        return None
    partition = CellPartition(bounds, rows)
    partition.set_pieces(points[at], values[at])
    return partition


def _corners_of(points, values):
    """Indices of the ends and of the points where some output bends."""
    span = np.maximum(np.ptp(values, axis=0), NEGLIGIBLE)
    size = np.abs(values).max(axis=0)
    allowed = _STRAIGHT * np.maximum(span, size)
    kept = [0]
    last = len(points) - 1
    for j in range(1, last):
        a, b = kept[-1], j + 1
        inner = np.arange(a + 1, b)
        share = ((points[inner] - points[a]) / (points[b] - points[a]))[:, None]
        straight = values[a] + share * (values[b] - values[a])
        if np.any(np.abs(straight - values[inner]) > allowed):
            kept.append(j)
    return [*kept, last]
