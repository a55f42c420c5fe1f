r"""Functions of one number: values, slopes, curvature, and where a slope is reached.

A ``Shape`` says all that lines, ranges and propagation need.  Lines rest on one fact: on
an interval the least value of ``f(x) - s x`` is taken at an end or where ``f'(x) = s``.
So ``stationary(s, lower, upper)`` lists those points (all that can be extreme), and any
slope s gives a proven line.

Elementary functions of numpy err by at most ``MAXIMAL_ULPS`` units in the last place
(its own tests ask for 4).  A stationary point that is off by d changes ``f(x) - s x`` by
no more than ``f'' d^2 / 2``, which is far below one unit in the last place.
"""

import numpy as np

#: What elementary functions are charged with, in units in the last place.
MAXIMAL_ULPS = 8

#: Sines of larger arguments are bounded by -1 and 1 only.
FAR = 1e6

CONVEX, CONCAVE, MIXED = 1, -1, 0


class Shape:
    """A function of one number.

    Attributes
    ----------
    name : str
    domain : tuple of float
        Ends of the interval on which it is defined.
    below, above : int
        Lines that are drawn below and above it.
    increasing : int
        1 if it increases throughout its domain, -1 if it decreases, 0 otherwise.
    positive : bool
        Whether no value is negative, wherever it is defined.
    far_slopes : tuple of float
        What f'(x) tends to where x goes to the lower and the upper end of the real
        line; NaN if it tends to nothing, or is not defined there.
    straight : bool
        Whether it has these slopes already from the last kink on.
    """

    name = None
    domain = (-np.inf, np.inf)
    below = above = 4
    increasing = 0
    positive = False
    far_slopes = (np.nan, np.nan)
    straight = False

    @property
    def key(self):
        """What makes two shapes the same function."""
        return (type(self), self.name)

    def value(self, x):
        """f(x), elementwise; NaN outside the domain."""
        raise NotImplementedError

    def slope(self, x):
        """f'(x), elementwise."""
        raise NotImplementedError

    def curvature(self, lower, upper):
        """CONVEX, CONCAVE or MIXED on each interval."""
        raise NotImplementedError

    def branch(self, lower, upper):
        """(way, first, last): between which x around an interval it rises, or falls.

        ``way`` is 1 if it rises there, -1 if it falls, 0 if it does neither throughout.
        """
        return self.increasing, *self.domain

    def stationary(self, s, lower, upper):
        """Points where f' = s or f has a kink, on a new first axis; NaN for none.

        Parameters
        ----------
        s, lower, upper : numpy.ndarray
            Of shapes that broadcast.
        """
        raise NotImplementedError

    def inverse(self, low, high, lower, upper):
        """An interval of x in [lower, upper] that contains all with f(x) in [low, high].

        Not rounded outward.
        """
        return lower, upper


class Exp(Shape):
    name = "exp"
    increasing, positive = 1, True
    below, above = 4, 1
    far_slopes = (0.0, np.inf)

    def value(self, x):
        return np.exp(x)

    slope = value

    def curvature(self, lower, upper):
        return np.full(np.shape(lower), CONVEX)

    def stationary(self, s, lower, upper):
        return np.log(np.where(s > 0, s, np.nan))[None]

    def inverse(self, low, high, lower, upper):
        return _log(low), _log(high)


class Log(Shape):
    name = "log"
    domain = (0.0, np.inf)
    increasing = 1
    below, above = 1, 4
    far_slopes = (np.nan, 0.0)

    def value(self, x):
        return np.where(x == 0, -np.inf, np.log(np.where(x > 0, x, np.nan)))

    def slope(self, x):
        return 1.0 / x

    def curvature(self, lower, upper):
        return np.full(np.shape(lower), CONCAVE)

    def stationary(self, s, lower, upper):
        return (1.0 / np.where(s > 0, s, np.nan))[None]

    def inverse(self, low, high, lower, upper):
        return np.exp(low), np.exp(high)


