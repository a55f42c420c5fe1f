"""Seconds to a proven global optimum: relu.branch and MILP solvers on the same models.

Not run by default.  As a script::

    python -m tests.benchmarks.test_branch_speed [--seconds 60] [--paths ...]
        [--instances ...]

prints one row per run; runs that do not finish count as ``--seconds``.  Paths: branch,
bigm_highs (relu.bigm with HiGHS), bigm_gurobi, omlt_highs (OMLT's big-M with interval
bounds) and gurobi_ml (gurobi-machinelearning), all to a relative gap of 1e-4.
"""

import argparse
import json
import math
import time
from pathlib import Path

import pyomo.environ as pyo
import pytest

from benchmarks.other_packages.conversion import omlt_definition, torch_sequential
from pyomo_relu import ReLUNetworkBlock, load_onnx
from tests.paths import needs_shared_models
from tests.search.oil_wells import oil_wells

NETWORKS = Path(__file__).resolve().parents[2] / "pyomo_relu" / "example_networks"
SURROGATES = [
    f"{name}_{size}"
    for name in ("peaks", "himmelblau", "ackley2")
    for size in ("2x25", "3x25", "5x25")
]
COUPLED = {
    "coupled_2": ("peaks_2x25", "ackley2_2x25"),
    "coupled_2_deep": ("peaks_5x25", "ackley2_5x25"),
    "coupled_3": ("peaks_2x25", "ackley2_2x25", "himmelblau_2x25"),
}
GAP = 1e-4


def box(name):
    """Bounds of a surrogate's inputs."""
    entry = json.loads((NETWORKS / "manifest.json").read_text())[name]
    return entry["lower"], entry["upper"]


def instance(name):
    """One surrogate over its box, or some of them sharing a resource."""
    names = COUPLED.get(name, (name,))
    m = pyo.ConcreteModel(name=name)
    m.nn = ReLUNetworkBlock(
        range(len(names)), network=lambda i: str(NETWORKS / f"{names[i]}.onnx")
    )
    outputs, shares = [], []
    for i, one in enumerate(names):
        for var, lo, hi in zip(m.nn[i].input_vars(), *box(one), strict=True):
            var.setlb(lo)
            var.setub(hi)
            shares.append(var / hi)
        outputs.append(m.nn[i].outputs[0])
    if len(names) > 1:
        m.share = pyo.Constraint(expr=sum(shares) >= 1.5)
        m.order = pyo.Constraint(expr=outputs[0] <= outputs[1] + 3)
    m.cost = pyo.Objective(expr=sum(outputs))
    return m


def branch(name, seconds, **options):
    """(seconds, value or None, lower bound)."""
    m = instance(name)
    solver = pyo.SolverFactory("relu.branch")
    began = time.perf_counter()
    results = solver.solve(m, time_limit=seconds, mip_gap=GAP, **options)
    used = time.perf_counter() - began
    optimal = results.solver.termination_condition == "optimal"
    return used, results.problem.upper_bound if optimal else None


def bigm_highs(name, seconds):
    """relu.bigm and HiGHS on one thread."""
    return _bigm(name, seconds, "appsi_highs", "mip_rel_gap")


def bigm_gurobi(name, seconds):
    """relu.bigm and Gurobi on one thread."""
    return _bigm(name, seconds, "appsi_gurobi", "MIPGap")


def _bigm(name, seconds, solver, gap):
    m = instance(name)
    began = time.perf_counter()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    return _solved(m, seconds, solver, gap, began)


def omlt_highs(name, seconds):
    """OMLT's big-M formulation and HiGHS on one thread."""
    omlt = pytest.importorskip("omlt")
    from omlt.neuralnet import ReluBigMFormulation

    network = load_onnx(NETWORKS / f"{name}.onnx")
    definition = omlt_definition(network, *box(name))
    m = pyo.ConcreteModel()
    began = time.perf_counter()
    m.nn = omlt.OmltBlock()
    m.nn.build_formulation(ReluBigMFormulation(definition))
    m.cost = pyo.Objective(expr=m.nn.outputs[0])
    return _solved(m, seconds, "appsi_highs", "mip_rel_gap", began)


