r"""Branch and bound on a MILP's integer columns by one LP session, with rows on the way.

Every node is an LP that starts from the last one's basis: bounds of integer columns
change, and rows are added that minimisers violate, which hold everywhere (LP/NLP based
branch and bound: Quesada and Grossmann, Computers chem. Engng 16, 1992).  So tangents are
added where they are needed without a new tree, and of few integer columns nothing else is
as quick: a MILP solver takes longer for its root.

Bounds of nodes are proven from the LPs' multipliers (``linear.certificate``).
"""

import heapq
import itertools

import numpy as np

from pyomo_relu.linear.rounding import INTEGRALITY
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings
from pyomo_relu.portfolio.convex.growing import GrowingModel
from pyomo_relu.portfolio.convex.neighbours import neighbours

#: Columns of which both halves are tried, per node; and how often a column is tried
#: before its past says enough.
_TRIED, _RELIABLE = 6, 1

#: Share of the better half's gain in a score, besides the product of both.
_LEAST_GAIN = 1e-6

#: Rounds of rows at a node's minimisers: at the root and where all integers are whole; at
#: other nodes.
_MANY, _FEW = 30, 2

#: Most steps from the integer values of one point to those of another.
_WALK = 20

#: A violation that is none, in unit range.
_NOTHING = 1e-8

#: Rows that a node's minimiser violates by less, relative to the tolerance, wait.
_WORTHWHILE = 0.1


class Node:
    """A part of the tree: bounds of the integer columns.

    Attributes
    ----------
    bound : float
        Proven, of the objective.
    lower, upper : numpy.ndarray, shape (k,)
    point : numpy.ndarray or None
        Minimiser of its LP.
    reduced : pair of numpy.ndarray, shape (k,), or None
        Ends of the integer columns' reduced costs there.
    """

    __slots__ = ("bound", "lower", "point", "reduced", "upper")

    def __init__(self, bound, lower, upper, point=None):
        self.bound, self.lower, self.upper, self.point = bound, lower, upper, point
        self.reduced = None


