"""What our solvers return: a ``SolverResults`` that has the history of the run."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple, cast

from pyomo.core.base import maximize, minimize
from pyomo.opt import (
    SolutionStatus,
    SolverResults,
    SolverStatus,
    TerminationCondition,
)
from pyomo.opt.results.solution import Solution

from pyomo_relu.block.pyomo_private import add_solution, name_symbols
from pyomo_relu.common.html import table_html
from pyomo_relu.common.model_building import pause_garbage_collection
from pyomo_relu.common.wording import counted

logger = logging.getLogger("pyomo.relu")


class HistoryEntry(NamedTuple):
    """What was known at one time of a run, in the modeller's sense of the objective.

    Attributes
    ----------
    seconds : float
        Since the start.
    bound : float
        Proven: no point is better.  Infinite as long as there is none.
    incumbent : float
        Value of the best point; infinite as long as there is none.
    """

    seconds: float
    bound: float
    incumbent: float


class EmbeddedResults(SolverResults):
    """The results of a run, with its history; a notebook shows them as a table.

    Else a ``SolverResults``: what Pyomo prints, writes and reads is the same.
    """

    _history: tuple[HistoryEntry, ...] = ()

    @property
    def history(self) -> tuple[HistoryEntry, ...]:
        """Bound and incumbent whenever one of them changed, and at the end.

        Of several parts of a model, which are solved one after the other, the sums.
        """
        return self._history

    def keep_history(self, entries: Iterable[HistoryEntry]) -> None:
        """Set ``history``."""
        self._history = tuple(entries)

    def _repr_html_(self) -> str:
        problem, solver = self.problem, self.solver
        maximise = problem.sense == maximize
        ends = problem.lower_bound, problem.upper_bound
        incumbent, bound = ends if maximise else ends[::-1]
        counts = solver.statistics.branch_and_bound
        rows = [
            ("termination", str(solver.termination_condition)),
            ("best value", f"{incumbent:.8g}"),
            ("proven bound", f"{bound:.8g}"),
            ("sense", "maximise" if maximise else "minimise"),
            ("nodes", str(counts.number_of_bounded_subproblems)),
            ("seconds", f"{solver.wallclock_time:.3g}"),
            ("history", counted(len(self.history), "entry")),
        ]
        caption = f"{solver.name}: {problem.name}"
        notes = [str(solver.message)]
        return table_html(("results", "value"), rows, caption, notes=notes)


_CONDITIONS = {
    "optimal": (SolverStatus.ok, TerminationCondition.optimal),
    "infeasible": (SolverStatus.warning, TerminationCondition.infeasible),
    "unbounded": (SolverStatus.warning, TerminationCondition.unbounded),
    "time limit": (SolverStatus.aborted, TerminationCondition.maxTimeLimit),
    "node limit": (SolverStatus.aborted, TerminationCondition.maxEvaluations),
    "interrupted": (SolverStatus.aborted, TerminationCondition.userInterrupt),
    "stalled": (SolverStatus.warning, TerminationCondition.other),
    "stop_at is reached": (SolverStatus.ok, TerminationCondition.minFunctionValue),
    "prove_above is proven": (SolverStatus.ok, TerminationCondition.other),
}


def results_of(name, model, read, result, message, load):
    """The SolverResults, with the solution loaded or within."""
    results = EmbeddedResults()
    sense = maximize if read.maximise else minimize
    linear = read.surrounding.linear
    ends = [result.bound, result.value]
    if read.maximise:
        ends = [-end for end in reversed(ends)]
    problem = results.problem
    problem.name = model.name
    problem.sense = sense
    problem.lower_bound, problem.upper_bound = ends
    problem.number_of_objectives = int(read.surrounding.objective is not None)
    problem.number_of_constraints = linear.n_rows
    problem.number_of_variables = linear.n_columns
    problem.number_of_integer_variables = int(linear.integer.sum())
    solver = results.solver
    solver.name = name
    solver.status, solver.termination_condition = _CONDITIONS[result.status]
    solver.message = message
    solver.termination_message = solver.message
    solver.time = solver.wallclock_time = result.seconds
    if result.tasks is not None:
        solver.tasks, solver.workers = result.tasks.tasks, result.tasks.workers
        solver.lost_tasks, solver.notes = result.tasks.lost, result.tasks.notes
    counts = solver.statistics.branch_and_bound
    counts.number_of_bounded_subproblems = result.nodes
    counts.number_of_created_subproblems = result.nodes + result.open
    if result.full is None or result.status in ("infeasible", "unbounded"):
        if load:
            logger.warning(
                f"{name}: no solution was loaded into '{model.name}': {message}."
            )
        return results
    with pause_garbage_collection():
        _store(model, results, read, result, load)
    return results


def _store(model, results, read, result, load):
    """Load the solution, or put it into the results for ``model.solutions.load_from``.

    Loaded, it is among the model's ``solutions`` too, as ``pyomo solve`` wants it.
    """
    optimal = result.status == "optimal"
    status = SolutionStatus.optimal if optimal else SolutionStatus.feasible
    gap = max(0.0, result.value - result.bound)
    objective = read.surrounding.objective
    value = -result.value if read.maximise else result.value
    if load:
        read.load(result.full)
        add_solution(model.model(), status, gap, objective, value)
        return
    from pyomo.core.base.symbol_map import SymbolMap

    symbols = SymbolMap()
    solution = cast(Any, Solution())  # it makes its attributes at run time
    solution.status, solution.gap = status, gap
    if objective is not None:
        symbols.addSymbol(objective, "f")
        solution.objective["f"] = {"Value": value}
    for i, (var, at) in enumerate(read.all_values(result.full)):
        symbols.addSymbol(var, f"x{i}")
        solution.variable[f"x{i}"] = {"Value": at}
    solutions = getattr(model.model(), "solutions", None)
    if solutions is not None:
        solutions.add_symbol_map(symbols)
    name_symbols(results, symbols)
    results.solution.insert(solution)
