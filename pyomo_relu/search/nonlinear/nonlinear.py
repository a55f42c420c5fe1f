"""Points of models with atoms: many starts completed forwards, then successive LPs."""

import numpy as np

from pyomo_relu.bounds.implied import implied_bounds
from pyomo_relu.linear.embedded import EmbeddedNetwork
from pyomo_relu.search.methods.searcher import SearchState
from pyomo_relu.search.nonlinear.successive import SuccessiveLPs, moving_columns

#: Points completed per round, and how many of them successive LPs start from.
_SAMPLES, _STARTS = 2000, 10

#: How far around the incumbent a round starts again, in widths of the columns, and which
#: share of them moves.
_RADII, _MOVED = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3), 0.5

#: Completions of a given start, and how many of them successive LPs start from.
_COMPLETIONS, _FEW = 200, 4

#: Slope along all columns below which a row counts as implied by functions.
_SLOPE = 1e-9


class NonlinearSearcher(SearchState):
    """What the search methods of models with atoms share; parameters as ``SearchState``.

    Raises
    ------
    InfeasibleError
        If bounds, rows, networks' reach and atoms are proven to have no common point.
    """

    def __init__(self, problem, clock, seed, on_improvement=None):
        super().__init__(problem, clock, seed, on_improvement)
        self.moving = moving_columns(problem)
        self.lower, self.upper = implied_bounds(problem)
        self.successive = SuccessiveLPs(problem, self.moving, self.lower, self.upper)

    def check_rows(self):
        """Nothing: ``implied_bounds`` has looked for contradictions."""

    def points(self, count):
        """Random values of the columns that move, all else computed.

        Returns
        -------
        numpy.ndarray, shape (count, n_columns)
        """
        at, whole = self.moving, self.problem.linear.integer[self.moving]
        lower, upper = self.lower[at], self.upper[at]
        values = random_values(self.rng, lower, upper, whole, count)
        linear = self.problem.linear
        fixed = np.where(linear.lower == linear.upper, linear.lower, 0.0)
        points = np.tile(fixed, (count, 1))
        points[:, at] = np.clip(values, lower, upper)
        return points

    def points_around(self, point):
        """Points at several distances from one, all else computed.

        Where networks have kinks successive LPs may end beside a better region.

        Returns
        -------
        numpy.ndarray, shape (len(_RADII), n_columns)
        """
        at, shape = self.moving, (len(_RADII), self.moving.size)
        width = self.upper[at] - self.lower[at]
        width = np.where(np.isfinite(width), width, 1.0)
        moves = self.rng.normal(size=shape) * (self.rng.random(shape) < _MOVED)
        points = np.tile(point, (len(_RADII), 1))
        points[:, at] += moves * width * np.array(_RADII)[:, None]
        points[:, at] = np.clip(points[:, at], self.lower[at], self.upper[at])
        whole = self.problem.linear.integer
        points[:, whole] = np.round(points[:, whole])
        return self.complete(points)

    def complete(self, points):
        """What functions compute, at points of the columns that move."""
        return self.problem.complete(points, keep=self.moving)

    def offer_best(self, points, method):
        """Offer the best feasible one of many completed points."""
        values = self.problem.objective(points)
        feasible = self.problem.violation(points) <= 0.0
        values = np.where(feasible & np.isfinite(values), values, np.inf)
        if np.isfinite(values).any():
            self.offer(points[int(np.argmin(values))], method)

    def improve(self, starts, method):
        """Successive LPs from each of some points, integers relaxed first every time.

        With integer columns also from their values at the point.
        """
        whole = self.problem.linear.integer[self.moving].any()
        for start in starts:
            for relax in (True, False) if whole else (False,):
                if self.clock.passed():
                    return
                found = self.successive.improve(start, self.clock, self.value, relax)
                self.offer(found, method)

    def starts(self, count):
        points = self.complete(self.points(_SAMPLES))
        return points[promising(self.problem, points, count)]

    def refined(self, point):
        return self.successive.improve(point, self.clock)

    def column_bounds(self):
        return self.lower, self.upper

    def silent_rows(self, points):
        """Rows without a slope once all functions are put in, at any of the points."""
        silent = np.ones(self.problem.linear.n_rows, dtype=bool)
        for x in points:
            _, slopes, _ = self.successive.linearised(np.nan_to_num(x))
            silent &= np.abs(slopes[: silent.size]).max(axis=1, initial=0) <= _SLOPE
        return silent

    def begin(self, columns):
        """From a start that says what the networks' inputs are, as far as they move."""
        inputs = [
            f.inputs for f in self.problem.functions if isinstance(f, EmbeddedNetwork)
        ]
        given = np.intersect1d(self.moving, np.concatenate([self.moving[:0], *inputs]))
        points = self.points(_COMPLETIONS)
        points[:, given] = np.clip(columns[given], self.lower[given], self.upper[given])
        points = self.complete(points)
        self.offer_best(points, "start")
        self.improve(points[promising(self.problem, points, _FEW)], "start")


def samples(searcher):
    """Random points completed forwards: networks and atoms evaluated in one batch."""
    searcher.offer_best(searcher.complete(searcher.points(_SAMPLES)), "samples")


def ascent(searcher):
    """Successive linear programmes from the best of many points, then around the best."""
    points = searcher.complete(searcher.points(_SAMPLES))
    starts = points[promising(searcher.problem, points, _STARTS)]
    searcher.improve(starts, "ascent")
    if searcher.best is not None:
        searcher.improve(searcher.points_around(searcher.best), "ascent")


#: The search methods that take models with atoms.
NONLINEAR_METHODS = {"samples": samples, "ascent": ascent}


def promising(model, points, count):
    """Which points violate a model least for what they are worth.

    Parameters
    ----------
    model : EmbeddedModel
    points : numpy.ndarray, shape (N, n_columns)
        With the functions' outputs computed.
    count : int

    Returns
    -------
    numpy.ndarray of int
        The best point of each of ``count`` parts, so that starts differ; the best one
        first.
    """
    merit, values = model.violation(points), model.objective(points)
    known = np.isfinite(merit) & np.isfinite(values)
    if not known.any():
        return np.zeros(1, dtype=int)
    spread = np.ptp(values[known]) + 1e-300
    merit = np.where(known, merit + (values - values[known].min()) / spread, np.inf)
    parts = np.array_split(np.arange(len(points)), min(count, len(points)))
    best = np.array([part[merit[part].argmin()] for part in parts])
    return best[np.argsort(merit[best])]


def random_values(rng, lower, upper, whole, count):
    """Random values of columns in unit range.

    Columns with one end are at most about its size away from it, those without any
    about 1.

    Parameters
    ----------
    rng : numpy.random.Generator
    lower, upper : numpy.ndarray, shape (n,)
    whole : numpy.ndarray of bool, shape (n,)
    count : int

    Returns
    -------
    numpy.ndarray, shape (count, n)
    """
    low, high = np.isfinite(lower), np.isfinite(upper)
    near, far = np.where(low, lower, 0.0), np.where(high, upper, 0.0)
    share = rng.random((count, lower.size))
    away = rng.exponential(size=share.shape) * (1.0 + np.abs(near + far))
    values = near + share * (far - near)
    values = np.where(low & ~high, near + away, values)
    values = np.where(high & ~low, far - away, values)
    free = ~low & ~high
    values[:, free] = rng.normal(size=(count, int(free.sum())))
    # every integer is as likely as any other
    ended = whole & low & high
    values[:, ended] = np.floor(near + share * (far - near + 1.0))[:, ended]
    values[:, whole] = np.round(values[:, whole])
    return values
