"""A problem's rows over a batch of boxes, networks replaced by lines."""

from functools import cached_property

import numpy as np
from scipy import sparse

from pyomo_relu.linear.atoms.relaxation import AtomRelaxation
from pyomo_relu.linear.box_rows import BoxRows, RowPattern
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.rounding import rounding

#: Operations, at most, in which a row's coefficients and constant are formed.
_OPERATIONS = 8


class FunctionRows:
    """Rows of boxes: plain ones, a line below or above each g, the objective's line.

    ``g_i <= u`` becomes ``line below g_i <= u`` and ``g_i >= l`` becomes ``line above
    g_i >= l``.  The objective's line comes last: propagation uses it as ``line below
    g_0 <= cutoff``, the LP as its costs.

    Parameters
    ----------
    problem : BranchProblem
    n_further : numpy.ndarray of int, shape (n_directions,), optional
        How many further lines each direction has; see ``MixedBounder``.

    Attributes
    ----------
    n_rows : int
        All rows but the objective's; the last ones are the atoms'.
    n_linear : int
        Rows that are no atom's.
    atoms : AtomRelaxation
    below, above : numpy.ndarray of int
        Which row functions have an upper, and which a lower side; both follow the
        plain rows in this order.
    """

    def __init__(self, problem, n_further=None):
        self.problem = p = problem
        m = p.plain.shape[0]
        self.below = 1 + np.flatnonzero(np.isfinite(p.function_upper))
        self.above = 1 + np.flatnonzero(np.isfinite(p.function_lower))
        reads = p.network.support()
        sides = [(i, True) for i in self.below] + [(i, False) for i in self.above]
        self._parts = [_Part(p, i, below, reads) for i, below in sides]
        self._parts += self._further(sides, reads, n_further)
        self.atoms = AtomRelaxation(p.atoms, p.n_columns)
        self.n_linear = m + len(self._parts)
        self.n_rows = self.n_linear + self.atoms.n_rows
        self._objective = _Part(p, 0, True, reads)
        coo = p.plain.tocoo()
        row, column = [coo.row], [coo.col]
        for at, part in enumerate([*self._parts, self._objective], m):
            row.append(np.full(part.columns.size, at))
            column.append(part.columns)
        row, column = np.concatenate(row), np.concatenate(column)
        n = p.n_columns
        self.pattern = RowPattern(row, column, self.n_linear + 1, n)
        self._lp_entries = row.size - self._objective.columns.size
        some = slice(0, self._lp_entries)
        self.lp_pattern = RowPattern(
            np.concatenate([row[some], self.n_linear + self.atoms.row]),
            np.concatenate([column[some], self.atoms.column]),
            self.n_rows,
            n,
        )
        self.plain_pattern = RowPattern(coo.row, coo.col, m, n)
        self._plain_data = coo.data

    def _further(self, sides, reads, n_further):
        """Parts for the lines beyond the first."""
        p = self.problem
        found = []
        for i, below in sides if n_further is not None else ():
            k = p.direction[i]
            # a row of nothing but one input is a bound of it: no use for an LP
            if p.factor[i] and (p.rest[[i]].nnz or reads[k].sum() > 1):
                found += [
                    _Part(p, i, below, reads, line) for line in range(n_further[k])
                ]
        return found

    def plain_rows(self, B):
        """The rows without networks, as BoxRows."""
        p = self.problem
        return BoxRows(
            self.plain_pattern,
            np.broadcast_to(self._plain_data, (B, self._plain_data.size)),
            np.broadcast_to(p.plain_lower, (B, p.plain.shape[0])),
            np.broadcast_to(p.plain_upper, (B, p.plain.shape[0])),
        )

    def rows(self, lines, lower, upper, cutoff):
        """All rows over the boxes, the objective's line last.

        Parameters
        ----------
        lines : FunctionLines
            Of the directions u, on the boxes.
        lower, upper : numpy.ndarray, shape (B, n)
        cutoff : float

        Returns
        -------
        rows : BoxRows
        constants : numpy.ndarray, shape (B,)
            Constant of the objective's line.
        """
        p = self.problem
        B, m = len(lower), p.plain.shape[0]
        reach = np.maximum(np.abs(lower), np.abs(upper))[:, : p.n_inputs]
        data = [np.broadcast_to(self._plain_data, (B, self._plain_data.size))]
        row_lower = np.full((B, self.n_linear + 1), -np.inf)
        row_upper = np.full((B, self.n_linear + 1), np.inf)
        row_lower[:, :m], row_upper[:, :m] = p.plain_lower, p.plain_upper
        for at, part in enumerate(self._parts, m):
            coefficients, constant = part.line(lines, reach)
            data.append(coefficients)
            if part.below:
                side = p.function_upper[part.i - 1]
                row_upper[:, at] = _outward(side, constant, 1.0)
            else:
                side = p.function_lower[part.i - 1]
                row_lower[:, at] = _outward(side, constant, -1.0)
        coefficients, constant = self._objective.line(lines, reach)
        constant = constant + p.constant
        constant -= rounding(constant, p.constant)
        data.append(coefficients)
        row_upper[:, -1] = _outward(cutoff, constant, 1.0)
        data = np.concatenate(data, axis=1)
        return BoxRows(self.pattern, data, row_lower, row_upper), constant

    def linear_model(self, rows, lower, upper, of_atoms=None):
        """All rows of a single box, the objective's included, as a LinearModel."""
        p = self.pattern
        if of_atoms is not None:
            rows, p = self.with_objective(rows, of_atoms), self.every_pattern
        matrix = sparse.csr_array(
            (rows.data[0], (p.row, p.column)), shape=(p.n_rows, p.n_columns)
        )
        return LinearModel(
            matrix, rows.lower[0], rows.upper[0], lower, upper, self.problem.integer
        )

    def lp_rows(self, rows, of_atoms):
        """The rows without the objective's, then the atoms' ``AtomRows``."""
        linear = (
            rows.data[:, : self._lp_entries],
            rows.lower[:, : self.n_linear],
            rows.upper[:, : self.n_linear],
        )
        if not len(self.atoms):
            return BoxRows(self.lp_pattern, *linear)
        more = of_atoms.data, of_atoms.lower, of_atoms.upper
        both = [np.concatenate(pair, axis=1) for pair in zip(linear, more, strict=True)]
        return BoxRows(self.lp_pattern, *both)

    @property
    def functions(self):
        """Which row function each of the rows after the plain ones is about."""
        return np.array([part.i for part in self._parts], dtype=int)

    def sides(self):
        """Of each of these rows the sign that multipliers have, and its only side."""
        p = self.problem
        below = np.array([part.below for part in self._parts], dtype=bool)
        at = self.functions - 1
        side = np.where(below, p.function_upper[at], p.function_lower[at])
        return np.where(below, -1.0, 1.0), side

    def without_networks(self, lps):
        """Rows of ``lp_rows`` with what is no network's of each function alone."""
        p, first = self.problem, self.problem.plain.shape[0]
        data, lower, upper = lps.data.copy(), lps.lower.copy(), lps.upper.copy()
        for at, part in enumerate(self._parts, first):
            entries = slice(self.lp_pattern.start[at], self.lp_pattern.start[at + 1])
            data[:, entries] = part.rest
            if part.below:
                upper[:, at] = p.function_upper[part.i - 1]
            else:
                lower[:, at] = p.function_lower[part.i - 1]
        return BoxRows(self.lp_pattern, data, lower, upper)

    def put_atoms(self, lps, boxes, of_atoms):
        """Replace the atoms' rows of some boxes, in place."""
        lps.data[boxes, self._lp_entries :] = of_atoms.data
        lps.lower[boxes, self.n_linear :] = of_atoms.lower
        lps.upper[boxes, self.n_linear :] = of_atoms.upper

    @cached_property
    def every_pattern(self):
        """The pattern of ``with_objective``."""
        return RowPattern(
            np.concatenate([self.pattern.row, self.n_linear + 1 + self.atoms.row]),
            np.concatenate([self.pattern.column, self.atoms.column]),
            self.n_rows + 1,
            self.pattern.n_columns,
        )

    def with_objective(self, rows, of_atoms):
        """All rows, the objective's line among them, then the atoms'."""
        every = (rows.data, rows.lower, rows.upper)
        more = of_atoms.data, of_atoms.lower, of_atoms.upper
        both = [np.concatenate(pair, axis=1) for pair in zip(every, more, strict=True)]
        return BoxRows(self.every_pattern, *both)

    def costs(self, rows):
        """The objective's line as costs, shape (B, n)."""
        costs = np.zeros((len(rows.data), self.pattern.n_columns))
        costs[:, self._objective.columns] = rows.data[:, self._lp_entries :]
        return costs

    def line_weights(self, duals, n_directions):
        """How much each line of u counts in a dual bound, (B, 2 n_directions).

        The objective's line counts 1 and a row's line its multiplier; every line
        counts a little, because its error may hide that a box is infeasible.
        """
        m = self.problem.plain.shape[0]
        weights = np.zeros((len(duals), 2 * n_directions))
        sized = [(self._objective, 1.0)]
        sized += [(p, np.abs(duals[:, at])) for at, p in enumerate(self._parts, m)]
        for part, weight in sized:
            at = part.direction + (0 if part.uses_low else n_directions)
            weights[:, at] += abs(part.factor) * weight
        if self._parts:
            total = weights.sum(axis=1, keepdims=True)
            weights += 1e-3 * np.where(total > 0, total, 1.0)
        return weights

    def atom_weights(self, duals):
        """How much each line of an atom counts, (B, n), as ``line_weights``."""
        weights = np.abs(duals)
        total = weights.sum(axis=1, keepdims=True)
        return weights[:, self.n_linear :] + 1e-3 * np.where(total > 0, total, 1.0)


