"""The best feasible point so far: candidates are completed, verified and improved."""

import numpy as np

from pyomo_relu.errors import ReLUError
from pyomo_relu.search.branch_region import RegionLP
from pyomo_relu.search.methods import METHODS
from pyomo_relu.search.problem import Clock, Problem
from pyomo_relu.search.searcher import Searcher
from pyomo_relu.search.units import FEASIBILITY


class Incumbent:
    """Best verified point of a BranchProblem.

    Parameters
    ----------
    problem : BranchProblem

    Attributes
    ----------
    value : float
        Objective (minimisation) of ``full``; infinite while there is none.
    full : numpy.ndarray or None
        Values of the modeller's columns.
    """

    def __init__(self, problem):
        self.problem = problem
        self.value = np.inf
        self.full = None
        self._region = self._searcher = None
        self._searchable = True

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
        original = p.original
        full = original.complete(p.columns, points)
        values = original.objective(full)
        feasible = original.violation(full) <= FEASIBILITY
        best = np.where(feasible & np.isfinite(values), values, np.inf)
        if best.size and best.min() < self.value:
            at = int(best.argmin())
            self.value, self.full = float(best[at]), full[at]
        return feasible, values

    def improve(self, point, time_limit=None):
        """Optimise over the linear region around a point; True if that is better.

        Integer columns are kept at their (rounded) values.
        """
        if self._region is None:
            self._region = RegionLP(self.problem)
        before = self.value
        better = self._region.solve(point, time_limit)
        if better is not None:
            self.offer(better[None])
        return self.value < before

    def walk(self, point, steps=20, time_limit=None):
        """``improve`` from region to region until nothing is gained."""
        gained = False
        for _ in range(steps):
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
                problem = Problem(
                    o.linear,
                    o.costs,
                    tuple(o.networks),
                    tuple(o.input_columns),
                    tuple(o.output_columns),
                    o.units,
                )
                self._searcher = Searcher(problem, Clock(seconds), seed)
            self._searcher.clock = Clock(seconds)
            METHODS["ascent"](self._searcher)
        except ReLUError:
            # proves nothing here: the tree decides whether the model is infeasible
            self._searchable = False
            return False
        if self._searcher.best is not None:
            self.offer(self._searcher.best[self.problem.columns][None])
        return self.value < before
