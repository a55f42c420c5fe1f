r"""Many small linear programmes over boxes at once: a dual simplex method on dense arrays.

Over ``min c'x, row_lower <= A x <= row_upper, lower <= x <= upper`` with finite boxes all
columns at the ends that their costs ask for are dual feasible, whatever the rows.  From
there each programme takes its own pivots (Lemke, The dual method of solving the linear
programming problem, 1954) with the ratio test that passes breakpoints (Maros, A
generalized dual phase-2 simplex algorithm, European J. Oper. Res. 149, 2003), and all
programmes take a pivot at the same time.  Nothing that is found is proven: multipliers
are for ``box_rows``, and what does not end well is left to a solver.
"""

from dataclasses import dataclass

import numpy as np

from pyomo_relu.common.matrices import slices

#: Entries of the tables that are worked on together: what a processor's cache holds.
_ENTRIES = 1 << 17

#: Violations, relative to what a row can move by across the box, that do not count, and
#: the least pivot.
_TOLERANCE, _PIVOT = 1e-9, 1e-7

#: Pivots, at most, per column and besides.
_PER_COLUMN, _BESIDES = 3, 20


@dataclass
class SmallAnswers:
    """What was found for B linear programmes.

    Attributes
    ----------
    solved, infeasible : numpy.ndarray of bool, shape (B,)
        Neither where it came to no end.
    points : numpy.ndarray, shape (B, n)
        Minimisers, where ``solved``.
    duals : numpy.ndarray, shape (B, m)
        Row multipliers; where ``infeasible`` those of a contradiction, the largest 1.
    """

    solved: np.ndarray
    infeasible: np.ndarray
    points: np.ndarray
    duals: np.ndarray

    @classmethod
    def none(cls, B, m, n):
        """No answers yet."""
        solved, infeasible = np.zeros((2, B), dtype=bool)
        return cls(solved, infeasible, np.zeros((B, n)), np.zeros((B, m)))


