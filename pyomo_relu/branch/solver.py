"""``SolverFactory("relu.branch")``: what Pyomo sees of branching on networks' inputs.

Options, log, results object and loading of solutions; the search is in ``search``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, cast

from pyomo.common.collections import Bunch
from pyomo.common.config import (
    Bool,
    ConfigDict,
    ConfigValue,
    NonNegativeInt,
    PositiveInt,
    document_class_CONFIG,
)
from pyomo.core.base import maximize, minimize
from pyomo.core.base.block import BlockData
from pyomo.opt import (
    SolutionStatus,
    SolverFactory,
    SolverResults,
    SolverStatus,
    TerminationCondition,
)
from pyomo.opt.base.solvers import OptSolver
from pyomo.opt.results.solution import Solution

from pyomo_relu.block.pyomo_private import name_symbols
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.options import non_negative, read_options
from pyomo_relu.common.transaction import transaction
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import ModelError
from pyomo_relu.model.options import declare
from pyomo_relu.version import __version__

logger = logging.getLogger("pyomo.relu")

_LOG_EVERY = 1.0

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


def _config() -> ConfigDict:
    config = ConfigDict("relu.branch")
    declare(config, "time_limit")
    for name, default, domain, description in (
        ("mip_gap", 1e-4, non_negative, "relative gap at which to stop"),
        (
            "abs_gap",
            None,
            non_negative,
            "absolute gap at which to stop; default 1e-6 of the objective's size",
        ),
        ("batch", 256, PositiveInt, "most boxes split together"),
        (
            "milp_neurons",
            30,
            NonNegativeInt,
            "most unstable neurons for a MILP; 0: none",
        ),
        ("load_solutions", True, Bool, "set the Vars to the best point found"),
        ("warmstart", False, Bool, "try the Vars' present values first"),
    ):
        config.declare(
            name, ConfigValue(default=default, domain=domain, description=description)
        )
    declare(config, "threads", doc="Threads of this process, for parts of a batch.")
    declare(config, "executor", "seed")
    declare(config, "tee", doc="The log of the tree.")
    return config


@SolverFactory.register(
    "relu.branch",
    doc="Global branch and bound on the inputs of ReLU networks, with CROWN bounds",
)
@document_class_CONFIG(methods=["solve"])
class ReLUBranch(OptSolver):
    """Global optimiser for linear or mixed-integer linear models with ReLU networks.

    Objective and rows must be linear in continuous, integer and binary Vars apart from
    the networks, which must always hold (none on a Disjunct), and every network input
    must be bounded, by its Var or by linear rows.  ``ReLUNetworkBlock`` is used as it
    is, transformed or not: no encoding is needed and none is solved.

    Boxes of the networks' inputs are bounded by CROWN lines and split until the best
    point found is proven optimal within ``mip_gap`` or ``abs_gap``.  A point counts as
    feasible if every row, bound and network holds within 1e-6, relative to the sizes of
    the columns, of a row's terms and of what the network reaches, where these are not
    about 1 (``linear.embedded``).  Bounds of boxes are rounded outward and proven from dual
    multipliers; boxes handed to HiGHS as MILPs rest on HiGHS' tolerances (1e-9).

    Best for up to about five inputs (of networks of any depth), for several networks
    with few inputs each, with binaries that connect them, and where rows fix a
    network's output; networks of a single input cost next to nothing.  The work grows with
    the number of inputs that must be split: for shallow networks in ten or more inputs
    use ``relu.bigm`` with a MILP solver.

    An infeasible model's ``results.solver.message`` names rows and bounds that
    contradict each other.  No duals, reduced costs or slacks are computed.

    Parameters
    ----------
    **options
        Defaults of the options of ``solve``; also in the attribute ``options``.
    """

    CONFIG: ConfigDict = _config()

    def __init__(self, **options: Any) -> None:
        for key in ("type", "solver_io", "executable"):
            options.pop(key, None)
        given = options.pop("options", None) or {}
        super().__init__(type="relu.branch", options={**given, **options})
        self._capabilities = Bunch(linear=True, integer=True)

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
            userInterrupt (Ctrl-C; the best point so far is loaded), other (boxes were
            left that are too small to be split).  Ctrl-C while the model is read or the
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
                f"relu.branch solves a concrete model or a block of one, not "
                f"{getattr(model, 'name', None) or model!r:.80}. Make one with "
                "AbstractModel.create_instance(...)."
            )
        config = self._configured(kwds)
        deadline = Deadline(config.time_limit)
        from pyomo_relu.branch.branch import BranchOptions, branch
        from pyomo_relu.branch.read import read_model
        from pyomo_relu.model.contradiction import SECONDS

        read = read_model(model)
        options = BranchOptions(
            time_limit=deadline.left(),
            mip_gap=config.mip_gap,
            abs_gap=config.abs_gap,
            threads=config.threads,
            executor=config.executor,
            seed=config.seed,
            batch=config.batch,
            milp_neurons=config.milp_neurons,
            start=read.start() if config.warmstart else None,
        )
        log = _Log(read, config.tee)
        result = branch(read.problem, options, log if config.tee else None)
        result.seconds = deadline.elapsed()
        message = result.status
        if result.status == "infeasible":
            left = deadline.left(SECONDS)
            if left > 0:
                message += f". {read.contradiction(left)}"
        log.summary(result, message)
        return _results(model, read, result, message, config.load_solutions)

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
        return read_options("relu.branch", self.CONFIG, given, error=ModelError)


class _Log:
    """The log that ``tee`` prints, in the modeller's sense of the objective."""

    def __init__(self, read, tee):
        self.tee = tee
        self.sign = -1.0 if read.maximise else 1.0
        self._last = -_LOG_EVERY
        self._value = None
        if not tee:
            return
        problem = read.problem
        self._print(
            f"relu.branch {__version__}: {counted(len(read.blocks), 'network')}, "
            f"{counted(problem.n_inputs, 'input')}, "
            f"{counted(problem.network.n_neurons, 'neuron')}; "
            f"{counted(problem.n_columns - problem.n_inputs, 'other column')} "
            f"({int(problem.integer.sum())} integer in all), "
            f"{counted(problem.original.linear.n_rows, 'row')}"
        )
        self._print(
            f"{'nodes':>9} {'open':>8} {'MILPs':>6} {'bound':>15} {'incumbent':>15} "
            f"{'gap':>9} {'seconds':>8}"
        )

    def __call__(self, tree):
        """Print a line each second and for each new incumbent."""
        value = tree.incumbent.value
        if value == self._value and tree.seconds - self._last < _LOG_EVERY:
            return
        self._last, better = tree.seconds, value != self._value
        self._value = value
        self._line(
            tree.nodes,
            len(tree.open),
            tree.milps,
            tree.bound,
            value,
            tree.seconds,
            "*" if better and abs(value) < float("inf") else "",
        )

    def summary(self, result, message):
        """Print the last line and the outcome."""
        if not self.tee:
            return
        self._line(
            result.nodes,
            result.open,
            result.milps,
            result.bound,
            result.value,
            result.seconds,
        )
        self._print(f"status: {message}")

    def _line(self, nodes, open_, milps, bound, value, seconds, mark=""):
        gap = "-"
        if abs(value) < float("inf") and abs(bound) < float("inf"):
            from pyomo_relu.linear.rounding import relative_gap

            gap = f"{100 * relative_gap(value, min(bound, value)):.4f}%"
        shown = [
            f"{self.sign * v:.8g}" if abs(v) < float("inf") else "-"
            for v in (bound, value)
        ]
        self._print(
            f"{nodes:>9} {open_:>8} {milps:>6} {shown[0]:>15} {shown[1]:>15} "
            f"{gap:>9} {seconds:>8.2f} {mark}".rstrip()
        )

    @staticmethod
    def _print(text):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


_CONDITIONS = {
    "optimal": (SolverStatus.ok, TerminationCondition.optimal),
    "infeasible": (SolverStatus.warning, TerminationCondition.infeasible),
    "unbounded": (SolverStatus.warning, TerminationCondition.unbounded),
    "time limit": (SolverStatus.aborted, TerminationCondition.maxTimeLimit),
    "interrupted": (SolverStatus.aborted, TerminationCondition.userInterrupt),
    "stalled": (SolverStatus.warning, TerminationCondition.other),
}


def _results(model, read, result, message, load):
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
    solver.name = "relu.branch"
    solver.status, solver.termination_condition = _CONDITIONS[result.status]
    message = message.removesuffix(".")
    work = f"{counted(result.nodes, 'box')}, {counted(result.milps, 'MILP')}"
    solver.message = f"{message}; {work}"
    solver.termination_message = solver.message
    solver.time = solver.wallclock_time = result.seconds
    counts = solver.statistics.branch_and_bound
    counts.number_of_bounded_subproblems = result.nodes
    counts.number_of_created_subproblems = result.nodes + result.open
    if result.full is None or result.status in ("infeasible", "unbounded"):
        if load:
            logger.warning(
                f"relu.branch: no solution was loaded into '{model.name}': {message}."
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
