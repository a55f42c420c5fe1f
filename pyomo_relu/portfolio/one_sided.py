r"""Which outputs matter from one side only, also through equations that define others.

An output y that costs, and whose every row would still hold with less of it, may as well
be at least f(x): where it is more, f(x) is feasible and no worse.  A row

    t = y_1 + y_2 + c x        (a total cost that is minimised, say)

does not hold with less of y alone, but with less of t as well; where t is a free column
apart from this row, it follows.  So does what functions of one column make of t that rise
with it (or fall), if less of that (or more) is no worse: ``exp(t)`` and, for t >= 0, its
powers, of a t that may itself be a sum of outputs.  Of convex ones among these and convex
t this is the rule by which convexity is composed (Boyd and Vandenberghe, Convex
Optimization, 2004, section 3.2.4).
"""

import numpy as np

from pyomo_relu.linear.atoms.atom import OneColumn, Sum
from pyomo_relu.linear.atoms.lines import shape_range
from pyomo_relu.linear.rounding import rounding

#: By so much, in unit range, ranges are wider for having been rounded outward.
_ROUNDED = 1e-9

#: Passes of functions and rows, one after the other, over a point.
_PASSES = 10


class OneSided:
    """Columns that may always fall or rise, and those that follow them.

    Parameters
    ----------
    model : EmbeddedModel
    lower, upper : numpy.ndarray, shape (n,)
        Bounds of its columns; of outputs, the ranges that functions reach.

    Attributes
    ----------
    signs : numpy.ndarray of int, shape (n,)
        1 for columns that may always fall, -1 for those that may rise, 0 for others.
    """

    def __init__(self, model, lower, upper):
        self.model, linear = model, model.linear
        entries = linear.matrix.tocoo()
        self._row, self._column = entries.row, entries.col
        self._data = entries.data
        self._equation = (linear.row_lower == linear.row_upper)[entries.row]
        sides = np.isfinite(linear.row_lower), np.isfinite(linear.row_upper)
        below, above = (end[entries.row] for end in sides)
        #: by sign: entries in whose rows the column cannot move
        self._held = {
            sign: np.where(sign * self._data > 0, below, above) for sign in (1, -1)
        }
        self._ranges = computed_ranges(model, lower, upper)
        self._read = _Readers(model, lower, upper)
        none = np.zeros(0, dtype=int)
        outputs = np.concatenate([none, *[f.outputs for f in model.functions]])
        times = np.bincount(outputs, minlength=linear.n_columns)
        self._computed = times > 0
        self._may = self._read.at_all & ~linear.integer
        self._may[times > 1] = False
        #: entries of columns that may make up for the others of an equation
        self._defines = self._equation & ~self._computed[self._column]
        for w, row in self._read.own_rows.items():
            self._defines |= (self._row == row) & (self._column == w)
        #: by row and direction: who follows, or -1; and in which order they were found
        self._followers = np.full((2, linear.n_rows), -1)
        self._order = []
        self._free = {sign: np.zeros(linear.n_columns, dtype=bool) for sign in (1, -1)}
        while self._find():
            pass
        self.signs = np.zeros(linear.n_columns, dtype=int)
        for sign in (-1, 1):
            self.signs[self._free[sign]] = sign

    def _find(self):
        """Look again with what is known; whether anything was found."""
        found = False
        for sign in (-1, 1):
            willing = self._may & (sign * self.model.costs >= 0)
            willing &= self._read.permit(sign, self._free, self._computed, self._ranges)
            needed = (-sign * self._data > 0).astype(int)
            held = self._held[sign] & (self._followers[needed, self._row] < 0)
            count = np.bincount(self._column[held], minlength=willing.size)
            free = willing & (count == 0)
            found |= bool((free & ~self._free[sign]).any())
            self._free[sign] |= free
            only = held & self._defines & willing[self._column]
            for e in np.flatnonzero(only & (count[self._column] == 1)):
                way = int(sign * self._data[e] > 0)
                if self._followers[way, self._row[e]] < 0 and self._has_room(e, sign):
                    self._followers[way, self._row[e]] = self._column[e]
                    self._order.append((way, int(self._row[e])))
                    found = True
        return found

    def followed(self, row):
        """Whether some column follows where a row's other terms rise, and fall."""
        return self._followers[1, row] >= 0, self._followers[0, row] >= 0

    def _has_room(self, entry, sign):
        """Whether the column's bound holds wherever its row and the others' do."""
        linear, row, column = self.model.linear, self._row[entry], self._column[entry]
        first, last = self._read.needs
        end = linear.lower[column] if sign > 0 else linear.upper[column]
        end = max(end, first[column]) if sign > 0 else min(end, last[column])
        if not np.isfinite(end):
            return True
        at = slice(linear.matrix.indptr[row], linear.matrix.indptr[row + 1])
        columns = linear.matrix.indices[at]
        a = linear.matrix.data[at] / -self._data[entry]
        low, high = (bound[columns] for bound in self._ranges)
        with np.errstate(invalid="ignore"):
            ends = a * np.where(sign * a > 0, low, high)
        constant = linear.row_lower[row] / self._data[entry]
        ends = np.append(ends[columns != column], constant)
        reached = ends.sum() - sign * rounding(np.abs(ends).sum(), operations=ends.size)
        return bool(sign * end <= sign * reached + _ROUNDED)

    def of_outputs(self, columns, low, high):
        """Which outputs may always fall, and rise, as far as their own bounds let them.

        Parameters
        ----------
        columns : numpy.ndarray of int, shape (n,)
        low, high : array_like, shape (n,)
            Ranges of the functions' values.

        Returns
        -------
        numpy.ndarray of bool, shape (2, n)
        """
        linear = self.model.linear
        falls = self._free[1][columns] & (linear.lower[columns] <= low)
        return np.stack(
            [falls, self._free[-1][columns] & (linear.upper[columns] >= high)]
        )

    def of_curve(self, column, values):
        """1 for an output that may always fall, -1 for one that may rise, else 0."""
        falls, rises = self.of_outputs(column, values.min(), values.max())
        return 1 if falls else -int(rises)

    def settled(self, point):
        """A point with integers rounded, outputs computed, and what follows them.

        Parameters
        ----------
        point : numpy.ndarray, shape (n,)
        """
        linear = self.model.linear
        point = np.clip(point, linear.lower, linear.upper)
        point[linear.integer] = np.round(point[linear.integer])
        for _ in range(_PASSES):
            point, before = self.model.complete(point), point
            for way, row in reversed(self._order):
                self._follow(point, way, row)
            if np.array_equal(point, before):
                break
        return point

    def _follow(self, point, way, row):
        """Have a row's follower make up for what it misses, in place."""
        linear = self.model.linear
        at = slice(linear.matrix.indptr[row], linear.matrix.indptr[row + 1])
        columns, a = linear.matrix.indices[at], linear.matrix.data[at]
        missing = linear.row_lower[row] - a @ point[columns]
        column = self._followers[way, row]
        if (missing < 0) == bool(way) and not self._computed[column]:
            point[column] += missing / a[columns == column][0]


