"""Networks in a row, without bounds in between and in any order of declaration."""

import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from tests.networks import chain
from tests.truth import network_blocks, solve

NAMES = ["a", "b", "c"]
FORMULATIONS = [
    ("relu.bigm", {}),
    ("relu.clipped", {}),
    ("relu.scaled", {}),
    ("relu.partition", {}),
    ("relu.cuts", {}),
    ("relu.cells", {"max_cells": 12}),
    ("relu.reduce", {}),
    ("relu.auto", {}),
]


def chained_model(order, widths=(5, 5, 5), n_inputs=2):
    """x -> a -> b -> c; only x has bounds.  Blocks are declared in the given order."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(n_inputs), bounds=(-1, 1))
    sizes = [n_inputs, 2, n_inputs, 1]
    for name in order:
        m.add_component(name, pyo.Block(concrete=True))
    inputs = m.x
    for k, name in enumerate(NAMES):
        network = chain([sizes[k], widths[k], sizes[k + 1]], seed=k)
        block = m.component(name)
        block.nn = ReLUNetworkBlock(network=network, inputs=inputs)
        inputs = block.nn.outputs
    m.total = pyo.Objective(expr=m.c.nn.outputs[0])
    return m


def bounds_of_vars(m):
    return {v.name: v.bounds for v in m.component_data_objects(pyo.Var)}


@pytest.mark.covering(1)
@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
@pytest.mark.parametrize("name, options", FORMULATIONS, ids=lambda o: str(o))
def test_chains_are_encoded_in_their_own_order(name, options, order):
    m, reference = chained_model(order), chained_model("abc")
    before = bounds_of_vars(m)
    transformation = pyo.TransformationFactory(name)
    token = transformation.apply_to(m, **options)
    pyo.TransformationFactory("relu.bigm").apply_to(reference)
    assert solve(m, tolerance=1e-4) == pytest.approx(solve(reference), abs=1e-4)
    for block in network_blocks(m):
        assert block.record.encoding is not None
    transformation.apply_to(m, reverse=token)
    assert bounds_of_vars(m) == before


def test_auto_with_several_formulations_in_one_chain(caplog):
    """a and c get big-M, b between them gets cells."""
    m = chained_model("abc", widths=(4, 60, 4), n_inputs=4)
    with caplog.at_level("INFO", logger="pyomo.relu"):
        token = pyo.TransformationFactory("relu.auto").apply_to(m, solver="gurobi")
    names = [b.record.encoding.formulation.NAME for b in network_blocks(m)]
    assert names == ["relu.bigm", "relu.cells", "relu.bigm"]
    reference = chained_model("abc", widths=(4, 60, 4), n_inputs=4)
    pyo.TransformationFactory("relu.bigm").apply_to(reference)
    found = solve(m, "gurobi_direct_v2", tolerance=1e-4)
    optimum = solve(reference, "gurobi_direct_v2")
    assert found == pytest.approx(optimum, abs=1e-4)
    pyo.TransformationFactory("relu.auto").apply_to(m, reverse=token)
    assert all(b.record.encoding is None for b in network_blocks(m))


@pytest.mark.parametrize("name", ["relu.bounds", "relu.obbt"])
def test_bound_methods_follow_the_chain(name):
    m = chained_model("cba")
    before = bounds_of_vars(m)
    transformation = pyo.TransformationFactory(name)
    token = transformation.apply_to(m)
    for block in network_blocks(m):
        assert block.record.bounds is not None
    transformation.apply_to(m, reverse=token)
    assert bounds_of_vars(m) == before


def test_a_circle_of_networks_keeps_the_given_order():
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=(-1, 1)), pyo.Var(bounds=(-1, 1))
    m.a = ReLUNetworkBlock(network=chain([1, 4, 1], seed=1), inputs=m.x, outputs=m.y)
    m.b = ReLUNetworkBlock(network=chain([1, 4, 1], seed=2), inputs=m.y, outputs=m.x)
    m.total = pyo.Objective(expr=m.x)
    found = []
    for name in ("relu.cells", "relu.bigm"):
        token = pyo.TransformationFactory(name).apply_to(m)
        found.append(solve(m, tolerance=1e-4))
        pyo.TransformationFactory(name).apply_to(m, reverse=token)
    assert found[0] == pytest.approx(found[1], abs=1e-4)
