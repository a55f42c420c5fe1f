"""Networks without much in them, and models that leave them nothing to vary."""

import numpy as np
import pyomo.environ as pyo
import pytest
from scipy import sparse

from pyomo_relu import Layer, Network, ReLUNetworkBlock
from pyomo_relu.analysis import (
    big_m_statistics,
    count_regions,
    critical_neurons,
    lagrangian_bound,
    measure_effort,
    stability,
)
from pyomo_relu.bounds import crown_bounds, interval_bounds, split_bounds, tighten
from pyomo_relu.network import INPUT, Source
from pyomo_relu.search import find_point, minimise_over_box
from tests.networks import chain
from tests.transform.battery import BY_NAME, FORMULATIONS

LOW, HIGH = -1.0, 1.5
BOX = [Source(INPUT)]


def _networks():
    r = np.random.default_rng(0)
    w = lambda *shape: r.normal(size=shape)
    last = lambda sources, *shapes: Layer(
        sources, [w(1, n) for n in shapes], [0.1], "identity"
    )
    both = [Source(0), Source(INPUT)]
    chains = {
        "one neuron": chain([1, 1, 1], seed=3),
        "one neuron, all weights 1": Network.sequential([[[1.0]], [[1.0]]], [[0], [0]]),
        "all active": Network.sequential([w(3, 2), w(1, 3)], [[9.0] * 3, [0.0]]),
        "all inactive": Network.sequential([w(3, 2), w(1, 3)], [[-9.0] * 3, [0.0]]),
        "all at the ceiling": Network.sequential(
            [w(3, 2), w(1, 3)], [[9.0] * 3, [0.0]], [1.0]
        ),
        "an input without weight": Network.sequential(
            [[[1.0, 0.0], [-1.0, 0.0]], [[1.0, 2.0]]], [[0.1, 0.2], [0.0]]
        ),
        "equal neurons": Network.sequential(
            [[[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]], [[1.0, -2.0, 1.0]]],
            [[0.1, 0.1, 0.2], [0.0]],
        ),
    }
    layers = {
        "a constant layer beside another": [
            Layer([], [], [1.0, -1.0, 0.0]),
            Layer(BOX, [w(3, 2)], w(3)),
            last([Source(0), Source(1)], 3, 3),
        ],
        "a constant layer read by another": [
            Layer([], [], [1.0, 3.0], "clipped", [2.0, 2.0]),
            Layer(both, [w(3, 2), w(3, 2)], w(3)),
            last([Source(1)], 3),
        ],
        "a layer of zero weights": [
            Layer(BOX, [np.zeros((3, 2))], [1.0, -1.0, 0.0]),
            Layer(both, [w(2, 3), w(2, 2)], w(2)),
            last([Source(1)], 2),
        ],
        "a sparse layer of zero weights": [
            Layer(BOX, [sparse.csr_array((3, 2))], [1.0, -1.0, 0.0]),
            Layer(both, [sparse.csr_array(w(2, 3)), sparse.csr_array((2, 2))], w(2)),
            last([Source(1)], 2),
        ],
        "constant outputs": [
            Layer(BOX, [w(3, 2)], w(3)),
            Layer([], [], [2.5], "identity"),
        ],
        "no neurons": [last(BOX, 2)],
        "no neurons and constant": [Layer([], [], [0.3], "identity")],
        "neurons that nothing reads": [
            Layer(BOX, [w(3, 2)], w(3)),
            Layer(BOX, [w(2, 2)], w(2)),
            last([Source(0)], 3),
        ],
    }
    built = {
        name: Network(each, [("x", (2,))], [("y", (1,))], name)
        for name, each in layers.items()
    }
    return chains | built


NETWORKS = _networks()
CONSTANT = [name for name in NETWORKS if "constant" in name or "zero" in name]


def model(network, inputs="free"):
    """One network over a box; how many of its inputs vary is in ``inputs``."""
    m = pyo.ConcreteModel()
    n = network.n_inputs
    m.x = pyo.Var(range(n), bounds=(LOW, HIGH))
    if inputs == "a point":
        m.x.setlb(0.4)
        m.x.setub(0.4)
    for var in {"one fixed": [m.x[0]], "fixed": m.x.values()}.get(inputs, []):
        var.fix(0.4)
    given = [m.x[0]] * n if inputs == "the same" else m.x
    m.nn = ReLUNetworkBlock(network=network, inputs=given)
    m.objective = pyo.Objective(expr=m.nn.outputs[0], sense=pyo.maximize)
    return m


def truth(network, inputs="free"):
    """The largest output on a grid, which has the kinks' neighbourhoods."""
    n, axis = network.n_inputs, np.linspace(LOW, HIGH, 251)
    axes = [axis] * n
    if inputs == "one fixed":
        axes[0] = np.array([0.4])
    if inputs in ("fixed", "a point"):
        axes = [np.array([0.4])] * n
    X = np.stack([a.ravel() for a in np.meshgrid(*axes)], axis=1)
    return network.forward(X if inputs != "the same" else np.stack([axis] * n, 1)).max()


