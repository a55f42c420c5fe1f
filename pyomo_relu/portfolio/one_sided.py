r"""Which outputs matter from one side only, also through equations that define others.

An output y that costs, and whose every row would still hold with less of it, may as well
be at least f(x): where it is more, f(x) is feasible and no worse.  A row

    t = y_1 + y_2 + c x        (a total cost that is minimised, say)

does not hold with less of y alone, but with less of t as well; where t is a free column
apart from this row, it follows.
"""

import numpy as np

from pyomo_relu.linear.rounding import rounding


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
        self._box = lower, upper
        entries = linear.matrix.tocoo()
        self._row, self._column = entries.row, entries.col
        self._data = entries.data
        equation = linear.row_lower == linear.row_upper
        sides = np.isfinite(linear.row_lower), np.isfinite(linear.row_upper)
        below, above = (end[entries.row] for end in sides)
        #: by sign: entries in whose rows the column cannot move
        held = {sign: np.where(sign * self._data > 0, below, above) for sign in (1, -1)}
        self._alone = np.ones(linear.n_columns, dtype=bool)
        none = np.zeros(0, dtype=int)
        outputs = np.concatenate([none, *[f.outputs for f in model.functions]])
        self._alone[np.bincount(outputs, minlength=self._alone.size) > 1] = False
        self._alone[linear.integer] = False
        for f in model.functions:
            self._alone[f.inputs] = False
        #: by row and direction: who follows, or -1
        self._followers = np.full((2, linear.n_rows), -1)
        computed = np.isin(self._column, outputs)
        self.signs = np.zeros(linear.n_columns, dtype=int)
        for sign in (-1, 1):
            willing = self._alone & (sign * model.costs >= 0)
            count = np.bincount(self._column[held[sign]], minlength=willing.size)
            only = held[sign] & equation[self._row] & ~computed
            only &= willing[self._column] & (count[self._column] == 1)
            for e in np.flatnonzero(only):
                if self._has_room(e, sign):
                    way = sign * np.sign(self._data[e])
                    self._followers[int(way > 0), self._row[e]] = self._column[e]
        for sign in (-1, 1):
            needed = (-sign * self._data > 0).astype(int)
            follows = self._followers[needed, self._row] >= 0
            free = self._alone & (sign * model.costs >= 0)
            free[self._column[held[sign] & ~follows]] = False
            self.signs[free] = sign

    def followed(self, row):
        """Whether some column follows where a row's other terms rise, and fall."""
        return self._followers[1, row] >= 0, self._followers[0, row] >= 0

    def _has_room(self, entry, sign):
        """Whether the column's bound holds wherever its row and the others' do."""
        linear, row, column = self.model.linear, self._row[entry], self._column[entry]
        end = linear.lower[column] if sign > 0 else linear.upper[column]
        if not np.isfinite(end):
            return True
        at = slice(linear.matrix.indptr[row], linear.matrix.indptr[row + 1])
        columns = linear.matrix.indices[at]
        a = linear.matrix.data[at] / -self._data[entry]
        low, high = (bound[columns] for bound in self._box)
        with np.errstate(invalid="ignore"):
            ends = a * np.where(sign * a > 0, low, high)
        constant = linear.row_lower[row] / self._data[entry]
        ends = np.append(ends[columns != column], constant)
        reached = ends.sum() - sign * rounding(np.abs(ends).sum(), operations=ends.size)
        return bool(sign * end <= sign * reached)

    def of_curve(self, column, values):
        """The sign of an output, 0 if its own bound is in a curve's way."""
        linear, sign = self.model.linear, self.signs[column]
        if sign > 0 and linear.lower[column] > values.min():
            return 0
        if sign < 0 and linear.upper[column] < values.max():
            return 0
        return sign

    def settled(self, point):
        """A point with integers rounded, outputs computed, and what follows them.

        Parameters
        ----------
        point : numpy.ndarray, shape (n,)
        """
        linear = self.model.linear
        point = np.clip(point, linear.lower, linear.upper)
        point[linear.integer] = np.round(point[linear.integer])
        point = self.model.complete(point)
        for row in np.flatnonzero((self._followers >= 0).any(axis=0)):
            at = slice(linear.matrix.indptr[row], linear.matrix.indptr[row + 1])
            columns, a = linear.matrix.indices[at], linear.matrix.data[at]
            missing = linear.row_lower[row] - a @ point[columns]
            column = self._followers[int(missing < 0), row]
            if column >= 0:
                point[column] += missing / a[columns == column][0]
        return point
