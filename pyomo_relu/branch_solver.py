"""``SolverFactory("relu.branch")``: what Pyomo sees of branching on networks' inputs.

Options, log, results object and loading of solutions; the search is in ``search``.
"""

import logging
import sys
import time

from pyomo.common.collections import Bunch
from pyomo.common.config import (
    Bool,
    ConfigDict,
    ConfigValue,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
)
from pyomo.core.base import maximize, minimize
from pyomo.opt import (
    SolutionStatus,
    SolverFactory,
    SolverResults,
    SolverStatus,
    TerminationCondition,
)
from pyomo.opt.results.solution import Solution

from pyomo_relu.errors import ModelError
from pyomo_relu.version import __version__

logger = logging.getLogger("pyomo.relu")

_LOG_EVERY = 1.0


def _config():
    config = ConfigDict("relu.branch")
    for name, default, domain, description in (
        ("time_limit", None, NonNegativeFloat, "wall-clock seconds"),
        ("mip_gap", 1e-4, NonNegativeFloat, "relative gap at which to stop"),
        (
            "abs_gap",
            None,
            NonNegativeFloat,
            "absolute gap at which to stop; default 1e-6 of the objective's size",
        ),
        ("threads", 1, PositiveInt, "parts of a batch worked on at the same time"),
        ("executor", None, None, "a concurrent.futures.Executor to work on them"),
        ("seed", 0, NonNegativeInt, "seed of the first random points"),
        ("batch", 256, PositiveInt, "most boxes split together"),
        (
            "milp_neurons",
            30,
            NonNegativeInt,
            "most unstable neurons for a MILP; 0: none",
        ),
        ("tee", False, Bool, "print a log"),
        ("load_solutions", True, Bool, "set the Vars to the best point found"),
        ("warmstart", False, Bool, "try the Vars' present values first"),
    ):
        config.declare(
            name, ConfigValue(default=default, domain=domain, description=description)
        )
    return config


