"""What Pyomo sees of a solver of models with networks in them: options, results, values.

``EmbeddedSolver`` reads the model, hands it to a search and turns what that found into
a ``SolverResults``; each solver adds its own options, search and log.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, cast

from pyomo.common.collections import Bunch
from pyomo.common.config import ConfigDict
from pyomo.core.base import maximize, minimize
from pyomo.core.base.block import BlockData
from pyomo.opt import (
    SolutionStatus,
    SolverResults,
    SolverStatus,
    TerminationCondition,
)
from pyomo.opt.base.solvers import OptSolver
from pyomo.opt.results.solution import Solution

from pyomo_relu.block.pyomo_private import name_symbols
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.options import read_options
from pyomo_relu.common.transaction import transaction
from pyomo_relu.errors import ModelError
from pyomo_relu.model.options import declare
from pyomo_relu.version import __version__

logger = logging.getLogger("pyomo.relu")

#: Seconds between two lines of a log.
LOG_EVERY = 1.0

#: What every solver of Pyomo's takes and what means nothing here: there are no files.
_WITHOUT_MEANING = (
    "keepfiles",
    "symbolic_solver_labels",
    "report_timing",
    "file_determinism",
    "logfile",
    "solnfile",
    "io_options",
    "available",
    "select",
)


def common_options(name: str) -> ConfigDict:
    """The options that all of them have.

    Parameters
    ----------
    name : str
        The solver's.
    """
    config = declare(ConfigDict(name), "time_limit", "mip_gap", "abs_gap")
    return declare(config, "load_solutions", "warmstart", "seed")


class EmbeddedSolver(OptSolver):
    """A solver of models with ``ReLUNetworkBlock``s in them.

    A subclass has a ``NAME``, a ``CONFIG`` that holds ``common_options``, and
    ``_search``.

    Parameters
    ----------
    **options
        Defaults of the options of ``solve``; also in the attribute ``options``.
    """

    NAME: str
    CONFIG: ConfigDict

    def __init__(self, **options: Any) -> None:
        for key in ("type", "solver_io", "executable"):
            options.pop(key, None)
        given = options.pop("options", None) or {}
        super().__init__(type=self.NAME, options={**given, **options})
        self._capabilities = Bunch(linear=True, integer=True)

    def _search(self, read, config, deadline):
        """Find and prove an optimum.

        Parameters
        ----------
        read : BranchModel
        config : ConfigDict
        deadline : Deadline

        Returns
        -------
        BranchResult
        work : str
            How much was done, for the message.
        log : Log
        """
        raise NotImplementedError

    # -- what Pyomo asks of a solver -----------------------------------------------

    def available(self, exception_flag: bool = False) -> bool:
        """True: numpy and scipy suffice for boxes, models with rows need highspy."""
        return True

    def license_is_valid(self) -> bool:
        """True: there is no licence."""
        return True

    def version(self) -> tuple[int, ...]:
        """Version of pyomo_relu as a tuple of four."""
        parts = [int(p) for p in __version__.split(".")[:3] if p.isdigit()]
        return tuple([*parts, 0, 0, 0, 0][:4])

    def warm_start_capable(self) -> bool:
        """True: see the option ``warmstart``."""
        return True

    @transaction
    def solve(self, model: BlockData, **kwds: Any) -> SolverResults:
        """Solve the model to proven global optimality.

        Parameters
        ----------
        model : Block
        **kwds
            Any of ``CONFIG`` (``timelimit`` is ``time_limit``), or ``options``, a dict
            of them.  What Pyomo's solvers that write files take besides, such as
            ``keepfiles``, ``symbolic_solver_labels`` and ``report_timing``, is accepted
            and changes nothing.

        Returns
        -------
        pyomo.opt.SolverResults
            ``problem.lower_bound`` and ``upper_bound`` are proven bound and best value
            in the modeller's sense, also where time or Ctrl-C ended the run.
            Termination conditions: optimal, infeasible, unbounded, maxTimeLimit,
            userInterrupt (Ctrl-C; the best point so far is loaded), minFunctionValue
            (``stop_at``), other (``prove_above``; or boxes were left that are too small
            to be split: the message says which).  Ctrl-C while the model is read or the
            solution loaded is a KeyboardInterrupt, and the model stays as it was.

        Raises
        ------
        ModelError
            If the model is not of the class above; names the component at fault.
        BoundsError
            If a network's input is not bounded by the model.
        """
        if not isinstance(model, BlockData) or not model.is_constructed():
            raise ModelError(
                f"{self.NAME} solves a concrete model or a block of one, not "
                f"{getattr(model, 'name', None) or model!r:.80}. Make one with "
                "AbstractModel.create_instance(...)."
            )
        config = self._configured(kwds)
        deadline = Deadline(config.time_limit)
        from pyomo_relu.branch.read import read_model
        from pyomo_relu.model.contradiction import SECONDS

        read = read_model(model, self.NAME)
        result, work, log = self._search(read, config, deadline)
        result.seconds = deadline.elapsed()
        message = result.status
        if result.status == "infeasible":
            left = deadline.left(SECONDS)
            if left > 0:
                message += f". {read.contradiction(left)}"
        log.summary(result, message)
        message = f"{message.removesuffix('.')}; {work}"
        return _results(self.NAME, model, read, result, message, config.load_solutions)

    def _configured(self, kwds):
        """All options: the constructor's, ``self.options``, then this call's."""
        more = kwds.pop("options", None) or {}
        places = (
            self.options,
            more if isinstance(more, Mapping) else {"options": more},
            self._options_string_to_dict(kwds.pop("options_string", None) or ""),
            kwds,
        )
        given = {}
        for place in map(dict, places):
            if "timelimit" in place:  # None: not given
                limit = place.pop("timelimit")
                place.update({} if limit is None else {"time_limit": limit})
            given.update(place)
        for key in _WITHOUT_MEANING:
            given.pop(key, None)
        if not given.get("suffixes", True):
            del given["suffixes"]
        return read_options(self.NAME, self.CONFIG, given, error=ModelError)


class Log:
    """Lines that ``tee`` prints, in the modeller's sense of the objective.

    Parameters
    ----------
    read : BranchModel
    tee : bool
        Whether anything is printed.
    """

    def __init__(self, read, tee):
        self.tee = tee
        self.sign = -1.0 if read.maximise else 1.0

    def print(self, text):
        """Print a line."""
        if self.tee:
            sys.stdout.write(text.rstrip() + "\n")
            sys.stdout.flush()

    def number(self, value):
        """An objective value of the minimisation, as the modeller knows it."""
        if not abs(value) < float("inf"):
            return "-"
        # an outward-rounded zero is shown as one
        return f"{self.sign * value:.8g}" if abs(value) > 1e-200 else "0"

    @staticmethod
    def gap(bound, value):
        """The relative gap in per cent."""
        if not (abs(value) < float("inf") and abs(bound) < float("inf")):
            return "-"
        from pyomo_relu.linear.rounding import relative_gap

        return f"{100 * relative_gap(value, min(bound, value)):.4f}%"

    def summary(self, result, message):
        """Print the last line and the outcome."""
        raise NotImplementedError


_CONDITIONS = {
    "optimal": (SolverStatus.ok, TerminationCondition.optimal),
    "infeasible": (SolverStatus.warning, TerminationCondition.infeasible),
    "unbounded": (SolverStatus.warning, TerminationCondition.unbounded),
    "time limit": (SolverStatus.aborted, TerminationCondition.maxTimeLimit),
    "interrupted": (SolverStatus.aborted, TerminationCondition.userInterrupt),
    "stalled": (SolverStatus.warning, TerminationCondition.other),
    "stop_at is reached": (SolverStatus.ok, TerminationCondition.minFunctionValue),
    "prove_above is proven": (SolverStatus.ok, TerminationCondition.other),
}


def _results(name, model, read, result, message, load):
    """The SolverResults, with the solution loaded or within."""
    results = SolverResults()
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
    counts = solver.statistics.branch_and_bound
    counts.number_of_bounded_subproblems = result.nodes
    counts.number_of_created_subproblems = result.nodes + result.open
    if result.full is None or result.status in ("infeasible", "unbounded"):
        if load:
            logger.warning(
                f"{name}: no solution was loaded into '{model.name}': {message}."
            )
        return results
    _store(model, results, read, result, load)
    return results


def _store(model, results, read, result, load):
    """Load the solution, or put it into the results for ``model.solutions.load_from``.

    Loaded, it is among the model's ``solutions`` too, as ``pyomo solve`` wants it.
    """
    from pyomo.core.base.symbol_map import SymbolMap

    symbols = SymbolMap()
    solution = cast(Any, Solution())  # it makes its attributes at run time
    solution.status = (
        SolutionStatus.optimal
        if result.status == "optimal"
        else SolutionStatus.feasible
    )
    solution.gap = max(0.0, result.value - result.bound)
    objective = read.surrounding.objective
    if objective is not None:
        symbols.addSymbol(objective, "f")
        value = -result.value if read.maximise else result.value
        solution.objective["f"] = {"Value": value}
    solutions = getattr(model.model(), "solutions", None)
    if not load:
        for i, (var, value) in enumerate(read.all_values(result.full)):
            symbols.addSymbol(var, f"x{i}")
            solution.variable[f"x{i}"] = {"Value": value}
        if solutions is not None:
            solutions.add_symbol_map(symbols)
        name_symbols(results, symbols)
        results.solution.insert(solution)
        return
    read.load(result.full)
    if solutions is not None:
        solutions.clear(clear_symbol_maps=False)
        solutions.add_symbol_map(symbols)
        solutions.add_solution(solution, id(symbols))
