r"""Big-M rows of unstable neurons as arrays.

A neuron ``x = min(max(0, v), c)`` with L <= v <= U has an indicator z, 1 if it is
active or at its ceiling, where L < 0, and an indicator q, 1 at its ceiling, where
c < U::

    v - (U - c) q <= x <= v - L (1 - z),    l + (c - l) q <= x <= min(c, U) z,    q <= z

with l = max(0, L); a term or row of an indicator that is not there is left out.  Every
row is valid in exact arithmetic: differences are rounded so that it only gets weaker.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.rounding import inward, up


def big_m_rows(lower, upper, ceiling):
    """The rows ``sum_t coefficient_t t <= right`` of unstable neurons, kind by kind.

    Parameters
    ----------
    lower, upper, ceiling : numpy.ndarray, shape (n,)
        Bounds of v; ``inf`` without a ceiling.

    Yields
    ------
    neurons : numpy.ndarray of int, shape (m,)
        Which neurons have this kind of row.
    terms : dict
        Coefficients of "v" (1 or -1), "x", "z" and "q": numbers or of shape (m,).
    right : numpy.ndarray, shape (m,)
    """
    crosses, clipped = lower < 0, upper > ceiling
    i = np.flatnonzero(~clipped)
    yield i, {"v": 1.0, "x": -1.0}, np.zeros(i.size)
    i = np.flatnonzero(clipped)
    over = up(upper[i] - ceiling[i])
    yield i, {"v": 1.0, "x": -1.0, "q": -over}, np.zeros(i.size)
    least = np.maximum(lower[i], 0.0)
    rise = np.where(least > 0, inward(ceiling[i] - least), ceiling[i])
    yield i, {"q": rise, "x": -1.0}, -least
    i = np.flatnonzero(~crosses)
    yield i, {"x": 1.0, "v": -1.0}, np.zeros(i.size)
    i = np.flatnonzero(crosses)
    yield i, {"x": 1.0, "v": -1.0, "z": -lower[i]}, -lower[i]
    yield i, {"x": 1.0, "z": -np.minimum(upper, ceiling)[i]}, np.zeros(i.size)
    i = np.flatnonzero(crosses & clipped)
    yield i, {"q": 1.0, "z": -1.0}, np.zeros(i.size)


def add_big_m(builder, pre, x, lower, upper, ceiling, shift=None, integer=False):
    """Add the indicators and rows of unstable neurons.

    Parameters
    ----------
    builder : ModelBuilder
    pre : list of (columns, matrix)
        Blocks whose sum, plus ``shift``, is v; see ``ModelBuilder.add_rows``.
    x : numpy.ndarray of int, shape (n,)
        Columns of the post-activations, with bounds.
    lower, upper, ceiling : numpy.ndarray, shape (n,)
        Bounds of v; ``inf`` without a ceiling.
    shift : numpy.ndarray, shape (n,), optional
    integer : bool
        Whether indicators are integer.

    Returns
    -------
    z, q : numpy.ndarray of int, shape (n,)
        Columns of the indicators; -1 where there is none.
    """
    at = {"x": x}
    for name, present in (("z", lower < 0), ("q", upper > ceiling)):
        own = np.flatnonzero(present)
        at[name] = np.full(lower.size, -1)
        at[name][own] = builder.add_columns(
            np.zeros(own.size), np.ones(own.size), integer
        )
    for i, terms, right in big_m_rows(lower, upper, ceiling):
        if not i.size:
            continue
        blocks = [(at[t][i], c) for t, c in terms.items() if t != "v"]
        if "v" in terms:
            blocks += [_some(c, m, i, terms["v"]) for c, m in pre]
            right = right if shift is None else right - terms["v"] * shift[i]
        builder.add_rows(blocks, np.full(i.size, -np.inf), right)
    return at["z"], at["q"]


def _some(columns, matrix, rows, sign):
    """Some rows of a block, times a sign."""
    if np.ndim(matrix) < 2 and not sparse.issparse(matrix):
        return columns[rows], sign * np.broadcast_to(matrix, columns.shape)[rows]
    return columns, sign * matrix[rows]