def solve_small(row, column, batch):
    """Minimise over each programme of a batch.

    Parameters
    ----------
    row, column : numpy.ndarray of int, shape (nnz,)
        Places of ``batch.data``.
    batch : Batch
        With finite ``lower`` and ``upper``.

    Returns
    -------
    SmallAnswers
    """
    (B, n), m = batch.costs.shape, batch.row_lower.shape[1]
    answers = SmallAnswers.none(B, m, n)
    with np.errstate(all="ignore"):
        for some in slices(B, _ENTRIES // (max(m, 1) * n)):
            which = np.arange(some.start, some.stop)
            _Tables(row, column, batch, which).solve(answers)
    return answers


class _Tables:
    """Each basic variable as a sum of nonbasic ones, for programmes ``which``.

    Columns are shifted and scaled to [0, 1], rows to largest coefficients of 1.  Variable
    j < n is a column, n + i the value of row i.
    """

    def __init__(self, row, column, batch, which):
        self.which, (B, n) = which, (which.size, batch.costs.shape[1])
        m = batch.row_lower.shape[1]
        self.n, self.m = n, m
        self.lower = batch.lower[which]
        self.width = np.maximum(batch.upper[which] - self.lower, 0.0)
        T = np.zeros((B, m, n))
        T[:, row, column] = batch.data[which]
        shift = np.matmul(T, self.lower[:, :, None])[:, :, 0]
        T *= self.width[:, None, :]
        largest = np.abs(T).max(axis=2)
        self.scale = scale = 1.0 / np.where(largest > 0, largest, 1.0)
        T *= scale[:, :, None]
        self.T, self.d = T, batch.costs[which] * self.width
        self.basic_lower = (batch.row_lower[which] - shift) * scale
        self.basic_upper = (batch.row_upper[which] - shift) * scale
        self.other_lower = np.zeros((B, n))
        self.other_upper = (self.width > 0).astype(float)
        self.at_upper = self.d < 0
        self.x = np.where(self.at_upper, self.other_upper, 0.0)
        self.basic = np.matmul(T, self.x[:, :, None])[:, :, 0]
        self.of_row = np.tile(np.arange(n, n + m), (B, 1))
        self.of_column = np.tile(np.arange(n), (B, 1))

    def solve(self, answers):
        """Pivot until nothing is left; write what ended into ``answers``."""
        for _ in range(_PER_COLUMN * self.n + _BESIDES):
            low, high = self.basic_lower - self.basic, self.basic - self.basic_upper
            off = np.maximum(low, high)
            if not self.m:
                self._note(answers, np.ones(len(self.which), dtype=bool))
                return
            leaving = off.argmax(axis=1)
            worst = np.take_along_axis(off, leaving[:, None], 1)[:, 0]
            ended = ~(worst > _TOLERANCE)
            if ended.any():
                self._note(answers, ended)
                if ended.all():
                    return
                self._keep(~ended)
                keep = ~ended
                leaving, worst, low, high = (
                    a[keep] for a in (leaving, worst, low, high)
                )
            rows = np.arange(len(leaving))
            too_low = low[rows, leaving] >= high[rows, leaving]
            going = self._pivot(leaving, worst, too_low, answers)
            if not going.all():
                if not going.any():
                    return
                self._keep(going)

    def _pivot(self, leaving, missing, too_low, answers):
        """One pivot of each; False where there is none, and infeasible ones noted."""
        T, d, x = self.T, self.d, self.x
        rows = np.arange(len(leaving))
        line = T[rows, leaving]
        along = np.where(too_low[:, None], line, -line)
        room = self.other_upper - self.other_lower
        can = np.where(self.at_upper, -along, along) > _PIVOT
        can &= room > 0
        size = np.abs(line)
        ratio = np.where(can, np.abs(d) / size, np.inf)
        order = ratio.argsort(axis=1)
        gains = np.take_along_axis(np.where(can, size * room, 0.0), order, 1)
        enough = gains.cumsum(axis=1) >= missing[:, None]
        first = enough.argmax(axis=1)
        found = enough[rows, first]
        if not found.all():
            self._note_rays(answers, ~found, leaving, line)
        entering = order[rows, first]
        place = np.empty_like(order)
        np.put_along_axis(place, order, np.arange(self.n)[None], 1)
        flips = can & (place < first[:, None]) & found[:, None]
        if flips.any():
            move = np.where(flips, np.where(self.at_upper, -room, room), 0.0)
            x += move
            self.at_upper ^= flips
            self.basic += np.matmul(T, move[:, :, None])[:, :, 0]
        pivot = line[rows, entering]
        side = np.where(
            too_low, self.basic_lower[rows, leaving], self.basic_upper[rows, leaving]
        )
        far = (side - self.basic[rows, leaving]) / pivot
        column = T[rows, :, entering]
        self.basic += column * far[:, None]
        self.basic[rows, leaving] = x[rows, entering] + far
        x[rows, entering] = side
        new = -line / pivot[:, None]
        new[rows, entering] = 1.0 / pivot
        T[rows, :, entering] = 0.0
        T += column[:, :, None] * new[:, None, :]
        T[rows, leaving] = new
        step = d[rows, entering].copy()
        d[rows, entering] = 0.0
        d += step[:, None] * new
        self.at_upper[rows, entering] = ~too_low
        for a, b in (
            (self.basic_lower, self.other_lower),
            (self.basic_upper, self.other_upper),
            (self.of_row, self.of_column),
        ):
            kept = a[rows, leaving].copy()
            a[rows, leaving] = b[rows, entering]
            b[rows, entering] = kept
        return found

    def _keep(self, some):
        """Go on with these alone."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, value[some])

    def _note(self, answers, some):
        """Write minimisers and multipliers of those that have ended."""
        at = np.flatnonzero(some)
        which, values = self.which[at], np.zeros((at.size, self.n + self.m))
        np.put_along_axis(values, self.of_row[at], self.basic[at], 1)
        np.put_along_axis(values, self.of_column[at], self.x[at], 1)
        share = np.clip(values[:, : self.n], 0.0, 1.0)
        answers.points[which] = self.lower[at] + share * self.width[at]
        answers.duals[which] = self._multipliers(at, self.d[at])
        answers.solved[which] = True

    def _note_rays(self, answers, some, leaving, line):
        """Write multipliers of rows that contradict each other."""
        at = np.flatnonzero(some)
        values = self._multipliers(at, -line[at])
        own = self.of_row[at, leaving[at]] - self.n
        mine = np.flatnonzero(own >= 0)
        values[mine, own[mine]] = self.scale[at[mine], own[mine]]
        largest = np.abs(values).max(axis=1, initial=0.0)[:, None]
        known = np.isfinite(largest) & (largest > 0)
        answers.duals[self.which[at]] = np.where(known, values / largest, 0.0)
        answers.infeasible[self.which[at]] = True

    def _multipliers(self, at, of_others):
        """What nonbasic variables count, as multipliers of the rows among them."""
        values = np.zeros((at.size, self.n + self.m))
        np.put_along_axis(values, self.of_column[at], of_others, 1)
        return values[:, self.n :] * self.scale[at]
