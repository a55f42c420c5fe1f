"""relu.scaled: factors, units, coefficient ranges and leakage."""

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from pyomo_relu.common.powers import is_power_of_two
from pyomo_relu.errors import NetworkError, TransformationError
from pyomo_relu.network import l1_factors, max_factors, rescale_network
from pyomo_relu.network.rescale import l1_norm, power_of_two
from tests.networks import chain, residual
from tests.random_networks import networks, random_network
from tests.transform.battery import box_model, lp_bound, samples, snapshot
from tests.truth import solve


def scaled():
    return pyo.TransformationFactory("relu.scaled")


def badly_scaled(seed, decades=4, sizes=(2, 8, 8, 1)):
    """A network whose neurons are in units that differ by many orders of magnitude."""
    network = chain(sizes, seed=seed)
    rng = np.random.default_rng(seed)
    sizes = [layer.size for layer in network.activation_layers]
    return rescale_network(
        network, [10.0 ** rng.uniform(-decades, decades, n) for n in sizes]
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(networks(), st.integers(0, 2**32 - 1))
def test_powers_of_two_keep_the_function_bit_for_bit(network, seed):
    rng = np.random.default_rng(seed)
    factors = [
        np.exp2(rng.integers(-20, 20, layer.size))
        for layer in network.activation_layers
    ]
    points = samples(network, n=50)
    same = rescale_network(network, factors)
    assert np.array_equal(same.forward(points), network.forward(points))
    for one, two, s in zip(
        same.pre_activations(points),
        network.pre_activations(points),
        factors,
        strict=True,
    ):
        assert np.array_equal(one, s * two)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(networks(scales=[1.0, 1e-3, 30.0]))
def test_criteria_keep_the_function(network):
    points = samples(network, n=50)
    y = network.forward(points)
    for factors in (l1_factors(network), max_factors(network)):
        same = rescale_network(network, factors).forward(points)
        size = sum(float(np.abs(p).max()) for p in network.propagate(points)[0])
        assert np.max(np.abs(same - y)) <= 1e-9 * max(1.0, size)


@pytest.mark.parametrize("seed", range(3))
def test_l1_sweep_finds_the_optimum_of_the_convex_problem(seed):
    network = random_network(seed, 2, (5, 4, 3), residual=True, pre=seed > 0)
    sizes = [layer.size for layer in network.activation_layers]

    def norm(t):
        factors = np.split(np.exp(t), np.cumsum(sizes)[:-1])
        return l1_norm(rescale_network(network, factors))

    best = minimize(norm, np.zeros(sum(sizes)), method="L-BFGS-B")
    factors = l1_factors(network)
    assert l1_norm(rescale_network(network, factors)) <= best.fun * (1 + 1e-5)
    assert l1_norm(rescale_network(network, factors)) < l1_norm(network)


def test_max_balances_the_largest_weights():
    network = chain([2, 5, 4, 1], seed=3)
    same = rescale_network(network, max_factors(network))
    incoming, outgoing = (abs(w.weights[0]) for w in same.layers[:2])
    assert incoming.max(axis=1) == pytest.approx(outgoing.max(axis=0), rel=1e-6)


def test_dead_neurons_keep_their_units():
    network = chain([2, 3, 1], seed=0)
    first, last = network.layers
    w, b, out = (np.array(a) for a in (first.weights[0], first.bias, last.weights[0]))
    w[0], b[0], out[0, 1] = 0.0, 0.0, 0.0
    dead = type(network).sequential([w, out], [b, last.bias])
    assert l1_factors(dead)[0][0] == 1.0 and l1_factors(dead)[0][1] == 1.0


def test_power_of_two_rounding():
    (nearest,) = power_of_two([np.array([0.3, 1.0, 3.0, 1000.0])])
    assert nearest.tolist() == [0.25, 1.0, 4.0, 1024.0]
    assert power_of_two([np.array([3.0])], up=False)[0] == 2.0
    assert power_of_two([np.array([3.0])], up=True)[0] == 4.0


@pytest.mark.parametrize("rounding", [True, False])
def test_unit_puts_post_activations_in_the_unit_interval(rounding):
    m = box_model(badly_scaled(0))
    scaled().apply_to(m, criterion="unit", rounding=rounding)
    encoding = m.nn.record.encoding
    new = encoding.reformulation
    for (k, i), var in new.scaled_post.items():
        # neurons in far units get powers of two all the same
        rounded = is_power_of_two(encoding.neurons.factors[k][i])
        assert rounding <= rounded
        assert var.ub == 0 or (0.5 if rounded else 1 - 1e-9) <= var.ub <= 1 + 1e-9
    for (_, _, label), row in new.rows.items():
        if label == "inactive":
            assert max(np.abs(row.body.linear_coefs)) <= 1 + 1e-9


@pytest.mark.parametrize("criterion", ["l1", "unit", "max"])
def test_readers_get_original_units(criterion):
    network = badly_scaled(1, decades=2)
    m, plain = box_model(network), box_model(network)
    scaled().apply_to(m, criterion=criterion)
    big_m = pyo.TransformationFactory("relu.bigm")
    big_m.apply_to(plain)
    for key, row in m.nn.activation.items():
        assert scaled().get_M_value(row) == big_m.get_M_value(plain.nn.activation[key])
        assert m.nn.pre[key].bounds == plain.nn.pre[key].bounds
        assert m.nn.post[key].bounds == plain.nn.post[key].bounds
    solve(m)
    x = [v.value for v in m.nn.input_vars()]
    for k, values in enumerate(network.pre_activations(x)):
        for i, v in enumerate(values[0]):
            assert m.nn.pre[k, i].value == pytest.approx(v, abs=1e-5, rel=1e-5)
    # the modeller's own rows on neurons are in original units as well
    m.own = pyo.Constraint(expr=m.nn.post[1, 0] <= 0.5 * m.nn.post[1, 0].ub)
    plain.own = pyo.Constraint(expr=plain.nn.post[1, 0] <= 0.5 * plain.nn.post[1, 0].ub)
    assert solve(m) == pytest.approx(solve(plain), abs=1e-5)


@pytest.mark.parametrize("criterion", ["l1", "unit", "max"])
def test_neither_lp_bound_nor_stability_change(criterion):
    for network in (residual(7), chain([3, 6, 6, 2], seed=8)):
        m, plain = box_model(network), box_model(network)
        scaled().apply_to(m, criterion=criterion)
        pyo.TransformationFactory("relu.bigm").apply_to(plain)
        assert lp_bound(m) == pytest.approx(lp_bound(plain), abs=1e-7)
        one, two = m.nn.record.encoding, plain.nn.record.encoding
        indicators = [k for k, _ in one.reformulation.indicator.items()]
        assert indicators == [k for k, _ in two.reformulation.indicator.items()]


@pytest.mark.parametrize("seed", range(3))
def test_coefficient_range_shrinks_on_badly_scaled_networks(seed):
    m = box_model(badly_scaled(seed))
    scaled().apply_to(m)
    ranges = scaled().get_coefficient_ranges(m.nn)
    assert ranges["after"].ratio < 1e-3 * ranges["before"].ratio
    assert ranges["links"].largest > 100
    assert len(scaled().get_factors(m.nn)) == 2


def test_coefficient_range_without_scaling_is_big_ms():
    m = box_model(chain([2, 4, 1]))
    scaled().apply_to(m, factors=1)
    ranges = scaled().get_coefficient_ranges(m.nn)
    assert ranges["before"] == ranges["after"]
    assert np.isnan(ranges["links"].largest)


@pytest.mark.parametrize("name", ["relu.bigm", "relu.scaled"])
def test_no_leakage_through_the_integrality_tolerance(name):
    """Outputs are of order one; units differ by up to twelve decades."""
    for seed, sizes in ((0, (2, 8, 8, 1)), (0, (3, 10, 10, 1)), (3, (3, 10, 10, 1))):
        m = box_model(badly_scaled(seed, 6, sizes))
        pyo.TransformationFactory(name).apply_to(m)
        pyo.assert_optimal_termination(pyo.SolverFactory("appsi_highs").solve(m))
        x = [v.value for v in m.nn.input_vars()]
        (y,) = m.nn.network.forward(x)
        assert m.nn.outputs[0].value == pytest.approx(float(y), abs=1e-8)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"factors": 0}, "positive"),
        ({"factors": float("inf")}, "finite"),
        ({"factors": [1.0]}, "2 activation layers"),
        ({"factors": {(0, 99): 2.0}}, "no neuron"),
    ],
    ids=str,
)
def test_wrong_factors(options, message):
    m = box_model(chain([2, 4, 4, 1]))
    before = snapshot(m)
    with pytest.raises(TransformationError, match=message):
        scaled().apply_to(m, **options)
    with pytest.raises(ValueError):
        scaled().apply_to(m, criterion="l2")
    assert snapshot(m) == before


def test_factors_that_do_not_fit_a_network():
    network = chain([2, 4, 1])
    with pytest.raises(NetworkError, match="do not fit"):
        rescale_network(network, [np.ones(3)])
    with pytest.raises(NetworkError, match="positive and finite"):
        rescale_network(network, [np.zeros(4)])


def test_factors_of_another_formulation():
    m = box_model()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    with pytest.raises(TransformationError, match="no factors"):
        scaled().get_factors(m.nn)
    with pytest.raises(TransformationError, match="no factors"):
        scaled().get_coefficient_ranges(m.nn)
