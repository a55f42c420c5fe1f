"""Sessions that misbehave on purpose, and a relaxation built anew; no tests here."""

import multiprocessing
import os
import signal

import numpy as np
from scipy.optimize import linprog

from pyomo_relu.linear.sessions.answer import Answer, Status
from pyomo_relu.linear.sessions.gurobi import GurobiSession
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.network import INPUT


class NoisyDuals(HighsSession):
    """Duals and points are slightly wrong; the objective claims too much."""

    noise = 1e-3

    def minimize(self, columns, coefficients, time_limit=None):
        answer = super().minimize(columns, coefficients, time_limit)
        if answer.status != Status.OPTIMAL:
            return answer
        rng = np.random.default_rng(columns.size)
        answer.objective += 1.0
        answer.duals = answer.duals + self.noise * rng.normal(size=answer.duals.size)
        answer.primal = answer.primal + rng.normal(size=answer.primal.size)
        return answer


class GarbageDuals(NoisyDuals):
    """Duals have nothing to do with the problem."""

    noise = 1e6


class Liar(HighsSession):
    """Statuses, rays and shapes are wrong in turn."""

    def minimize(self, columns, coefficients, time_limit=None):
        answer = super().minimize(columns, coefficients, time_limit)
        self.count = getattr(self, "count", -1) + 1
        rng = np.random.default_rng(self.count)
        case = self.count % 6
        if answer.status != Status.OPTIMAL:
            zeros = np.zeros(self.model.n_columns)
            return Answer(
                Status.OPTIMAL, 1e6, zeros, rng.normal(size=self.model.n_rows)
            )
        if case == 0:
            return Answer(Status.INFEASIBLE, ray=rng.normal(size=answer.duals.size))
        if case == 1:
            return Answer(
                Status.OPTIMAL, 1e6, answer.primal, np.full(answer.duals.size, np.nan)
            )
        if case == 2:
            return Answer(Status.OPTIMAL, 1e6, answer.primal[:-1], answer.duals[:-1])
        if case == 3:
            return Answer("nonsense", 1e6, answer.primal, -answer.duals)
        if case == 4:
            return Answer(Status.OPTIMAL, 1e6)
        raise RuntimeError("numerical trouble")


class WrongDualBound(HighsSession):
    """A MILP solver that claims every neuron is constant zero."""

    def minimize(self, columns, coefficients, time_limit=None):
        return Answer(Status.OPTIMAL, 0.0, None, dual_bound=1e3)


class TimesOut(HighsSession):
    """Every solve ends by its time limit."""

    def minimize(self, columns, coefficients, time_limit=None):
        return Answer(Status.TIME_LIMIT)


class EndsAtTheRoot(GurobiSession):
    """As if time were up after the root node, on any machine."""

    def __init__(self, model, integer=False):
        super().__init__(model, integer)
        self._model.setParam("NodeLimit", 1)
        self._statuses[self._gp.GRB.NODE_LIMIT] = Status.TIME_LIMIT


def slow(clock):
    """A session class whose solves take 50 ms of a simulated clock each."""

    class Slow(HighsSession):
        def minimize(self, columns, coefficients, time_limit=None):
            clock.advance(0.05)
            return super().minimize(columns, coefficients)

    return Slow


class PressesCtrlC(HighsSession):
    """The user interrupts in the fifth solve of the second layer's first chunk."""

    def minimize(self, columns, coefficients, time_limit=None):
        self.count = getattr(self, "count", 0) + 1
        if self.count == 5:
            raise KeyboardInterrupt
        return super().minimize(columns, coefficients, time_limit)


class KillsItsWorker(HighsSession):
    """A worker process is killed (-9) in the middle; the main process works."""

    def minimize(self, columns, coefficients, time_limit=None):
        self.count = getattr(self, "count", 0) + 1
        if self.count == 3 and multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().minimize(columns, coefficients, time_limit)


def linprog_range(network, bounds, layer, neuron):
    """Range of one neuron over the hulls of all earlier ones; dense, from scratch.

    Columns: inputs, then v and x of every neuron; rows written as in the textbook.
    """
    sizes = [lay.size for lay in network.layers[:layer]]
    n = network.n_inputs + 2 * sum(sizes)
    box = list(zip(bounds.input_lower, bounds.input_upper, strict=True))
    v_at, x_at, at = [], [], network.n_inputs
    for k, size in enumerate(sizes):
        v_at.append(at + np.arange(size))
        x_at.append(at + size + np.arange(size))
        at += 2 * size
        box += list(zip(bounds.lower[k], bounds.upper[k], strict=True))
        box += list(zip(*bounds.post_bounds(k), strict=True))
    equal, equal_rhs, less, rhs = [], [], [], []

    def affine_row(lay, i):
        row = np.zeros(n)
        for (source, post), w in zip(lay.sources, lay.weights, strict=True):
            w = w.toarray() if hasattr(w, "toarray") else w
            where = np.arange(network.n_inputs)
            if source != INPUT:
                where = (x_at if post else v_at)[source]
            row[where] += w[i]
        return row

    for k in range(layer):
        lay = network.layers[k]
        for i in range(lay.size):
            row = affine_row(lay, i)
            row[v_at[k][i]] -= 1.0
            equal.append(row)
            equal_rhs.append(-lay.bias[i])
            ceiling = np.inf if lay.ceiling is None else lay.ceiling[i]
            lo, hi = bounds.lower[k][i], bounds.upper[k][i]
            for a, b, c in _hull(lo, hi, ceiling):
                row = np.zeros(n)
                row[x_at[k][i]], row[v_at[k][i]] = a, b
                less.append(row)
                rhs.append(c)
    cost = affine_row(network.layers[layer], neuron)
    ends = []
    for sign in (1.0, -1.0):
        answer = linprog(
            sign * cost,
            np.array(less) if less else None,
            rhs if less else None,
            np.array(equal) if equal else None,
            equal_rhs if equal else None,
            box,
        )
        assert answer.status == 0, answer.message
        ends.append(sign * answer.fun + network.layers[layer].bias[neuron])
    return ends


def _hull(lo, hi, c):
    """Rows a x + b v <= d: hull of the graph of min(max(0, v), c) on [lo, hi]."""
    points = [
        (v, min(max(0.0, v), c))
        for v in sorted({lo, 0.0, c, hi})
        if lo <= v <= hi and np.isfinite(v)
    ]
    rows = []
    for (v1, x1), (v2, x2) in ((p, q) for p in points for q in points if p[0] < q[0]):
        slope = (x2 - x1) / (v2 - v1)
        side = [x - x1 - slope * (v - v1) for v, x in points]
        tolerance = 1e-12 * (1.0 + abs(x1) + abs(x2))
        if max(side) <= tolerance:
            rows.append((1.0, -slope, x1 - slope * v1))
        if min(side) >= -tolerance:
            rows.append((-1.0, slope, slope * v1 - x1))
    if len(points) == 1:
        rows = [(1.0, 0.0, points[0][1]), (-1.0, 0.0, -points[0][1])]
    return rows
