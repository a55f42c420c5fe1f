"""Where boxes are split: integers first, then what the lines' error is due to.

A column's score is the error of networks' lines and atoms' lines that it is responsible
for, each line weighed by its multiplier in the dual bound.  With atoms, whose errors are
not comparable with those of networks, a score is multiplied by what splitting that column
has gained per score so far.
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
        weights = self._rows.line_weights(nodes.duals, p.network.n_outputs)
        n = p.n_inputs
        scores = np.zeros(nodes.lower.shape)
        scores[:, :n] = np.matmul(weights[:, None, :], lines.errors)[:, 0]
        if self._has_atoms:
            weights = self._rows.atom_weights(nodes.duals)
            scores += self._rows.atoms.scores(weights, of_atoms, points, _MISSED)
        width = nodes.upper - nodes.lower
        size = np.maximum(np.abs(nodes.lower), np.abs(nodes.upper))
        can = width > _SHORTEST * np.where(np.isfinite(size), size, 1.0)
        can &= self.splittable
        # where no error is left every width counts: rounding or integers remain
        exact = ~(np.where(can, scores, 0.0) > 0).any(axis=1)
        scores = np.where(can, scores, -1.0)
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