@SolverFactory.register(
    "relu.branch",
    doc="Global branch and bound on the inputs of ReLU networks, with CROWN bounds",
)
class ReLUBranch:
    """Global optimiser for linear or mixed-integer linear models with ReLU networks.

    It needs no encoding: ``ReLUNetworkBlock`` is used as it is, transformed or not.
    Boxes of the networks' inputs are bounded by CROWN lines and split until the best
    point found is proven optimal within ``mip_gap`` or ``abs_gap``.  A point counts as
    feasible if every row, bound and network holds within 1e-6, relative to the sizes of
    the columns, of a row's terms and of what the network reaches, where these are not
    about 1 (``search.units``).  Bounds of boxes are rounded outward and proven from dual
    multipliers; boxes handed to HiGHS as MILPs rest on HiGHS' tolerances (1e-9).

    Best for up to about five inputs (of networks of any depth), for several networks
    with few inputs each, with binaries that connect them, and where rows fix a
    network's output; networks of a single input cost next to nothing.  The work grows with
    the number of inputs that must be split: for shallow networks in ten or more inputs
    use ``relu.bigm`` with a MILP solver.

    Parameters
    ----------
    **options
        Defaults of the options of ``solve``; also in the attribute ``options``.
    """

    CONFIG = _config()

    def __init__(self, **options):
        self.name = "relu.branch"
        self.options = Bunch()
        options.pop("solver_io", None)
        given = options.pop("options", None) or {}
        self.options.update({**given, **options})

    # -- what Pyomo asks of a solver -----------------------------------------------

    def available(self, exception_flag=False):
        """True: numpy and scipy suffice for boxes, models with rows need highspy."""
        return True

    def license_is_valid(self):
        """True: there is no licence."""
        return True

    def version(self):
        """Version of pyomo_relu as a tuple of four."""
        parts = [int(p) for p in __version__.split(".")[:3] if p.isdigit()]
        return tuple([*parts, 0, 0, 0, 0][:4])

    def warm_start_capable(self):
        """True: see the option ``warmstart``."""
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def solve(self, model, **kwds):
        """Solve the model to proven global optimality.

        Parameters
        ----------
        model : Block
        **kwds
            Any of ``CONFIG``: time_limit (or timelimit), mip_gap, abs_gap, threads,
            executor, seed, batch, milp_neurons, tee, load_solutions, warmstart; or
            ``options``, a dict of them.

        Returns
        -------
        pyomo.opt.SolverResults
            Termination conditions: optimal, infeasible, unbounded, maxTimeLimit,
            userInterrupt (Ctrl-C; the best point so far is loaded), other (boxes were
            left that are too small to be split).

        Raises
        ------
        ModelError
            If the model is not of the class above; names the component at fault.
        BoundsError
            If a network's input is not bounded by the model.
        """
        config = self._configured(kwds)
        began = time.perf_counter()
        from pyomo_relu.search.branch import BranchOptions, branch
        from pyomo_relu.search.branch_model import read_model

        read = read_model(model)
        limit = config.time_limit
        if limit is not None:
            limit = max(0.0, limit - (time.perf_counter() - began))
        options = BranchOptions(
            time_limit=limit,
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
        result.seconds = time.perf_counter() - began
        log.summary(result)
        return _results(model, read, result, config.load_solutions)

    def _configured(self, kwds):
        """All options: the constructor's, ``self.options``, then this call's."""
        given = dict(self.options)
        given.update(kwds.pop("options", None) or {})
        given.update(kwds)
        if "timelimit" in given:
            given["time_limit"] = given.pop("timelimit")
        for key in given:
            if key not in self.CONFIG:
                raise ModelError(
                    f"relu.branch: unknown option '{key}'. It takes "
                    f"{', '.join(self.CONFIG)}."
                )
        return self.CONFIG(given)


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
            f"relu.branch {__version__}: {len(read.blocks)} networks, "
            f"{problem.n_inputs} inputs, {problem.network.n_neurons} neurons; "
            f"{problem.n_columns - problem.n_inputs} other columns "
            f"({int(problem.integer.sum())} integer in all), "
            f"{problem.original.linear.n_rows} rows"
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

    def summary(self, result):
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
        self._print(f"status: {result.status}")

    def _line(self, nodes, open_, milps, bound, value, seconds, mark=""):
        gap = "-"
        if abs(value) < float("inf") and abs(bound) < float("inf"):
            gap = f"{100 * max(0.0, value - bound) / max(abs(value), 1e-10):.4f}%"
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


def _results(model, read, result, load):
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
    solver.message = f"{result.status}; {result.nodes} boxes, {result.milps} MILPs"
    solver.termination_message = solver.message
    solver.time = solver.wallclock_time = result.seconds
    counts = solver.statistics.branch_and_bound
    counts.number_of_bounded_subproblems = result.nodes
    counts.number_of_created_subproblems = result.nodes + result.open
    if result.full is None or result.status in ("infeasible", "unbounded"):
        if load:
            logger.warning(
                f"relu.branch: no solution was loaded into '{model.name}': "
                f"{result.status}."
            )
        return results
    if load:
        read.load(result.full)
    else:
        _store(model, results, read, result)
    return results


def _store(model, results, read, result):
    """Put the solution into the results, for ``model.solutions.load_from``."""
    from pyomo.core.base.symbol_map import SymbolMap

    symbols = SymbolMap()
    solution = Solution()
    solution.status = (
        SolutionStatus.optimal
        if result.status == "optimal"
        else SolutionStatus.feasible
    )
    for i, (var, value) in enumerate(read.all_values(result.full)):
        symbols.addSymbol(var, f"x{i}")
        solution.variable[f"x{i}"] = {"Value": value}
    model.model().solutions.add_symbol_map(symbols)
    results._smap_id = id(symbols)
    results.solution.insert(solution)
