"""Products and quotients of intervals, rounded outward."""

import numpy as np

from pyomo_relu.linear.rounding import TINY, rounding


def times(a, b, c, d):
    """``[a, b] [c, d]`` rounded outward; 0 times infinity is 0."""
    corners = [_product(x, y) for x in (a, b) for y in (c, d)]
    low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    return low - rounding(low) - TINY, high + rounding(high) + TINY


def _product(x, y):
    return np.where((x == 0) | (y == 0), 0.0, x * y)


def divided(a, b, c, d):
    """All x with ``x y in [a, b]`` for some y in [c, d], rounded outward.

    An interval that contains it; everything where y = 0 leaves x free.
    """
    swap = d <= 0
    a, b = np.where(swap, -b, a), np.where(swap, -a, b)
    c, d = np.where(swap, -d, c), np.where(swap, -c, d)
    # now c <= 0 <= d means that 0 is within; c = 0 as +0
    c = np.where(c == 0, 0.0, c)
    corners = [x / y for x in (a, b) for y in (c, d)]
    low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    free = (c < 0) | ((c == 0) & (a <= 0) & (b >= 0)) | np.isnan(low) | np.isnan(high)
    low, high = np.where(free, -np.inf, low), np.where(free, np.inf, high)
    return low - rounding(low) - TINY, high + rounding(high) + TINY
