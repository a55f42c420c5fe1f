r"""A proven bound for ensembles of networks, one network at a time.

For networks f_e with output weights c_e that share their inputs, the ensemble problem ::

    min_x  sum_e c_e f_e(x)      x in X = {lower <= x <= upper, rows}

is written with a copy x_e of the inputs per network and x_e = x for all e.  Relaxing
these equations with multipliers u_e, sum_e u_e = 0 (else x makes the bound -infinity),
leaves one problem per network::

    L(u) = sum_e  min_{x_e in X}  c_e f_e(x_e) + u_e x_e   <=   the ensemble's minimum

Each is a MILP in one network; the solver's *dual* bound counts, so L(u) is proven even
where a time limit stops it.  Multipliers follow the subgradient x_e - mean(x_e), whose
sum is zero, with Polyak's step.  Rounding leaves sum_e u_e = r, not 0; the bound is
lowered by the largest ``r x`` over the box.

The best multipliers give a bound at least as good as the joint model's linear
relaxation with the same neuron bounds, at the price of many small MILPs; a duality gap
remains in general.

Source: Wang, Lozano, Cardonha, Bergman, "Optimizing over an ensemble of trained neural
networks", INFORMS Journal on Computing 35 (2023), for the Lagrangian relaxation.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pyomo_relu.analysis.arguments import box_of, members_of, network_of
from pyomo_relu.analysis.lagrangian.subproblems import Ensemble, solve_subproblem
from pyomo_relu.common.arguments import (
    an_executor,
    bounds_record,
    checked,
    each,
    numbers,
    one_of,
    optional,
    seconds,
    whole,
)
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.executor import run_tasks
from pyomo_relu.common.html import Table, Tabular
from pyomo_relu.errors import BoundsError, InfeasibleError, SolverError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.analysis.arguments import NetworksOrBlocks
    from pyomo_relu.bounds.neuron_bounds import NeuronBounds
    from pyomo_relu.common.types import FloatArray, Matrix


@dataclass(frozen=True)
class LagrangianBound(Tabular):
    """A proven bound on the minimum of an ensemble, and the best point seen.

    Attributes
    ----------
    bound : float
        Proven: no point of X has a smaller value.
    value : float
        Ensemble's value at ``point``, evaluated by the networks; infinite without one.
    point : numpy.ndarray, shape (n_inputs,), or None
        None if limits left no point that satisfies the rows.
    multipliers : numpy.ndarray, shape (number of networks, n_inputs)
        Those of ``bound``.
    bounds : tuple of float
        Bound of every iteration, the first one with the starting multipliers.
    unfinished : int
        Subproblems that a limit stopped; their dual bounds count nevertheless.
    seconds : float
    """

    bound: float
    value: float
    point: FloatArray | None
    multipliers: FloatArray = field(repr=False)
    bounds: tuple[float, ...] = field(repr=False)
    unfinished: int
    seconds: float

    @property
    def gap(self) -> float:
        """``value - bound``: how much better than ``point`` anything can be."""
        return self.value - self.bound

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists."""
        figures = {**vars(self), "gap": self.gap, "iterations": len(self.bounds)}
        figures["multipliers"] = self.multipliers.tolist()
        figures["point"] = None if self.point is None else self.point.tolist()
        return {**figures, "bounds": list(self.bounds)}

    def _table(self) -> Table:
        names = ("bound", "value", "gap", "unfinished", "seconds")
        rows = [[name, getattr(self, name)] for name in names]
        rows.append(["iterations", len(self.bounds)])
        return Table("Lagrangian bound", ["Lagrangian bound", "value"], rows)


@checked(
    BoundsError,
    weights=optional(each(numbers)),
    neuron_bounds=optional(each(bounds_record)),
    iterations=whole,
    tolerance=seconds,
    solver=optional(one_of("highs", "gurobi", "auto")),
    solve_limit=optional(seconds),
    time_limit=optional(seconds),
    executor=optional(an_executor),
)
def lagrangian_bound(
    networks: NetworksOrBlocks,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    weights: Sequence[ArrayLike] | None = None,
    *,
    neuron_bounds: Sequence[NeuronBounds] | None = None,
    rows: tuple[ArrayLike | Matrix, ArrayLike, ArrayLike] | None = None,
    iterations: int = 30,
    tolerance: float = 1e-4,
    multipliers: ArrayLike | None = None,
    solver: str | None = None,
    solve_limit: float | None = None,
    time_limit: float | None = None,
    executor: Executor | None = None,
) -> LagrangianBound:
    """Bound the minimum of a weighted sum of networks over shared inputs.

    To maximise, pass negative weights; bound and value change sign.

    Parameters
    ----------
    networks : sequence of Network or ReLUNetworkBlock
        All with the same inputs.  An indexed block stands for its members.
    lower, upper : array_like, shape (n_inputs,), or numbers
        The input box; finite.  Default: the bounds of a block's inputs, which must be
        the same for all.
    weights : sequence of array_like, shapes (n_outputs,), or numbers, optional
        c_e.  Default: the mean, ``1 / len(networks)`` for every output.
    neuron_bounds : sequence of NeuronBounds, optional
        Proven on this box, one per network.  Default: ``bounds.tighten``.
    rows : (matrix, row_lower, row_upper), optional
        Linear constraints on the inputs, matrix (m, n_inputs).
    iterations : int
        Subgradient steps at most; 0 evaluates the starting multipliers only.
    tolerance : float
        Stop once ``value - bound`` is within this, relative to ``|value|`` (or to 1, or
        to what the networks can reach if that is far less).
    multipliers : array_like, shape (number of networks, n_inputs), optional
        To start with; made to sum to zero.  Default: zero, that is, each network on
        its own.
    solver : {"highs", "gurobi"}, optional
        Default: Gurobi where its licence allows the model's size, else HiGHS.
    solve_limit : float, optional
        Seconds for each MILP.
    time_limit : float, optional
        Seconds for everything but the first evaluation, which always runs to the end
        (or to ``solve_limit``).
    executor : concurrent.futures.Executor, optional
        Where the networks' MILPs run.

    Returns
    -------
    LagrangianBound

    Raises
    ------
    BoundsError
        If networks, weights, box, rows or bounds do not fit together.
    InfeasibleError
        If no point of the box satisfies the rows.
    """
    members = members_of("networks", networks)
    lower, upper = _common_box(members, lower, upper)
    deadline = Deadline(time_limit)
    ensemble = Ensemble(
        [network_of("networks", member) for member in members],
        lower,
        upper,
        weights,
        neuron_bounds,
        rows,
    )
    u = _start(ensemble, multipliers)
    run = _Run(ensemble, solver or "auto", solve_limit, executor)
    run.evaluate(u, None)
    scale, since = 1.0, 0
    for _ in range(iterations):
        if run.gap <= tolerance * max(ensemble.unit, abs(run.value)):
            break
        assert run.last is not None  # evaluated
        direction = run.last - run.last.mean(axis=0)
        direction = direction / ensemble.units
        square = float((direction**2).sum())
        if square == 0.0 or deadline.passed():
            break  # equal copies: the bound is the minimum, up to solver tolerances
        target = run.value if np.isfinite(run.value) else 0.9 * run.bounds[-1]
        step = scale * abs(target - run.bounds[-1]) / square
        u = u + step * direction / ensemble.units
        better = run.evaluate(u, deadline.left())
        since = 0 if better else since + 1
        if since >= 3:  # Held and Karp: halve the step where the bound stalls
            scale, since, u = 0.5 * scale, 0, run.best
            run.last = run.best_points
    assert run.best is not None  # evaluated
    return LagrangianBound(
        run.bound,
        run.value,
        run.point,
        run.best,
        tuple(run.bounds),
        run.unfinished,
        deadline.elapsed(),
    )


