"""One run of HiGHS, Gurobi or any Pyomo solver, and what it says.

Each function gives those figures of ``effort.Effort`` that the solver knows.
"""

import math
import time

import numpy as np

from pyomo_relu.common.pyomo_solver import PyomoSolver
from pyomo_relu.errors import SolverError
from pyomo_relu.linear.sessions.answer import Figures, Status
from pyomo_relu.linear.sessions.choice import session_class
from pyomo_relu.linear.sessions.session import Settings

RAW_SOLVERS = ("highs", "gurobi")
#: Solvers that can be told to stop after so many nodes.
NODE_LIMITED = (*RAW_SOLVERS, "relu.branch")


def run_raw(solver, linear, integer, costs, options):
    """HiGHS or Gurobi, without Pyomo; figures of the solve and the best point.

    Parameters
    ----------
    solver : {"highs", "gurobi"}
    linear : LinearModel
    integer : bool
        False for the relaxation.
    costs : numpy.ndarray, shape (n_columns,)
    options : dict
        time_limit, work_limit, node_limit, mip_gap, seed and threads.

    Returns
    -------
    figures : dict
    point : numpy.ndarray or None
    """
    settings = Settings(
        f"solver '{solver}'",
        presolve=True,
        tolerance=None,
        relative_gap=float(options["mip_gap"]),
        absolute_gap=None,
        node_limit=options["node_limit"],
        work_limit=options["work_limit"],
        threads=int(options["threads"]),
        seed=int(options["seed"]),
        rays=False,
        figures=True,
    )
    with session_class(solver)(linear, integer, settings) as session:
        every = np.arange(linear.n_columns)
        with _Timed() as timed:
            answer = session.minimize(every, costs, options["time_limit"])
        integer = session.integer
    if answer.error is not None:
        raise SolverError(
            f"Gurobi failed: {answer.error}. Check its licence or use solver='highs'."
        ) from answer.error
    bound = answer.dual_bound
    if not integer and answer.status is Status.OPTIMAL:
        bound = answer.objective
    figures = {
        "status": answer.word or str(answer.status),
        "objective": answer.objective,
        "dual_bound": bound,
        **vars(answer.figures or Figures()),
        **timed.figures(),
    }
    return figures, answer.primal


def run_through_pyomo(model, solver, options):
    """Any solver by its Pyomo name: status, bounds, seconds, nodes if it tells them."""
    from pyomo.core.base import Constraint, Objective, Var, minimize, value
    from pyomo.opt import TerminationCondition

    remedy = "Use 'highs', 'gurobi', or install the solver."
    opt = PyomoSolver(solver, "measure_effort", remedy).opt
    keywords = {"load_solutions": False}
    if options["time_limit"] is not None:
        keywords["timelimit"] = options["time_limit"]
    if options["node_limit"] is not None:
        keywords["node_limit"] = options["node_limit"]
    with _Timed() as timed:
        results = opt.solve(model, **keywords)
    condition = results.solver.termination_condition
    status = {
        TerminationCondition.optimal: "optimal",
        TerminationCondition.maxTimeLimit: "time limit",
        TerminationCondition.maxEvaluations: "node limit",
        TerminationCondition.infeasible: "infeasible",
        TerminationCondition.unbounded: "unbounded",
    }.get(condition, str(condition))
    (objective,) = model.component_data_objects(Objective, active=True)
    value_found = None
    if len(results.solution):
        model.solutions.load_from(results)
        value_found = value(objective)
    ends = results.problem.lower_bound, results.problem.upper_bound
    bound = _number(ends[0 if objective.sense == minimize else 1])
    variables = list(model.component_data_objects(Var))
    counts = results.solver.statistics.branch_and_bound
    nodes = _number(counts.number_of_bounded_subproblems)
    return {
        "status": status,
        "objective": value_found,
        "dual_bound": bound,
        "relaxation_bound": None,
        "root_bound": None,
        "nodes": None if nodes is None else int(nodes),
        "iterations": None,
        "work": None,
        "n_variables": len(variables),
        "n_binaries": sum(v.is_integer() for v in variables),
        "n_rows": sum(1 for _ in model.component_data_objects(Constraint, active=True)),
        **timed.figures(),
    }


def _number(entry):
    try:
        number = float(entry)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


class _Timed:
    """Wall and processor seconds of a with-block."""

    def __enter__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        self.wall = time.perf_counter() - self.wall
        self.cpu = time.process_time() - self.cpu

    def figures(self):
        return {"solve_seconds": self.wall, "solve_cpu_seconds": self.cpu}
