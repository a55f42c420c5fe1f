r"""Proven lines and ranges of a Shape over many intervals at once.

For any slope s the line ``s x + c`` with ``c = min_x (f(x) - s x)`` lies below f, and
the minimum is taken at an end of the interval or at a stationary point (``shapes``).
So slopes may be chosen by any rule and need no proof:

- where f is convex, slopes of tangents for lines below, and of the chord for the one
  above, which is the secant; the other way round where it is concave;
- where curvature changes, slopes of the chord and of the chords from either end that
  touch the convex (concave) envelope, found on a grid.

An interval may have no end: beyond the last stationary point ``f(x) - s x`` is monotone,
so its least value is not taken there if ``f'`` ends above s on the right (below it on the
left).  So tangents of exp, of powers and of abs hold everywhere, and bound where a convex
cost lets its Vars go.

Rounding: with R the largest |x| of the interval, the computed ``f(x) - s x`` is off by
at most ``MAXIMAL_ULPS`` units of |f(x)| and a few of |s| R, which is subtracted (added);
without an end R is the |x| at which it is computed.
"""

from typing import NamedTuple

import numpy as np

from pyomo_relu.linear.atoms.shapes import (
    CONCAVE,
    CONVEX,
    FAR,
    MAXIMAL_ULPS,
    MIXED,
)
from pyomo_relu.linear.rounding import TINY, rounding

#: Tangents touch at these shares of an interval, after the points that are given.
_TOUCHING = (0.5, 1.0 / 6.0, 5.0 / 6.0, 0.5)

#: Points of an interval at which envelopes and errors are looked at.
_GRID = 9

#: Parts of an interval where slopes are looked for if curvature changes.
_FINE = 17


class SlopedLines(NamedTuple):
    """Lines ``slope x + constant`` on one side of a function.

    Attributes
    ----------
    slope, constant : numpy.ndarray, shape (B, K)
        A line that says nothing has a constant that is not finite.
    error : numpy.ndarray, shape (B,)
        About the largest distance of the function from the nearest line.
    """

    slope: np.ndarray
    constant: np.ndarray
    error: np.ndarray


def shape_range(shape, lower, upper):
    """Least and largest value of a shape on intervals, rounded outward.

    Parameters
    ----------
    shape : Shape
    lower, upper : numpy.ndarray, shape (B,)
        Within the domain; ends may be infinite.
    """
    with np.errstate(all="ignore"):
        values = [shape.value(lower), shape.value(upper)]
        if not shape.increasing:
            zero = np.zeros_like(lower)
            for x in shape.stationary(zero, lower, upper):
                inside = (x >= lower) & (x <= upper)
                values.append(np.where(inside, shape.value(x), np.nan))
        low, high = np.fmin.reduce(values), np.fmax.reduce(values)
        low -= rounding(low, operations=MAXIMAL_ULPS) + TINY
        high += rounding(high, operations=MAXIMAL_ULPS) + TINY
    low, high = _beyond(shape, lower, upper, low, high)
    low[np.isnan(low)], high[np.isnan(high)] = -np.inf, np.inf
    return low, high


def _beyond(shape, lower, upper, low, high):
    """Ranges of what the ends do not tell: poles and oscillation without end."""
    if shape.name in ("sin", "cos"):
        far = ~(np.maximum(np.abs(lower), np.abs(upper)) < FAR)
        far |= ~(upper - lower < 2 * np.pi)
        low, high = np.where(far, -1.0, low), np.where(far, 1.0, high)
        return np.maximum(low, -1.0), np.minimum(high, 1.0)
    pole = _has_pole(shape, lower, upper)
    if pole is not None:
        # the sign of a zero is not to be relied on
        least = np.where((lower >= 0) | shape.even, 0.0, -np.inf)
        at_left = np.where(upper > 0, shape.value(np.abs(upper)), 0.0)
        least = np.where((lower >= 0) & (upper > 0), at_left, least)
        least -= rounding(least, operations=MAXIMAL_ULPS)
        low = np.where(pole, np.where(np.isnan(least), -np.inf, least), low)
        high = np.where(pole, np.inf, high)
    return low, high


