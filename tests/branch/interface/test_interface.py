"""SolverFactory("relu.branch") as Pyomo's tools use a solver; bounds without time."""

import json
import os
import pathlib
import subprocess
import sys

import pyomo.environ as pyo
import pytest
from pyomo.gdp import Disjunct, Disjunction

import pyomo_relu
from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.errors import ModelError
from pyomo_relu.search import find_point
from tests.networks import chain
from tests.transform.battery import disjunct_model, linked_model

SOLVER = pyo.SolverFactory("relu.branch")


def linked(sense=pyo.minimize):
    m = linked_model()
    m.objective.sense = sense
    return m


def optimum(sense):
    m = linked(sense)
    SOLVER.solve(m, mip_gap=0, abs_gap=1e-9)
    return pyo.value(m.objective)


_MODEL = """
import pyomo.environ as pyo
from pyomo_relu import Network, ReLUNetworkBlock

weights = [[1.0], [-1.0]], [[1.0, 2.0]]
model = pyo.ConcreteModel()
model.nn = ReLUNetworkBlock(network=Network.sequential(weights, [[0.0, 0.5], [0.0]]))
model.nn.inputs[0].setlb(-1)
model.nn.inputs[0].setub(1)
model.cost = pyo.Objective(expr=model.nn.outputs[0])
"""


@pytest.mark.parametrize("feasible", [True, False])
def test_pyomo_solve(tmp_path, feasible):
    text = _MODEL
    if not feasible:
        text += "model.demand = pyo.Constraint(expr=model.nn.outputs[0] >= 100)\n"
    (tmp_path / "model.py").write_text(text)
    command = [sys.executable, "-m", "pyomo.scripting.pyomo_main", "solve"]
    command += ["--solver=relu.branch", "--solver-options=mip_gap=1e-6 timelimit=600"]
    command += ["--keepfiles", "--report-timing", "--symbolic-solver-labels"]
    command += ["--stream-solver", "--json", "--save-results=out.json", "model.py"]
    here = {"PYTHONPATH": str(pathlib.Path(pyomo_relu.__file__).parents[1])}
    run = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, **here},
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "relu.branch" in run.stdout  # the log
    results = json.loads((tmp_path / "out.json").read_text())
    solver = results["Solver"][0]
    if not feasible:
        assert solver["Termination condition"] == "infeasible"
        assert "'demand'" in solver["Message"]
        return
    assert solver["Termination condition"] == "optimal"
    solution = results["Solution"]
    assert solution[1]["Objective"]["cost"]["Value"] == pytest.approx(0.5, abs=1e-5)
    assert solution[1]["Variable"]["nn.inputs[0]"]["Value"] == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["relu", "relu.branch", "relu.decompose"])
def test_keywords_that_every_solver_takes(name, tmp_path, capsys, caplog):
    log = tmp_path / "run.log"
    kwds = {
        "symbolic_solver_labels": True,
        "report_timing": True,
        "logfile": log,
        "keepfiles": False,
        "solnfile": None,
        "io_options": {},
        "suffixes": [],
        "timelimit": None,
        "tee": False,
        "warmstart": True,
        "load_solutions": True,
        "options": {"mip_gap": 0.01},
        "options_string": "seed=3 abs_gap=0.1",
    }
    m, solver = linked(), pyo.SolverFactory(name)
    pyo.assert_optimal_termination(solver.solve(m, **kwds))
    config = solver._configured(dict(kwds))
    assert (config.mip_gap, config.seed, config.abs_gap) == (0.01, 3, 0.1)
    printed, written = capsys.readouterr().out, log.read_text()
    assert "seconds required for solver" in printed and not caplog.records
    assert written.startswith(name) and "status: optimal" in written
    assert "required" not in written and "incumbent" not in printed
    solver.solve(m, logfile=str(log), tee=True)  # replaces the file
    printed = capsys.readouterr().out
    assert printed == log.read_text() and "status: optimal" in printed
    with pytest.raises(ModelError, match="logfile='.*no.such.*folder that exists"):
        solver.solve(m, logfile=tmp_path / "no_such" / "run.log")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("keepfiles", True),
        ("solnfile", "x.sol"),
        ("file_determinism", 1),
        ("io_options", {"file_determinism": 2}),
        ("select", 3),
    ],
)
def test_keywords_without_effect_are_said(key, value, caplog):
    pyo.assert_optimal_termination(SOLVER.solve(linked(), **{key: value}))
    (record,) = caplog.records
    assert record.getMessage().startswith(f"relu.branch: {key}={value!r} has no effect")


