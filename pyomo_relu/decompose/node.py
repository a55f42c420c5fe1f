"""A node of the tree and its evaluation by column generation."""

from dataclasses import dataclass, replace

import numpy as np

from pyomo_relu.decompose.lagrangian import improvable
from pyomo_relu.linear.sessions.session import Status

#: Most rounds of column generation of a node.
_ROUNDS = 60

#: Columns that a part gets per round.
_COLUMNS = 4

#: Share of the way from bound to master value that a proof may leave to each round.
_COARSE = 0.25

#: Share of what lies between known points and the cutoff that a proof may leave.
_ENOUGH = 0.7

#: Share of the gap that the bound of a node to be split may be below its master's value.
_CLOSE = 0.2

#: Factor of the prices of missed links, how often it is applied, and what is missed.
_DEARER, _PRICES, _MISSED = 30.0, 4, 1e-7


@dataclass
class Node:
    """Boxes of all columns, and covers of the families within them.

    Attributes
    ----------
    lower, upper : numpy.ndarray, shape (n,)
    covers : tuple of Cover
    bound : float
    duals : numpy.ndarray or None
        The best multipliers of the node it was split from.
    """

    lower: np.ndarray
    upper: np.ndarray
    covers: tuple
    bound: float = -np.inf
    duals: np.ndarray = None

    def split(self, column, low, high):
        """Both parts: up to ``low`` and from ``high`` on in one column."""
        left, right = self.upper.copy(), self.lower.copy()
        left[column], right[column] = low, high
        return replace(self, upper=left), replace(self, lower=right)


@dataclass
class Evaluation:
    """What is known about a node.

    Attributes
    ----------
    node : Node or None
        Shrunk, with its bound; None if it is proven to hold no point below the cutoff.
    mixture : Mixture or None
        The master's last answer.
    unbounded : bool
        The master has an improving ray.
    """

    node: Node
    mixture: object = None
    unbounded: bool = False


class Evaluator:
    """Bounds nodes.

    Parameters
    ----------
    linear : LinearModel
    costs : numpy.ndarray
    constant : float
    families : list of Family
    master : Master
    lagrangian : Lagrangian
    rows : BoxRows
        Of the model's rows.
    deadline : Deadline
    """

    def __init__(
        self, linear, costs, constant, families, master, lagrangian, rows, deadline
    ):
        self.linear, self.costs, self.constant = linear, costs, constant
        self.families, self.master, self.lagrangian = families, master, lagrangian
        self.rows, self.deadline = rows, deadline
        self._penalty = 100.0 * max(1.0, np.abs(costs).max(initial=0.0))
        self._rng = np.random.default_rng(0)
        self.statistics = {"lps": 0, "proofs": 0}

    # -- shrinking -----------------------------------------------------------------

    def shrink(self, node, rounds=3):
        """The node within its rows and networks; None if these leave no point."""
        lower, upper = node.lower.copy(), node.upper.copy()
        covers = list(node.covers)
        for _ in range(rounds):
            before = lower.copy(), upper.copy()
            empty = self.rows.tighten(
                lower[None], upper[None], self.linear.integer, rounds=5
            )[0]
            if empty:
                return None
            for i, f in enumerate(self.families):
                at = f.columns
                covers[i] = covers[i].within(f.bounder, lower[at], upper[at])
                low, high = covers[i].hull(len(f))
                if (low > high).any():
                    return None
                np.maximum.at(lower, at, low)
                np.minimum.at(upper, at, high)
            if (lower > upper).any():
                return None
            whole = self.linear.integer
            lower[whole], upper[whole] = np.ceil(lower[whole]), np.floor(upper[whole])
            if (lower > upper).any():
                return None
            width = before[1] - before[0]
            with np.errstate(invalid="ignore"):
                moved = (lower - before[0]) + (before[1] - upper) > 0.05 * width
            if not moved.any():
                break
        return replace(node, lower=lower, upper=upper, covers=tuple(covers))

    # -- evaluation ----------------------------------------------------------------

    def evaluate(self, node, cutoff, tolerance):
        """Bound a node.

        Parameters
        ----------
        node : Node
        cutoff : float
            Points of at least this value are of no interest.
        tolerance : float
            Accuracy that the objective is wanted to.
        """
        node = self.shrink(node)
        if node is None:
            return Evaluation(None)
        self.master.renew()
        for f, cover in zip(self.families, node.covers, strict=True):
            f.thin(self._rng)
            f.validate(node.lower[f.columns], node.upper[f.columns], cover)
            self._populate(f, cover)
        for i, f in enumerate(self.families):
            self.master.add(i, _scarce(f))
        self.master.restrict(node.lower, node.upper)
        run = _Generation(self, node, cutoff, tolerance)
        return run.run()

    def _populate(self, f, cover):
        """Some valid points for each member, in the master."""
        counts = np.bincount(f.owner[f.valid], minlength=len(f))
        few = np.flatnonzero(counts[cover.owner] < 10)
        if few.size:
            few = few[:200]
            middle = 0.5 * (cover.lower[few] + cover.upper[few])
            whole = f.integer[cover.owner[few]]
            middle = np.where(whole, np.floor(middle), middle)
            X = np.concatenate([cover.lower[few], middle, cover.upper[few]])
            f.add(np.tile(cover.owner[few], 3), X)