def _has_pole(shape, lower, upper):
    """Intervals that contain a pole; None if the shape has none."""
    if getattr(shape, "p", 1.0) > 0:
        return None
    return (lower <= 0) & (upper >= 0)


def sloped_lines(shape, lower, upper, near=()):
    """Lines below and above a shape on intervals.

    Parameters
    ----------
    shape : Shape
    lower, upper : numpy.ndarray, shape (B,)
        Within the domain.  Where an end or the function's value there is not finite,
        there are fewer lines or none.
    near : sequence of numpy.ndarray, shapes (B,)
        Points where a tangent is worth most, the first ones most of all.

    Returns
    -------
    below, above : SlopedLines
        Of ``shape.below`` and ``shape.above`` lines.
    """
    with np.errstate(all="ignore"):
        width = upper - lower
        curvature = shape.curvature(lower, upper)
        chord = (shape.value(upper) - shape.value(lower)) / width
        flat = ~(width > 0)
        chord = np.where(
            flat | ~np.isfinite(chord), _finite_slope(shape, lower, upper), chord
        )
        ends = _looked_at(lower, upper)
        touched = [np.clip(x, lower, upper) for x in near]
        tangents = _tangents(shape, *ends, touched, chord)
        below = above = None
        if (curvature == MIXED).any():
            below, above = _touching(shape, *ends, chord)
        sides = []
        for sign, count, touching in (
            (1.0, shape.below, below),
            (-1.0, shape.above, above),
        ):
            slopes = np.repeat(chord[:, None], count, axis=1)
            bowl = curvature == (CONVEX if sign > 0 else CONCAVE)
            if count > 1:
                slopes[bowl] = tangents[bowl][:, :count]
            if touching is not None and count > 1:
                mixed = curvature == MIXED
                slopes[mixed, :2] = touching[mixed]
            lines = _proven(shape, lower, upper, slopes, sign)
            error = _error(shape, lower, upper, *lines, sign)
            sides.append(SlopedLines(*lines, error))
    return tuple(sides)


def lines_at(shape, lower, upper, x):
    """Lines below and above a shape on intervals that are tight at a point each.

    Parameters
    ----------
    shape : Shape
    lower, upper, x : numpy.ndarray, shape (B,)
        As of ``sloped_lines``, and the points.

    Returns
    -------
    below, above : (slope, constant), shapes (B, K)
        As those of SlopedLines; the tangents alone where it bends to one side
        everywhere, and none on the other, whose line is the same for all points.
    """
    with np.errstate(all="ignore"):
        curvature, sides = shape.curvature(lower, upper), []
        if shape.name != "abs" and (curvature != MIXED).all():
            slope = shape.slope(np.clip(x, lower, upper))[:, None]
            for sign, bowl in ((1.0, CONVEX), (-1.0, CONCAVE)):
                slopes = np.where((curvature == bowl)[:, None], slope, np.nan)
                sides.append(_proven(shape, lower, upper, slopes, sign))
            return tuple(sides)
    lines = sloped_lines(shape, lower, upper, [x])
    return tuple((side.slope, side.constant) for side in lines)


def _looked_at(lower, upper):
    """Finite ends, about 1 and the other end's size away where there are none."""
    low, high = np.isfinite(lower), np.isfinite(upper)
    first = np.where(low, lower, np.where(high, upper - 1.0 - np.abs(upper), -1.0))
    last = np.where(high, upper, np.where(low, lower + 1.0 + np.abs(lower), 1.0))
    return first, last


def _finite_slope(shape, lower, upper):
    """A finite slope of each interval's function."""
    lower, upper = _looked_at(lower, upper)
    slope = shape.slope(0.5 * (lower + upper))
    return np.where(np.isfinite(slope), slope, 0.0)


