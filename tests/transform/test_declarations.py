"""What formulations declare is what they do, what README says and what help() shows."""

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.gdp import Disjunct, Disjunction

import pyomo_relu.transform
from examples.formulations import EQUAL_BOUNDS, relaxation
from pyomo_relu.network import Network
from pyomo_relu.transform.declaration import AT_CEILING, PROBLEM_CLASSES, UNSTABLE
from pyomo_relu.transform.parts.solver_paths import PATHS
from pyomo_relu.transform.table import MEASURED, RELAXATIONS, table
from tests.networks import two_two_one
from tests.paths import ROOT
from tests.transform.battery import BY_NAME, box_model

MODULES = [
    info.name
    for info in pkgutil.walk_packages(
        pyomo_relu.transform.__path__, "pyomo_relu.transform."
    )
]
NAMES = [f.name for f in BY_NAME]
DECLARING = [name for name in NAMES if name != "relu.auto"]
#: Options that keep things countable.
OPTIONS = {
    "relu.scaled": {"factors": 0.5},
    "relu.partition": {"n_parts": 2},
    "relu.cells": {"max_cells": 4},
    "relu.gdp": {"gdp_transformation": None},
}
DEEP = {"descend_into": (pyo.Block, Disjunct)}


def contents(model):
    """Counts of everything but the exact activation rows, by kind."""
    variables = list(model.component_data_objects(pyo.Var, **DEEP))
    rows = [
        row
        for row in model.component_data_objects(pyo.Constraint, active=True, **DEEP)
        if row.parent_component() is not model.nn.activation
    ]
    return {
        "binaries": sum(v.is_binary() for v in variables),
        "variables": sum(v.is_continuous() for v in variables),
        "rows": len(rows),
        "products": sum(row.body.polynomial_degree() != 1 for row in rows),
        "sets": len(list(model.component_data_objects(pyo.SOSConstraint))),
        "disjunctions": len(list(model.component_data_objects(Disjunction))),
    }


def occurrences(name, block):
    """{what is counted: how many there are} in an encoded block, and sizes."""
    encoding = block.record.encoding
    n = encoding.bounds.n_unstable
    found = {UNSTABLE: n, AT_CEILING: 0}
    if name == "relu.scaled":
        found["neuron with a factor other than 1"] = n
    if name == "relu.reduce":
        found["unstable neuron that is kept"] = n
    if name == "relu.cells":
        states = np.concatenate(encoding.states, axis=1)
        open_ = (states == -1).any(axis=0)
        found["network of n inputs, m outputs and C cells"] = 1
        found["neuron that is unstable in a cell"] = open_.sum()
        found["such a neuron that is active in another"] = (
            open_ & (states == 1).any(axis=0)
        ).sum()
        found["such a neuron that is inactive in another"] = (
            open_ & (states == 0).any(axis=0)
        ).sum()
    return found


def applied(name, network, **options):
    """The model, and by how much its contents grew."""
    m = box_model(network)
    before = contents(m)
    transformation = pyo.TransformationFactory(name)
    transformation.apply_to(m, **{**OPTIONS.get(name, {}), **options})
    after = contents(m)
    return m, {kind: after[kind] - before[kind] for kind in before}


def declared(name, found, **sizes):
    """The growth that a formulation declares for given occurrences."""
    total = dict.fromkeys(contents(box_model(two_two_one())), 0)
    for adds in pyo.TransformationFactory.get_class(name).ADDS:
        for kind, number in adds.counts(**sizes).items():
            total[kind] += number * int(found.get(adds.per, 0))
    return total


@pytest.mark.parametrize("name", DECLARING)
def test_adds_what_it_declares(name):
    m, grown = applied(name, two_two_one())
    found = occurrences(name, m.nn)
    assert m.nn.record.encoding.bounds.n_unstable == 2
    cells = getattr(m.nn.record.encoding, "states", [[]])
    sizes = {"P": 2, "n": 2, "m": 1, "C": len(cells[0])}
    assert grown == declared(name, found, **sizes)
    assert any(grown.values())


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in DECLARING
        if AT_CEILING in {a.per for a in pyo.TransformationFactory.get_class(name).ADDS}
    ],
)
def test_adds_what_it_declares_with_a_ceiling_in_reach(name):
    network = Network.sequential([[[1.0, 2.0]], [[1.0]]], [[0.5], [0.0]], [2.0])
    options = {"factors": 1.0} if name == "relu.scaled" else {}
    _, grown = applied(name, network, **options)
    assert grown == declared(name, {AT_CEILING: 1}, P=2)


def test_dropped_neurons_of_reduce():
    _, grown = applied("relu.reduce", two_two_one())
    m = box_model(two_two_one())
    before = contents(m)
    pyo.TransformationFactory("relu.reduce").apply_to(m, drop_minimised=True)
    after = contents(m)
    found = {"unstable neuron that is kept": 1, "neuron of `drop_minimised=True`": 1}
    expected = declared("relu.reduce", found)
    assert {kind: after[kind] - before[kind] for kind in before} == expected
    assert expected["binaries"] < grown["binaries"]


@pytest.mark.parametrize("name", NAMES)
def test_every_formulation_declares_everything(name):
    formulation = pyo.TransformationFactory.get_class(name)
    assert formulation.TAKES in PROBLEM_CLASSES
    assert formulation.TAKES == "binaries" or formulation.TAKES in PATHS
    assert formulation.EXACT.startswith("yes")
    assert formulation.SOURCE and formulation.USE and name in MEASURED
    if formulation.ADDS:
        assert f"Adds per {UNSTABLE}" in inspect.getdoc(formulation)
        assert "show_rows" in formulation.__doc__


def test_readme_shows_the_table_of_the_declarations():
    text = (ROOT / "README.md").read_text()
    _, begin, rest = text.partition("<!-- formulations: begin -->\n")
    shown, end, _ = rest.partition("\n<!-- formulations: end -->")
    assert begin and end
    assert shown == table(), "run python -m pyomo_relu.transform.table"


@pytest.mark.parametrize("name", RELAXATIONS)
def test_relaxations_of_the_table(name):
    for shown, methods in zip(RELAXATIONS[name], EQUAL_BOUNDS, strict=True):
        assert relaxation(name, methods) == pytest.approx(shown, rel=2e-4)


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_show_what_happens(module):
    module = importlib.import_module(module)
    found = doctest.testmod(module)
    assert found.failed == 0
    names = [getattr(c, "NAME", None) for c in vars(module).values()]
    own = [n for n in names if n in DECLARING and n[5:] == module.__name__[22:]]
    assert found.attempted >= 2 * len(own)