@pytest.mark.parametrize("name", ["dual", "rc", "slack"])
def test_duals_are_refused_or_said_to_be_missing(name, caplog):
    m = linked()
    with pytest.raises(ModelError, match="suffixes=.*are no duals.*Leave suffixes out"):
        SOLVER.solve(m, suffixes=[name])
    m.add_component(name, pyo.Suffix(direction=pyo.Suffix.IMPORT))
    m.own = pyo.Suffix(direction=pyo.Suffix.LOCAL)
    SOLVER.solve(m)
    (record,) = caplog.records
    assert f"the Suffix '{name}' stays as it is" in record.getMessage()


def test_a_time_limit_of_none_is_none_given():
    with pyo.SolverFactory("relu.branch", solver_io=None, executable=None) as solver:
        solver.options["timelimit"] = 7
        assert solver._configured({"timelimit": None}).time_limit == 7
        assert solver._configured({"timelimit": 3}).time_limit == 3
        solver.set_options("time_limit=5")
        assert solver.has_capability("integer")


def test_only_concrete_models():
    with pytest.raises(ModelError, match="create_instance"):
        SOLVER.solve(pyo.AbstractModel())
    with pytest.raises(ModelError, match="concrete model"):
        SOLVER.solve(None)


# -- bounds ----------------------------------------------------------------------------


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize(
    "options",
    [
        {"time_limit": 0},
        {"mip_gap": float("inf")},
        {"abs_gap": float("inf")},
        {"mip_gap": 1e300},
        {"mip_gap": 0.5},
        {"abs_gap": 1e9, "batch": 1},
    ],
    ids=str,
)
def test_bounds_are_those_of_the_root_at_least(sense, options):
    best = optimum(sense)
    m = linked(sense)
    results = SOLVER.solve(m, **options)
    lower, upper = results.problem.lower_bound, results.problem.upper_bound
    assert lower <= best + 1e-7 and best - 1e-7 <= upper
    assert abs(lower) < 1e3 and abs(upper) < 1e3
    ended = results.solver.termination_condition
    assert ended == ("maxTimeLimit" if "time_limit" in options else "optimal")
    value = lower if sense == pyo.maximize else upper
    assert pyo.value(m.objective) == pytest.approx(value)


def test_bound_of_a_box_without_time():
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(network=chain([2, 8, 8, 1], seed=4))
    for var in m.nn.input_vars():
        var.setlb(-1)
        var.setub(1)
    m.objective = pyo.Objective(expr=m.nn.outputs[0])
    results = SOLVER.solve(m.clone(), time_limit=0)
    SOLVER.solve(m)
    assert -1e3 < results.problem.lower_bound <= pyo.value(m.objective) + 1e-9
    assert results.solver.termination_condition == "maxTimeLimit"


# -- Disjuncts -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        SOLVER.solve,
        find_point,
        pyo.TransformationFactory("relu.warmstart").apply_to,
    ],
    ids=["branch", "find_point", "warmstart"],
)
def test_networks_on_disjuncts_are_refused_by_name(call):
    message = r"'either\[0\]\.nn' lies on the Disjunct 'either\[0\]'.*gdp\.bigm"
    with pytest.raises(ModelError, match=message):
        call(disjunct_model())
    m = linked()
    m.on = Disjunct()
    m.on.nn = ReLUNetworkBlock(network=chain([2, 3, 1]))
    m.off = Disjunct()
    m.choice = Disjunction(expr=[m.on, m.off])
    with pytest.raises(ModelError, match=r"'on\.nn' lies on the Disjunct 'on'"):
        call(m)
