"""CROWN bounds layer by layer, always intersected; the backward pass is elsewhere."""

import numpy as np

from pyomo_relu.bounds.backward import BackwardPass, BoxState
from pyomo_relu.bounds.boxes import check_box, check_boxes
from pyomo_relu.bounds.interval import interval_bounds
from pyomo_relu.bounds.neuron_bounds import NeuronBounds
from pyomo_relu.errors import BoundsError


def crown_bounds(network, lower, upper, start=None, alpha_steps=0):
    """Pre-activation bounds by backward linear bounding (CROWN).

    Each layer's pre-activations are bounded by linear functions of the inputs, found by
    substituting the lines of ``lines.activation_lines`` backwards through the network
    (Zhang et al., "Efficient neural network robustness certification with general
    activation functions", 2018), and intersected with interval arithmetic on the bounds
    so far before the next layer is treated.

    Parameters
    ----------
    network : Network
    lower, upper : array_like, shape (n_inputs,), or numbers
        The input box; finite.
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
    lowers, uppers = crown_batch(network, lower, upper, start, alpha_steps=alpha_steps)
    box = lower[0], upper[0]
    first = interval_bounds(network, *box)
    if start is not None:
        first = start.intersect(first)
    crown = NeuronBounds(
        network, [a[0] for a in lowers], [a[0] for a in uppers], "crown", *box
    )
    return first.intersect(crown)


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
        BackwardPass(network), lower, upper, start, alpha_steps, unstable_only
    )[0]


def bound_layers(kernel, lower, upper, start=None, alpha_steps=0, unstable_only=False):
    """As ``crown_batch`` with a prepared kernel and checked boxes.

    Returns
    -------
    (lowers, uppers), state : pair of lists, BoxState
    """
    network = kernel.network
    start_lowers, start_uppers = _start(network, lower, upper, start)
    state = BoxState(kernel, lower, upper)
    for k, layer in enumerate(network.layers):
        lo, hi, scale = state.interval()
        if start is not None:
            lo = np.maximum(lo, start_lowers[k])
            hi = np.minimum(hi, start_uppers[k])
        if not all(source == -1 for source, _ in layer.sources):
            rows = _rows(layer, lo, hi, unstable_only)
            if rows is None or rows.size:
                with np.errstate(invalid="ignore", over="ignore"):
                    new_lo, new_hi = kernel.bounds(state, k, scale, rows)
                at = slice(None) if rows is None else rows
                lo[:, at] = np.maximum(lo[:, at], new_lo)
                hi[:, at] = np.minimum(hi[:, at], new_hi)
        state.append(lo, hi, scale)
    return (state.ranges.lowers, state.ranges.uppers), state


def output_lines(network, lower, upper, lowers, uppers):
    """Proven linear functions below and above the outputs; see ``layer_lines``."""
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
    kernel = BackwardPass(network)
    state = BoxState(kernel, lower, upper)
    for j in range(k):
        lo, hi, scale = state.interval()
        state.append(np.maximum(lo, lowers[j]), np.minimum(hi, uppers[j]), scale)
    scale = state.interval()[2]
    return kernel.line_pairs(state, k, scale)


def _start(network, lower, upper, start):
    if start is None:
        return None, None
    if not isinstance(start, NeuronBounds):
        return start
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


def _rows(layer, lo, hi, unstable_only):
    """The neurons to pass backwards from; None for all."""
    if not unstable_only or layer.activation == "identity":
        return None
    unstable = (lo < 0) & (hi > 0)
    if layer.ceiling is not None:
        unstable |= (lo < layer.ceiling) & (hi > layer.ceiling)
    return np.flatnonzero(unstable.any(axis=0))
