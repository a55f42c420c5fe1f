"""Diving: one path down the tree towards a feasible point; proves nothing."""

import numpy as np

from pyomo_relu.branch.boxes import Nodes
from pyomo_relu.linear.rounding import INTEGRALITY

#: Longest path, and how often the opposite half is tried on it.
_DEPTH = 150
_RETREATS = 20

#: After this many halvings in a row the present point is tried as an incumbent.
_EVERY = 3


class Dive:
    """Follows the minimiser of the relaxation into ever smaller boxes.

    Integer columns are settled first: those at an integer value are fixed there in one
    go, then the one closest to an integer is rounded.  After that the inputs are
    halved, always keeping the half with the minimiser, and the linear region around it
    is searched for a feasible point.

    Parameters
    ----------
    relaxation : Relaxation
    incumbent : Incumbent
    deadline : Deadline
    """

    def __init__(self, relaxation, incumbent, deadline):
        self.relaxation = relaxation
        self.incumbent = incumbent
        self.deadline = deadline

    def run(self, node, cutoff):
        """Dive from one node; True if the incumbent got better."""
        before = self.incumbent.value
        retreats, halvings = 0, 0
        stack = []
        for _ in range(_DEPTH):
            if self.deadline.passed():
                break
            done = self.relaxation.evaluate(node, cutoff, self.deadline)
            if not len(done.nodes):
                if not stack or retreats == _RETREATS:
                    break
                retreats += 1
                node = stack.pop()
                continue
            node, point = done.nodes, done.points[0]
            parts = self._integers(node, point)
            if parts is None:
                if halvings % _EVERY == 0 and self._try(point):
                    break
                halvings += 1
                parts = self._halves(node, point)
            if parts is None:
                self._try(point)
                break
            node, other = parts
            if other is not None:
                stack.append(other)
        return self.incumbent.value < before

    def _try(self, point):
        before = self.incumbent.value
        self.incumbent.offer(point[None])
        if self.incumbent.value == before:
            self.incumbent.improve(point, self.deadline.left(10.0))
        if self.incumbent.value < before:
            self.incumbent.walk(self.incumbent.full[self.relaxation.problem.columns])
        return self.incumbent.value < before

    def _integers(self, node, point):
        """The node with an integer column settled, and the rest; None if all are."""
        p = self.relaxation.problem
        free = p.integer & (node.lower[0] < node.upper[0])
        if not free.any():
            return None
        whole = np.round(point)
        off = np.where(free, np.abs(point - whole), np.inf)
        fixed = free & (off <= INTEGRALITY)
        if fixed.sum() < free.sum():
            # one more, the least fractional of the others
            off[fixed] = np.inf
            column = int(off.argmin())
            fixed[column] = True
        else:
            column = None
        inner = _copy(node)
        inner.lower[0, fixed] = inner.upper[0, fixed] = whole[fixed]
        if column is None:
            return inner, None
        outer = _copy(node)
        if whole[column] > point[column]:
            outer.upper[0, column] = whole[column] - 1
        else:
            outer.lower[0, column] = whole[column] + 1
        return inner, outer

    def _halves(self, node, point):
        column = int(node.column[0])
        if column < 0:
            return None
        both = node.split(self.relaxation.problem.integer)
        left, right = both[:1], both[1:]
        if point[column] <= left.upper[0, column]:
            return left, right
        return right, left


def _copy(node):
    return Nodes(*(np.array(getattr(node, name)) for name in Nodes.__annotations__))
