r"""Linear rows over many boxes at once: propagation and dual bounds.

Box b has the rows ``row_lower[b] <= A_b x <= row_upper[b]`` with one sparsity pattern
for all boxes.  Everything that is concluded from them is rounded outward.
"""

from fractions import Fraction

import numpy as np

from pyomo_relu.linear.rounding import TINY, slack

#: A box is only moved by a bound that shortens an edge by more than this fraction.
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
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            lo, hi = lower[:, p.column], upper[:, p.column]
            positive = self.data > 0
            zero = self.data == 0
            least = self.data * np.where(positive, lo, hi)
            most = self.data * np.where(positive, hi, lo)
            least[zero] = most[zero] = 0.0
            size = np.maximum(np.abs(least), np.abs(most))
            size[~np.isfinite(size)] = 0.0
            error = p.slack * p.row_sum(size) + TINY
            rest_least = _rest(p, least, -np.inf)
            rest_most = _rest(p, most, np.inf)
            sides = np.where(np.isfinite(self.lower), np.abs(self.lower), 0.0)
            sides += np.where(np.isfinite(self.upper), np.abs(self.upper), 0.0)
            error = error + 4e-16 * sides
            least_sum = p.row_sum(np.where(np.isinf(least), 0.0, least))
            most_sum = p.row_sum(np.where(np.isinf(most), 0.0, most))
            least_sum[p.row_sum(np.isinf(least)) > 0] = -np.inf
            most_sum[p.row_sum(np.isinf(most)) > 0] = np.inf
            crossed = (least_sum - error > self.upper) | (most_sum + error < self.lower)
            empty |= crossed.any(axis=1)
            # a_j x_j in [lower - rest_most, upper - rest_least]
            down = (self.lower - error)[:, p.row] - rest_most
            up = (self.upper + error)[:, p.row] - rest_least
            swap = self.data < 0
            new_lo = np.where(swap, up, down) / self.data
            new_hi = np.where(swap, down, up) / self.data
            margin = 8e-16
            new_lo = new_lo - margin * np.abs(new_lo)
            new_hi = new_hi + margin * np.abs(new_hi)
            new_lo[zero | ~np.isfinite(new_lo)] = -np.inf
            new_hi[zero | ~np.isfinite(new_hi)] = np.inf
        best_lo = p.column_reduce(np.maximum, new_lo, -np.inf)
        best_hi = p.column_reduce(np.minimum, new_hi, np.inf)
        best_lo[:, integer] = np.ceil(best_lo[:, integer] - 1e-6)
        best_hi[:, integer] = np.floor(best_hi[:, integer] + 1e-6)
        with np.errstate(invalid="ignore"):
            step = _WORTHWHILE * np.where(np.isfinite(upper - lower), upper - lower, 0)
        from_below = best_lo > lower + step
        from_above = best_hi < upper - step
        np.copyto(lower, best_lo, where=from_below)
        np.copyto(upper, best_hi, where=from_above)
        empty |= (lower > upper).any(axis=1)
        return bool(((from_below | from_above) & ~empty[:, None]).any())

    def dual_bounds(self, costs, constants, duals, lower, upper):
        """Proven lower bounds of ``min costs'x + constants`` from row multipliers.

        ``costs'x >= sum_i min(y_i rl_i, y_i ru_i) + sum_j min(d_j l_j, d_j u_j)`` with
        ``d = costs - A'y`` for any y (Neumaier and Shcherbina, Safe bounds in linear
        and mixed-integer linear programming, 2004).

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
        p = self.pattern
        y = self._signed(duals)
        with np.errstate(invalid="ignore", over="ignore"):
            d, d_error = self._reduced_costs(costs, y)
            sides = y * np.where(y > 0, self.lower, np.where(y < 0, self.upper, 0.0))
            sides[y == 0] = 0.0
            sign = self._residual_signs(costs, y, d, d_error, lower, upper)
            at_lo, at_hi = _times(d, sign, lower), _times(d, sign, upper)
            columns = np.minimum(at_lo, at_hi)
            ends = [np.where(np.isinf(a), 0.0, np.abs(a)) for a in (lower, upper)]
            reach = np.maximum(*ends)
            size = np.abs(sides).sum(axis=1) + np.abs(columns).sum(axis=1)
            error = slack(p.n_rows + p.n_columns) * (size + np.abs(constants)) + TINY
            error += (d_error * reach).sum(axis=1)
            bound = sides.sum(axis=1) + columns.sum(axis=1) + constants - error
        return np.where(np.isfinite(bound), bound, -np.inf)

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
            d, d_error = self._reduced_costs(costs, self._signed(duals))
            steep = (np.abs(d) - d_error) * (1.0 - 1e-15)
            # the margin covers the rounding of the difference and of the quotient
            far = cutoff - bounds + 1e-15 * (abs(cutoff) + np.abs(bounds))
            reach = far[:, None] / steep * (1.0 + 1e-15)
            use = (steep > 0) & np.isfinite(reach) & (reach >= 0)
            margin = 1e-15 * (np.abs(lower) + np.abs(upper))
            hi, lo = lower + reach + margin, upper - reach - margin
        hi = np.where(use & (d > 0) & np.isfinite(hi), hi, np.inf)
        lo = np.where(use & (d < 0) & np.isfinite(lo), lo, -np.inf)
        hi[:, integer] = np.floor(hi[:, integer] + 1e-6)
        lo[:, integer] = np.ceil(lo[:, integer] - 1e-6)
        np.minimum(upper, hi, out=upper)
        np.maximum(lower, lo, out=lower)

    def _signed(self, duals):
        """Multipliers without those of sides that do not exist."""
        y = np.where(np.isfinite(duals), duals, 0.0)
        y[(y > 0) & ~np.isfinite(self.lower)] = 0.0
        y[(y < 0) & ~np.isfinite(self.upper)] = 0.0
        return y

    def _reduced_costs(self, costs, y):
        """``costs - A'y`` and its error."""
        p = self.pattern
        terms = self.data * y[:, p.row]
        size = np.abs(costs) + p.column_sum(np.abs(terms))
        return costs - p.column_sum(terms), slack(p.longest_column + 2) * size

    def _residual_signs(self, costs, y, d, d_error, lower, upper):
        """Signs of ``costs - A'y``; certain, on columns without end."""
        sign = np.sign(d)
        endless = np.isinf(lower) | np.isinf(upper)
        for b, j in np.argwhere(endless & (np.abs(d) <= d_error) & (d_error > 0)):
            sign[b, j] = self._exact_sign(costs[b, j], y[b], b, j)
        return sign

    def _exact_sign(self, cost, y, b, j):
        p = self.pattern
        at = p.by_column[p.column_ends[j] : p.column_ends[j + 1]]
        total = Fraction(float(cost))
        for a, dual in zip(
            self.data[b, at].tolist(), y[p.row[at]].tolist(), strict=True
        ):
            total -= Fraction(a) * Fraction(dual)
        return (total > 0) - (total < 0)


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


def _rest(p, terms, infinite):
    """Each entry's row sum without the entry; ``infinite`` where another term is."""
    finite = np.where(np.isinf(terms), 0.0, terms)
    sums = p.row_sum(finite)[:, p.row] - finite
    is_inf = np.isinf(terms)
    others = p.row_sum(is_inf.astype(float))[:, p.row] - is_inf
    sums[others > 0] = infinite
    return sums


def _times(d, sign, bound):
    """``d * bound``; where the bound is infinite only d's certain sign counts."""
    endless = np.isinf(bound)
    product = d * np.where(endless, 0.0, bound)
    at = endless & (sign != 0)
    product[at] = sign[at] * bound[at]
    return product
