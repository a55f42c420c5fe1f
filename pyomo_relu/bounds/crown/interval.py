"""Interval arithmetic through a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyomo_relu.bounds.crown.lines import TensorRanges, affine_maps
from pyomo_relu.bounds.neuron_bounds import NeuronBounds, check_box, check_boxes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.network.network import Network


def interval_bounds(
    network: Network, lower: ArrayLike, upper: ArrayLike
) -> NeuronBounds:
    """Pre-activation bounds by interval arithmetic (IA).

    Layer by layer ``U = W+ hi + W- lo + b`` and ``L = W+ lo + W- hi + b``, with
    ``[lo, hi] = [max(0, L), max(0, U)]`` (cut at the ceiling) for the next layer:
    equations 6 and 7 of Plate et al., "An analysis of optimization problems involving
    ReLU neural networks".  Exact for the first layer; the width grows with depth
    because neurons are treated as independent of each other.

    Parameters
    ----------
    network : Network
    lower, upper : array_like, shape (n_inputs,), or numbers
        The input box; finite.  All lower ends, then all upper ends, not a pair per
        input: for two inputs in [-1, 1] give ``-1, 1`` or ``[-1, -1], [1, 1]``.  Equal
        ends are a point.

    Returns
    -------
    NeuronBounds
        With source "interval"; valid in exact and in float64 arithmetic (see
        ``rounding``).

    Raises
    ------
    BoundsError
        If the box is infinite, reversed or of the wrong shape.
    """
    lower, upper = check_box(network, lower, upper)
    lowers, uppers = interval_ranges(network, affine_maps(network), lower, upper)
    return NeuronBounds(
        network,
        [a[0] for a in lowers],
        [a[0] for a in uppers],
        "interval",
        lower[0],
        upper[0],
    )


def interval_batch(network, lower, upper):
    """Interval arithmetic over many input boxes at once.

    Parameters
    ----------
    network : Network
    lower, upper : array_like, shape (B, n_inputs)

    Returns
    -------
    lowers, uppers : list of numpy.ndarray, shapes (B, layer size)
        Pre-activation bounds, one array per layer, the outputs' last.

    Raises
    ------
    BoundsError
        If a box is infinite, reversed or of the wrong shape.
    """
    lower, upper = check_boxes(network, lower, upper)
    return interval_ranges(network, affine_maps(network), lower, upper)


def interval_ranges(network, maps, lower, upper):
    """As ``interval_batch`` with prepared maps and checked boxes."""
    ranges = TensorRanges(network, lower, upper)
    for layer_map in maps:
        lo, hi, _ = layer_map.interval(ranges)
        ranges.append(lo, hi)
    return ranges.lowers, ranges.uppers
