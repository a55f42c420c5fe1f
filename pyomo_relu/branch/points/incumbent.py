"""The best feasible point so far: candidates are completed, verified and improved."""

from dataclasses import replace

import numpy as np

from pyomo_relu.branch.points.budget import Budget
from pyomo_relu.branch.points.region import RegionLP
from pyomo_relu.branch.points.tangents import TangentLP
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.errors import ReLUError
from pyomo_relu.linear.rounding import FEASIBILITY
from pyomo_relu.search.methods.ascent import minimise_over_box
from pyomo_relu.search.methods.methods import METHODS
from pyomo_relu.search.methods.searcher import Searcher
from pyomo_relu.search.nonlinear.nonlinear import promising, random_values
from pyomo_relu.search.nonlinear.successive import SuccessiveLPs

#: Random points evaluated before branching, the fewest and the most of them, and starts,
#: steps and walks of a descent.
_FEWEST, _SAMPLES, _WALKS = 16, 2000, 2
_STARTS, _STEPS = 64, 40

#: Evaluations of neurons, at most, for the random points and for the descent.
_EVALUATIONS = 4e6

#: Most linear regions optimised over per batch while nothing feasible is known.
REPAIRS = 4


#: Share of the time that may go into successive LPs once a point is known, and before:
#: where there is none, it is boxes that prove it.
_TANGENTS, _UNKNOWN = 0.15, 0.5

#: Relative difference of a point's objective between machines: both round.
_SAME_VALUE = 1e-9

#: Points of a model with atoms from which successive LPs start before branching.
_PROMISING = 10

#: After so many of them in a row that end at nothing better the others are left out.
_STALE = 4