class XLogX(Shape):
    """``x log(x)``, 0 at x = 0: of its logarithm alone nothing bounds the value there."""

    name = "x log x"
    domain = (0.0, np.inf)
    below, above = 4, 1
    far_slopes = (np.nan, np.inf)

    def value(self, x):
        safe = np.where(x > 0, x, np.nan)
        return np.where(x == 0, 0.0, safe * np.log(safe))

    def slope(self, x):
        return np.log(x) + 1.0

    def curvature(self, lower, upper):
        return np.full(np.shape(lower), CONVEX)

    def branch(self, lower, upper):
        least = np.exp(-1.0)
        if lower >= least:
            return 1, least, np.inf
        return (-1, 0.0, least) if upper <= least else (0, *self.domain)

    def stationary(self, s, lower, upper):
        return np.exp(s - 1.0)[None]

    def inverse(self, low, high, lower, upper):
        # x log(x) >= x from e on
        return lower, np.minimum(upper, np.maximum(high, 3.0))


class Tanh(Shape):
    name = "tanh"
    increasing = 1
    far_slopes = (0.0, 0.0)

    def value(self, x):
        return np.tanh(x)

    def slope(self, x):
        return 1.0 / np.cosh(np.clip(x, -300.0, 300.0)) ** 2

    def curvature(self, lower, upper):
        return np.where(lower >= 0, CONCAVE, np.where(upper <= 0, CONVEX, MIXED))

    def stationary(self, s, lower, upper):
        inside = (s > 0) & (s <= 1)
        x = np.arccosh(1.0 / np.sqrt(np.where(inside, s, np.nan)))
        return np.stack([x, -x])

    def inverse(self, low, high, lower, upper):
        with np.errstate(divide="ignore"):
            return (
                np.arctanh(np.clip(low, -1.0, 1.0)),
                np.arctanh(np.clip(high, -1.0, 1.0)),
            )


class Abs(Shape):
    name = "abs"
    below, above, positive = 2, 1, True
    far_slopes, straight = (-1.0, 1.0), True

    def branch(self, lower, upper):
        return _branch_at_zero(lower, upper, -1, 1)

    def value(self, x):
        return np.abs(x)

    def slope(self, x):
        return np.where(x < 0, -1.0, 1.0)

    def curvature(self, lower, upper):
        return np.full(np.shape(lower), CONVEX)

    def stationary(self, s, lower, upper):
        return np.zeros((1, *np.broadcast_shapes(np.shape(s), np.shape(lower))))

    def inverse(self, low, high, lower, upper):
        return _symmetric(np.maximum(low, 0.0), high, lower, upper)


class _Wave(Shape):
    """Sine or cosine: the sine of ``x + shift``."""

    shift = 0.0

    def curvature(self, lower, upper):
        # concave where the sine is positive: between two multiples of pi, even first
        first = np.floor((lower + self.shift) / np.pi)
        same = (lower + self.shift > first * np.pi + 1e-9) & (
            upper + self.shift < (first + 1.0) * np.pi - 1e-9
        )
        sign = np.where(first % 2 == 0, CONCAVE, CONVEX)
        near = np.maximum(np.abs(lower), np.abs(upper)) < FAR
        return np.where(same & near, sign, MIXED)

    def stationary(self, s, lower, upper):
        angle = np.arccos(np.where(np.abs(s) <= 1, s, np.nan))
        turn, points = 2.0 * np.pi, []
        for start in (angle - self.shift, -angle - self.shift):
            # along a family f is constant and s x monotone: first and last suffice
            first = start + turn * np.ceil((lower - start) / turn - 1e-9)
            last = start + turn * np.floor((upper - start) / turn + 1e-9)
            points += [first, last]
        return np.stack(points)


class Sin(_Wave):
    name = "sin"

    def value(self, x):
        return np.sin(x)

    def slope(self, x):
        return np.cos(x)


class Cos(_Wave):
    name = "cos"
    shift = 0.5 * np.pi

    def value(self, x):
        return np.cos(x)

    def slope(self, x):
        return -np.sin(x)


