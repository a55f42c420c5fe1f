"""Checks of input boxes."""

import numpy as np

from pyomo_relu.common.arguments import instance
from pyomo_relu.errors import BoundsError, NetworkError
from pyomo_relu.network.network import Network


def check_boxes(network, lower, upper):
    """Input boxes as two float64 arrays of shape (B, n_inputs).

    Parameters
    ----------
    network : Network
    lower, upper : array_like, shape (B, n_inputs)

    Raises
    ------
    BoundsError
        If a shape is wrong, or a bound is NaN, infinite or reversed; the message
        names the input.
    """
    instance("network", network, Network, NetworkError)
    lower, upper = (_array(network, a) for a in (lower, upper))
    n = network.n_inputs
    if lower.ndim != 2 or lower.shape != upper.shape or lower.shape[1] != n:
        raise BoundsError(
            f"{network.name}: the boxes' lower and upper ends must both have shape "
            f"(B, {n}), one row per box and one column per input, but have shapes "
            f"{lower.shape} and {upper.shape}."
        )
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        bad = ~(np.isfinite(lower) & np.isfinite(upper))
        raise BoundsError(
            f"{_where(network, lower, upper, bad)}: bounds over an unbounded set of "
            "inputs are infinite. Give the input finite lower and upper bounds."
        )
    if not (lower <= upper).all():
        raise BoundsError(
            f"{_where(network, lower, upper, lower > upper)}: the lower bound exceeds "
            "the upper bound. Swap or correct them."
        )
    return lower, upper


def check_box(network, lower, upper):
    """One input box as two arrays of shape (1, n_inputs); scalars are broadcast.

    Parameters
    ----------
    lower, upper : array_like, shape (n_inputs,) or a number for all inputs
    """
    n = instance("network", network, Network, NetworkError).n_inputs
    arrays = []
    for what, a in (("lower", lower), ("upper", upper)):
        a = _array(network, a)
        if a.shape not in ((), (n,)):
            raise BoundsError(
                f"{network.name}: the inputs' {what} bounds must be a number or have "
                f"shape ({n},), one per input, but have shape {a.shape}."
            )
        arrays.append(np.broadcast_to(a, (n,))[None])
    return check_boxes(network, *arrays)


def _array(network, ends):
    try:
        return np.asarray(ends, dtype=float)
    except (TypeError, ValueError):
        raise BoundsError(
            f"{network.name}: the inputs' bounds must be numbers, not {ends!r:.80}."
        ) from None


def _where(network, lower, upper, bad):
    box, i = np.argwhere(bad)[0]
    which = f" in box {box}" if len(lower) > 1 else ""
    return (
        f"{network.name}: input {network.input_index()[i]}{which} has bounds "
        f"[{lower[box, i]}, {upper[box, i]}]"
    )
