"""One run of HiGHS, Gurobi or any Pyomo solver, and what it says.

Each function of ``RAW_SOLVERS`` minimises ``costs x`` over a ``LinearModel`` and returns
the figures of ``effort.Effort`` that the solver knows, with the best point or None.
"""

import math
import time

import numpy as np

from pyomo_relu.errors import SolverError
from pyomo_relu.linear.sessions.highs_runs import (
    make_highs,
    pass_model,
    run_on_own_thread,
)

_SIZE_LIMITED = 10010


def run_highs(linear, costs, options):
    """HiGHS through highspy."""
    highspy = _package("highspy", "highs")
    settings = {
        "random_seed": int(options["seed"]),
        "mip_rel_gap": float(options["mip_gap"]),
        "threads": int(options["threads"]),
    }
    if options["time_limit"] is not None:
        settings["time_limit"] = float(options["time_limit"])
    h = make_highs(settings, "solver 'highs'")
    pass_model(h, linear, costs)
    root = []
    if linear.integer.any():
        h.cbMipInterrupt.subscribe(lambda event: _note_root(root, event.data_out))
    with _Timed() as timed:
        run_on_own_thread(h)
    figures = _highs_figures(highspy, h, bool(linear.integer.any()))
    figures["root_bound"] = root[-1] if root else figures["root_bound"]
    point = None
    if figures["objective"] is not None:
        point = np.array(h.getSolution().col_value)
    h.clear()
    return {**figures, **timed.figures()}, point


def _note_root(root, data):
    if data.mip_node_count == 0 and math.isfinite(data.mip_dual_bound):
        root.append(data.mip_dual_bound)


def _highs_figures(highspy, h, integer):
    words = highspy.HighsModelStatus
    status = {
        words.kOptimal: "optimal",
        words.kTimeLimit: "time limit",
        words.kInfeasible: "infeasible",
        words.kUnbounded: "unbounded",
        words.kUnboundedOrInfeasible: "infeasible or unbounded",
    }.get(h.getModelStatus()) or h.modelStatusToString(h.getModelStatus())
    info = h.getInfo()
    found = info.primal_solution_status == 2
    value = info.objective_function_value if found else None
    bound = info.mip_dual_bound if integer else value
    bound = bound if bound is not None and math.isfinite(bound) else None
    solved_at_root = integer and info.mip_node_count <= 1
    return {
        "status": status,
        "objective": value,
        "dual_bound": bound,
        "root_bound": bound if solved_at_root or not integer else None,
        "nodes": max(int(info.mip_node_count), 0) if integer else 0,
        "iterations": int(info.simplex_iteration_count),
        "work": None,
    }


def run_gurobi(linear, costs, options):
    """Gurobi through gurobipy's matrix interface."""
    gp = _package("gurobipy", "gurobi")
    try:
        with gp.Env(params={"OutputFlag": 0}) as env, gp.Model(env=env) as m:
            return _run_gurobi(gp, m, linear, costs, options)
    except gp.GurobiError as error:
        if error.errno == _SIZE_LIMITED:
            raise SolverError(
                f"this Gurobi licence is too small for {linear.n_rows} rows and "
                f"{linear.n_columns} columns (the one that comes with the pip package "
                "allows 2000 of each). Use solver='highs' or a full licence."
            ) from error
        raise SolverError(
            f"Gurobi failed: {error}. Check its licence or use solver='highs'."
        ) from error


def _run_gurobi(gp, m, linear, costs, options):
    settings = {
        "Threads": options["threads"],
        "Seed": options["seed"],
        "MIPGap": options["mip_gap"],
        "TimeLimit": options["time_limit"],
        "WorkLimit": options["work_limit"],
    }
    for name, value in settings.items():
        if value is not None:
            m.setParam(name, value)
    kinds = np.where(linear.integer, "I", "C")
    x = m.addMVar(
        linear.n_columns, lb=linear.lower, ub=linear.upper, obj=costs, vtype=kinds
    )
    for side, sense in ((linear.row_lower, ">"), (linear.row_upper, "<")):
        equal = linear.row_lower == linear.row_upper
        rows = np.isfinite(side) & ~equal
        if rows.any():
            m.addMConstr(linear.matrix[rows], x, sense, side[rows])
    if equal.any():
        m.addMConstr(linear.matrix[equal], x, "=", linear.row_lower[equal])
    m.update()
    integer = bool(linear.integer.any())
    root = []

    def watch(model, where):
        mip = gp.GRB.Callback.MIP
        if where == mip and model.cbGet(gp.GRB.Callback.MIP_NODCNT) == 0:
            root.append(model.cbGet(gp.GRB.Callback.MIP_OBJBND))

    with _Timed() as timed:
        m.optimize(watch if integer else None)
    return {**_gurobi_figures(gp, m, integer, root), **timed.figures()}, (
        np.array(x.X) if m.SolCount else None
    )


def _gurobi_figures(gp, m, integer, root):
    if m.Status == gp.GRB.INTERRUPTED:
        raise KeyboardInterrupt
    status = {
        gp.GRB.OPTIMAL: "optimal",
        gp.GRB.TIME_LIMIT: "time limit",
        gp.GRB.WORK_LIMIT: "work limit",
        gp.GRB.INFEASIBLE: "infeasible",
        gp.GRB.UNBOUNDED: "unbounded",
        gp.GRB.INF_OR_UNBD: "infeasible or unbounded",
    }.get(m.Status, f"Gurobi status {m.Status}")
    value = m.ObjVal if m.SolCount else None
    bound = m.ObjBound if integer else value
    bound = bound if bound is not None and abs(bound) < 1e50 else None
    nodes = int(m.NodeCount) if integer else 0
    root_bound = bound if nodes <= 1 else None
    if root_bound is None and root and abs(root[-1]) < 1e50:
        root_bound = root[-1]
    return {
        "status": status,
        "objective": value,
        "dual_bound": bound,
        "root_bound": root_bound,
        "nodes": nodes,
        "iterations": int(m.IterCount),
        "work": float(m.Work),
    }


RAW_SOLVERS = {"highs": run_highs, "gurobi": run_gurobi}


def run_through_pyomo(model, solver, options):
    """Any solver by its Pyomo name: status, bounds and seconds only."""
    from pyomo.core.base import Constraint, Objective, Var, minimize, value
    from pyomo.opt import SolverFactory, TerminationCondition

    opt = SolverFactory(solver)
    if opt is None or not opt.available(exception_flag=False):
        raise SolverError(
            f"solver '{solver}' is not available to Pyomo. Use 'highs', 'gurobi', or "
            "install the solver."
        )
    keywords = {"load_solutions": False}
    if options["time_limit"] is not None:
        keywords["timelimit"] = options["time_limit"]
    with _Timed() as timed:
        results = opt.solve(model, **keywords)
    condition = results.solver.termination_condition
    status = {
        TerminationCondition.optimal: "optimal",
        TerminationCondition.maxTimeLimit: "time limit",
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
    return {
        "status": status,
        "objective": value_found,
        "dual_bound": bound,
        "relaxation_bound": None,
        "root_bound": None,
        "nodes": None,
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


def _package(name, solver):
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SolverError(
            f"solver '{solver}' needs the Python package {name}: {error}. Install it "
            f"(pip install {name}) or choose another solver."
        ) from error
