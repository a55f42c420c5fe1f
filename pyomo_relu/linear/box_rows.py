r"""Linear rows over many boxes at once: propagation and dual bounds.

Box b has the rows ``row_lower[b] <= A_b x <= row_upper[b]`` with one sparsity pattern
for all boxes.  Everything that is concluded from them is rounded outward.
"""

import numpy as np

from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.certificate import (
    dual_bounds,
    exact_residual,
    proven_empty,
    residual_ends,
    residual_error,
    usable_duals,
)
from pyomo_relu.linear.rounding import TINY, rounding, slack, whole

#: Another pass follows where an edge became shorter by more than this fraction.
_WORTHWHILE = 1e-3


class BoxRows:
    """Rows of one pattern over B boxes.

    Parameters
    ----------
    pattern : RowPattern
    data : numpy.ndarray, shape (B, nnz)
        Coefficients in row order.
    lower, upper : numpy.ndarray, shape (B, R)
        Sides of the rows, infinite where they do not bind.
    """

    def __init__(self, pattern, data, lower, upper):
        self.pattern = pattern
        self.data = data
        self.lower = lower
        self.upper = upper

    @classmethod
    def of_model(cls, model):
        """The rows of a LinearModel, as those of a single box."""
        m = model
        pattern = RowPattern.of_matrix(m.matrix)
        return cls(pattern, m.matrix.data[None], m.row_lower[None], m.row_upper[None])

    def __getitem__(self, boxes):
        return BoxRows(
            self.pattern, self.data[boxes], self.lower[boxes], self.upper[boxes]
        )

    def tighten(self, lower, upper, integer, rounds=3):
        """Shrink boxes so that every row can still hold (FBBT), in place.

        For a row ``sum_j a_j x_j <= u`` each ``x_j`` satisfies ``a_j x_j <= u - sum of
        the other terms' least values``.

        Parameters
        ----------
        lower, upper : numpy.ndarray, shape (B, n)
            Changed in place; an empty box is left crossed.
        integer : numpy.ndarray of bool, shape (n,)
        rounds : int
            Passes over all rows.

        Returns
        -------
        numpy.ndarray of bool, shape (B,)
            Boxes that are proven to be empty.
        """
        p = self.pattern
        empty = (lower > upper).any(axis=1)
        if not p.column.size:
            return empty | self._crossed_constants()
        for _ in range(rounds):
            moved = self._tighten_once(lower, upper, integer, empty)
            if not moved:
                break
        return empty

    def _crossed_constants(self):
        """Rows without entries whose sides exclude zero."""
        none = np.diff(self.pattern.start) == 0
        return ((self.lower > 0) | (self.upper < 0))[:, none].any(axis=1)

    def _tighten_once(self, lower, upper, integer, empty):
        p = self.pattern
        lo, hi = lower[:, p.column], upper[:, p.column]
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            least = self.data * np.where(self.data > 0, lo, hi)
            most = self.data * np.where(self.data > 0, hi, lo)
            zero = self.data == 0
            least[zero] = most[zero] = 0.0
            rest_least, least, error = p.sums(least, -np.inf)
            above = self.upper + error + rounding(self.upper)
            rest_most, most, error = p.sums(most, np.inf)
            below = self.lower - error - rounding(self.lower)
            empty |= ((least > above) | (most < below)).any(axis=1)
            # a_j x_j in [lower - rest_most, upper - rest_least]
            new_lo = (below[:, p.row] - rest_most) / self.data
            new_hi = (above[:, p.row] - rest_least) / self.data
            swap = self.data < 0
            new_lo, new_hi = np.where(swap, (new_hi, new_lo), (new_lo, new_hi))
            new_lo, new_hi = new_lo - rounding(new_lo), new_hi + rounding(new_hi)
            new_lo[zero | ~np.isfinite(new_lo)] = -np.inf
            new_hi[zero | ~np.isfinite(new_hi)] = np.inf
        best_lo = p.column_reduce(np.maximum, new_lo, -np.inf)
        best_hi = p.column_reduce(np.minimum, new_hi, np.inf)
        best_lo[:, integer], best_hi[:, integer] = whole(
            best_lo[:, integer], best_hi[:, integer]
        )
        with np.errstate(invalid="ignore"):
            size = np.where(np.isfinite(upper - lower), upper - lower, 1.0)
            moved = best_lo > lower + _WORTHWHILE * size
            moved |= best_hi < upper - _WORTHWHILE * size
        np.maximum(lower, best_lo, out=lower)
        np.minimum(upper, best_hi, out=upper)
        empty |= (lower > upper).any(axis=1)
        return bool((moved & ~empty[:, None]).any())

    def dual_bounds(self, costs, constants, duals, lower, upper):
        """Proven lower bounds of ``min costs'x + constants`` from row multipliers.

        See ``certificate`` for the formula.

        Parameters
        ----------
        costs : numpy.ndarray, shape (B, n)
        constants : numpy.ndarray, shape (B,)
        duals : numpy.ndarray, shape (B, R)
        lower, upper : numpy.ndarray, shape (B, n)

        Returns
        -------
        numpy.ndarray, shape (B,)
            ``-inf`` where nothing is proven.
        """
        y = usable_duals(duals, self.lower, self.upper)
        with np.errstate(invalid="ignore", over="ignore"):
            d, error = self._residuals(costs, y)
            endless = np.isinf(lower) | np.isinf(upper)
            ends = residual_ends(
                d, error, endless, lambda b, j: self._exact(costs, y, b, j)
            )
            rows, box = (self.lower, self.upper), (lower, upper)
            return dual_bounds(ends, y, rows, box, constants)

    def violation(self, points):
        """By how much points, shape (B, n), miss the rows: the most of each, (B,)."""
        values = self.pattern.row_sum(self.data * points[:, self.pattern.column])
        off = np.maximum(self.lower - values, values - self.upper)
        return off.max(axis=1, initial=0.0)

    def proven_empty(self, rays, lower, upper):
        """Boxes whose multipliers, in either sign, prove that the rows have no point.

        Parameters
        ----------
        rays : numpy.ndarray, shape (B, R)
        lower, upper : numpy.ndarray, shape (B, n)

        Returns
        -------
        numpy.ndarray of bool, shape (B,)
        """
        zero, none = np.zeros(lower.shape), np.zeros(len(lower))
        return proven_empty(
            rays, lambda y: self.dual_bounds(zero, none, y, lower, upper)
        )

    def tighten_by_duals(self, costs, duals, bounds, cutoff, lower, upper, integer):
        """Shrink boxes to where the dual bound is below ``cutoff``, in place.

        With ``d = costs - A'y`` and a proven bound z from y, points with a smaller
        objective than the cutoff satisfy ``d_j (x_j - l_j) <= cutoff - z`` where
        ``d_j > 0``, and the same from the upper end where ``d_j < 0`` (reduced cost
        tightening; Ryoo and Sahinidis, A branch-and-reduce approach to global
        optimization, 1996).

        Parameters
        ----------
        costs, duals, lower, upper : numpy.ndarray
            As for ``dual_bounds``.
        bounds : numpy.ndarray, shape (B,)
            What ``dual_bounds`` gives for them.
        cutoff : float
        integer : numpy.ndarray of bool, shape (n,)
        """
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            y = usable_duals(duals, self.lower, self.upper)
            d, d_error = self._residuals(costs, y)
            steep = np.abs(d) - d_error
            steep -= rounding(steep)
            far = cutoff - bounds
            far += rounding(cutoff, bounds)
            reach = far[:, None] / steep
            reach += rounding(reach)
            use = (steep > 0) & np.isfinite(reach) & (reach >= 0)
            margin = rounding(lower, upper, reach)
            hi, lo = lower + reach + margin, upper - reach - margin
        hi = np.where(use & (d > 0) & np.isfinite(hi), hi, np.inf)
        lo = np.where(use & (d < 0) & np.isfinite(lo), lo, -np.inf)
        lo[:, integer], hi[:, integer] = whole(lo[:, integer], hi[:, integer])
        np.minimum(upper, hi, out=upper)
        np.maximum(lower, lo, out=lower)

    def _residuals(self, costs, y):
        """``costs - A'y`` and its error."""
        p = self.pattern
        terms = self.data * y[:, p.row]
        size = np.abs(costs) + p.column_sum(np.abs(terms))
        return costs - p.column_sum(terms), residual_error(size, p.longest_column)

    def _exact(self, costs, y, b, j):
        p = self.pattern
        at = p.by_column[p.column_ends[j] : p.column_ends[j + 1]]
        return exact_residual(costs[b, j], self.data[b, at], y[b, p.row[at]])


