"""Good points by choosing integer columns first; proves nothing.

With all integer columns fixed, successive linear programmes usually reach the best
continuous values at once.  So integer values are taken from relaxations, and from the
neighbours of the best point: one integer column moved by one, the others as close to
their values as the modeller's rows permit.
"""

import copy
import itertools
from dataclasses import dataclass, replace

import numpy as np

from pyomo_relu.common.deadline import Deadline
from pyomo_relu.errors import ReLUError
from pyomo_relu.linear.rounding import INTEGRALITY
from pyomo_relu.search.methods.projections import nearest_linear_point
from pyomo_relu.search.regions.trust_region import approach, sample_scales
from pyomo_relu.search.regions.walk import solve_region

#: Points from which the ranges of the networks' outputs are taken.
_SAMPLE = 200

#: Most pairs of columns that are moved together.
_PAIRS = 200

#: Seconds for one choice of the integer columns.
_SECONDS = 2.0


@dataclass(frozen=True)
class Tried:
    """Which values of the integer columns were tried, and which are next.

    Attributes
    ----------
    keys : frozenset of bytes
        Values that were tried.
    neighbours : tuple
        Moves from ``around`` that were not, in reverse order of trial.
    around : numpy.ndarray or None
        Integer values of the best point when they were made.
    rng : numpy.random.Generator
        Of the order of later ones.
    """

    keys: frozenset
    neighbours: tuple
    around: np.ndarray | None
    rng: np.random.Generator


class Assignments:
    """Tries values of the integer columns, each choice once.

    Parameters
    ----------
    problem : BranchProblem
        With finite bounds on x.
    incumbent : Incumbent
        Receives what is found.
    seed : int
        Of the order in which neighbours are tried.

    Attributes
    ----------
    useful : bool
        False if there are no integer columns, no rows on networks, or atoms, or if the
        networks are many.
    """

    def __init__(self, problem, incumbent, seed=0):
        self.problem = p = problem
        self.incumbent = incumbent
        o = p.original
        self._model = replace(o, constant=0.0, known_units=o.units)
        self._integers = np.flatnonzero(self._model.linear.integer)
        free = p.integer & (p.lower < p.upper)
        self.useful = bool(free.any()) and not (p.is_box or p.atoms or p.is_large)
        self._moving = p.columns[free]
        self._rng = np.random.default_rng(seed)
        self._tried = set()
        self._neighbours, self._around = [], None
        self._made_scales = None

    @property
    def tried(self):
        """What was tried, as a ``Tried``; setting it goes on from there."""
        return Tried(
            frozenset(self._tried),
            tuple(self._neighbours),
            self._around,
            copy.deepcopy(self._rng),
        )

    @tried.setter
    def tried(self, tried):
        self._tried, self._neighbours = set(tried.keys), list(tried.neighbours)
        self._around, self._rng = tried.around, copy.deepcopy(tried.rng)

    def work(self, points, clock):
        """Try neighbours of the best point and the integer values of some points.

        Parameters
        ----------
        points : numpy.ndarray, shape (N, n)
            Minimisers of relaxations, the most promising first; those with fractional
            integer columns are rounded.
        clock : Deadline
            Stops after the choice during which it passes.

        Returns
        -------
        bool
            True if the incumbent is better than before or has untried neighbours.
        """
        before = self.incumbent.value
        try:
            for values in self._choices(points, clock):
                self._try(values)
                if clock.passed():
                    break
        except ReLUError:
            # the tree decides whether the model is infeasible
            self.useful = False
        return self.incumbent.value < before or bool(self._neighbours)

    def _choices(self, points, clock):
        """Integer values: next to the best point's first, then the relaxations'."""
        while True:
            neighbour = self._next_neighbour(clock)
            if neighbour is None:
                break
            yield neighbour
        for point in points:
            yield self._integer_values(point[None], self.problem.columns)[0]

    def _integer_values(self, points, columns):
        """Rounded values of the integer columns of points of (x, z)."""
        full = np.zeros((len(points), self._model.n_columns))
        full[:, columns] = points
        return np.round(full[:, self._integers])

    def _next_neighbour(self, clock):
        """Integer values next to those of the best point; None if all were tried."""
        full = self.incumbent.full
        if full is None:
            return None
        linear = self._model.linear
        values = np.round(full[self._integers])
        if self._around is None or not np.array_equal(values, self._around):
            self._around = values
            self._neighbours = self._moves(full)
        while self._neighbours and not clock.passed():
            lower, upper = linear.lower.copy(), linear.upper.copy()
            for j, step in self._neighbours.pop():
                lower[j] = upper[j] = np.round(full[j]) + step
            moved = linear.replace(lower=lower, upper=upper)
            width = np.ones(self._integers.size)
            try:
                point = nearest_linear_point(
                    moved, self._integers, values, width, clock
                )
            except ReLUError:
                continue
            if point is not None:
                return np.round(point[self._integers])
        return None

    def _moves(self, full):
        """Tuples of (column, step) from a point, in reverse order of trial.

        Up before down, because what is taken on often replaces something; then pairs,
        which exchange two things.
        """
        linear, moving = self._model.linear, self._rng.permutation(self._moving)
        values = np.round(full)
        up = [(j, 1.0) for j in moving if values[j] + 1.0 <= linear.upper[j]]
        down = [(j, -1.0) for j in moving if values[j] - 1.0 >= linear.lower[j]]
        pairs = list(itertools.islice(itertools.combinations(up, 2), _PAIRS))
        return [*pairs, *((move,) for move in [*down, *up])]

    def _try(self, values):
        """Successive linear programmes with the integer columns at these values."""
        key = values.tobytes()
        if key in self._tried:
            return
        self._tried.add(key)
        linear = self._model.linear
        lower, upper = linear.lower.copy(), linear.upper.copy()
        if np.any(values < lower[self._integers] - INTEGRALITY) or np.any(
            values > upper[self._integers] + INTEGRALITY
        ):
            return
        lower[self._integers] = upper[self._integers] = values
        none = np.zeros(linear.n_columns, dtype=bool)
        fixed = linear.replace(lower=lower, upper=upper, integer=none)
        model = replace(self._model, linear=fixed)
        clock, scales = Deadline(_SECONDS), self._scales()
        n = self.problem.n_inputs
        inputs = self.problem.columns[:n]
        middle = 0.5 * (self.problem.lower[:n] + self.problem.upper[:n])
        try:
            start = nearest_linear_point(
                fixed, inputs, middle, scales.width[inputs], clock
            )
        except ReLUError:
            return
        if start is None:
            return
        point, _ = approach(model, scales, start, clock)
        point = solve_region(model, point, clock.left(_SECONDS))
        if point is not None:
            self.incumbent.offer(point[self.problem.columns][None])

    def _scales(self):
        """Ranges of inputs and outputs, from random points."""
        if self._made_scales is None:
            p, n = self.problem, self.problem.n_inputs
            inputs = p.columns[:n]
            width = np.ones(self._model.n_columns)
            edge = p.upper[:n] - p.lower[:n]
            width[inputs] = np.where(edge > 0, edge, 1.0)
            points = np.zeros((_SAMPLE, self._model.n_columns))
            points[:, inputs] = self._rng.uniform(
                p.lower[:n], p.upper[:n], (_SAMPLE, n)
            )
            points = self._model.complete(points)
            self._made_scales = sample_scales(self._model, points, width)
        return self._made_scales