class LPTree:
    """The tree of one MILP.

    Parameters
    ----------
    linear : LinearModel
    costs : numpy.ndarray, shape (n,)
    constant : float
    violated : callable
        ``violated(point, least)`` gives rows (matrix, lower, upper) that hold everywhere
        and that a point violates by more than ``least``.
    offer : callable
        ``offer(point)`` takes a minimiser whose integers are whole; the best value of
        any point known so far is ``cutoff``.
    cutoff, tolerance : callable
        The value below which points are of interest, and the absolute gap that does
        not matter.
    pause : callable
        Called between LPs; may raise.

    Attributes
    ----------
    bound : float
        Proven lower bound of the objective.
    nodes : int
        LPs that were solved.
    infeasible : bool
        Proven; only if nothing was dropped for its bound.
    """

    def __init__(
        self, linear, costs, constant, violated, offer, cutoff, tolerance, pause
    ):
        self.linear, self.costs, self.constant = linear, costs, constant
        self._violated, self._offer, self._cutoff = violated, offer, cutoff
        self._tolerance = tolerance
        self._pause = pause
        self.whole = np.flatnonzero(linear.integer)
        self._programme = np.arange(linear.n_columns), costs, None, constant
        self._session = HighsSession(linear, False, Settings("relu"))
        self._rows = GrowingModel(linear, costs, constant)
        self.nodes, self._count = 0, itertools.count()
        ends = linear.lower[self.whole], linear.upper[self.whole]
        self._set = [np.array(end) for end in ends]
        self._open, self._closed, self._stuck = [], np.inf, np.inf
        self._at_work, self._first = -np.inf, None
        self._gains, self._tries = np.zeros((2, 2, self.whole.size))
        self.root = Node(-np.inf, *(np.array(end) for end in ends))

    def close(self):
        """Free the session."""
        self._session.close()

    @property
    def bound(self):
        """Proven lower bound of the objective."""
        first = self._open[0][0] if self._open else np.inf
        return min(first, self._closed, self._stuck, self._at_work)

    @property
    def rows(self):
        """How many rows were added."""
        return self._rows.rows

    @property
    def model(self):
        """The LinearModel with all rows that were added."""
        return self._rows.linear

    @property
    def infeasible(self):
        """Whether it is proven that there is no point at all."""
        return self.bound == np.inf

    @property
    def finished(self):
        """Whether nothing is left to be split."""
        return not self._open and self._at_work == np.inf

    # -- the run -------------------------------------------------------------------

    def begin(self):
        """Solve the root's LP with rows at its minimisers; False if nothing is there."""
        root = self.root
        if not self._solve(root, _MANY):
            self._at_work = np.inf
            return False
        self._at_work, self._first = root.bound, root
        return True

    def run(self, most, known=None):
        """Split nodes until none is left, or ``most`` LPs have been solved.

        Parameters
        ----------
        most : int
        known : callable, optional
            Called after each node; the run ends if it returns True.
        """
        node, self._first = self._first, None
        while True:
            while node is not None:
                self._pause()
                node = self._split(node)
                self._at_work = np.inf if node is None else node.bound
                if self.nodes >= most or (known is not None and known()):
                    self._put_back(node)
                    self._at_work = np.inf
                    return
            while self._open:
                bound, _, node = heapq.heappop(self._open)
                if bound < self._cutoff():
                    self._at_work = bound
                    break
                self._closed, node = min(self._closed, bound), None
            if node is None:
                return

    def dive(self, values):
        """Offer the best point with these values of the integer columns, if any."""
        values = np.clip(np.round(values), self.root.lower, self.root.upper)
        closed, stuck = self._closed, self._stuck
        node = Node(-np.inf, values, values)
        if self._solve(node, _FEW):
            node = self._walked(node)
            if self._solve(node, _MANY, _NOTHING):
                self._offer(node.point)
        self._closed, self._stuck = closed, stuck

    def _walked(self, node):
        """The last of better and better integer values; see ``neighbours``."""
        for _ in range(_WALK):
            for values in neighbours(node, self.root, self._rows, self.whole):
                new = Node(-np.inf, values, values)
                if self._solve(new, _FEW) and new.bound < node.bound:
                    break
            else:
                break
            node = new
        return node

    def _put_back(self, node):
        if node is not None:
            heapq.heappush(self._open, (node.bound, next(self._count), node))

    def _split(self, node):
        """Make two of a node; returns the one to go on with, or None."""
        if node.point is None and not self._solve(node, _FEW):
            return None
        if node.bound >= self._cutoff():
            self._close(node)
            return None
        values = node.point[self.whole]
        away = np.abs(values - np.round(values))
        away[node.lower == node.upper] = 0.0
        if away.max(initial=0.0) <= INTEGRALITY:
            return self._at_whole(node)
        chosen = self._choose(node, np.flatnonzero(away > INTEGRALITY))
        if chosen is None:
            return None
        k, halves = chosen
        if halves is None:
            halves = self._halves(node, k)
        nearer = int(values[k] - np.floor(values[k]) > 0.5)
        first, second = (self._open_half(halves[i]) for i in (nearer, 1 - nearer))
        if first is None:
            return second
        self._put_back(second)
        return first

    def _open_half(self, half):
        """A half if it is of interest, else None."""
        if half is None or half.bound < self._cutoff():
            return half
        self._close(half)
        return None

    def _at_whole(self, node):
        """A node whose minimiser's integers are whole: rows, then a point."""
        if not self._solve(node, _MANY, _NOTHING):
            return None
        values = node.point[self.whole]
        if np.abs(values - np.round(values)).max(initial=0.0) > INTEGRALITY:
            return node  # rows moved it
        self._offer(node.point)
        if node.bound >= self._cutoff():
            self._close(node)
            return None
        free = np.flatnonzero(node.lower < node.upper)
        if not free.size:
            self._stuck = min(self._stuck, node.bound)
            return None
        # tolerances hide what is left: keep one column at its value, and not
        k = int(free[0])
        at = np.round(values[k])
        fixed = Node(node.bound, node.lower.copy(), node.upper.copy())
        fixed.lower[k] = fixed.upper[k] = at
        for low, high in ((node.lower[k], at - 1.0), (at + 1.0, node.upper[k])):
            if low <= high:
                other = Node(node.bound, node.lower.copy(), node.upper.copy())
                other.lower[k], other.upper[k] = low, high
                self._put_back(other)
        return fixed

    # -- branching -----------------------------------------------------------------

    def _halves(self, node, k):
        """Both halves of a node along integer column k, not solved yet."""
        halves, value = [], node.point[self.whole[k]]
        for side in (0, 1):
            half = Node(node.bound, node.lower.copy(), node.upper.copy())
            if side:
                half.lower[k] = np.ceil(value)
            else:
                half.upper[k] = np.floor(value)
            halves.append(half)
        return halves

    def _choose(self, node, candidates):
        """(k, halves or None): the column to split along; None if the node is done."""
        values = node.point[self.whole]
        share = values - np.floor(values)
        part = np.stack([share, 1.0 - share])
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self._gains / self._tries
        average = np.nanmean(mean) if np.isfinite(mean).any() else 1.0
        mean = np.where(self._tries > 0, mean, average)
        expected = mean * part
        score = _score(*expected)[candidates]
        order = candidates[np.argsort(-score, kind="stable")]
        best, best_score, tried = (int(order[0]), None), -1.0, 0
        for k in order:
            if self._tries[:, k].min() >= _RELIABLE:
                now = _score(expected[0, k], expected[1, k])
                if now > best_score:
                    best, best_score = (int(k), None), now
                continue
            if tried >= _TRIED:
                continue
            tried += 1
            halves, gains = self._halves(node, k), []
            for side, half in enumerate(halves):
                if not self._solve(half, 1):
                    halves[side] = None
                    gains.append(np.inf)
                    continue
                gain = max(half.bound - node.bound, 0.0)
                gains.append(gain)
                if part[side, k] > 0 and np.isfinite(gain):
                    self._gains[side, k] += gain / part[side, k]
                    self._tries[side, k] += 1
            cutoff = self._cutoff()
            done = [h is None or h.bound >= cutoff for h in halves]
            if all(done):
                self._close(*halves)
                return None
            if any(done):
                # one half is left: it is the node from now on
                return int(k), halves
            now = _score(*gains)
            if now > best_score:
                best, best_score = (int(k), halves), now
        return best

    def _close(self, *nodes):
        """Note the bounds of nodes that are of no interest; None has no point."""
        self._closed = min([self._closed, *(n.bound for n in nodes if n is not None)])

    # -- LPs -----------------------------------------------------------------------

    def _solve(self, node, rounds, least=None):
        """Solve a node's LP; False if it is proven to have no point, or of interest.

        The node gets its bound and minimiser.
        """
        self._at(node)
        cutoff = self._cutoff()
        if least is None:
            least = _WORTHWHILE * self._tolerance()
        for left in reversed(range(rounds)):
            answer = self._session.minimize(*self._programme)
            self.nodes += 1
            ray = answer.ray if answer.status is Status.INFEASIBLE else None
            if ray is not None and self._rows.empty(self._box(node), ray):
                return False
            if answer.primal is None or answer.duals is None:
                break
            node.point = answer.primal
            new = None
            if left and answer.objective < cutoff:
                new = self._violated(answer.primal, least)
            if new is None or not new[1].size:
                proven, *ends = self._rows.bound(self._box(node), answer.duals)
                node.reduced = tuple(end[self.whole] for end in ends)
                node.bound = max(node.bound, proven)
                if node.bound >= cutoff:
                    self._close(node)
                    return False
                if new is not None or not left:
                    break
                new = self._violated(answer.primal, least)
                if not new[1].size:
                    break
            self._add(new)
        if node.point is None:
            # nothing is known of it but that its parent's bound holds
            self._stuck = min(self._stuck, node.bound)
            return False
        return True

    def _at(self, node):
        """Set the session's bounds to the node's."""
        moved = np.flatnonzero(
            (node.lower != self._set[0]) | (node.upper != self._set[1])
        )
        if moved.size:
            self._session.set_bounds(
                self.whole[moved], node.lower[moved], node.upper[moved]
            )
            self._set = [node.lower.copy(), node.upper.copy()]

    def _add(self, new):
        self._session.add_rows(*new)
        self._rows.add(*new)

    def _box(self, node):
        lower, upper = self.linear.lower.copy(), self.linear.upper.copy()
        lower[self.whole], upper[self.whole] = node.lower, node.upper
        return lower, upper


def _score(down_gain, up_gain):
    """A column's score by what both halves gain."""
    return np.maximum(down_gain, _LEAST_GAIN) * np.maximum(up_gain, _LEAST_GAIN)
