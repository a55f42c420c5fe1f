"""The set of models that routes are compared on: what is in it, and that its table is right."""

import csv
import hashlib
import json
import subprocess
import sys

import pyomo.environ as pyo
import pytest
from pyomo.common.collections import ComponentSet

from benchmarks.comparison.route import Route
from benchmarks.comparison.run import disagreements, network_error, row_violation, run
from benchmarks.regret import command
from benchmarks.regret.models import MODELS, kind
from benchmarks.regret.responses import RESPONSES
from benchmarks.regret.routes import DEFAULT, ROUTES
from benchmarks.regret.surrogates import OWN
from pyomo_relu.model.blocks import network_blocks
from tests.paths import ROOT

#: name -> kind, networks, inputs that are not fixed, neurons, integer Vars
SIZES = {
    "single_2": ("single", 1, 2, 50, 0),
    "single_2_deep": ("single", 1, 2, 125, 0),
    "single_3": ("single", 1, 3, 30, 0),
    "single_5": ("single", 1, 5, 32, 0),
    "single_10": ("single", 1, 10, 30, 0),
    "shared_3": ("shared inputs", 2, 3, 54, 0),
    "shared_5": ("shared inputs", 2, 5, 40, 0),
    "shared_7": ("shared inputs", 2, 7, 40, 0),
    "coupled_2": ("coupled", 2, 4, 100, 0),
    "coupled_3": ("coupled", 3, 6, 150, 0),
    "coupled_6": ("coupled", 6, 12, 210, 0),
    "commitment_12": ("commitment", 36, 36, 432, 36),
    "commitment_24": ("commitment", 72, 72, 864, 72),
    "chain_4": ("chains", 4, 7, 80, 0),
    "chain_8": ("chains", 8, 15, 160, 0),
    "scenarios_20": ("scenarios", 20, 21, 400, 0),
    "series_24": ("series", 24, 24, 384, 0),
    "measured_24": ("series", 24, 24, 384, 0),
    "units_2": ("units", 2, 6, 48, 0),
    "integers_3": ("integers", 3, 9, 72, 6),
}


def test_there_are_20():
    assert list(MODELS) == list(SIZES)
    assert len(MODELS) == 20
    assert all(build.__doc__.count("\n") == 0 for build in MODELS.values())


@pytest.mark.parametrize("name", SIZES)
def test_model(name):
    model = MODELS[name]()
    blocks = network_blocks(model, None, "test")
    inputs = ComponentSet(var for block in blocks for var in block.input_vars())
    assert all(None not in var.bounds for var in inputs)
    integers = [v for v in model.component_data_objects(pyo.Var) if v.is_integer()]
    binaries = [v for v in model.component_data_objects(pyo.Var) if v.is_binary()]
    assert SIZES[name] == (
        kind(name),
        len(blocks),
        sum(not var.fixed for var in inputs),
        sum(block.network.n_neurons for block in blocks),
        len(ComponentSet([*integers, *binaries])),
    )
    assert len(list(model.component_data_objects(pyo.Objective, active=True))) == 1


def test_the_files_are_the_recorded_ones():
    manifest = json.loads((OWN / "manifest.json").read_text())
    assert set(manifest) == set(RESPONSES) == {path.stem for path in OWN.glob("*.onnx")}
    for name, entry in manifest.items():
        data = (OWN / f"{name}.onnx").read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]
        assert tuple(entry["lower"]) == RESPONSES[name].lower
        assert tuple(entry["upper"]) == RESPONSES[name].upper
        assert entry["held_out_nrmse"] < 0.25


def test_the_command(tmp_path, capsys):
    names = ["single_3", "shared_3"]
    file = tmp_path / "runs.csv"
    code = command.main(["--only", *names, "--limit", "1", "--csv", str(file)])
    assert code == 0
    printed = capsys.readouterr().out
    routes = DEFAULT
    assert {"auto", "bounds+bigm", "obbt+bigm", "relu.branch", "relu"} == set(routes)
    for route in routes:
        assert sum(line.split()[1:2] == [route] for line in printed.splitlines()) == 2
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["model"], row["route"]) for row in rows] == [
        (name, route) for name in names for route in routes
    ]


_RELAXED = """
import sys
from benchmarks.comparison.route import Route
from benchmarks.regret import command
from benchmarks.regret.routes import ROUTES
relaxed = ("relu.bigm", {}), ("core.relax_integer_vars", {})
ROUTES["relaxed"] = Route("appsi_highs", *relaxed)
sys.exit(command.main(["--only", "single_3", "--routes", "relaxed", "--silent"]))
"""


def test_a_wrong_route_is_printed_and_exits_with_1():
    """In a process of its own: HiGHS keeps the thread pool of whoever ran it first."""
    run = subprocess.run(
        [sys.executable, "-c", _RELAXED], capture_output=True, text=True, cwd=ROOT
    )
    assert run.returncode == 1, run.stderr
    assert "WRONG: single_3, relaxed: networks are violated by" in run.stdout


def test_a_solver_that_is_not_there_is_left_out(monkeypatch, capsys):
    monkeypatch.setitem(ROUTES, "elsewhere", Route("no_such_solver"))
    assert command.main(["--routes", "elsewhere", "--silent"]) == 2
    assert (
        "Left out: Pyomo knows no solver 'no_such_solver'." in capsys.readouterr().out
    )


def test_errors_at_a_point():
    model = MODELS["integers_3"]()
    for product in model.products:
        model.lines[product].set_value(3)
        model.shifts[product].set_value(2)
        model.speed[product].set_value(1.0)
    for block in network_blocks(model, None, "test"):
        y = block.network.forward([3, 2, 1.0])
        block.output_vars()[0].set_value(float(y[0]))
    assert network_error(model) == 0
    assert row_violation(model) == 0
    model.lines[1].set_value(4.5)
    assert network_error(model) > 1e-2
    assert row_violation(model) == pytest.approx(0.5)  # not whole; 10.5 lines: 0.5/4.5
    model.speed[1].set_value(3.0)
    assert row_violation(model) == pytest.approx(1.0)  # twice its bound


def test_gurobi_machinelearning_as_a_route():
    if not ROUTES["gurobi-ml"].registered:
        pytest.skip("gurobi-machinelearning, gurobipy and torch are not all installed")
    one = run(command.REGRET, "single_3", "gurobi-ml", 20.0)
    assert one.proven and one.error < 1e-6 and one.violation < 1e-6
    assert not one.complaints()
    assert not disagreements(
        [one, run(command.REGRET, "single_3", "relu.branch", 20.0)]
    )
