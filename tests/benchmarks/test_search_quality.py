"""Incumbents over time: search alone, and MILP solvers with and without a start.

Not run by default.  As a script::

    python -m tests.benchmarks.test_search_quality [--seconds 60] [--solvers ...]
        [--instances ...]

prints one row per run: first incumbent, and the incumbent after 1, 10 and 60 seconds.
Seconds of runs with a start include the search.
"""

import argparse
import io
import re
import time

import pyomo.environ as pyo
import pytest
from pyomo.common.tee import TeeStream, redirect_fd

from pyomo_relu.search import find_point
from tests.search.models import surrogate
from tests.search.oil_wells import oil_wells

SURROGATES = [
    f"{name}_{size}"
    for name in ("peaks", "himmelblau", "ackley2")
    for size in ("2x25", "3x25", "5x25")
]
INSTANCES = [*SURROGATES, "ackley5_5x25", "random_10_3x50", "oil_shallow", "oil_deep"]
MARKS = (1.0, 10.0, 60.0)


def instance(name):
    """The Pyomo model of an instance's name."""
    if name.startswith("oil_"):
        return oil_wells(name[4:])
    return surrogate(name)


def at_marks(trajectory):
    """First (seconds, value), and the value at each mark; None where there is none."""
    values = [
        next((v for s, v in reversed(trajectory) if s <= mark), None) for mark in MARKS
    ]
    return (trajectory[0] if trajectory else None), values


def search_run(name, seconds, seed=0):
    """Trajectory of find_point."""
    result = find_point(instance(name), time_limit=seconds, seed=seed)
    return [(s, v) for s, v, _ in result.trajectory]


def solver_run(name, solver, seconds, start_seconds=None):
    """Trajectory of a solver on the big-M model, after a search if wanted."""
    m = instance(name)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    begin, trajectory = time.perf_counter(), []
    if start_seconds:
        result = pyo.TransformationFactory("relu.warmstart").apply_to(
            m, time_limit=start_seconds, solver=solver
        )
        trajectory = [(s, v) for s, v, _ in result.trajectory]
    used = time.perf_counter() - begin
    run = {"appsi_highs": _highs, "gurobi_persistent": _gurobi}[solver]
    for s, v in run(m, max(seconds - used, 0.1), bool(start_seconds)):
        trajectory.append((used + s, v))
    return trajectory


def _gurobi(m, seconds, start):
    from gurobipy import GRB

    found, opt = [], pyo.SolverFactory("gurobi_persistent")
    opt.set_instance(m)

    def callback(_, opt, where):
        if where == GRB.Callback.MIPSOL:
            g = opt._solver_model
            seen = g.cbGet(GRB.Callback.MIPSOL_OBJBST), g.cbGet(GRB.Callback.RUNTIME)
            value = g.cbGet(GRB.Callback.MIPSOL_OBJ)
            sign = g.ModelSense
            found.append((seen[1], sign * min(sign * value, sign * seen[0])))

    opt.set_callback(callback)
    options = {"TimeLimit": seconds, "Threads": 1}
    opt.solve(m, warmstart=start, options=options, load_solutions=False)
    return found


def _highs(m, seconds, start):
    out = io.StringIO()
    opt = pyo.SolverFactory("appsi_highs")
    opt.highs_options = {"parallel": "off"}
    with TeeStream(out) as tee, redirect_fd(output=tee.STDOUT.fileno()):
        opt.solve(m, warmstart=start, timelimit=seconds, load_solutions=False, tee=True)
    return _highs_log(out.getvalue())


def _highs_log(text):
    """(seconds, incumbent) of each line of HiGHS' table with an incumbent."""
    found = []
    for line in text.splitlines():
        if not re.search(r"\d+\.\d+s\s*$", line):
            continue
        cells = line.split()
        # ... explored % | best bound, best solution, gap | ...
        explored = next((i for i, c in enumerate(cells) if c.endswith("%")), None)
        if explored is None or len(cells) < explored + 3:
            continue
        best = cells[explored + 2]
        if best not in ("inf", "-inf"):
            found.append((float(cells[-1].rstrip("s")), float(best)))
    return found


@pytest.mark.parametrize("name", [*SURROGATES, "ackley5_5x25", "random_10_3x50"])
def test_time_to_a_point_within_one_percent(benchmark, name):
    best = find_point(instance(name), time_limit=10, seed=1).objective
    result = benchmark.pedantic(
        find_point, (instance(name),), {"max_rounds": 1, "time_limit": 10}, rounds=1
    )
    assert result.objective <= best + 0.01 * abs(best)


def _runs(solver, start_seconds):
    if solver == "search":
        return [(solver, None)]
    return [(solver, None), (f"{solver} + start", start_seconds)]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--start-seconds", type=float, default=1.0)
    parser.add_argument("--solvers", nargs="*", default=["search", "appsi_highs"])
    parser.add_argument("--instances", nargs="*", default=INSTANCES)
    given = parser.parse_args()
    print(f"{'instance':<18}{'run':<28}{'first':>22}" + f"{'1 s, 10 s, 60 s':>40}")
    for name in given.instances:
        for solver in given.solvers:
            for label, start in _runs(solver, given.start_seconds):
                if solver == "search":
                    trajectory = search_run(name, given.seconds)
                else:
                    trajectory = solver_run(name, solver, given.seconds, start)
                first, values = at_marks(trajectory)
                first = (
                    "none" if first is None else f"{first[1]:.5g} at {first[0]:.2f} s"
                )
                cells = "".join(
                    f"{'-' if v is None else f'{v:.6f}':>14}" for v in values
                )
                print(f"{name:<18}{label:<28}{first:>22}{cells}", flush=True)


if __name__ == "__main__":
    main()