class Power(Shape):
    """``x**p`` for an integer p other than 0 and 1, or a real p and x >= 0.

    Parameters
    ----------
    p : float
    """

    def __init__(self, p):
        self.p = float(p)
        self.whole = self.p == np.rint(self.p)
        self.even = self.whole and self.p % 2 == 0
        self.positive = self.even or not self.whole
        self.name = f"power {self.p:g}"
        last = np.inf if self.p > 1 else 0.0
        self.far_slopes = (-last if self.even else last, last)
        if not self.whole:
            self.domain = (0.0, np.inf)
            self.increasing = 1 if self.p > 0 else -1
        if self.whole and self.p > 0 and not self.even:
            self.increasing = 1
        if (self.even and self.p > 0) or (not self.whole and not 0 < self.p < 1):
            self.below, self.above = 4, 1
        elif not self.whole:
            self.below, self.above = 1, 4

    @property
    def key(self):
        return (Power, self.p)

    def value(self, x):
        if self.p == 2.0:
            return x * x
        if self.p == 0.5:
            return np.sqrt(np.where(x >= 0, x, np.nan))
        if not self.whole:
            x = np.where(x >= 0, x, np.nan)
        return np.power(x, self.p)

    def slope(self, x):
        if self.p == 2.0:
            return 2.0 * x
        return self.p * np.power(x, self.p - 1.0)

    def curvature(self, lower, upper):
        if not self.whole:
            one = CONCAVE if 0 < self.p < 1 else CONVEX
            return np.full(np.shape(lower), one)
        if self.even and self.p > 0:
            return np.full(np.shape(lower), CONVEX)
        left = CONVEX if self.even else CONCAVE
        return np.where(lower >= 0, CONVEX, np.where(upper <= 0, left, MIXED))

    def branch(self, lower, upper):
        if self.increasing:
            return super().branch(lower, upper)
        right = 1 if self.p > 0 else -1
        return _branch_at_zero(lower, upper, -right if self.even else right, right)

    def stationary(self, s, lower, upper):
        p = self.p
        if p == 2.0:
            return (0.5 * s)[None]
        ratio = s / p
        if self.whole and not self.even:
            x = np.power(np.where(ratio >= 0, ratio, np.nan), 1.0 / (p - 1.0))
            return np.stack([x, -x])
        if self.whole:
            size = np.power(np.abs(ratio), 1.0 / (p - 1.0))
            return (np.sign(ratio) * size)[None]
        x = np.power(np.where(ratio >= 0, ratio, np.nan), 1.0 / (p - 1.0))
        return x[None]

    def inverse(self, low, high, lower, upper):
        p = self.p
        if self.even:
            low, high = np.maximum(low, 0.0), np.maximum(high, 0.0)
            ends = [self._root(low), self._root(high)]
            if p < 0:
                ends.reverse()
            return _symmetric(*ends, lower, upper)
        if not self.whole:
            ends = [self._root(np.maximum(low, 0.0)), self._root(np.maximum(high, 0.0))]
            return tuple(ends if p > 0 else ends[::-1])
        if p > 0:
            return tuple(np.sign(w) * self._root(np.abs(w)) for w in (low, high))
        # odd and negative: decreasing on either side of 0
        right, left = lower >= 0, upper <= 0
        new_low = np.where(
            right & (high > 0),
            self._root(np.abs(high)),
            np.where(left & (high < 0), -self._root(np.abs(high)), lower),
        )
        new_high = np.where(
            right & (low > 0),
            self._root(np.abs(low)),
            np.where(left & (low < 0), -self._root(np.abs(low)), upper),
        )
        return new_low, new_high

    def _root(self, w):
        return np.sqrt(w) if self.p == 2.0 else np.power(w, 1.0 / self.p)


def _branch_at_zero(lower, upper, left, right):
    """``Shape.branch`` of a function that turns, or is endless, at zero."""
    if lower >= 0:
        return right, 0.0, np.inf
    return (left, -np.inf, 0.0) if upper <= 0 else (0, -np.inf, np.inf)


def _log(w):
    return np.log(np.where(w > 0, w, 0.0))


def _symmetric(low, high, lower, upper):
    """x with low <= |x| <= high in [lower, upper]."""
    # a share more: of rounding the caller takes care, but signs are decided here
    inner = low * (1.0 - 1e-12)
    right = lower > -inner
    left = upper < inner
    new_low = np.where(right, low, -high)
    new_high = np.where(left, -low, high)
    return new_low, new_high


SHAPES = {shape.name: shape for shape in (Exp(), Log(), Tanh(), Abs(), Sin(), Cos())}
