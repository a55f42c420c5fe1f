"""Linear lower and upper bounds of one activation."""

from typing import NamedTuple

import numpy as np

from pyomo_relu.linear.rounding import TINY, UNIT

_UP = 1.0 + 16 * UNIT
_DOWN = 1.0 - 16 * UNIT


class ActivationLines(NamedTuple):
    """``low_slope v + low_const <= x <= high_slope v + high_const`` on [L, U].

    Arrays of shape (B, size); slopes lie in [0, 1].  ``x = max(0, v)``, cut at the
    ceiling where there is one.  The lines hold as float numbers: constants are rounded
    outward.  Where ``free_slope > 0`` any lower slope in [0, free_slope] through the
    origin is sound.
    """

    low_slope: np.ndarray
    low_const: np.ndarray
    high_slope: np.ndarray
    high_const: np.ndarray
    free_slope: np.ndarray


def activation_lines(layer, lower, upper):
    """Adaptive lines of a layer's activation on pre-activation bounds.

    An unstable ReLU lies below the chord ``U (v - L) / (U - L)`` and above ``a v`` for
    any a in [0, 1]; a = 1 if U > -L and 0 otherwise leaves the smaller area (Zhang et
    al., "Efficient neural network robustness certification with general activation
    functions", 2018, CROWN-Ada; Singh et al., "An abstract domain for certifying neural
    networks", 2019).  A ceiling c that may be reached adds, derived likewise: above,
    the line from (L, 0) to (c, c) or the constant c, whichever leaves the smaller area
    (for L >= 0 the line x = v or the constant); below, the line from (0, 0) to (U, c)
    or 0 (for L >= 0 the chord from (L, L) to (U, c)).

    Parameters
    ----------
    layer : Layer
        An activation layer.
    lower, upper : numpy.ndarray, shape (B, size)
        Proven pre-activation bounds.

    Returns
    -------
    ActivationLines
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        low_slope = (upper > -lower).astype(float)
        unstable = (lower < 0) & (upper > 0)
        chord = upper / (upper - lower)
        high_slope = np.where(unstable, chord, low_slope)
        at_ends = np.maximum(-chord * lower, (1.0 - chord) * upper)
        high_const = np.where(unstable, at_ends * _UP + TINY, 0.0)
        lines = ActivationLines(
            low_slope,
            np.zeros_like(high_const),
            high_slope,
            high_const,
            unstable.astype(float),
        )
        if layer.ceiling is None or not (upper > layer.ceiling).any():
            return lines
        return _with_ceiling(lines, layer.ceiling, lower, upper)


def _with_ceiling(lines, ceiling, lower, upper):
    """Replace the lines of neurons that may exceed their ceiling."""
    low_slope, low_const, high_slope, high_const, free_slope = lines
    ceiling = np.broadcast_to(ceiling, lower.shape)
    over = upper > ceiling
    fixed = lower >= ceiling
    concave = over & ~fixed & (lower >= 0)
    bent = over & (lower < 0)
    # Through the origin and (U, c), sound for any smaller slope too.
    steepest = ceiling / upper * _DOWN
    free_slope = np.where(bent, steepest, free_slope)
    origin = np.where(upper > -lower, steepest, 0.0)
    # From (L, L) to (U, c); the constant is lowered to stay below both ends.
    chord = np.clip((ceiling - lower) / (upper - lower), 0.0, 1.0)
    at_ends = np.minimum((1.0 - chord) * lower, ceiling - chord * upper)
    chord_const = at_ends - 8 * UNIT * (ceiling + chord * upper) - TINY
    low_slope = np.select([fixed, concave, bent], [0.0, chord, origin], low_slope)
    low_const = np.select([fixed, concave], [ceiling, chord_const], low_const)
    # From (L, 0) to (c, c), or the constant c.
    rise = ceiling / (ceiling - lower)
    rise_const = np.maximum(-rise * lower, (1.0 - rise) * ceiling) * _UP + TINY
    flat = fixed | (over & (upper - ceiling >= ceiling - lower))
    high_slope = np.select([flat, concave, bent], [0.0, 1.0, rise], high_slope)
    high_const = np.select(
        [flat, concave, bent], [ceiling, 0.0, rise_const], high_const
    )
    return ActivationLines(low_slope, low_const, high_slope, high_const, free_slope)