class Incumbent:
    """Best verified point of a BranchProblem.

    Parameters
    ----------
    problem : BranchProblem
    """

    def __init__(self, problem):
        self.problem = problem
        self._best = np.inf, None  # both at once: an interrupt leaves neither alone
        self._region = self._searcher = None
        self._left = np.zeros((0, problem.n_columns))
        self._budget, self._clock = Budget(_TANGENTS), Deadline(None)
        # search moves networks only, one by one
        self._searchable = not problem.atoms and not problem.is_large

    @property
    def value(self):
        """Objective (minimisation) of ``full``; infinite while there is none."""
        return self._best[0]

    @property
    def full(self):
        """The best point as values of the modeller's columns, or None."""
        return self._best[1]

    def offer(self, points):
        """Take the best of some points if it is feasible and better.

        Parameters
        ----------
        points : numpy.ndarray, shape (N, n)
            Values of the problem's columns.

        Returns
        -------
        feasible : numpy.ndarray of bool, shape (N,)
        values : numpy.ndarray, shape (N,)
            Objective of each point, feasible or not.
        """
        p = self.problem
        points = np.clip(points, p.lower, p.upper)
        points[:, p.integer] = np.round(points[:, p.integer])
        full = p.complete(points)
        values = p.original.objective(full)
        feasible = p.original.violation(full) <= FEASIBILITY
        best = np.where(feasible & np.isfinite(values), values, np.inf)
        if best.size and best.min() < self.value:
            at = int(best.argmin())
            self._best = float(best[at]), full[at]
        return feasible, values

    def adopt(self, value, full):
        """Take a point that was verified elsewhere, if it is better."""
        if value < self.value:
            self._best = value, full

    def confirm(self, value, full):
        """Take a point that others call feasible, as it is evaluated here.

        Parameters
        ----------
        value : float
            Its objective, as they say; infinite for no point.
        full : numpy.ndarray, shape (n_columns,), or None

        Returns
        -------
        bool
            False if it is not feasible, or its objective is another one than they say:
            what they dropped because of it is not proven.
        """
        if full is None:
            return not value < np.inf
        full = np.asarray(full)
        if full.shape != (self.problem.original.n_columns,):
            return False
        points = np.array(full[None, self.problem.columns], dtype=float)
        feasible, here = self.offer(points)
        close = _SAME_VALUE * (1.0 + abs(value))
        return bool(feasible[0] and abs(here[0] - value) <= close)

    def begin(self, seed, start=None):
        """Random points, descended along gradients or from region to region.

        Parameters
        ----------
        seed : int
        start : numpy.ndarray, shape (n_columns,), optional
            Values of the modeller's columns to try first.

        Returns
        -------
        numpy.ndarray, shape (N, n)
            Points in whose regions to look on, if none was feasible; with atoms the
            first of some, ``try_left_over`` is for the others.
        """
        p = self.problem
        n = p.n_inputs
        affordable = int(_EVALUATIONS / max(p.network.n_neurons, 1))
        if p.is_box:
            costs = np.zeros(p.network.n_outputs)
            costs[p.direction[0]] = p.factor[0]
            x, _ = minimise_over_box(
                p.network,
                costs,
                p.lower,
                p.upper,
                n_starts=int(np.clip(affordable // _STEPS, 1, _STARTS)),
                steps=_STEPS,
                seed=seed,
                input_costs=p.rest[[0]].toarray()[0],
                walks=0 if p.is_large else _WALKS,
            )
            self.offer(x[None])
        rng = np.random.default_rng(seed)
        count = int(np.clip(affordable, _FEWEST, _SAMPLES))
        points = np.zeros((count, p.n_columns))
        points[:, :n] = rng.uniform(p.lower[:n], p.upper[:n], (count, n))
        points[0, :n] = 0.5 * (p.lower[:n] + p.upper[:n])
        if start is not None:
            points[1] = np.nan_to_num(start[p.columns])
            self.offer(points[1:2])
        feasible, values = self.offer(points)
        if p.atoms:
            return self._promising(points)
        if feasible.any() and not p.is_box:
            self.walk(self.full[p.columns])
        if feasible.any() or p.is_box:
            return points[:0]
        return points[np.argsort(values)[:REPAIRS]]

    def _promising(self, points):
        """Points that violate the model least for what they are worth."""
        p = self.problem
        ended = np.isfinite(p.lower) & np.isfinite(p.upper) & ~p.integer
        rng = np.random.default_rng(len(points))
        points = points.copy()
        points[:, ended] = rng.uniform(
            p.lower[ended], p.upper[ended], (len(points), int(ended.sum()))
        )
        free = p.integer & np.isfinite(p.lower) & np.isfinite(p.upper)
        points[:, free] = rng.integers(
            p.lower[free].astype(int),
            p.upper[free].astype(int) + 1,
            (len(points), int(free.sum())),
        )
        endless = ~(np.isfinite(p.lower) & np.isfinite(p.upper))
        points[:, endless] = random_values(
            rng, p.lower[endless], p.upper[endless], p.integer[endless], len(points)
        )
        self.offer(points)
        some = points[promising(p.original, p.complete(points), _PROMISING)]
        self._left = some[1:]
        return some[:1]

    def starts(self, points, bounds, count):
        """Points of which ``improve`` promises most, among minimisers of relaxations.

        With atoms those that violate the model least for what they are worth: minimisers
        of the least bounds are far from feasible, and alike from batch to batch.

        Parameters
        ----------
        points : numpy.ndarray, shape (N, n)
        bounds : numpy.ndarray, shape (N,)
            Of the boxes that they are from.
        count : int
            How many points.

        Returns
        -------
        numpy.ndarray, shape (M, n)
        """
        p = self.problem
        if not p.atoms:
            return points[np.argsort(bounds)[:count]]
        if not self._has_time:
            return points[:0]
        return points[promising(p.original, p.complete(points), count)]

    @property
    def _has_time(self):
        """Whether successive LPs are due: more of them until a point is known."""
        elapsed = self._clock.elapsed()
        if np.isfinite(self.value):
            return self._budget.seconds(elapsed) > 0
        return self._budget.within(_UNKNOWN, elapsed)

    def try_left_over(self, time_limit=None):
        """Successive LPs from the starts that ``begin`` left, the best end improved.

        A poor incumbent costs far more boxes than these few programmes.  Where none is
        known the first one is enough for now, within a share of the time.
        """
        deadline, before = Deadline(time_limit), self.value
        while not np.isfinite(self.value):
            if not len(self._left) or deadline.passed() or not self._has_time:
                return
            self._budget.run(lambda: self._next_left_over(deadline, polish=True))
        if not len(self._left) or not np.isfinite(before):
            return

        def work():
            stale = 0
            while len(self._left) and not deadline.passed():
                stale = 0 if self._next_left_over(deadline, polish=False) else stale + 1
                if stale >= _STALE:
                    self._left = self._left[:0]
            if self.value < before:
                self._successive_from(self.full, deadline, np.inf)
            return self.value < before

        self._budget.run(work)

    def _next_left_over(self, deadline, polish):
        """Successive LPs from the next of the starts; whether that gained anything."""
        start, known = self.problem.complete(self._left[:1])[0], self.value
        self._left = self._left[1:]
        self._successive_from(start, deadline, known, polish=polish)
        return self.value < known

    def _successive_from(self, full, deadline, known, polish=True):
        """Successive LPs from one point; what they end at is offered."""
        if self._region is None:
            self._region = self._successive()
        better = self._region.improve(full, deadline, known, polish=polish)
        if better is not None:
            self.offer(better[self.problem.columns][None])

    def improve(self, point, time_limit=None):
        """Optimise over the linear region around a point; True if that is better.

        Integer columns are kept at their (rounded) values.
        """
        before = self.value
        if self.problem.atoms:
            return self._improve_by_tangents(point, time_limit)
        if self._region is None:
            of_type = TangentLP if self.problem.is_large else RegionLP
            self._region = of_type(self.problem)
        cutoff = {"cutoff": self.value} if self.problem.is_large else {}
        better = self._region.solve(point, time_limit, **cutoff)
        if better is not None:
            self.offer(better[None])
        return self.value < before

    def _improve_by_tangents(self, point, time_limit):
        """``improve`` for atoms; no more of it than a share of the time, if it fails."""
        if not self._has_time:
            return False

        def work():
            before, full = self.value, self.problem.complete(point[None])[0]
            self._successive_from(full, Deadline(time_limit), before)
            return self.value < before

        return self._budget.run(work)

    def _successive(self):
        p = self.problem
        linear = p.original.linear
        lower, upper = linear.lower.copy(), linear.upper.copy()
        lower[p.columns], upper[p.columns] = p.lower, p.upper
        moving = np.setdiff1d(p.columns, p.computed)
        return SuccessiveLPs(p.original, moving, lower, upper)

    def walk(self, point, steps=20, time_limit=None):
        """``improve`` from region to region until nothing is gained."""
        gained = False
        for _ in range(1 if self.problem.atoms else steps):
            if not self.improve(point, time_limit):
                break
            gained = True
            point = self.full[self.problem.columns]
        return gained

    def search(self, seconds, seed):
        """One round of ``search``'s successive linear programmes; True if better.

        They move networks' outputs towards the modeller's rows from random points,
        where a relaxation's minimiser is too far from any feasible point.
        """
        before = self.value
        if not self._searchable:
            return False
        try:
            if self._searcher is None:
                o = self.problem.original
                model = replace(o, constant=0.0, known_units=o.units)
                self._searcher = Searcher(model, Deadline(seconds), seed)
            self._searcher.clock = Deadline(seconds)
            METHODS["ascent"](self._searcher)
        except ReLUError:
            # proves nothing here: the tree decides whether the model is infeasible
            self._searchable = False
            return False
        if self._searcher.best is not None:
            self.offer(self._searcher.best[self.problem.columns][None])
        return self.value < before
