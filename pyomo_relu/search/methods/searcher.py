"""The state of one search: problem, incumbent, trajectory."""

from dataclasses import replace
from functools import cached_property

import numpy as np

from pyomo_relu.bounds.implied import with_reachable_outputs
from pyomo_relu.search.methods.ascent import latin_hypercube
from pyomo_relu.search.methods.direct import DirectProblem, is_direct
from pyomo_relu.search.methods.mixed_integer import BigMModel
from pyomo_relu.search.methods.projections import (
    input_box,
    nearest_linear_point,
)
from pyomo_relu.search.regions.walk import solve_region

#: Feasible points that are kept, and by how much, relative to their size, their values
#: differ.
_KEPT, _DIFFERENCE = 4, 1e-6

#: Gain relative to the incumbent's size that counts as an improvement.
_GAIN = 1e-9


class SearchState:
    """What every search keeps.

    Parameters
    ----------
    problem : EmbeddedModel
        In unit range.
    clock : Deadline
    seed : int
    on_improvement : callable, optional
        Called as ``on_improvement(seconds, value, method)``.

    Attributes
    ----------
    best : numpy.ndarray, shape (n_columns,), or None
        The incumbent: feasible, verified by the forward pass.
    good : list of (value, numpy.ndarray)
        The best few feasible points with different values, the best first.
    trajectory : list of (seconds, value, method)
        Every improvement.
    stop_at : float
        Value at which the clock is stopped.
    """

    def __init__(self, problem, clock, seed, on_improvement=None):
        self.problem, self.clock = problem, clock
        self.rng = np.random.default_rng(seed)
        self.on_improvement = on_improvement
        self.best, self.good, self.trajectory = None, [], []
        self.stop_at = -np.inf

    @property
    def value(self):
        """Value of the incumbent, ``inf`` without one."""
        return np.inf if self.best is None else float(self.problem.objective(self.best))

    def offer(self, columns, method):
        """Take ``columns`` as incumbent if they are feasible and better.

        Parameters
        ----------
        columns : numpy.ndarray, shape (n_columns,), or None
        method : str

        Returns
        -------
        bool
            True if the incumbent changed.
        """
        if columns is None:
            return False
        columns = self.problem.finished(columns)
        if columns is None:
            return False
        value = float(self.problem.objective(columns))
        self._keep(columns, value)
        least_gain = _GAIN * max(1.0, abs(value))
        if self.best is not None and value >= self.value - least_gain:
            return False
        self.best = columns
        entry = (self.clock.elapsed(), value, method)
        self.trajectory.append(entry)
        if value <= self.stop_at:
            self.clock.stop()
        if self.on_improvement is not None:
            self.on_improvement(*entry)
        return True

    def _keep(self, columns, value):
        """Among the good points, unless one of them has the value."""
        apart = _DIFFERENCE * (1.0 + abs(value))
        if all(abs(value - known) > apart for known, _ in self.good):
            self.good.append((value, columns))
            self.good.sort(key=lambda entry: entry[0])
            del self.good[_KEPT:]

    # -- for polishing -------------------------------------------------------------

    def starts(self, count):
        """Points to begin at where no feasible one is known, outputs computed.

        Returns
        -------
        numpy.ndarray, shape (at most count, n_columns)
        """
        raise NotImplementedError

    def refined(self, point):
        """The best feasible point that own steps lead to from a point, or None."""
        raise NotImplementedError

    def column_bounds(self):
        """(lower, upper) that rows and functions imply, shapes (n_columns,)."""
        raise NotImplementedError

    def silent_rows(self, points):
        """Rows that say nothing beyond the functions, at some points: shape (n_rows,)."""
        return np.zeros(self.problem.linear.n_rows, dtype=bool)


class Searcher(SearchState):
    """What the search methods of linear rows share; parameters as ``SearchState``.

    Raises
    ------
    InfeasibleError
        If the model's rows and the networks' reach have no common point.
    ModelError
        If an input has no finite bounds.
    """

    def __init__(self, problem, clock, seed, on_improvement=None):
        super().__init__(problem, clock, seed, on_improvement)
        relaxed = with_reachable_outputs(problem)
        if problem.functions:
            self.lower, self.upper = input_box(problem, relaxed, clock)
        else:
            self.lower = self.upper = np.zeros(0)
        self.inputs = problem.input_columns()
        lower, upper = relaxed.lower.copy(), relaxed.upper.copy()
        lower[self.inputs] = self.lower
        upper[self.inputs] = self.upper
        # once more: now that all inputs have bounds, outputs get theirs
        boxed = relaxed.replace(lower=lower, upper=upper)
        self.relaxed = with_reachable_outputs(replace(problem, linear=boxed))
        self.direct = None
        if problem.functions and is_direct(problem, self.relaxed):
            self.direct = DirectProblem(problem, self.lower, self.upper, clock)

    @cached_property
    def big_m(self):
        """Big-M rows of all networks, built when first used."""
        return BigMModel(self.problem, self.relaxed)

    def check_rows(self):
        """Prove early that the rows have no solution in the networks' reach, if so.

        Raises
        ------
        InfeasibleError
        """
        if not self.direct:
            self.linear_point(0.5 * (self.lower + self.upper))

    def begin(self, columns):
        """Offer the best point of the linear regions at a start."""
        self.offer(solve_region(self.problem, columns, self.clock.left()), "start")

    def starts(self, count):
        X = latin_hypercube(count, self.lower, self.upper, self.rng)
        found = (self.linear_point(target) for target in X)
        points = [self.problem.complete(x) for x in found if x is not None]
        return np.array(points).reshape(-1, self.problem.n_columns)

    def refined(self, point):
        return solve_region(self.problem, point, self.clock.left())

    def column_bounds(self):
        return self.relaxed.lower, self.relaxed.upper

    def width(self):
        """Widths of the input box, 1 where it is flat."""
        width = self.upper - self.lower
        return np.where(width > 0, width, 1.0)

    def offer_inputs(self, X, values, method, most=5):
        """Offer the best of many input points of a direct problem."""
        for j in np.argsort(values, kind="stable")[:most]:
            if values[j] >= self.value or self.offer(
                self.direct.columns(X[j : j + 1])[0], method
            ):
                return

    def linear_point(self, target):
        """A point of the modeller's rows with inputs near ``target``, or None.

        Raises
        ------
        InfeasibleError
            If the rows have no solution within the networks' reach.
        """
        return nearest_linear_point(
            self.relaxed, self.inputs, target, self.width(), self.clock
        )
