"""Which boxes of a batch have their bounds raised, before LPs or after them."""

import numpy as np

from pyomo_relu.branch.bounding.raising.ascent import Ascent
from pyomo_relu.branch.bounding.raising.worth import Worth
from pyomo_relu.linear.sessions.highs_runs import processor_seconds

#: Boxes with at most so many unstable neurons get an LP, too: what is almost linear is
#: quicker with one than with many steps.
_ALMOST_LINEAR = 30


class Raising:
    """Raises bounds by an ``Ascent`` where that is possible and pays.

    Parameters
    ----------
    problem : BranchProblem
    function_rows : FunctionRows
    bounder : LineBounder or None
        Of all row functions; see ``MixedBounder.of_all``.

    Attributes
    ----------
    worth : Worth
        What decides; measured while running.
    """

    def __init__(self, problem, function_rows, bounder):
        self._ascent = None
        if bounder is not None:
            self._ascent = Ascent(problem, function_rows, bounder)
        self.worth, self._began = Worth(), processor_seconds()

    def begin(self):
        """A batch of boxes is about to be bounded."""
        self._began = processor_seconds()

    def batch(self, nodes, lines, inputs, cutoff):
        """The ``Batch`` of these boxes.

        Parameters
        ----------
        nodes : Nodes
            With the bounds of their first multipliers.
        lines : FunctionLines
        inputs : tuple
            Rows with lines of the functions, as BoxRows, and the objective's line.
        cutoff : float
        """
        possible = self._ascent is not None and np.isfinite(cutoff)
        return Batch(
            self, self._ascent if possible else None, nodes, lines, inputs, cutoff
        )

    def book(self, batch):
        """Note what bounding the boxes took, and by how much bounds rose by splits."""
        seconds = processor_seconds() - self._began - batch.seconds
        self.worth.book_batch(seconds, len(batch.nodes))
        known = np.isfinite(batch.nodes.parent)
        gains = np.minimum(batch.nodes.bound, batch.cutoff)[known]
        gains = np.maximum(gains - batch.nodes.parent[known], 0.0)
        self.worth.book_splits(gains)


class Batch:
    """Boxes that are being bounded; see ``Raising.batch``.

    Attributes
    ----------
    soon : numpy.ndarray of bool, shape (N,)
        Whose bounds were raised by ``before_lps``.
    seconds : float
        Processor seconds for raising.
    """

    def __init__(self, raising, ascent, nodes, lines, inputs, cutoff):
        self.nodes, self.cutoff, self.seconds = nodes, cutoff, 0.0
        self._raising, self._ascent = raising, ascent
        self._lines, self._inputs = lines, inputs
        self.soon = np.zeros(len(nodes), dtype=bool)
        waiting = int((nodes.bound < cutoff).sum())
        self._wanted = ascent is not None and raising.worth.wanted(waiting)

    def before_lps(self, points):
        """Raise what needs no LP; ``points`` become the minimisers of these boxes.

        Returns
        -------
        numpy.ndarray of bool, shape (N,)
            Whose bound is below the cutoff and is to be raised by an LP.
        """
        if self._wanted and self._raising.worth.on:
            waiting = self.nodes.bound < self.cutoff
            self.soon = waiting & self._ascent.can_begin(self.nodes)
            self._raise(self.soon, points)
        by_lp = ~self.soon | (self._lines.unstable <= _ALMOST_LINEAR)
        return by_lp & (self.nodes.bound < self.cutoff)

    def after_lps(self):
        """Raise the others, from their LPs' multipliers."""
        if self._wanted:
            self._raise(~self.soon, None)
        if self._ascent is not None:
            self._raising.book(self)

    def _raise(self, which, points):
        nodes = self.nodes
        at = np.flatnonzero(which & (nodes.bound < self.cutoff))
        if not at.size:
            return
        started, some = processor_seconds(), nodes[at]
        inputs = [a[at] for a in self._inputs]
        gains = self._ascent.improve(some, self._lines[at].hidden, *inputs, self.cutoff)
        nodes.bound[at], nodes.duals[at] = some.bound, some.duals
        nodes.lower[at], nodes.upper[at] = some.lower, some.upper
        if points is not None and nodes.duals.shape[1]:
            points[at] = some.minimiser
        seconds = processor_seconds() - started
        self.seconds += seconds
        self._raising.worth.book_raising(seconds, gains)