def _common_box(networks, lower, upper):
    """The box that is given, or the one that all blocks have."""
    if lower is not None and upper is not None:
        return lower, upper
    boxes = [box_of("lagrangian_bound", net, lower, upper) for net in networks]
    for net, box in zip(networks, boxes, strict=True):
        if not all(np.array_equal(a, b) for a, b in zip(box, boxes[0], strict=True)):
            raise BoundsError(
                f"Lagrangian bound: the inputs of '{net.name}' have other bounds than "
                f"those of '{networks[0].name}'; networks must share their inputs."
            )
    return boxes[0] if boxes else (lower, upper)


def _start(ensemble, multipliers):
    shape = len(ensemble.networks), ensemble.lower.size
    if multipliers is None:
        return np.zeros(shape)
    u = numbers("multipliers", multipliers, BoundsError)
    if u.shape != shape or not np.all(np.isfinite(u)):
        raise BoundsError(
            f"Lagrangian bound: the multipliers must be finite and of shape {shape}, "
            f"not {u.shape}."
        )
    return u - u.mean(axis=0)


class _Run:
    """Evaluates L(u), and keeps the best bound and the best point."""

    def __init__(self, ensemble, solver, solve_limit, executor):
        self.ensemble, self.solver = ensemble, solver
        self.solve_limit, self.executor = solve_limit, executor
        self.bound, self.value = -np.inf, np.inf
        self.point = self.best = self.last = self.best_points = None
        self.bounds, self.unfinished = [], 0

    @property
    def gap(self):
        return self.value - self.bound

    def evaluate(self, u, left):
        """Solve all subproblems; True if the bound became better."""
        ensemble = self.ensemble
        limit = self.solve_limit
        if left is not None:
            share = left / len(ensemble.networks) if self.executor is None else left
            limit = share if limit is None else min(limit, share)
        tasks = [
            (model, costs[0], costs[1], self.solver, limit)
            for model, costs in zip(
                ensemble.models, ensemble.costs_with(u), strict=True
            )
        ]
        answers = run_tasks(solve_subproblem, tasks, self.executor).results
        self._check(answers)
        total = sum(bound for bound, _, _ in answers)
        total = total + ensemble.constant - ensemble.slack(u)
        self.unfinished += sum(not done for _, _, done in answers)
        self._note_points([x for _, x, _ in answers])
        if np.isfinite(total):
            self.bounds.append(float(total))
        if total <= self.bound and self.best is not None:
            return False
        self.bound = max(self.bound, float(total))
        self.best, self.best_points = u, self.last
        return True

    def _check(self, answers):
        names = [network.name for network in self.ensemble.networks]
        for name, answer in zip(names, answers, strict=True):
            if answer is None:
                raise SolverError(
                    f"Lagrangian bound: the MILP of '{name}' was interrupted."
                )
            if answer[0] == np.inf:
                raise InfeasibleError(
                    f"Lagrangian bound: no input of '{name}' in the box satisfies the "
                    "rows. Check them for contradictions."
                )

    def _note_points(self, points):
        """The subproblems' inputs; the box's centre where one found none in time."""
        ensemble = self.ensemble
        centre = (ensemble.lower + ensemble.upper) / 2
        # a subproblem's first columns are its copy of the inputs
        self.last = np.array(
            [centre if x is None else x[: centre.size] for x in points]
        )
        X = np.vstack([self.last, self.last.mean(axis=0)])
        X = np.clip(X, ensemble.lower, ensemble.upper)
        X = X[ensemble.feasible(X)]
        if not len(X):
            return
        values = ensemble.values(X)
        best = int(np.argmin(values))
        if values[best] < self.value:
            self.value, self.point = float(values[best]), X[best]
