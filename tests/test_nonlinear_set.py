"""The set of nonlinear models: what is in it, and that its command runs."""

import csv
from dataclasses import replace

import pyomo.environ as pyo
import pytest
from pyomo.common.collections import ComponentSet

from benchmarks.comparison.run import disagreements, run
from benchmarks.flowsheets.models import NONLINEAR as FLOWSHEETS
from benchmarks.nonlinear import command
from benchmarks.nonlinear.known import KNOWN
from benchmarks.nonlinear.models import MODELS, OWN, kind
from benchmarks.nonlinear.routes import FAMILIES, ROUTES
from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.model.blocks import network_blocks
from tests.networks import chain

#: name -> networks, inputs that are not fixed, neurons, rows that are not linear
SIZES = {
    "closest_4": (1, 4, 32, 1),
    "acquisition_2": (1, 2, 50, 5),
    "chain_4_effort": (4, 7, 80, 1),
    "mpc_20": (20, 58, 320, 1),
    "reactor_recycle": (2, 3, 54, 5),
}


def test_all_are_there():
    assert list(OWN) == list(SIZES)
    assert list(MODELS) in ([*OWN], [*OWN, *FLOWSHEETS])
    assert set(KNOWN) == {*OWN, *FLOWSHEETS}


@pytest.mark.parametrize("name", MODELS)
def test_model(name):
    model = MODELS[name]()
    blocks = network_blocks(model, None, "test")
    inputs = ComponentSet(var for block in blocks for var in block.input_vars())
    rows = [
        *model.component_data_objects(pyo.Constraint, descend_into=False),
        *model.component_data_objects(pyo.Objective, active=True),
    ]
    curved = sum(_body(row).polynomial_degree() not in (0, 1) for row in rows)
    assert curved > 0
    if kind(name) == "own":
        assert SIZES[name] == (
            len(blocks),
            sum(not var.fixed for var in inputs),
            sum(block.network.n_neurons for block in blocks),
            curved,
        )


def _body(row):
    return row.body if row.ctype is pyo.Constraint else row.expr


def test_the_command(tmp_path, capsys):
    file = tmp_path / "runs.csv"
    routes = ["relu", "relu.branch"]
    arguments = ["--only", "acquisition_2", "--routes", *routes, "--silent"]
    assert command.main([*arguments, "--csv", str(file)]) == 0
    printed = capsys.readouterr().out
    for route in routes:
        assert sum(line.split()[1:2] == [route] for line in printed.splitlines()) == 1
    assert "geometric mean of 1" in printed
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["route"] for row in rows] == routes
    assert {row["status"] for row in rows} == {"optimal"}


def tiny():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.y = pyo.Var()
    m.nn = ReLUNetworkBlock(network=chain([2, 4, 1]), inputs=m.x, outputs=[m.y])
    m.away = pyo.Constraint(expr=m.x[0] ** 2 + m.x[1] ** 2 >= 0.5)
    m.cost = pyo.Objective(expr=m.y + m.x[0] * m.x[1])
    return m


@pytest.mark.parametrize("family", FAMILIES)
def test_all_routes_on_a_tiny_model(family):
    routes = [name for name in FAMILIES[family] if ROUTES[name].registered]
    if not routes:
        pytest.skip(f"no solver for the routes of {family}")
    models = replace(
        command.NONLINEAR, models={"tiny": tiny}, kind=lambda name: "test", known={}
    )
    runs = [run(models, "tiny", name, 30.0) for name in [*routes, "relu.branch"]]
    # pip's licence of Gurobi does not reach to the cells of this model
    assert {one.status for one in runs} <= {"optimal", "licence"}
    assert runs[-1].proven
    assert [text for one in runs for text in one.complaints()] == []
    assert disagreements(runs) == []


def test_every_route_is_of_one_family():
    assert [name for names in FAMILIES.values() for name in names] == list(ROUTES)