class _Readers:
    """Whether functions that read a column are the better for it.

    Attributes
    ----------
    at_all : numpy.ndarray of bool, shape (n,)
        Columns that nothing else reads than sums and functions of one column.
    own_rows : dict of int to int
        By the output of a sum: the row that says the same.
    needs : (numpy.ndarray, numpy.ndarray), shapes (n,)
        Between which values functions that read a column rise, or fall, throughout.
    """

    def __init__(self, model, lower, upper):
        n = model.linear.n_columns
        self.at_all, self.own_rows = np.ones(n, dtype=bool), {}
        self.needs = np.full(n, -np.inf), np.full(n, np.inf)
        found = []
        rows = model.linear.matrix.tocsc()
        for f in model.functions:
            if isinstance(f, Sum) and (row := _own_row(model.linear, rows, f)) >= 0:
                self.own_rows[int(f.outputs[0])] = row
                continue
            if not isinstance(f, OneColumn):
                self.at_all[f.inputs] = False
                continue
            x, w, scale = int(f.inputs[0]), int(f.outputs[0]), float(f.scale[0])
            way, first, last = f.shape.branch(lower[x] * scale, upper[x] * scale)
            found.append((x, w, way))
            self.needs[0][x] = max(self.needs[0][x], first / scale)
            self.needs[1][x] = min(self.needs[1][x], last / scale)
        self._x, self._w, self._way = np.array(found, dtype=int).reshape(-1, 3).T

    def permit(self, sign, free, computed, ranges):
        """Columns that may move as far as what reads them goes, bool (n,)."""
        out, x, w = np.ones(computed.size, dtype=bool), self._x, self._w
        of_values = np.where(self._way > 0, free[sign][w], free[-sign][w])
        inside = ranges[0][x] >= self.needs[0][x] - _ROUNDED
        if sign < 0:
            inside = ranges[1][x] <= self.needs[1][x] + _ROUNDED
        # of others ``_has_room`` looks at that
        ok = (self._way != 0) & of_values & (inside | ~computed[x])
        out[x[~ok]] = False
        return out


def _own_row(linear, by_column, f):
    """The equation that a Sum's row is, -1 if there is none."""
    w, wanted = int(f.outputs[0]), {*f.inputs.tolist(), *f.outputs.tolist()}
    for row in by_column.indices[by_column.indptr[w] : by_column.indptr[w + 1]]:
        at = slice(linear.matrix.indptr[row], linear.matrix.indptr[row + 1])
        same = set(linear.matrix.indices[at].tolist()) == wanted
        if same and linear.row_lower[row] == linear.row_upper[row]:
            return int(row)
    return -1


def computed_ranges(model, lower, upper):
    """Ranges of columns by what functions make of their inputs, whatever rows say.

    Parameters
    ----------
    model : EmbeddedModel
    lower, upper : numpy.ndarray, shape (n,)
        Bounds of its columns; those of networks' outputs and of products stay.

    Returns
    -------
    lower, upper : numpy.ndarray, shape (n,)
    """
    lower, upper = np.array(lower), np.array(upper)
    for f in model.functions:
        w = f.outputs[0]
        if isinstance(f, OneColumn):
            ends = np.array([end[f.inputs] * f.scale for end in (lower, upper)])
            ends = np.clip(ends, *f.shape.domain)
            low, high = shape_range(f.shape, *ends)
            lower[w], upper[w] = low[0] / f.size, high[0] / f.size
        elif isinstance(f, Sum):
            a = f.coefficients * f.scale
            ends = np.array([end[f.inputs] for end in (lower, upper)])
            with np.errstate(invalid="ignore"):
                low = (a * np.where(a > 0, *ends)).sum() + f.constant
                high = (a * np.where(a > 0, *ends[::-1])).sum() + f.constant
            lower[w], upper[w] = low / f.size, high / f.size
    return lower, upper