def check(m, expected, tolerance):
    got = pyo.value(m.objective)
    assert got == pytest.approx(expected, abs=tolerance * max(1.0, abs(expected)))
    assert m.nn.forward_error() <= tolerance * max(1.0, abs(expected))


@pytest.mark.covering(3)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("formulation", FORMULATIONS, ids=str)
def test_formulations(name, formulation):
    m = model(NETWORKS[name])
    token = formulation.apply(m)
    m.nn.initialize([0.4] * NETWORKS[name].n_inputs)
    assert formulation.name in m.nn.summary() or formulation.name == "relu.auto"
    formulation.solve(m)
    check(m, truth(NETWORKS[name]), 5e-3)
    formulation.transformation.apply_to(m, reverse=token)


@pytest.mark.covering(2)
@pytest.mark.parametrize("inputs", ["one fixed", "fixed", "a point", "the same"])
@pytest.mark.parametrize("formulation", BY_NAME, ids=str)
def test_inputs_that_do_not_vary(inputs, formulation):
    for name in (*CONSTANT, "all active", "equal neurons", "one neuron"):
        m = model(NETWORKS[name], inputs)
        formulation.apply(m)
        formulation.solve(m)
        check(m, truth(NETWORKS[name], inputs), 5e-3)


@pytest.mark.covering(2)
@pytest.mark.parametrize("inputs", ["free", "one fixed", "fixed", "the same"])
@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_then_big_m_and_branching(name, inputs):
    methods = ["interval", "crown", "split", "lp", "milp"]
    for scope in ("network", "model"):
        m = model(NETWORKS[name], inputs)
        pyo.TransformationFactory("relu.obbt").apply_to(m, methods=methods, scope=scope)
        pyo.TransformationFactory("relu.bigm").apply_to(m)
        pyo.SolverFactory("appsi_highs").solve(m)
        check(m, truth(NETWORKS[name], inputs), 5e-3)
    m = model(NETWORKS[name], inputs)
    pyo.SolverFactory("relu.branch").solve(m, mip_gap=0, abs_gap=1e-6)
    check(m, truth(NETWORKS[name], inputs), 5e-3)


@pytest.mark.covering(1)
@pytest.mark.parametrize("inputs", ["free", "fixed", "the same"])
@pytest.mark.parametrize("name", NETWORKS)
def test_searches(name, inputs):
    expected = truth(NETWORKS[name], inputs)
    m = model(NETWORKS[name], inputs)
    every = ("samples", "ascent", "walk", "sample_mip")
    result = find_point(m, methods=every, time_limit=None, max_rounds=1)
    assert result.found and result.objective <= expected + 5e-3
    pyo.TransformationFactory("relu.warmstart").apply_to(m, methods=["samples"])
    assert m.nn.forward_error() <= 1e-6


@pytest.mark.parametrize("name", NETWORKS)
def test_bound_methods_and_analysis(name):
    network = NETWORKS[name]
    best = truth(network)
    x, value = minimise_over_box(network, [-1.0], LOW, HIGH)
    assert value == pytest.approx(-network.forward(x)[0], rel=1e-12, abs=1e-12)
    assert -value <= best + 5e-3
    bounds = {
        "interval": interval_bounds(network, LOW, HIGH),
        "crown": crown_bounds(network, LOW, HIGH, alpha_steps=2),
        "split": split_bounds(network, LOW, HIGH, max_cells=16),
        "all": tighten(network, LOW, HIGH)[0],
    }
    for record in bounds.values():
        record = record[0] if isinstance(record, tuple) else record
        assert record.upper[-1][0] >= best - 1e-9
    bounds = {
        method: record[0] if isinstance(record, tuple) else record
        for method, record in bounds.items()
    }
    assert str(stability(bounds)) and str(big_m_statistics(bounds))
    assert len(critical_neurons(bounds["crown"])) == len(network.layers)
    counts = {
        method: count_regions(network, LOW, HIGH, method=method, n_samples=2000)
        for method in ("auto", "lp", "sampling")
    }
    assert (
        counts["auto"].exact and counts["lp"].lower_bound == counts["auto"].lower_bound
    )
    assert counts["sampling"].lower_bound <= counts["auto"].lower_bound
    found = lagrangian_bound([network, network], LOW, HIGH, weights=[-0.5, -0.5])
    assert found.bound <= -best + 1e-6 and found.gap <= 1e-3 * max(1.0, abs(best))
    effort = measure_effort(model(network), ["relu.bigm"])
    assert effort.objective == pytest.approx(best, abs=5e-3 * max(1.0, abs(best)))
