"""A search problem: linear rows around networks, as arrays."""

import time
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse

from pyomo_relu.linear.model import LinearModel
from pyomo_relu.search.units import FEASIBILITY, Units, in_unit_range

#: How far rows, bounds, integers and networks may be violated, in unit range.
TOLERANCE = FEASIBILITY


class Clock:
    """Seconds since it was made, and a limit of them; None is no limit."""

    def __init__(self, seconds=None):
        self._begin = time.perf_counter()
        self.seconds = np.inf if seconds is None else float(seconds)

    def elapsed(self):
        """Seconds since the clock was made."""
        return time.perf_counter() - self._begin

    def passed(self):
        """True once the limit is over."""
        return self.elapsed() >= self.seconds

    def stop(self):
        """Let the limit be over now."""
        self.seconds = 0.0

    def limit(self, most=None):
        """Seconds that one subproblem may take, or None without a limit."""
        left = max(0.0, self.seconds - self.elapsed())
        seconds = left if most is None else min(left, most)
        return seconds if np.isfinite(seconds) else None

    def share(self, seconds):
        """A clock that ends with this one, or after ``seconds`` if that is sooner."""
        return Clock(self.limit(seconds))


@dataclass(frozen=True)
class Problem:
    """``min costs . c`` over columns c with linear rows and ``outputs = f(inputs)``.

    Parameters
    ----------
    linear : LinearModel
        The modeller's rows, column bounds and integrality.
    costs : numpy.ndarray, shape (n_columns,)
    networks : tuple of Network
    inputs, outputs : tuple of numpy.ndarray of int
        Columns of each network's inputs and outputs.
    known_units : Units, optional
        If they have been determined already.
    """

    linear: LinearModel
    costs: np.ndarray
    networks: tuple
    inputs: tuple
    outputs: tuple
    known_units: Units = field(default=None, compare=False, repr=False)

    @cached_property
    def units(self):
        """Units of columns, rows and objective."""
        return self._unit_range[0] if self.known_units is None else self.known_units

    @cached_property
    def _unit_range(self):
        order = self.forward_order()
        parts = (self.networks, self.inputs, self.outputs)
        return in_unit_range(
            self.linear, self.costs, *([part[b] for b in order] for part in parts)
        )

    def in_unit_range(self):
        """The same problem in unit range: points are divided by ``units.columns``."""
        units, linear, costs = self._unit_range
        networks = units.networks(self.networks, self.inputs, self.outputs)
        ones = Units.ones(linear)
        return Problem(linear, costs, tuple(networks), self.inputs, self.outputs, ones)

    @property
    def n_columns(self):
        """Number of columns."""
        return self.linear.n_columns

    def input_columns(self):
        """Columns that networks read, each once, without the ones networks compute."""
        if not self.inputs:
            return np.zeros(0, dtype=int)
        return np.setdiff1d(np.concatenate(self.inputs), self.output_columns())

    def output_columns(self):
        """Columns that networks compute, each once."""
        if not self.outputs:
            return np.zeros(0, dtype=int)
        return np.unique(np.concatenate(self.outputs))

    def forward_order(self):
        """Networks ordered so that each comes after those it reads, if possible."""
        left, order = list(range(len(self.networks))), []
        while left:
            waiting = set(np.concatenate([self.outputs[b] for b in left]).tolist())
            ready = [b for b in left if not waiting & set(self.inputs[b].tolist())]
            ready = ready or left[:1]  # a cycle: the check of the networks decides
            order += ready
            left = [b for b in left if b not in ready]
        return order

    def with_forward_pass(self, columns):
        """A copy of the column values with every network's outputs recomputed.

        Parameters
        ----------
        columns : numpy.ndarray, shape (n_columns,) or (N, n_columns)
        """
        columns = np.array(columns, dtype=float)
        batch = np.atleast_2d(columns)
        for b in self.forward_order():
            batch[:, self.outputs[b]] = self.networks[b].forward(
                batch[:, self.inputs[b]]
            )
        return columns if columns.ndim == 2 else batch[0]

    def violation(self, columns):
        """The largest violation of a bound, a row, integrality or a network.

        In unit range; see ``units``.
        """
        points = np.asarray(columns, dtype=float)[None]
        found = self.units.violation(
            self.linear, self.networks, self.inputs, self.outputs, points
        )
        return float(found[0])

    def value(self, columns):
        """``costs . columns``, for one point or for many rows."""
        return columns @ self.costs

    def finished(self, columns):
        """The point with integers rounded and outputs exact, or None if infeasible.

        A linear programme meets its rows only up to a tolerance; here integers are
        rounded, inputs clipped to their bounds and outputs replaced by the networks'
        own values, and what results must meet everything within ``TOLERANCE``.
        """
        linear = self.linear
        x = np.clip(columns, linear.lower, linear.upper)
        x[linear.integer] = np.round(x[linear.integer])
        x = self.with_forward_pass(x)
        return x if self.violation(x) <= TOLERANCE else None


def box_problem(network, costs, input_costs, lower, upper):
    """The Problem of one network over an input box."""
    n, m = network.n_inputs, network.n_outputs
    free = np.full(m, np.inf)
    linear = LinearModel(
        sparse.csr_array((0, n + m)),
        np.zeros(0),
        np.zeros(0),
        np.concatenate([lower, -free]),
        np.concatenate([upper, free]),
    )
    return Problem(
        linear,
        np.concatenate([input_costs, costs]),
        (network,),
        (np.arange(n),),
        (np.arange(n, n + m),),
    )
