"""Feasible points from what the master mixes; they prove nothing."""

import numpy as np

from pyomo_relu.branch.points.budget import Budget
from pyomo_relu.decompose.nodes.branching import mixture_errors
from pyomo_relu.decompose.nodes.regions import Regions
from pyomo_relu.decompose.subproblems.settled import settled
from pyomo_relu.linear.rounding import INTEGRALITY

#: Share of the time that may go into points.
_SHARE = 0.3

#: Error of a part, relative to the objective's accuracy, that is not worth a cut.
_SMALL = 0.1

#: Rounds of column generation from known points after each cut of a dive.
_PRICINGS = 2

#: Most regions from a point on.
_STEPS = 20

#: One of so many parts that are mixed is cut at a time.
_TOGETHER = 4

#: What a dive may miss of the links after a cut.
_MISSED = 1e-6


class Points:
    """Looks for points near mixtures, within a share of the time.

    Parameters
    ----------
    incumbent : Incumbent
    evaluator : Evaluator
    box : tuple of numpy.ndarray, shapes (n,)
        Ends of all columns, finite those of parts.
    elapsed : callable
        Seconds that the run has had so far, which shares refer to.
    """

    def __init__(self, incumbent, evaluator, box, elapsed):
        self.incumbent, self.evaluator, self._box = incumbent, evaluator, box
        self.deadline, self._elapsed = evaluator.deadline, elapsed
        self.families, self.master = evaluator.families, evaluator.master
        e = evaluator
        self._regions = Regions(e.linear, e.costs, self.families, *box)
        self._near, self._diving = Budget(_SHARE), Budget(_SHARE)

    def look(self, node, mixture, tolerance, new=False):
        """Points near a node's mixture, and at the end of a dive from it.

        The master and the families' valid points are the dive's afterwards.  Where
        pieces are ``new``, that earlier looks gained nothing says little.
        """
        if new:
            self._near.renew()
            self._diving.renew()
        seconds = self._elapsed()
        known = np.isfinite(self.incumbent.value)
        if not known or self._near.seconds(seconds) > 0:
            self._near.run(lambda: self._try(mixture))
        whole = mixture.missed <= _MISSED
        if whole and (not known or self._diving.seconds(seconds) > 0):
            self._diving.run(lambda: self._dive(node, mixture, tolerance))

    def improve(self, point):
        """Optimise over the linear region of a point and walk on from there."""
        if self.incumbent.improve(point, self.deadline.left()):
            best = self.incumbent.full[self.incumbent.problem.columns]
            self.incumbent.walk(best, time_limit=self.deadline.left())

    def _try(self, mixture):
        """The mixture's mean, as it is and settled, and each part's point of largest share."""
        x = mixture.x[: self.master.n]
        rounded = x.copy()
        for f in self.families:
            numbers, shares = mixture.weights(f)
            numbers = numbers[np.argsort(shares)]
            rounded[f.columns[f.owner[numbers]]] = f.points[numbers]
        _, by_family = self.master.split(mixture.duals)
        return self._best_of([x, rounded, self._settled(x, by_family)])

    def choose(self, x, duals):
        """The point at columns that a MILP over pieces gave; whether it is better.

        Parameters
        ----------
        x : numpy.ndarray, shape (n,)
            Columns that nothing but one part reads are anywhere.
        duals : numpy.ndarray
            Multipliers of rows and links, which price outputs that rows read.
        """
        _, by_family = self.master.split(duals)
        return self._best_of([self._settled(x, by_family)])

    def _best_of(self, points):
        """Offer points, and the best ones of regions from each of them on."""
        before = self.incumbent.value
        self._offer(np.stack(points))
        for x in points:
            for _ in range(_STEPS):
                if self.deadline.passed():
                    break
                x = self._regions.best(x, self.deadline.left())
                if x is None or not self._offer(x[None]):
                    break
        return self.incumbent.value < before

    def _offer(self, X):
        """Offer values of columns; whether one of them is better."""
        problem, before = self.incumbent.problem, self.incumbent.value
        X = X[:, : problem.original.n_columns]
        self.incumbent.offer(X[:, problem.columns])
        return self.incumbent.value < before

    def _settled(self, x, by_family):
        """Columns where each part's inputs that nothing else reads are its best ones."""
        x, e = x.copy(), self.evaluator
        low, high = self._box
        for f, linked, pi in zip(self.families, e.linked, by_family, strict=True):
            some = np.flatnonzero(~linked[:, : f.n].all(axis=1))
            if not some.size:
                continue
            at = f.columns[some]
            inputs = at[:, : f.n]
            x[at] = settled(
                f.networks,
                some,
                x[inputs],
                ~linked[some, : f.n],
                low[inputs],
                high[inputs],
                f.integer[some],
                np.where(linked[some], pi[some], e.costs[at]),
            )
        return x

    # -- diving --------------------------------------------------------------------

    def _dive(self, node, mixture, tolerance):
        """Cut boxes where the largest shares are until nothing is mixed any more."""
        lower, upper = node.lower.copy(), node.upper.copy()
        steps = 2 * self.master.n_parts + int(self.evaluator.linear.integer.sum())
        for _ in range(steps):
            if self.deadline.passed():
                return False
            errors = self._errors(mixture)
            self._add_means(errors)
            cuts = self._cuts(mixture, errors, lower, upper, _SMALL * tolerance)
            if not cuts:
                break
            found = None
            for low, high in cuts:
                found = self._solve(low, high)
                if found is not None:
                    break
            if found is None:
                break
            mixture, lower, upper = found, low, high
        return self._try(mixture)

    def _errors(self, mixture):
        """What is mixed, by family; see ``mixture_errors``."""
        _, by_family = self.master.split(mixture.duals)
        return [
            list(mixture_errors(f, mixture, pi))
            for f, pi in zip(self.families, by_family, strict=True)
        ]

    def _add_means(self, errors):
        """What networks give at the mean inputs of what is mixed, for the master."""
        for i, (f, mixed) in enumerate(zip(self.families, errors, strict=True)):
            if mixed:
                owner = np.array([k for k, *_ in mixed])
                X = np.array([x for *_, x in mixed])
                X = np.where(f.integer[owner], np.round(X), X)
                self.master.add(i, f.add(owner, X))

    def _cuts(self, mixture, errors, lower, upper, least):
        """Boxes of columns to go on in, the most promising one first.

        An integer column comes first.  Else several of the parts that are mixed most are
        cut at once where very many are, and then the worst one of them to either side.
        """
        x, integer = mixture.x[: self.master.n], self.evaluator.linear.integer
        off = np.where(integer & (lower < upper), np.abs(x - np.round(x)), 0.0)
        some = np.flatnonzero(off > INTEGRALITY)
        if some.size:
            j = some[off[some].argmin()]
            return _sides(
                lower, upper, j, np.floor(x[j]), np.ceil(x[j]), x[j] % 1 > 0.5
            )
        worst = []
        for f, mixed in zip(self.families, errors, strict=True):
            for k, points, shares, total, by_input, middle in mixed:
                i = int(by_input.argmax())
                j, at = f.columns[k, i], middle[i]
                if total > least and by_input.any() and not integer[j]:
                    above = shares[points[:, i] > at].sum() > 0.5
                    worst.append((total, j, at, above))
        worst.sort(key=lambda cut: -cut[0])
        if not worst or not lower[worst[0][1]] < worst[0][2] < upper[worst[0][1]]:
            return []
        cuts, together = [], worst[: len(worst) // _TOGETHER]
        if len(together) > 1:
            low, high = lower, upper
            for _, j, at, above in together:
                if low[j] < at < high[j]:
                    low, high = _sides(low, high, j, at, at, above)[0]
            cuts.append((low, high))
        _, j, at, above = worst[0]
        return cuts + _sides(lower, upper, j, at, at, above)

    def _solve(self, lower, upper):
        """The master within a box and with known points; None if links are missed."""
        e, master = self.evaluator, self.master
        for f in self.families:
            p, at = f.points, f.columns[f.owner]
            f.valid = ((p >= lower[at]) & (p <= upper[at])).all(axis=1)
        master.restrict(lower, upper)
        mixture = master.solve(e.penalty, e.costs, self.deadline.left())
        for _ in range(_PRICINGS):
            if not mixture.solved or not master.price(mixture, 1e-9):
                break
            mixture = master.solve(e.penalty, e.costs, self.deadline.left())
        return mixture if mixture.solved and mixture.missed <= _MISSED else None


def _sides(lower, upper, j, low, high, above):
    left, right = upper.copy(), lower.copy()
    left[j], right[j] = low, high
    sides = [(lower, left), (right, upper)]
    return sides[::-1] if above else sides
