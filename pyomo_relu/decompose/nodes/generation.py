"""Column generation at one node: multipliers, points for them, and a proven bound.

Known points come first, as they cost nothing; a proof follows where none of them has a
negative reduced cost, and is no finer than what is left between bound and master.
"""

from dataclasses import replace

import numpy as np

from pyomo_relu.decompose.nodes.lagrangian import improvable
from pyomo_relu.linear.sessions.answer import Status

#: Most rounds of column generation of a node.
_ROUNDS = 60

#: Share of the way from bound to master value that a proof may leave to each round.
_COARSE = 0.25

#: Share of what lies between known points and the cutoff that a proof may leave.
_ENOUGH = 0.7

#: Share of the gap that the bound of a node to be split may be below its master's value.
_CLOSE = 0.2

#: Share of the master's value that counts as the gap while no point is known.
_UNKNOWN = 0.05

#: Factor of the prices of missed links, how often it is applied, and what is missed.
_DEARER, _PRICES, _MISSED = 30.0, 4, 1e-7


class Generation:
    """One run; see the module.

    Parameters
    ----------
    evaluator : Evaluator
    node : Node
        Shrunk.
    cutoff, tolerance : float
        See ``Evaluator.evaluate``.

    Attributes
    ----------
    best : float
        The best proven bound; infinite if the node is proven to have no point.
    """

    def __init__(self, evaluator, node, cutoff, tolerance):
        e = evaluator
        self.e, self.node = e, node
        self.families, self.master = e.families, e.master
        self.cutoff, self.tolerance = cutoff, tolerance
        self.costs, self.constant = e.costs, e.constant
        self.best, self.best_duals = -np.inf, None
        self.penalty = e.penalty
        self.covers = list(node.covers)

    def run(self):
        """Rounds until the node is decided or nothing more is gained.

        Returns
        -------
        Mixture or None
            The master's last answer.
        """
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
                    if prices == _PRICES or (prices == 0 and self._proves_empty()):
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
        if not np.isfinite(gap):
            gap = _UNKNOWN * abs(value)
        return max(0.1 * self.tolerance, _CLOSE * gap)

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
        least = 1e-9 * (1.0 + abs(mixture.value))
        least = max(least, 0.02 * self.tolerance / max(1, self.master.n_parts))
        return self.master.price(mixture, least)

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
        self.covers, values = self.e.pricing.prove(
            self.families, self.covers, by_family, accuracy, self.e.deadline
        )
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
        phase = Generation(self.e, self.node, 0.0, 1e-6)
        phase.costs, phase.constant = np.zeros_like(self.costs), 0.0
        phase.cutoff, phase.penalty = np.nextafter(0.0, 1.0), 1.0
        phase.covers = self.covers
        phase._missed_is_value()
        self.covers = phase.covers
        if phase.best > 0:
            self.best = np.inf
        return phase.best > 0

    def _missed_is_value(self):
        """``run`` where the price of missing is all there is."""
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

    def finished(self):
        """The node with its bound, shrunk to what is below the cutoff; None if closed."""
        if self.best >= self.cutoff:
            return None
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
            values.append(cover.least(bounds, len(f)))
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