class _Part:
    """One line of a row function: where its coefficients go."""

    def __init__(self, problem, i, below, reads, further=None):
        p = problem
        self.further = further
        self.i, self.below = i, below
        self.direction, self.factor = int(p.direction[i]), float(p.factor[i])
        self.uses_low = below == (self.factor >= 0)
        rest = p.rest[[i]]
        self.inputs = np.flatnonzero(reads[self.direction])
        if self.factor == 0.0:
            self.inputs = np.zeros(0, dtype=int)
        self.columns = np.union1d(self.inputs, rest.indices)
        self.rest = np.zeros(self.columns.size)
        self.rest[np.searchsorted(self.columns, rest.indices)] = rest.data
        self.at = np.searchsorted(self.columns, self.inputs)

    def line(self, lines, reach):
        """Coefficients (B, columns) and constant (B,) of the line, rounded outward."""
        A, c = self._given(lines)
        A, c = self.factor * A, self.factor * c
        coefficients = np.tile(self.rest, (len(A), 1))
        coefficients[:, self.at] += A
        size = (np.abs(A) + np.abs(self.rest[self.at])) * reach[:, self.inputs]
        error = rounding(size.sum(axis=1), c, operations=_OPERATIONS)
        return coefficients, c - error if self.below else c + error

    def _given(self, lines):
        """Slopes along ``inputs`` and constant of the line of u."""
        if self.further is not None:
            lines = lines.further[self.further]
        A = lines.low if self.uses_low else lines.high
        c = lines.low_const if self.uses_low else lines.high_const
        return A[:, self.direction][:, self.inputs], c[:, self.direction]


def _outward(side, constant, sign):
    """``side - constant`` rounded away from the feasible set."""
    with np.errstate(invalid="ignore"):
        value = side - constant
        value = value + sign * rounding(side, constant)
    return np.where(np.isnan(value), sign * np.inf, value)
