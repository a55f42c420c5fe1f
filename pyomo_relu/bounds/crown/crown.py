"""CROWN bounds layer by layer, always intersected."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from pyomo_relu.bounds.box_bounds import BoundsOfBoxes
from pyomo_relu.bounds.crown.alpha import optimised_bounds
from pyomo_relu.bounds.crown.backward import BackwardPass, BoxState
from pyomo_relu.bounds.crown.interval import interval_ranges
from pyomo_relu.bounds.neuron_bounds import NeuronBounds, check_box, check_boxes
from pyomo_relu.common.arguments import a_network, checked, flag, whole
from pyomo_relu.common.matrices import slices
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import BoundsError, NetworkError
from pyomo_relu.network.layer import INPUT

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.network.network import Network


#: Relative to its width, how much tighter a range must be to count as tighter.
_VISIBLE = 1e-9

#: Boxes times neurons of one pass over many boxes; more leaves the processor's cache.
_ENTRIES = 1 << 17


@checked(BoundsError, alpha_steps=whole)
def crown_bounds(
    network: Network,
    lower: ArrayLike,
    upper: ArrayLike,
    start: NeuronBounds | None = None,
    alpha_steps: int = 0,
) -> NeuronBounds:
    """Pre-activation bounds by backward linear bounding (CROWN).

    Each layer's pre-activations are bounded by linear functions of the inputs, found by
    substituting the lines of ``layer.activation_lines`` backwards through the network
    (Zhang et al., "Efficient neural network robustness certification with general
    activation functions", 2018), and intersected with interval arithmetic on the bounds
    so far before the next layer is treated.

    Parameters
    ----------
    network : Network
    lower, upper : array_like, shape (n_inputs,), or numbers
        The input box; finite.  All lower ends, then all upper ends, not a pair per
        input: for two inputs in [-1, 1] give ``-1, 1`` or ``[-1, -1], [1, 1]``.  Equal
        ends are a point.
    start : NeuronBounds, optional
        Bounds already proven on a box that contains this one.
    alpha_steps : int
        Steps of projected gradient ascent on each target's lower slopes (Xu et al.,
        "Fast and complete: enabling complete neural network verification with rapid and
        massively parallel incomplete verifiers", 2021); 0 keeps the adaptive slopes.

    Returns
    -------
    NeuronBounds
        No wider than interval arithmetic's and than ``start``; source "crown" where
        tighter than either.

    Raises
    ------
    BoundsError
        If the box is infinite, reversed, of the wrong shape or not within ``start``'s.
    """
    lower, upper = check_box(network, lower, upper)
    starts = None
    if start is not None:
        _start(network, lower, upper, start)  # which checks it
        starts = BoundsOfBoxes.of([start])
    kernel = BackwardPass(network)
    return crown_several(kernel, lower, upper, starts, alpha_steps).records()[0]


def crown_several(kernel, lower, upper, starts=None, alpha_steps=0):
    """As ``crown_bounds`` over many boxes in the same passes.

    Parameters
    ----------
    kernel : BackwardPass
    lower, upper : numpy.ndarray, shape (B, n_inputs)
        Checked boxes.
    starts : BoundsOfBoxes, optional
        Bounds already proven, on a box that contains each.
    alpha_steps : int

    Returns
    -------
    BoundsOfBoxes
        What each box gets alone, up to rounding.
    """
    step = _ENTRIES // (kernel.network.n_neurons + kernel.network.n_outputs)
    parts = []
    for some in slices(len(lower), step):
        start = None if starts is None else starts[some]
        parts.append(
            _crown_of_some(kernel, lower[some], upper[some], start, alpha_steps)
        )
    return BoundsOfBoxes.joined(parts)


def _crown_of_some(kernel, lower, upper, start, alpha_steps):
    """``crown_several`` of boxes that are few enough for one pass."""
    network = kernel.network
    (lowers, uppers), state = bound_layers(
        kernel,
        lower,
        upper,
        None if start is None else (start.lower, start.upper),
        alpha_steps=alpha_steps,
        keep_plain=True,
    )
    beaten = np.flatnonzero(state.beaten_at < len(network.layers))
    if beaten.size and not alpha_steps:
        # Tighter ranges can turn slopes to the worse: never be wider than plain CROWN.
        known = state.plain[: state.beaten_at[beaten].min() + 1]
        known = [(lo[beaten], hi[beaten]) for lo, hi in known]
        plain = bound_layers(kernel, lower[beaten], upper[beaten], plain=known)[0]
        for k, (lo, hi) in enumerate(zip(*plain, strict=True)):
            lowers[k][beaten] = np.maximum(lowers[k][beaten], lo)
            uppers[k][beaten] = np.minimum(uppers[k][beaten], hi)
    interval = interval_ranges(network, kernel.maps, lower, upper)
    if start is None:
        found = BoundsOfBoxes(network, *interval, "interval", lower, upper)
    else:
        known = start.lower, start.upper, start.source
        found = BoundsOfBoxes(network, *known, lower, upper)
        found = found.intersect(*interval, "interval")
    return found.intersect(lowers, uppers, "crown")


@checked(BoundsError, alpha_steps=whole, unstable_only=flag)
def crown_batch(
    network, lower, upper, start=None, *, alpha_steps=0, unstable_only=False
):
    """CROWN bounds over many input boxes at once.

    Parameters
    ----------
    network : Network
    lower, upper : array_like, shape (B, n_inputs)
    start : NeuronBounds or pair of lists of numpy.ndarray, optional
        Bounds already proven: on a box that contains all boxes, or for each box as
        returned by this function.
    alpha_steps : int
        See ``crown_bounds``.
    unstable_only : bool
        Pass backwards only from neurons that start and interval arithmetic leave
        unstable in some box, and from the outputs.

    Returns
    -------
    lowers, uppers : list of numpy.ndarray, shapes (B, layer size)
        One array per layer, the outputs' last.
    """
    lower, upper = check_boxes(network, lower, upper)
    return bound_layers(
        BackwardPass(network),
        lower,
        upper,
        start,
        alpha_steps=alpha_steps,
        wanted=_outputs(network) if unstable_only else None,
    )[0]


def bound_layers(
    kernel,
    lower,
    upper,
    start=None,
    *,
    alpha_steps=0,
    wanted=None,
    importance=None,
    plain=None,
    groups=None,
    keep_plain=False,
):
    """As ``crown_batch`` with a prepared kernel and checked boxes.

    Parameters
    ----------
    kernel : BackwardPass
    wanted : sequence of numpy.ndarray of bool, shapes (layer size,), optional
        Neurons to pass backwards from even if they are stable in all boxes; all by
        default.
    importance : sequence of numpy.ndarray, (2, layer size) or (B, 2, layer size), optional
        See ``BackwardPass.bounds``.
    plain : list of (lower, upper), optional
        Leave interval arithmetic and ``start`` out where CROWN gives a bound; the first
        layers' bounds are the ones given, another state's ``plain``.
    groups : numpy.ndarray of int, shape (G,), optional
        First boxes of groups that are bounded as if each was alone; ``wanted`` is then
        of shapes (G, layer size).
    keep_plain : bool
        Keep in the state what backward passes alone give, and where they were beaten.

    Returns
    -------
    (lowers, uppers), state : pair of lists, BoxState
    """
    network = kernel.network
    within = _start(network, lower, upper, start)
    sizes = None if groups is None else np.diff(np.append(groups, len(lower)))
    state = BoxState(kernel, lower, upper)
    for k, layer in enumerate(network.layers):
        lo, hi, scale = state.interval()
        if plain is not None and k < len(plain):
            lo, hi = plain[k]
            state.append(lo, hi, scale)
            continue
        if within is not None:
            lo = np.maximum(lo, within[0][k])
            hi = np.minimum(hi, within[1][k])
        # Interval arithmetic is exact for what is affine in the inputs.
        if any(source != INPUT for source, _ in layer.sources):
            rows = _rows(layer, lo, hi, wanted and wanted[k], groups)
            own = None
            if groups is not None:
                own, rows = rows, np.flatnonzero(rows.any(axis=0))
            if rows.size:
                weights = importance and importance[k]
                with np.errstate(invalid="ignore", over="ignore"):
                    new = _pass(kernel, state, k, scale, rows, alpha_steps, weights)
                    if own is not None and sizes is not None:
                        where = np.repeat(own[:, rows], sizes, axis=0)
                        new = tuple(
                            np.where(where, a, b)
                            for a, b in zip(new, (-np.inf, np.inf), strict=True)
                        )
                    if keep_plain:
                        _note_plain(state, k, lo, hi, new)
                    _merge(lo, hi, rows, new, plain is None)
        if keep_plain and len(state.plain) == k:
            state.plain.append((lo, hi))
        state.append(lo, hi, scale)
    return (state.ranges.lowers, state.ranges.uppers), state


def _pass(kernel, state, k, scale, rows, alpha_steps, weights):
    if alpha_steps:
        return optimised_bounds(kernel, state, k, scale, rows, alpha_steps)
    return kernel.bounds(state, k, scale, rows, weights)


def _note_plain(state, k, lo, hi, new):
    """Note CROWN's own bounds of layer k, and the boxes where others are tighter."""
    new_lo, new_hi = new
    usable_lo = np.where(np.isfinite(new_lo), new_lo, lo)
    usable_hi = np.where(np.isfinite(new_hi), new_hi, hi)
    state.plain.append((usable_lo, usable_hi))
    visible = _VISIBLE * (new_hi - new_lo)
    beaten = ((lo > new_lo + visible) | (hi < new_hi - visible)).any(axis=1)
    state.beaten_at[beaten] = np.minimum(state.beaten_at[beaten], k)


def _merge(lo, hi, rows, new, intersected):
    """Put CROWN's bounds of the rows into ``lo`` and ``hi``."""
    new_lo, new_hi = new
    old_lo, old_hi = lo[:, rows], hi[:, rows]
    if not intersected:
        old_lo = np.where(np.isfinite(new_lo), -np.inf, old_lo)
        old_hi = np.where(np.isfinite(new_hi), np.inf, old_hi)
    lo[:, rows] = np.maximum(old_lo, new_lo)
    hi[:, rows] = np.minimum(old_hi, new_hi)


@checked(NetworkError, network=a_network)
def output_lines(network, lower, upper, lowers, uppers):
    """Proven linear functions below and above the outputs.

    Parameters and result (network, lower, upper, lowers, uppers) as for
    ``layer_lines``.
    """
    return layer_lines(network, len(network.layers) - 1, lower, upper, lowers, uppers)


def layer_lines(network, k, lower, upper, lowers, uppers):
    """Linear functions of the inputs below and above layer k's pre-activations.

    On each box ``A_low x + c_low <= v^k(x) <= A_high x + c_high``, also as evaluated in
    float64: rounding errors are absorbed in the constants.

    Parameters
    ----------
    network : Network
    k : int
        Position of the layer; the last gives the outputs.
    lower, upper : array_like, shape (B, n_inputs)
    lowers, uppers : sequence of numpy.ndarray, shapes (B, layer size)
        Proven pre-activation bounds on each box, for at least the layers before k.

    Returns
    -------
    A_low, c_low, A_high, c_high : numpy.ndarray
        Shapes (B, size, n_inputs), (B, size), and the same again.
    """
    lower, upper = check_boxes(network, lower, upper)
    if not (isinstance(k, Integral) and 0 <= int(k) < len(network.layers)):
        raise BoundsError(
            f"{network.name}: there is no layer {k!r:.80}; the network has "
            f"{counted(len(network.layers), 'layer')}, counted from 0."
        )
    lowers, uppers = _per_box(network, (lowers, uppers), len(lower), k)
    kernel = BackwardPass(network)
    state = BoxState(kernel, lower, upper)
    for j in range(k):
        lo, hi, scale = state.interval()
        state.append(np.maximum(lo, lowers[j]), np.minimum(hi, uppers[j]), scale)
    scale = state.interval()[2]
    return kernel.line_pairs(state, k, scale)


def _outputs(network):
    """Masks of the layers' neurons: none but the outputs."""
    last = len(network.layers) - 1
    return [np.full(m.size, k == last) for k, m in enumerate(network.layers)]


def _start(network, lower, upper, start):
    if start is None:
        return None
    if not isinstance(start, NeuronBounds):
        return _per_box(network, start, len(lower), len(network.layers))
    if start.network != network:
        raise BoundsError(
            f"{network.name}: the bounds to start from belong to the network "
            f"{start.network.name}."
        )
    if not start.covers(lower.min(axis=0), upper.max(axis=0)):
        raise BoundsError(
            f"{network.name}: the bounds to start from were proven on a box that does "
            "not contain the given one. Compute bounds afresh (start=None)."
        )
    return start.lower, start.upper


def _per_box(network, pair, n_boxes, n_layers):
    """Lower and upper bounds of the first layers on each box, as two lists of arrays."""
    shapes = [(n_boxes, layer.size) for layer in network.layers[:n_layers]]
    try:
        pair = [[np.asarray(a, dtype=float) for a in side] for side in pair]
    except (TypeError, ValueError):
        pair = []
    if len(pair) != 2 or any(
        [a.shape for a in side[:n_layers]] != shapes
        or np.isnan(
            np.concatenate([np.zeros(0), *(a.ravel() for a in side[:n_layers])])
        ).any()
        for side in pair
    ):
        raise BoundsError(
            f"{network.name}: bounds known before must be a NeuronBounds, or two lists "
            f"(lower, upper) of one array per layer, of shapes {shapes}."
        )
    return pair


def _rows(layer, lo, hi, wanted, groups):
    """The neurons to pass backwards from; of groups a mask, shape (G, size)."""
    if wanted is None:
        return np.arange(layer.size)
    unstable = (lo < 0) & (hi > 0)
    if layer.ceiling is not None:
        unstable |= (lo < layer.ceiling) & (hi > layer.ceiling)
    if groups is not None:
        return np.logical_or.reduceat(unstable, groups, axis=0) | wanted
    return np.flatnonzero(unstable.any(axis=0) | wanted)
