"""Where boxes are split: integers first, then what the lines' error is due to.

A column's score is the error of networks' lines and atoms' lines that it is responsible
for, each line weighed by its multiplier in the dual bound.  With atoms, whose errors are
not comparable with those of networks, a score is multiplied by what splitting that column
has gained per score so far; where little is known of that, boxes are split along several
columns to see.
"""

import numpy as np

from pyomo_relu.linear.rounding import INTEGRALITY

#: Edges shorter than this, relative to the numbers at their ends, are not split.
_SHORTEST = 1e-13

#: Where a box is split at its LP's minimiser, both parts keep this share of the edge.
_INNER = 0.2

#: Share of an atom's error at the minimiser in its score, beside its largest error.
_MISSED = 0.99

#: With atoms, boxes are split between their middle (0) and the minimiser (1).  Measured
#: on a reactor and three mixing problems of four inputs: 0.7 took twice the boxes of 0.15.
_TOWARDS = 0.15

#: So many splits of a column count as much as all columns' mean gain per score, and
#: the most that one of them counts.
_PRIOR, _MOST_GAIN = 4.0, 10.0

#: With atoms a box is split along several columns to see which one to take, where one of
#: these has been split less often than that: at most so many, with at least this share of
#: the largest score; in batches with at most so many splits in all, since later ones know
#: enough.
#: Measured on mixing problems of four inputs, 600 boxes in place of 1500 to 4700 on one,
#: and as many as before on others.
_TRIED, _RELIABLE, _WORTH, _AT_ONCE = 4, 8.0, 0.1, 64

#: The least and the most that a bound counts as raised by, in comparing products.
_LEAST_RISE, _MOST_RISE = 1e-9, 1e9


