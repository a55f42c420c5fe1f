r"""Functions of one input as rows of a MILP: exact, by increments.

A piecewise linear curve through (a_0, b_0), ..., (a_K, b_K) is

    x = a_0 + sum_k (a_k - a_{k-1}) d_k,      y = b_0 + sum_k (b_k - b_{k-1}) d_k,
    1 >= d_1 >= z_1 >= d_2 >= ... >= z_{K-1} >= d_K >= 0,      z binary:

a piece is begun only once the one before it is used up.  Without the integrality of z
the rows describe the convex hull of the curve (Markowitz and Manne 1957; Vielma, Ahmed
and Nemhauser, Operations Research 58, 2010).  Where only ``y >= curve(x)`` matters and y
is best small, the order within a convex part needs no binary: full pieces with small
slopes come first by themselves.
"""

import numpy as np

from pyomo_relu.linear.rounding import OF_INTERPOLATING, TINY

#: Lines of an envelope per side.
_MOST_LINES = 24


def add_curve(builder, x, y, points, values, exact=None):
    """Add ``y = curve(x)`` between the first and the last of its points.

    Parameters
    ----------
    builder : ModelBuilder
    x, y : int
        Columns.
    points, values : numpy.ndarray, shape (K + 1,)
        Points increasing.
    exact : numpy.ndarray of bool, shape (K - 1,), optional
        At which inner points there is a binary; at others there is only
        ``d_k >= d_{k+1}``.

    Returns
    -------
    d, z : numpy.ndarray of int, shapes (K,) and (K - 1,)
        Columns of the increments and of the binaries, -1 where there is none.
    """
    n = points.size - 1
    exact = np.ones(n - 1, dtype=bool) if exact is None else exact
    d = builder.add_columns(np.zeros(n), np.ones(n))
    z = np.full(n - 1, -1)
    k = np.flatnonzero(exact)
    z[k] = builder.add_columns(np.zeros(k.size), np.ones(k.size), True)
    for column, at in ((x, points), (y, values)):
        row = [(np.array([column]), np.ones((1, 1))), (d, -np.diff(at)[None])]
        builder.add_rows(row, at[:1], at[:1])
    for left, right in (
        (z[k], d[k]),
        (d[k + 1], z[k]),
        (d[1:][~exact], d[:-1][~exact]),
    ):
        none = np.zeros(left.size)
        builder.add_rows([(left, 1.0), (right, -1.0)], none - np.inf, none)
    return d, z


def increments(x, points):
    """Values of ``d`` and, everywhere, ``z`` at an x, shapes (K,) and (K - 1,)."""
    d = np.clip((x - points[:-1]) / np.diff(points), 0.0, 1.0)
    return d, (d[:-1] >= 1.0).astype(float)


def bends(points, values, sign):
    """Inner points at which a curve's slope, times ``sign``, falls: bool (K - 1,).

    Where only ``sign y >= sign curve(x)`` matters and ``sign y`` is best small, cheap
    pieces come first by themselves elsewhere.
    """
    return np.diff(sign * np.diff(values) / np.diff(points)) < 0


def without_straight_points(points, values, tolerance):
    """The curve without those points that lie on the line through their neighbours.

    Parameters
    ----------
    points, values : numpy.ndarray, shape (K + 1,)
    tolerance : float
        Largest distance from that line.

    Returns
    -------
    points, values : numpy.ndarray
    """
    keep = [0]
    for i in range(1, points.size - 1):
        a, c = keep[-1], i + 1
        between = slice(a + 1, c)
        share = (points[between] - points[a]) / (points[c] - points[a])
        line = values[a] + share * (values[c] - values[a])
        if np.abs(values[between] - line).max() > tolerance:
            keep.append(i)
    keep.append(points.size - 1)
    return points[keep], values[keep]


def envelope(points, low, high, lower, upper):
    """Lines of the convex and the concave envelope of a curve on an interval.

    Parameters
    ----------
    points, low, high : numpy.ndarray, shape (P,)
        The curve is between the interpolations of ``low`` and of ``high``.
    lower, upper : float
        Within the points.

    Returns
    -------
    coefficients : numpy.ndarray, shape (L, 2)
    constants : numpy.ndarray, shape (L,)
        ``coefficients . (x, y) >= constants`` on the curve, rounding included.  Of many
        lines ``_MOST_LINES`` per side are kept.
    """
    inner = points[(points > lower) & (points < upper)]
    at = np.concatenate([[lower], inner, [upper]])
    found = []
    for sign, values in ((1.0, low), (-1.0, high)):
        y = sign * np.interp(at, points, values)
        hull = lower_hull(at, y)
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = np.diff(y[hull]) / np.diff(at[hull])
        slopes = slopes[np.isfinite(slopes)]
        if slopes.size > _MOST_LINES:
            some = np.linspace(0, slopes.size - 1, _MOST_LINES).round().astype(int)
            slopes = slopes[some]
        if not slopes.size:
            slopes = np.zeros(1)
        # whatever the slope, the constant keeps the line below
        constants = (y - slopes[:, None] * at).min(axis=1)
        size = np.abs(values).max() + np.abs(slopes) * np.abs(at).max()
        constants -= OF_INTERPOLATING * size + TINY
        found.append((np.stack([-slopes, np.full(slopes.size, sign)], 1), constants))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def lower_hull(x, y):
    """Positions of the lower hull's points (Andrew's monotone chain)."""
    hull = []
    for i in range(x.size):
        while len(hull) > 1:
            a, b = hull[-2:]
            if (x[b] - x[a]) * (y[i] - y[a]) > (y[b] - y[a]) * (x[i] - x[a]):
                break
            hull.pop()
        hull.append(i)
    return np.array(hull)