def _tangents(shape, lower, upper, near, chord):
    """Slopes (B, 4) of tangents."""
    width = upper - lower
    at = [*near, *(lower + share * width for share in _TOUCHING)]
    at = at[: len(_TOUCHING)]
    if shape.name == "abs":
        return np.stack([np.full_like(lower, v) for v in (1.0, -1.0, 1.0, -1.0)], 1)
    slopes = np.stack([shape.slope(x) for x in at], axis=1)
    return np.where(np.isfinite(slopes), slopes, chord[:, None])


def _touching(shape, lower, upper, chord):
    """Slopes (B, 2) of chords from both ends that touch the envelopes, per side."""
    share = np.linspace(0.0, 1.0, _FINE)
    x = lower[:, None] + share * (upper - lower)[:, None]
    y = shape.value(x)
    rise = (y[:, 1:] - y[:, :1]) / (x[:, 1:] - x[:, :1])
    fall = (y[:, -1:] - y[:, :-1]) / (x[:, -1:] - x[:, :-1])
    below = np.stack([rise.min(axis=1), fall.max(axis=1)], axis=1)
    above = np.stack([rise.max(axis=1), fall.min(axis=1)], axis=1)
    return tuple(
        np.where(np.isfinite(side), side, chord[:, None]) for side in (below, above)
    )


def _proven(shape, lower, upper, slopes, sign):
    """The outermost constants of lines with these slopes that keep their side."""
    lo, hi = lower[:, None], upper[:, None]
    reach = np.maximum(np.abs(lo), np.abs(hi))
    points = [np.broadcast_to(end, slopes.shape) for end in (lo, hi)]
    points += list(shape.stationary(slopes, lo, hi))
    constant = np.full(slopes.shape, np.inf)
    known = np.ones(slopes.shape, dtype=bool)
    for k, x in enumerate(points):
        inside = (x >= lo) & (x <= hi)
        x = np.where(inside, x, lo)
        y = shape.value(x)
        over = sign * (y - slopes * x)
        size = slopes * np.where(np.isfinite(reach), reach, np.abs(x))
        over -= rounding(y, size, operations=MAXIMAL_ULPS) + TINY
        if k < 2:
            # an end where the function is endless to the good side does not matter
            good = np.where(
                np.isfinite(x), np.isposinf(sign * y), _leaves(shape, slopes, k, sign)
            )
            over = np.where(good, np.inf, over)
            known &= good | np.isfinite(over)
        constant = np.where(inside, np.fmin(constant, over), constant)
    if shape.name in ("sin", "cos"):
        far = np.broadcast_to(~(reach < FAR), slopes.shape)
        slopes = np.where(far, 0.0, slopes)
        constant = np.where(far, -1.0, constant)
    known &= np.isfinite(slopes) & np.isfinite(constant)
    pole = _has_pole(shape, lower, upper)
    if pole is not None:
        known &= ~pole[:, None]
    return slopes, np.where(known, sign * constant, -sign * np.inf)


def _leaves(shape, slopes, side, sign):
    """Whether a shape leaves lines for good where x goes to -inf (side 0) or inf (1)."""
    away = sign * (1.0 if side else -1.0) * (shape.far_slopes[side] - slopes)
    return away >= 0 if shape.straight else away > 0


def _error(shape, lower, upper, slopes, constant, sign):
    share = (np.arange(_GRID) + 0.5) / _GRID
    x = lower[:, None] + share * (upper - lower)[:, None]
    lines = slopes[:, :, None] * x[:, None, :] + constant[:, :, None]
    best = sign * np.max(sign * lines, axis=1)
    gap = np.max(sign * (shape.value(x) - best), axis=1)
    return np.where(np.isnan(gap), np.inf, np.maximum(gap, 0.0))