class Branching:
    """Chooses the column and the point at which each box is split.

    Parameters
    ----------
    problem : BranchProblem
    function_rows : FunctionRows
    """

    def __init__(self, problem, function_rows):
        self.problem = p = problem
        self._rows = function_rows
        self._has_atoms = bool(p.atoms)
        which = p.integer.copy()
        which[: p.n_inputs] = True
        which[function_rows.atoms.arguments] = True
        #: columns along which boxes may be split
        self.splittable = which
        self._gain, self._splits = np.zeros((2, p.n_columns))

    # -- what splits achieved ------------------------------------------------------

    def book(self, given, kept, cutoff):
        """Note by how much bounds rose from boxes to their parts.

        Parameters
        ----------
        given : Nodes
            The parts as they came.
        kept : Nodes
            Those with a bound below the cutoff, with new bounds; the others count as if
            they had reached it.
        cutoff : float
        """
        if not self._has_atoms:
            return
        self._add(kept, kept.bound, 1.0)
        if np.isfinite(cutoff):
            self._add(given, cutoff, 1.0)
            self._add(kept, cutoff, -1.0)

    def _add(self, nodes, bound, sign):
        with np.errstate(invalid="ignore"):
            gain = bound - nodes.parent
        known = (nodes.column >= 0) & (nodes.score > 0) & np.isfinite(gain)
        share = np.clip(gain[known] / nodes.score[known], 0.0, _MOST_GAIN)
        np.add.at(self._gain, nodes.column[known], sign * share)
        np.add.at(self._splits, nodes.column[known], sign)

    def _weighted(self, scores):
        """Scores times what a column has gained per score."""
        splits = self._splits.sum()
        if not self._has_atoms or splits <= 0:
            return scores
        mean = max(float(self._gain.sum() / splits), 1e-12)
        each = (self._gain + _PRIOR * mean) / (self._splits + _PRIOR)
        return np.where(scores > 0, scores * np.maximum(each, 1e-3 * mean), scores)

    # -- choosing ------------------------------------------------------------------

    def choose(self, nodes, lines, of_atoms, points):
        """Set column and point of each node; -1 where no split can help.

        Parameters
        ----------
        nodes : Nodes
        lines : FunctionLines
        of_atoms : AtomRows or None
        points : numpy.ndarray, shape (N, n)
            Minimisers of the relaxations.
        """
        p = self.problem
        if not len(nodes):
            return
        scores, can = self._scores(nodes, lines, of_atoms, points)
        width = nodes.upper - nodes.lower
        # where no error is left every width counts: rounding or integers remain
        exact = ~(scores > 0).any(axis=1)
        column = self._weighted(scores).argmax(axis=1)
        rows = np.arange(len(nodes))
        nodes.score = np.maximum(scores[rows, column], 0.0)
        point = self._points(nodes, points, column)
        column = np.where(exact | (scores[rows, column] <= 0), -1, column)
        fraction = np.abs(points - np.round(points))
        fraction[:, ~p.integer] = 0.0
        fraction[~can] = 0.0
        most = fraction.argmax(axis=1)
        fractional = fraction[rows, most] > INTEGRALITY
        column = np.where(fractional, most, column)
        point = np.where(fractional, points[rows, most], point)
        # an exact box whose LP point is no solution: any integer left, the widest
        stuck = (column < 0) & (can & p.integer).any(axis=1)
        if stuck.any():
            widest = np.where(can & p.integer, np.minimum(width, 1e6), -1).argmax(
                axis=1
            )
            column = np.where(stuck, widest, column)
            centre = middle(nodes)[rows, widest]
            ended = np.isfinite(nodes.upper - nodes.lower)[rows, widest]
            centre = np.where(ended, centre, points[rows, widest])
            point = np.where(stuck, centre, point)
        whole = (column >= 0) & p.integer[column]
        nodes.column, nodes.point = column, np.where(whole, np.floor(point), point)

    def _scores(self, nodes, lines, of_atoms, points):
        """Each column's score, -1 where it cannot be split, and where it can."""
        p = self.problem
        weights = self._rows.line_weights(nodes.duals, p.network.n_outputs)
        scores = np.zeros(nodes.lower.shape)
        scores[:, : p.n_inputs] = np.matmul(weights[:, None, :], lines.errors)[:, 0]
        if self._has_atoms:
            weights = self._rows.atom_weights(nodes.duals)
            scores += self._rows.atoms.scores(weights, of_atoms, points, _MISSED)
        width = nodes.upper - nodes.lower
        size = np.maximum(np.abs(nodes.lower), np.abs(nodes.upper))
        can = width > _SHORTEST * np.where(np.isfinite(size), size, 1.0)
        can &= self.splittable
        return np.where(can, scores, -1.0), can

    # -- trying several columns ----------------------------------------------------

    def trials(self, nodes, lines, of_atoms, points):
        """Halves of boxes along each of the best columns, where too little is known.

        A column is chosen for what splitting others has gained per score; before some
        have been split, that says nothing (Achterberg, Koch and Martin, Branching rules
        revisited, 2005: reliability branching).

        Parameters
        ----------
        nodes, lines, of_atoms, points
            As for ``choose``, after it.

        Returns
        -------
        halves : Nodes
            All left ones, then all right ones.
        whose : numpy.ndarray of int, shape (len(halves) / 2,)
            Which node each pair of them is of.
        """
        nothing = nodes[:0], np.zeros(0, dtype=int)
        if not (self._has_atoms and 0 < len(nodes) <= _AT_ONCE):
            return nothing
        scores, _ = self._scores(nodes, lines, of_atoms, points)
        weighted = self._weighted(scores)
        best = np.argsort(-weighted, axis=1)[:, :_TRIED]
        rows = np.arange(len(nodes))[:, None]
        # not where an integer, or no split at all, was chosen
        usual = nodes.column[:, None] == best[:, :1]
        tried = usual & (scores[rows, best] > 0)
        tried &= weighted[rows, best] > _WORTH * weighted[rows, best[:, :1]]
        unknown = (tried & (self._splits[best] < _RELIABLE)).any(axis=1)
        tried &= (unknown & (tried.sum(axis=1) > 1))[:, None]
        whose, which = np.nonzero(tried)
        if not 0 < whose.size <= _AT_ONCE:
            return nothing
        each, column = nodes[whose], best[whose, which]
        each.column, each.score = column, scores[whose, column]
        each.point = self._points(each, points[whose], column)
        whole = self.problem.integer[column]
        each.point = np.where(whole, np.floor(each.point), each.point)
        return each.split(self.problem.integer), whose

    def take_best(self, nodes, halves, whose, bounds):
        """Have nodes split where the product of what both halves gained is largest.

        Parameters
        ----------
        nodes : Nodes
            Changed in place.
        halves, whose
            As ``trials`` gives them.
        bounds : numpy.ndarray, shape (len(halves),)
            Of the halves.
        """
        with np.errstate(invalid="ignore"):
            rise = bounds - halves.parent
        rise = np.fmin(np.fmax(rise, _LEAST_RISE), _MOST_RISE)
        product = rise.reshape(2, whose.size).prod(axis=0)
        # the last one of each node is its best, of equal ones the first tried
        order = np.lexsort((-np.arange(whose.size), product, whose))
        last = np.append(np.diff(whose[order]) > 0, True)
        best = order[last]
        at = whose[best]
        nodes.column[at] = halves.column[best]
        nodes.point[at] = halves.point[best]
        nodes.score[at] = halves.score[best]

    def _points(self, nodes, points, column):
        """Where boxes are split along these columns."""
        rows = np.arange(len(nodes))
        point = middle(nodes)[rows, column]
        if self._rows.n_rows and (self.problem.factor[0] == 0.0 or self._has_atoms):
            # of a linear objective's LP the minimiser is worth separating
            lower, upper = nodes.lower[rows, column], nodes.upper[rows, column]
            inner = _INNER * (upper - lower)
            at = points[rows, column]
            if self._has_atoms:
                at = _TOWARDS * at + (1.0 - _TOWARDS) * point
            point = np.clip(at, lower + inner, upper - inner)
        return point


def middle(nodes):
    """Middles of boxes; where one end is missing the other one, or zero."""
    lower = np.where(np.isfinite(nodes.lower), nodes.lower, nodes.upper)
    upper = np.where(np.isfinite(nodes.upper), nodes.upper, nodes.lower)
    endless = ~(np.isfinite(lower) & np.isfinite(upper))
    lower[endless] = upper[endless] = 0.0
    return 0.5 * (lower + upper)
