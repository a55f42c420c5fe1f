r"""A linear model with functions between its columns, and what feasible means in it.

    min  c x + constant   over rows, bounds and integrality of x,
                          x[outputs_k] = f_k(x[inputs_k]) for each function k.

A point is feasible if in unit range (``linear.unit_range``) nothing is violated by more
than ``FEASIBILITY``: no bound relative to the column's size, no row relative to its
coefficients times the columns' sizes, no function's output relative to the output's
reach, no integer column by itself.  Sizes within ``BAND`` of 1 count as 1.  Where a
column is far beyond its size, the excess counts as well: numbers cannot be met better
than relative to themselves.
"""

import contextlib
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from pyomo_relu.common.arguments import instance, numbers
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import BoundsError, InfeasibleError, NetworkError
from pyomo_relu.linear.box_rows import propagate
from pyomo_relu.linear.evaluation import Evaluation, in_units
from pyomo_relu.linear.fixed_inputs import with_fixed, without_fixed_inputs
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.rounding import FEASIBILITY
from pyomo_relu.linear.unit_range import BAND, UnitRange, Units, range_sizes
from pyomo_relu.network.network import Network
from pyomo_relu.network.scaling import scaled_layers

#: Points at which functions are evaluated to see how far their outputs reach.
_SAMPLES = 64


@dataclass(frozen=True)
class EmbeddedNetwork:
    """A network between columns of a LinearModel.

    Parameters
    ----------
    network : Network
    inputs : array_like of int, shape (n_inputs,)
        Columns that hold the network's inputs.
    outputs : array_like of int, shape (n_outputs,)
    name : str, optional
        For messages and statistics; default the network's.
    """

    network: Network
    inputs: np.ndarray
    outputs: np.ndarray
    name: str = None

    def __post_init__(self):
        set_ = object.__setattr__
        instance("EmbeddedNetwork: network", self.network, Network, NetworkError)
        for name in ("inputs", "outputs"):
            set_(self, name, _column_numbers(name, getattr(self, name)))
        if self.name is None:
            set_(self, "name", self.network.name)
        expected = (self.network.n_inputs,), (self.network.n_outputs,)
        if (self.inputs.shape, self.outputs.shape) != expected:
            raise BoundsError(
                f"{self.name}: the network has "
                f"{counted(self.network.n_inputs, 'input')} and "
                f"{counted(self.network.n_outputs, 'output')}, but got "
                f"columns for {self.inputs.size} and {self.outputs.size}."
            )

    def values(self, X):
        """Outputs, shape (N, n_outputs), at inputs of shape (N, n_inputs)."""
        return self.network.forward(X)

    def in_units(self, columns, seen=None):
        """The network between columns divided by powers of two; without rounding.

        Parameters
        ----------
        columns : numpy.ndarray, shape (n_columns,)
            The divisors of all columns of the model.
        seen : dict, optional
            Networks made before, which is added to: equal ones are one object.
        """
        c, d = columns[self.inputs], columns[self.outputs]
        if np.all(c == 1.0) and np.all(d == 1.0):
            return self
        given, seen = self.network, {} if seen is None else seen
        key = given, c.tobytes(), d.tobytes()
        if key not in seen:
            layers = scaled_layers(given, (0.0, 1.0 / c), (0.0, 1.0 / d))
            seen[key] = Network(layers, given.inputs, given.outputs, given.name)
        return replace(self, network=seen[key])

    def with_fixed(self, known, seen):
        """The network without known inputs; see ``fixed_inputs.with_fixed``."""
        return with_fixed(self, known, seen)


def _column_numbers(what, value):
    array = numbers(f"EmbeddedNetwork: {what}", value, BoundsError)
    if not np.all((array >= 0) & (array == np.rint(array)) & np.isfinite(array)):
        raise BoundsError(f"EmbeddedNetwork: {what} must be column numbers: {array}.")
    return array.astype(int)


