"""Bounds of a linear model's columns that single rows imply."""

import numpy as np

from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.rounding import gamma
from pyomo_relu.linear.unit_range import factors

#: What an integer column may miss an integer by.
_INTEGRALITY = 1e-6
_ROUNDS = 30


def propagate(model):
    """Bounds of columns that single rows imply (feasibility-based tightening).

    For ``sum_j a_j x_j <= r``: ``a_j x_j <= r - sum_{i != j} min a_i x_i``, rounded
    outward; repeated while bounds still move.

    Returns
    -------
    lower, upper : numpy.ndarray, shape (n,)

    Raises
    ------
    InfeasibleError
        If a column's bounds cross.
    """
    lower, upper = np.array(model.lower), np.array(model.upper)
    matrix = model.matrix
    if matrix.nnz == 0:
        return _rounded(model, lower, upper)
    entries = _Entries(matrix)
    for _ in range(_ROUNDS):
        before = lower.copy(), upper.copy()
        for sign, side in ((1.0, model.row_upper), (-1.0, -model.row_lower)):
            entries.tighten(sign, side, lower, upper)
        lower, upper = _rounded(model, lower, upper)
        if not _moved(before, (lower, upper)):
            break
    return lower, upper


class _Entries:
    """The nonzeros of a matrix, row by row."""

    def __init__(self, matrix):
        self.data, self.column = matrix.data, matrix.indices
        self.row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        self.n_rows = matrix.shape[0]
        longest = int(np.diff(matrix.indptr).max())
        self.gamma = 2 * gamma(longest + 4)

    def tighten(self, sign, side, lower, upper):
        """Use ``sign * (row) <= side``; changes lower and upper in place."""
        a = sign * self.data
        ends = np.where(a > 0, lower[self.column], upper[self.column])
        finite = np.isfinite(ends)
        least = a * np.where(finite, ends, 0.0)
        total = np.bincount(self.row, least, self.n_rows)
        size = np.bincount(self.row, np.abs(least), self.n_rows)
        infinite = np.bincount(self.row, ~finite, self.n_rows)
        known = np.isfinite(side)[self.row] & (infinite[self.row] - ~finite == 0)
        known &= a != 0
        row, column, a = self.row[known], self.column[known], a[known]
        room = side[row] - (total[row] - least[known])
        room = room + self.gamma * (size[row] + np.abs(side[row])) + 1e-300
        with np.errstate(over="ignore"):
            value = room / a
        value = value + np.where(a > 0, 4e-16, -4e-16) * np.abs(value)
        np.minimum.at(upper, column[a > 0], value[a > 0])
        np.maximum.at(lower, column[a < 0], value[a < 0])


def _rounded(model, lower, upper):
    """Integer columns' bounds rounded inward; InfeasibleError if bounds cross."""
    whole = model.integer
    lower = np.where(whole, np.ceil(lower - _INTEGRALITY), lower)
    upper = np.where(whole, np.floor(upper + _INTEGRALITY), upper)
    crossed = np.flatnonzero(lower > upper)
    if crossed.size:
        j = crossed[0]
        raise InfeasibleError(
            f"{model.name(j)} must lie in [{lower[j]}, {upper[j]}], which is empty: "
            "the model's bounds and constraints leave no feasible point."
        )
    return lower, upper


def _moved(before, after):
    for old, new in zip(before, after, strict=True):
        newly = np.isinf(old) & np.isfinite(new)
        both = np.isfinite(old) & np.isfinite(new)
        change, size = np.abs(new[both] - old[both]), np.abs(old[both])
        if newly.any() or np.any(change > 1e-3 * np.maximum(factors(size), size)):
            return True
    return False