def _scarce(f):
    """Points of members that have few valid ones in the master."""
    size = f.columns.shape[1] + 1
    there = np.bincount(f.owner[f.valid & (f.column >= 0)], minlength=len(f))
    found = [np.zeros(0, dtype=int)]
    for k in np.flatnonzero(there < size):
        mine = np.flatnonzero(f.valid & (f.column < 0) & (f.owner == k))
        # the outermost of each input and output, and some in between
        V = f.points[mine]
        ends = np.concatenate([V.argmin(axis=0), V.argmax(axis=0)]) if mine.size else []
        between = np.linspace(0, mine.size - 1, min(size, mine.size)).astype(int)
        found.append(mine[np.unique(np.concatenate([ends, between]).astype(int))])
    return np.concatenate(found)


class _Generation:
    """Column generation at one node."""

    def __init__(self, evaluator, node, cutoff, tolerance):
        e = evaluator
        self.e, self.node = e, node
        self.families, self.master = e.families, e.master
        self.cutoff, self.tolerance = cutoff, tolerance
        self.costs, self.constant = e.costs, e.constant
        self.best, self.best_duals = -np.inf, None
        self.penalty = e._penalty
        self.covers = list(node.covers)

    def run(self):
        mixture = self._generate()
        if mixture is not None and mixture.status is Status.UNBOUNDED:
            return Evaluation(self._finished(), mixture, unbounded=True)
        if self.best >= self.cutoff:
            return Evaluation(None)
        if self.master.n_links and self._missing(mixture) and self._proves_empty():
            return Evaluation(None)
        node = self._finished()
        if node is None:
            return Evaluation(None)
        if mixture is not None and not mixture.solved:
            mixture = None
        return Evaluation(node, mixture)

    def _missing(self, mixture):
        return (
            mixture is None or not mixture.solved or mixture.missed > _MISSED
        ) and not self.e.deadline.passed()

    def _generate(self):
        """Rounds until the node is decided or nothing more is gained."""
        e = self.e
        mixture, prices = None, 0
        if self.node.duals is not None:
            self._prove(self.node.duals, self._accuracy(None))
        for _ in range(_ROUNDS):
            if e.deadline.passed() or self.best >= self.cutoff:
                break
            mixture = self._solve()
            if not mixture.solved:
                if mixture.status is Status.INFEASIBLE and mixture.duals is not None:
                    self._rows_prove_empty(mixture.duals)
                break
            value = mixture.value + self.constant
            if self._price_known(mixture):
                continue
            self._prove(
                mixture.duals[: self.master.n_rows + self.master.n_links],
                self._accuracy(value),
            )
            added = self._price_known(mixture)
            close = value - self.best <= self._closeness(value)
            if mixture.missed > _MISSED:
                if close or not added:
                    if prices == _PRICES:
                        break
                    prices += 1
                    self.penalty *= _DEARER
                continue
            if close or not added:
                break
        return mixture

    def _solve(self):
        self.e.statistics["lps"] += 1
        return self.master.solve(self.penalty, self.costs, self.e.deadline.left())

    def _closeness(self, value):
        """How close the bound must come to the master's value."""
        if value >= self.cutoff:
            # what is left to be proven
            return max(0.0, value - self.cutoff)
        gap = self.cutoff - self.best
        close = 0.1 * self.tolerance
        if np.isfinite(gap):
            close = max(close, _CLOSE * gap)
        return close

    def _accuracy(self, value):
        """What the proof of one subproblem may leave."""
        n = max(1, self.master.n_parts)
        accuracy = 0.25 * self.tolerance / n
        if value is None:
            value = self.cutoff
        rest = value - self.best
        if np.isfinite(rest):
            return max(accuracy, _COARSE * rest / n)
        size = abs(value) if np.isfinite(value) else 1.0
        return max(accuracy, 0.05 * (1.0 + size) / n)

    def _price_known(self, mixture):
        """Columns for known points of negative reduced cost; whether any were added."""
        master = self.master
        _, by_family = master.split(mixture.duals)
        sigmas = master.convexity(mixture.duals)
        least = 1e-9 * (1.0 + abs(mixture.value))
        least = max(least, 0.02 * self.tolerance / max(1, master.n_parts))
        added = False
        for i, (f, pi, sigma) in enumerate(
            zip(self.families, by_family, sigmas, strict=True)
        ):
            _, values = f.least(pi)
            reduced = values - sigma[f.owner]
            some = np.flatnonzero((reduced < -least) & (f.column < 0))
            if not some.size:
                continue
            order = some[np.lexsort((reduced[some], f.owner[some]))]
            owner = f.owner[order]
            first = np.searchsorted(owner, owner)
            rank = np.arange(order.size) - first
            master.add(i, order[rank < _COLUMNS])
            added = True
        return added

    def _prove(self, duals, accuracy):
        """The bound at these multipliers; notes it if it is the best."""
        self.e.statistics["proofs"] += 1
        _, by_family = self.master.split(duals)
        known = [f.least(pi)[0] for f, pi in zip(self.families, by_family, strict=True)]
        most = self._bound(duals, known) - self.cutoff
        if 0 < most < np.inf:
            # no more than what closes the node
            accuracy = max(accuracy, _ENOUGH * most / max(1, self.master.n_parts))
        bound = self._bound(duals, self._values(duals, accuracy))
        if bound > self.best or self.best_duals is None:
            self.best, self.best_duals = bound, np.array(duals)
        return bound

    def _bound(self, duals, values):
        """The Lagrangian bound with these values of the subproblems, by family."""
        return self.e.lagrangian.bound(
            self.costs,
            self.constant,
            duals,
            np.concatenate([np.zeros(0), *values]),
            self.node.lower,
            self.node.upper,
        )

    def _values(self, duals, accuracy):
        """Proven values of all subproblems, by family."""
        _, by_family = self.master.split(duals)
        values = []
        for i, (f, pi) in enumerate(zip(self.families, by_family, strict=True)):
            self.covers[i], least = f.prove(
                self.covers[i], pi, accuracy, self.e.deadline
            )
            values.append(least)
        return values

    def _rows_prove_empty(self, ray):
        """Whether a ray over rows and links leaves nothing; then the bound is infinite."""
        duals = ray[: self.master.n_rows + self.master.n_links]
        largest = np.abs(duals).max(initial=0.0)
        if not (np.isfinite(largest) and largest > 0):
            return
        for sign in (1.0, -1.0):
            at = sign * duals / largest
            values = self._values(at, 1e-3)
            bound = self.e.lagrangian.bound(
                np.zeros_like(self.costs),
                0.0,
                at,
                np.concatenate(values) if values else np.zeros(0),
                self.node.lower,
                self.node.upper,
            )
            if bound > 0:
                self.best = np.inf

    def _proves_empty(self):
        """Column generation on what links miss: a positive bound leaves no point."""
        phase = _Generation(self.e, self.node, 0.0, 1e-6)
        phase.costs, phase.constant = np.zeros_like(self.costs), 0.0
        phase.cutoff, phase.penalty = np.nextafter(0.0, 1.0), 1.0
        phase.covers = self.covers
        phase._missed_is_value()
        self.covers = phase.covers
        return phase.best > 0

    def _missed_is_value(self):
        """``_generate`` where the price of missing is all there is."""
        for _ in range(_ROUNDS):
            if self.e.deadline.passed() or self.best > 0:
                break
            mixture = self._solve()
            if not mixture.solved or mixture.value <= _MISSED:
                break
            if self._price_known(mixture):
                continue
            n = max(1, self.master.n_parts)
            self._prove(
                mixture.duals[: self.master.n_rows + self.master.n_links],
                0.25 * mixture.value / n,
            )
            if not self._price_known(mixture):
                break

    def _finished(self):
        """The node with its bound, shrunk to what is below the cutoff."""
        node = replace(
            self.node,
            covers=tuple(self.covers),
            bound=max(self.node.bound, self.best),
            duals=self.best_duals,
        )
        if self.best_duals is None or not np.isfinite(self.cutoff):
            return node
        if not np.isfinite(self.best):
            return node
        # the covers may have become finer since
        _, by_family = self.master.split(self.best_duals)
        on_boxes = [
            c.bounds(pi)[0] for c, pi in zip(self.covers, by_family, strict=True)
        ]
        values = []
        for f, cover, bounds in zip(self.families, self.covers, on_boxes, strict=True):
            least = np.full(len(f), np.inf)
            np.minimum.at(least, cover.owner, bounds)
            values.append(least)
        bound = self._bound(self.best_duals, values)
        if bound >= self.cutoff:
            return None
        lower, upper = node.lower.copy(), node.upper.copy()
        self.e.lagrangian.shrink(
            self.costs, self.best_duals, bound, self.cutoff, lower, upper
        )
        covers = []
        for cover, bounds, least in zip(self.covers, on_boxes, values, strict=True):
            keep = improvable(bounds, least[cover.owner], bound, self.cutoff)
            covers.append(cover if keep.all() else cover[keep])
        if (lower > upper).any():
            return None
        return replace(
            node,
            lower=lower,
            upper=upper,
            covers=tuple(covers),
            bound=max(node.bound, bound),
        )