class RowPattern:
    """Sparsity of rows over columns, with sums over either.

    Parameters
    ----------
    row, column : numpy.ndarray of int, shape (nnz,)
        In row order.
    n_rows, n_columns : int
    """

    def __init__(self, row, column, n_rows, n_columns):
        self.row, self.column = row, column
        self.n_rows, self.n_columns = n_rows, n_columns
        counts = np.bincount(row, minlength=n_rows)
        self.start = np.concatenate([[0], np.cumsum(counts)])
        self.full_rows = np.flatnonzero(counts)
        self.by_column = np.argsort(column, kind="stable")
        per_column = np.bincount(column, minlength=n_columns)
        self.full_columns = np.flatnonzero(per_column)
        self.column_ends = np.concatenate([[0], np.cumsum(per_column)])
        self.column_start = self.column_ends[self.full_columns]
        self.longest_column = int(per_column.max(initial=0))
        self.slack = slack(int(counts.max(initial=0)) + 4)

    @classmethod
    def of_matrix(cls, matrix):
        """The pattern of a csr matrix, entries in its order."""
        row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        return cls(row, matrix.indices, *matrix.shape)

    def row_sum(self, values):
        """Sums over each row's entries: (B, nnz) to (B, n_rows)."""
        out = np.zeros((len(values), self.n_rows))
        if self.row.size:
            starts = self.start[:-1][self.full_rows]
            out[:, self.full_rows] = np.add.reduceat(values, starts, axis=1)
        return out

    def column_sum(self, values):
        """Sums over each column's entries: (B, nnz) to (B, n_columns)."""
        return self.column_reduce(np.add, values, 0.0)

    def column_reduce(self, operation, values, initial):
        """``operation`` over each column's entries, ``initial`` where it has none."""
        out = np.full((len(values), self.n_columns), initial)
        if self.row.size:
            out[:, self.full_columns] = operation.reduceat(
                values[:, self.by_column], self.column_start, axis=1
            )
        return out

    def sums(self, terms, infinite):
        """Sums over rows of terms that may be infinite to one side.

        Parameters
        ----------
        terms : numpy.ndarray, shape (B, nnz)
        infinite : float
            What a sum with an infinite term is.

        Returns
        -------
        rest : numpy.ndarray, shape (B, nnz)
            Each entry's row sum without the entry.
        total, error : numpy.ndarray, shape (B, n_rows)
            The row sums, and what either kind of sum may be off by.
        """
        endless = np.isinf(terms)
        finite = np.where(endless, 0.0, terms)
        total = self.row_sum(finite)
        error = self.slack * self.row_sum(np.abs(finite)) + TINY
        rest = total[:, self.row] - finite
        if endless.any():
            count = self.row_sum(endless.astype(float))
            rest[count[:, self.row] - endless > 0] = infinite
            total[count > 0] = infinite
        return rest, total, error


def propagate(model, rounds=30):
    """Bounds of a linear model's columns that single rows imply.

    Parameters
    ----------
    model : LinearModel
    rounds : int
        Passes over all rows, while bounds still move.

    Returns
    -------
    lower, upper : numpy.ndarray, shape (n,)

    Raises
    ------
    InfeasibleError
        If the bounds are proven to leave no point.
    """
    integer = model.integer
    lower, upper = model.lower[None].copy(), model.upper[None].copy()
    lower[:, integer], upper[:, integer] = whole(lower[:, integer], upper[:, integer])
    empty = BoxRows.of_model(model).tighten(lower, upper, integer, rounds)[0]
    lower, upper = lower[0], upper[0]
    crossed = np.flatnonzero(lower > upper)
    if crossed.size:
        j = crossed[0]
        raise InfeasibleError(
            f"{model.name(j)} must lie in [{lower[j]}, {upper[j]}], which is empty: "
            "the model's bounds and constraints leave no feasible point."
        )
    if empty:
        raise InfeasibleError(
            "the model's bounds and constraints leave no feasible point: a row cannot "
            "hold within them."
        )
    return lower, upper