@dataclass(frozen=True, eq=False)
class EmbeddedModel:
    """``min costs . x + constant`` over a LinearModel with functions in it.

    Parameters
    ----------
    linear : LinearModel
        Rows, column bounds and integrality.
    functions : sequence
        Each has a ``name``, ``inputs`` and ``outputs`` (arrays of column numbers),
        ``values(X)`` (outputs at a batch of inputs) and ``in_units(columns)`` (itself
        between columns divided by factors), as ``EmbeddedNetwork`` and the atoms of
        ``linear.atoms.atom`` have.
    costs : array_like, shape (n_columns,), optional
        Default zeros.
    constant : float
    known_units : Units, optional
        If they have been determined already.

    Raises
    ------
    BoundsError
        If the model does not have the columns of a function or of the costs.
    """

    linear: LinearModel
    functions: tuple = ()
    costs: np.ndarray = None
    constant: float = 0.0
    known_units: Units = field(default=None, repr=False)

    def __post_init__(self):
        set_, n = object.__setattr__, self.n_columns
        set_(self, "functions", tuple(self.functions))
        costs = np.zeros(n) if self.costs is None else self.costs
        set_(self, "costs", np.asarray(costs, dtype=float))
        if self.costs.shape != (n,):
            raise BoundsError(
                f"an embedded model of {counted(n, 'column')} needs as many costs, got "
                f"an array of shape {self.costs.shape}."
            )
        for f in self.functions:
            columns = _joined((f.inputs, f.outputs))
            if columns.max(initial=-1) >= n:
                raise BoundsError(
                    f"{f.name}: column {columns.max()} is not among the model's "
                    f"{counted(n, 'column')}, counted from 0."
                )

    @property
    def n_columns(self):
        """Number of columns."""
        return self.linear.n_columns

    def input_columns(self):
        """Columns that functions read, each once, without those that one computes."""
        read = _joined(f.inputs for f in self.functions)
        return np.setdiff1d(read, self.output_columns())

    def output_columns(self):
        """Columns that functions compute, each once."""
        return np.unique(_joined(f.outputs for f in self.functions))

    def without_fixed_inputs(self):
        """The same columns and rows with functions of inputs that are not fixed.

        See ``linear.fixed_inputs``.  Points are completed and verified by the given
        model: rounding differs.
        """
        return without_fixed_inputs(self)

    # -- order ---------------------------------------------------------------------

    def order(self, strict=False):
        """Positions of the functions, each after those whose outputs it reads.

        Parameters
        ----------
        strict : bool
            Whether functions that read each other in a circle are an error.  If not,
            they come in the order in which they were given.

        Returns
        -------
        list of int

        Raises
        ------
        BoundsError
        """
        levels, stuck = self._sorted
        order = [i for level in levels for i in level]
        if strict and stuck:
            names = ", ".join(f"'{self.functions[i].name}'" for i in stuck)
            raise BoundsError(
                f"the functions {names} have no order: some of them read each other's "
                "outputs in a circle."
            )
        return order

    @property
    def circular(self):
        """True if some functions read each other's outputs in a circle."""
        return bool(self._sorted[1])

    @cached_property
    def _sorted(self):
        """Levels of functions that read none of each other or of later ones.

        And those functions that were waiting where there was no order.
        """
        left, levels, stuck = list(range(len(self.functions))), [], []
        reads = [set(f.inputs.tolist()) for f in self.functions]
        while left:
            pending = set(_joined(self.functions[i].outputs for i in left).tolist())
            ready = [i for i in left if pending.isdisjoint(reads[i])]
            if not ready:
                stuck = stuck or left
                ready = left[:1]
            levels.append(ready)
            done = set(ready)
            left = [i for i in left if i not in done]
        return levels, stuck

    @cached_property
    def _levels(self):
        """Functions that can be evaluated together, in order."""
        return [Evaluation([self.functions[i] for i in at]) for at in self._sorted[0]]

    @cached_property
    def _every(self):
        """All functions, evaluated together."""
        return Evaluation(self.functions)

    # -- points --------------------------------------------------------------------

    def complete(self, X, keep=()):
        """A copy of points with the functions' outputs computed.

        Functions in a circle are evaluated once, in the order given.

        Parameters
        ----------
        X : array_like, shape (N, n_columns) or (n_columns,)
        keep : array_like of int
            Columns that are left as they are even if a function computes them.
        """
        X = np.array(X, dtype=float)
        points, free = np.atleast_2d(X), np.ones(self.n_columns, dtype=bool)
        free[np.asarray(keep, dtype=int)] = False
        for level in self._levels:
            for outputs, values in level(points):
                new = free[outputs]
                points[:, outputs[new]] = values[:, new]
        return X

    def objective(self, X):
        """``costs . x + constant``: shape (N,) at points (N, n_columns), or a number."""
        return X @ self.costs + self.constant

    def violation(self, X):
        """Largest violation of bounds, rows, integrality and functions at each point.

        Parameters
        ----------
        X : numpy.ndarray, shape (N, n_columns) or (n_columns,)
            Not in unit range.

        Returns
        -------
        numpy.ndarray, shape (N,), or a number
            In unit range; see the module.  Infinite where a point is not finite.
        """
        linear, units = self.linear, self.units
        points = np.atleast_2d(X)
        finite = np.isfinite(points).all(axis=1)
        points = np.where(finite[:, None], points, 0.0)
        far = np.maximum(np.abs(points) - BAND * units.columns, 0.0)
        worst = _excess(points, linear.lower, linear.upper, units.columns + far)
        if linear.n_rows:
            size = np.broadcast_to(units.rows, (len(points), linear.n_rows))
            if far.any():
                size = size + (abs(linear.matrix) @ far.T).T
            values = (linear.matrix @ points.T).T
            of_rows = _excess(values, linear.row_lower, linear.row_upper, size)
            worst = np.maximum(worst, of_rows)
        whole = points[:, linear.integer]
        off = [np.abs(whole - np.round(whole))]
        for outputs, values in self._every(points):
            error = np.abs(values - points[:, outputs])
            off.append(error / (units.columns + far)[:, outputs])
        for part in off:
            worst = np.maximum(worst, part.max(axis=1, initial=0.0))
        worst = np.where(finite, worst, np.inf)
        return worst if np.ndim(X) == 2 else float(worst[0])

    def finished(self, x):
        """The point with integers rounded and outputs exact, or None if infeasible.

        A linear programme meets its rows only up to a tolerance; here columns are
        clipped to their bounds, integers rounded and outputs replaced by the functions'
        own values, and what results must be feasible.
        """
        linear = self.linear
        x = np.clip(x, linear.lower, linear.upper)
        x[linear.integer] = np.round(x[linear.integer])
        x = self.complete(x)
        return x if self.violation(x) <= FEASIBILITY else None

    # -- unit range ----------------------------------------------------------------

    @cached_property
    def units(self):
        """Units of columns, rows and objective."""
        return self._unit_range[0] if self.known_units is None else self.known_units

    def in_unit_range(self):
        """The same model in unit range: points are divided by ``units.columns``."""
        if self.units.identity:
            return self
        units, linear, costs = self._unit_range
        return EmbeddedModel(
            linear,
            in_units(self.functions, units.columns),
            costs,
            self.constant / units.objective,
            Units.ones(linear),
        )

    @cached_property
    def _unit_range(self):
        """Units, and linear model and costs in them; the given ones where all are 1."""
        scaled = UnitRange(self.linear, self._sizes() if self.functions else None)
        costs, objective = scaled.costs(np.arange(self.n_columns), self.costs)
        return Units(scaled.columns, scaled.rows, objective), scaled.model, costs

    def _sizes(self):
        """Sizes of functions' inputs and outputs, NaN elsewhere and where unknown.

        Inputs count by their bounds and what single rows imply, outputs by the range
        that they reach at some points of the inputs' box.
        """
        linear = self.linear
        lower, upper = linear.lower, linear.upper
        with contextlib.suppress(InfeasibleError):  # for others to find
            if linear.n_rows:
                lower, upper = propagate(linear)
        given = np.full(linear.n_columns, np.nan)
        rng = np.random.default_rng(0)
        ended = np.isfinite(lower) & np.isfinite(upper)
        low, high = np.where(ended, lower, 0.0), np.where(ended, upper, 0.0)
        points = low + rng.random((_SAMPLES, low.size)) * (high - low)
        for at in self._sorted[0]:
            level = [self.functions[i] for i in at]
            read = np.unique(_joined(f.inputs for f in level))
            box = read[ended[read] & np.isnan(given[read])]
            given[box] = range_sizes(lower[box], upper[box])
            known = [f for f in level if ended[f.inputs].all()]
            for written, values in Evaluation(known)(points):
                some = np.isfinite(values).all(axis=0)
                written, values = written[some], values[:, some]
                points[:, written] = values
                ended[written] = True
                given[written] = range_sizes(values.min(axis=0), values.max(axis=0))
        for f in self.functions:
            reach = getattr(f, "reach", np.inf)
            given[f.outputs] = np.minimum(given[f.outputs], reach)
        given[given == 0] = 1.0
        return given


def _joined(columns):
    return np.concatenate([np.zeros(0, dtype=int), *columns])


def _excess(values, lower, upper, size):
    """Largest excess over [lower, upper] per row of ``values``, relative to ``size``."""
    excess = np.maximum(lower - values, values - upper) / size
    return np.maximum(0.0, excess).max(axis=1, initial=0.0)
