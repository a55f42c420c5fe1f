"""Neurons in units below solvers' tolerances: rescaled, or announced."""

import logging

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.bounds import crown_bounds
from pyomo_relu.bounds.resolution import smallest_unit
from pyomo_relu.network import Network

#: Right whatever the units.
RESCALED = ("relu.scaled", "relu.auto", "relu.branch")

#: Right, or announced.
OTHERS = ("relu.bigm", "relu.partition", "relu.cuts", "relu.reduce", "relu.gdp")


class Warnings(logging.Handler):
    """Collects the package's warnings."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def networks(seed, exponents):
    """A network, and the same function with neurons in other units."""
    rng = np.random.default_rng(seed)
    first, last = rng.normal(size=(len(exponents), 2)), rng.normal(size=len(exponents))
    bias, units = 0.3 * rng.normal(size=len(exponents)), 2.0 ** np.array(exponents)
    plain = Network.sequential([first, [last]], [bias, [0.0]])
    weights = [first * units[:, None], [last / units]]
    return plain, Network.sequential(weights, [bias * units, [0.0]])


def solved(network, name):
    """The largest output by a route, and the warnings on the way."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    m.objective = pyo.Objective(expr=m.nn.outputs[0], sense=pyo.maximize)
    logger, heard = logging.getLogger("pyomo.relu"), Warnings()
    logger.addHandler(heard)
    try:
        if name == "relu.branch":
            pyo.SolverFactory(name).solve(m)
        else:
            pyo.TransformationFactory(name).apply_to(m)
            if name == "relu.gdp":
                pyo.TransformationFactory("gdp.bigm").apply_to(m)
            pyo.SolverFactory("appsi_highs").solve(m)
    finally:
        logger.removeHandler(heard)
    return pyo.value(m.objective), [t for t in heard.texts if "tolerance" in t]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**16), st.lists(st.integers(-30, 4), min_size=3, max_size=5))
@example(2412, [-21, 0, 0])  # a stable neuron's rows may be off as well
def test_no_unit_of_a_neuron_makes_a_false_optimum_in_silence(seed, exponents):
    plain, other = networks(seed, exponents)
    right, heard = solved(plain, "relu.bigm")
    assert not heard
    for name in RESCALED:
        found, heard = solved(other, name)
        assert found == pytest.approx(right, rel=1e-3, abs=1e-4) and not heard
    found, heard = solved(other, OTHERS[seed % len(OTHERS)])
    assert heard or found == pytest.approx(right, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("name", ["relu.auto", "relu.bigm"])
def test_stable_neurons_count(name):
    weights = [[[1e-8, 0.0], [0.0, 1e-8]], [[1e8, -1e8]]]
    network = Network.sequential(weights, [[2e-8, 2e-8], [0.0]])
    found, heard = solved(network, name)
    if name == "relu.auto":
        assert found == pytest.approx(2.0, abs=1e-5) and not heard
    else:
        assert heard


@pytest.mark.parametrize("name", [*OTHERS, "relu.sos1", "relu.complementarity"])
def test_the_warning_names_the_neuron_and_the_remedy(name, caplog):
    weights = [[[1.0, 1.0], [1e-8, -1e-8]], [[1.0, 1e8]]]
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    network = Network.sequential(weights, [[0.3, 0.0], [0.0]])
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    with caplog.at_level(logging.WARNING, "pyomo.relu"):
        pyo.TransformationFactory(name).apply_to(m)
    (text,) = [r.message for r in caplog.records if "feasibility" in r.message]
    for part in ("neuron 1 of layer 0", "below 2e-08", "relu.scaled", "relu.branch"):
        assert part in text
    assert "feasibility tolerance" in m.nn.summary()


def test_the_unit_of_the_columns_counts():
    plain, other = networks(3, [-27, 0, 0])
    bounds = crown_bounds(other, -1, 1)
    rows = [np.ones(3, dtype=bool)]
    leak = smallest_unit(bounds, rows)
    assert (leak.layer, leak.neuron, leak.count) == (0, 0, 1)
    assert smallest_unit(crown_bounds(plain, -1, 1), rows) is None
    units = [np.array([2.0**-27, 1.0, 1.0])]
    assert smallest_unit(bounds, rows, units=units) is None
    assert smallest_unit(bounds, [np.array([False, True, True])]) is None
