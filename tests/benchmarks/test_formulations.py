"""Time to a proven optimum per formulation, next to other packages, on surrogates.

Run with ``pytest tests/benchmarks/test_formulations.py -s``; one thread, 1e-4 gap, all
preprocessing counted.  Where a licence limits Gurobi's model size the case is skipped.
"""

import time

import numpy as np
import pyomo.environ as pyo
import pytest

from benchmarks.other_packages.conversion import omlt_definition, torch_sequential
from pyomo_relu import example_networks, load_onnx
from pyomo_relu.study.problems.surrogates import (
    Outcome,
    surrogate_model,
    timed_solve,
)

pytest.importorskip("pytest_benchmark")

LIMIT = 60.0
SEEDS = (0, 1, 2)
SINGLE = [f"{f}_{d}x25" for f in ("peaks", "himmelblau", "ackley2") for d in (2, 3, 5)]
COUPLED = [
    ("peaks_2x25", "ackley2_3x25"),
    ("peaks_2x25", "ackley2_3x25", "himmelblau_3x25"),
]
RECIPES = {
    "auto": ("relu.auto",),
    "cells": ("relu.cells",),
    "bounds + bigm": ("relu.bounds", "relu.bigm"),
    "obbt + bigm": ("relu.obbt", "relu.bigm"),
    "obbt + cuts": ("relu.obbt", "relu.cuts"),
    "obbt + partition": ("relu.obbt", "relu.partition"),
}


def seconds_of(names, recipe, solver, seed):
    """Building, preprocessing and solving."""
    start = time.perf_counter()
    m = surrogate_model(names)
    for name in RECIPES[recipe]:
        told = {"solver": solver} if name == "relu.auto" else {}
        pyo.TransformationFactory(name).apply_to(m, **told)
    outcome = run_or_skip(m, solver, seed)
    for block in m.nn.values():
        if outcome.best is not None:
            assert block.forward_error() < 1e-3
    return time.perf_counter() - start, outcome


def run_or_skip(m, solver, seed) -> Outcome:
    try:
        return timed_solve(m, solver, LIMIT, seed)
    except Exception as error:  # noqa: BLE001  (reported in the table)
        skip_if_too_large(error)


def skip_if_too_large(error):
    """Skip on what Gurobi's free licence refuses; any other error is raised."""
    if "size-limited" in str(error):
        pytest.skip("the Gurobi licence limits the model's size")
    raise error


def report(label, names, solver, runs):
    seconds = np.array([s for s, _ in runs])
    mean = float(np.exp(np.log(seconds).mean()))
    proven = sum(outcome.proven for _, outcome in runs)
    best = [outcome.best for _, outcome in runs if outcome.best is not None]
    print(
        f"\n{' + '.join(names):<45} {solver:<7} {label:<18} {mean:>8.2f} s  "
        f"{proven}/{len(runs)} proven  {min(best) if best else float('nan'):.5f}",
        end="",
    )
    return mean


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("names", [(n,) for n in SINGLE] + COUPLED, ids="+".join)
def test_time_to_proven_optimum(names, recipe, solver):
    runs = [seconds_of(names, recipe, solver, seed) for seed in SEEDS]
    report(recipe, names, solver, runs)
    if recipe == "auto":
        assert all(outcome.proven for _, outcome in runs)


@pytest.mark.parametrize("names", COUPLED, ids="+".join)
def test_coupled_networks_are_proven_within_a_minute_by_highs(names):
    seconds, outcome = seconds_of(names, "auto", "highs", 0)
    assert outcome.proven and seconds < LIMIT


# -- other packages --------------------------------------------------------------------


def omlt_model(names, formulation):
    """The same problem with OMLT's formulations and interval bounds."""
    omlt = pytest.importorskip("omlt")
    from omlt.neuralnet import ReluBigMFormulation, ReluPartitionFormulation

    kinds = {"big-M": ReluBigMFormulation, "partition": ReluPartitionFormulation}
    known = example_networks()
    m = pyo.ConcreteModel()
    m.parts = pyo.RangeSet(0, len(names) - 1)
    m.nn = omlt.OmltBlock(m.parts)
    for n, name in enumerate(names):
        network, box = load_onnx(known[name].path), known[name]
        definition = omlt_definition(network, box.lower, box.upper)
        m.nn[n].build_formulation(kinds[formulation](definition))
        for j, ends in enumerate(zip(box.lower, box.upper, strict=True)):
            m.nn[n].inputs[j].setlb(ends[0])
            m.nn[n].inputs[j].setub(ends[1])
    _add_objective(m, names, known)
    return m


def _add_objective(m, names, known):
    if len(names) > 1:
        total = sum(known[name].upper[0] for name in names)
        firsts = sum(m.nn[n].inputs[0] for n in m.parts)
        m.link = pyo.Constraint(expr=firsts >= 0.4 * total)
    m.cost = pyo.Objective(expr=sum(m.nn[n].outputs[0] for n in m.parts))


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
@pytest.mark.parametrize("formulation", ["big-M", "partition"])
@pytest.mark.parametrize("names", [(n,) for n in SINGLE] + COUPLED, ids="+".join)
def test_omlt(names, formulation, solver):
    runs = []
    for seed in SEEDS:
        start = time.perf_counter()
        m = omlt_model(names, formulation)
        outcome = run_or_skip(m, solver, seed)
        runs.append((time.perf_counter() - start, outcome))
    report(f"OMLT {formulation}", names, solver, runs)


def gurobi_ml_run(names, seed):
    """The same problem with gurobi-ml's sequential ReLU formulation."""
    gurobipy = pytest.importorskip("gurobipy")
    pytest.importorskip("torch")
    add = pytest.importorskip("gurobi_ml.torch").add_sequential_constr
    known = example_networks()
    start = time.perf_counter()
    with gurobipy.Env(params={"OutputFlag": 0}) as env, gurobipy.Model(env=env) as g:
        g.Params.Threads, g.Params.MIPGap = 1, 1e-4
        g.Params.Seed, g.Params.TimeLimit = seed, LIMIT
        firsts, outputs = [], []
        for name in names:
            network, box = load_onnx(known[name].path), known[name]
            x = g.addMVar((1, network.n_inputs), lb=box.lower, ub=box.upper)
            y = g.addMVar((1, network.n_outputs), lb=-gurobipy.GRB.INFINITY)
            add(g, torch_sequential(network), x, y)
            firsts.append(x[0, 0])
            outputs.append(y[0, 0])
        if len(names) > 1:
            total = sum(known[name].upper[0] for name in names)
            g.addConstr(sum(firsts) >= 0.4 * total)
        g.setObjective(sum(outputs), gurobipy.GRB.MINIMIZE)
        try:
            g.optimize()
        except gurobipy.GurobiError as error:
            skip_if_too_large(error)
        best = g.ObjVal if g.SolCount else None
        proven = g.Status == gurobipy.GRB.OPTIMAL
        outcome = Outcome(0.0, proven, best, g.ObjBound, int(g.NodeCount))
    return time.perf_counter() - start, outcome


@pytest.mark.parametrize("names", [(n,) for n in SINGLE] + COUPLED, ids="+".join)
def test_gurobi_ml(names):
    runs = [gurobi_ml_run(names, seed) for seed in SEEDS]
    report("gurobi-ml", names, "gurobi", runs)