#: HiGHS refuses ``threads=1`` in a process that has used more before.
ONE_THREAD = {"appsi_highs": {"parallel": "off"}, "appsi_gurobi": {"Threads": 1}}


def _solved(m, seconds, solver, gap, began):
    results = pyo.SolverFactory(solver).solve(
        m,
        load_solutions=False,
        timelimit=seconds,
        options={gap: GAP, **ONE_THREAD[solver]},
    )
    used = time.perf_counter() - began
    optimal = results.solver.termination_condition == "optimal"
    return used, results.problem.upper_bound if optimal else None


def gurobi_ml(name, seconds):
    """gurobi-machinelearning and Gurobi on one thread."""
    gp = pytest.importorskip("gurobipy")
    add = pytest.importorskip("gurobi_ml.torch").add_sequential_constr
    network = load_onnx(NETWORKS / f"{name}.onnx")
    sequential = torch_sequential(network)
    with gp.Env(params={"OutputFlag": 0}) as env, gp.Model(env=env) as model:
        began = time.perf_counter()
        lower, upper = box(name)
        x = model.addMVar((1, network.n_inputs), lb=lower, ub=upper)
        y = model.addMVar((1, 1), lb=-math.inf)
        add(model, sequential, x, y)
        model.setObjective(y.sum())
        for key, value in (("TimeLimit", seconds), ("Threads", 1), ("MIPGap", GAP)):
            model.setParam(key, value)
        model.optimize()
        used = time.perf_counter() - began
        optimal = model.Status == gp.GRB.OPTIMAL
        return used, model.ObjVal if optimal else None


PATHS = {
    f.__name__: f for f in (branch, bigm_highs, bigm_gurobi, omlt_highs, gurobi_ml)
}


@pytest.mark.parametrize("name", [*SURROGATES, *COUPLED])
def test_seconds_to_proof(benchmark, name):
    _, value = benchmark.pedantic(branch, args=(name, 60.0), rounds=3, warmup_rounds=1)
    assert value is not None
    benchmark.extra_info["minimum"] = value


@pytest.mark.parametrize("milp_neurons", [0, 30])
def test_five_inputs(benchmark, milp_neurons):
    _, value = benchmark.pedantic(
        branch, args=("ackley5_3x50", 120.0), kwargs={"milp_neurons": milp_neurons}
    )
    assert value is not None


@needs_shared_models
@pytest.mark.parametrize("nets", ["shallow", "deep"])
def test_routing_of_oil_wells(nets):
    m = oil_wells(nets)
    solver = pyo.SolverFactory("relu.branch")
    results = solver.solve(m, time_limit=600, mip_gap=GAP)
    assert results.solver.termination_condition == "optimal"
    best = {"shallow": 1.2863857, "deep": 1.3048782}[nets]
    assert pyo.value(m.total) == pytest.approx(best, rel=GAP)
    assert results.problem.upper_bound >= best - 1e-6


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--paths", nargs="+", default=["branch"], choices=PATHS)
    parser.add_argument("--instances", nargs="+", default=[*SURROGATES, *COUPLED])
    arguments = parser.parse_args()
    logs = {path: [] for path in arguments.paths}
    branch(SURROGATES[0], 10.0)  # imports
    for name in arguments.instances:
        for path in arguments.paths:
            seconds, value = PATHS[path](name, arguments.seconds)
            logs[path].append(
                math.log(seconds if value is not None else arguments.seconds)
            )
            found = "-" if value is None else f"{value:.6f}"
            print(f"{name:18} {path:12} {seconds:9.3f} s  {found:>14}", flush=True)
    for path, seconds in logs.items():
        mean = math.exp(sum(seconds) / len(seconds))
        print(f"{'geometric mean':18} {path:12} {mean:9.3f} s")


if __name__ == "__main__":
    main()
