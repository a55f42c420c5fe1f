"""Formulations of users' own, and networks with ceilings."""

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.core.base import TransformationFactory

import pyomo_relu.transform as transforms
from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.errors import TransformationError
from pyomo_relu.transform.base import NetworkFormulation
from pyomo_relu.transform.formulations.bigm import BigM, encode_big_m
from tests.truth import solve


class Plain(NetworkFormulation):
    """Big-M rows of a plain ReLU, whatever the ceiling."""

    NAME = "relu.plain"

    def _encode_neuron(self, encoding, k, i, config):
        bounds = encoding.bounds
        lower, upper = float(bounds.lower[k][i]), float(bounds.upper[k][i])
        v, x = encoding.columns.pre[k][i], encoding.columns.post[k][i]
        z = encoding.new_indicator(k, i)
        encoding.add_row((k, i, "above"), [1.0, -1.0], [x, v], lower=0.0)
        encoding.add_row((k, i, "on"), [1.0, -1.0, -lower], [x, v, z], upper=-lower)
        encoding.add_row((k, i, "off"), [1.0, -upper], [x, z], upper=0.0)


class PlainHeir(BigM):
    """What relu.bigm declares is about relu.bigm's rows."""

    NAME = "relu.plain_heir"
    _encode_neuron = Plain._encode_neuron


class WholeHeir(BigM):
    """A subclass with an ``_encode`` of its own."""

    NAME = "relu.whole_heir"
    _encode = NetworkFormulation._encode


class Declared(NetworkFormulation):
    """Says that it handles ceilings, and does."""

    NAME = "relu.declared"
    HANDLES_CEILINGS = True

    def _encode_neuron(self, encoding, k, i, config):
        encode_big_m(encoding, k, i)


class Heir(BigM):
    """Changes nothing about the rows."""

    NAME = "relu.heir"


class DeclaredHeir(WholeHeir):
    """Says that what it inherits is right."""

    NAME = "relu.declared_heir"
    HANDLES_CEILINGS = True


def clipped(ceiling):
    """Maximise min(relu(x), ceiling) - x / 4 on [-1, 2]."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0], bounds=(-1, 2))
    network = Network.sequential(
        [[[1.0]], [[1.0]]], [[0.0], [0.0]], [np.array([ceiling])]
    )
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    m.best = pyo.Objective(expr=m.nn.outputs[0] - 0.25 * m.x[0], sense=pyo.maximize)
    return m


@pytest.mark.parametrize("formulation", [Plain, PlainHeir, WholeHeir])
def test_ceilings_that_a_formulation_does_not_declare(formulation):
    m = clipped(0.5)
    with pytest.raises(TransformationError) as refusal:
        formulation().apply_to(m)
    text = str(refusal.value)
    assert formulation.NAME in text and "layer 0 of 'nn'" in text
    assert "ceiling 0.5" in text and "HANDLES_CEILINGS = True" in text
    assert m.nn.record.encoding is None
    assert m.nn.activation[0, 0].active


@pytest.mark.parametrize("formulation", [Declared, Heir, DeclaredHeir])
def test_ceilings_that_a_formulation_declares(formulation):
    m = clipped(0.5)
    formulation().apply_to(m)
    assert solve(m) == pytest.approx(0.375, abs=1e-6)


@pytest.mark.parametrize("formulation", [Plain, PlainHeir, Declared])
@pytest.mark.parametrize("ceiling", [2.5, 3.0, np.inf])
def test_ceilings_out_of_reach_concern_nobody(formulation, ceiling):
    m = clipped(ceiling)
    formulation().apply_to(m)
    assert solve(m) == pytest.approx(1.5, abs=1e-6)
    m.x[0].setub(1.0)
    assert m.nn.refresh()  # it need not be registered
    assert solve(m) == pytest.approx(0.75, abs=1e-6)


def test_all_formulations_of_ours_declare_that_they_handle_ceilings():
    assert transforms
    found = {
        name: cls
        for name in TransformationFactory
        if name.startswith("relu.")
        and isinstance(cls := TransformationFactory.get_class(name), type)
        and issubclass(cls, NetworkFormulation)
        and cls.__module__.startswith("pyomo_relu.")
    }
    assert {"relu.bigm", "relu.cells", "relu.gdp", "relu.sos1"} <= set(found)
    for name in set(found) - {"relu.auto"}:  # which applies others
        assert found[name].HANDLES_CEILINGS, name
