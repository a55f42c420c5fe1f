"""Relaxations contain every point of the network; linear models are checked."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from pyomo_relu.bounds.crown.interval import interval_bounds
from pyomo_relu.bounds.relaxation.model import relax_model
from pyomo_relu.bounds.relaxation.network import relax_layer, relax_window
from pyomo_relu.errors import BoundsError, InfeasibleError
from pyomo_relu.linear.box_rows import propagate
from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.network import INPUT, Layer, Network, Source
from tests.random_networks import boxes, networks, random_network, sample
from tests.thinned import examples


def lifted(network, bounds, columns, model, point, window=False):
    """The column values that a point of the network takes, binaries included.

    Where v has no column of its own, n slacks s = x - v follow on a block of n columns
    x; before that of clipped neurons are n columns v.
    """
    values = np.full(model.n_columns, np.nan)
    values[columns.inputs] = point
    pre, post = network.propagate(point[None])
    for k, at in columns.post.items():
        v, x = pre[k][0], post[k][0]
        values[at[at >= 0]] = x[at >= 0]
        own = columns.pre[k] is not None
        if own:
            values[columns.pre[k]] = v
        layer, unstable = network.layers[k], bounds.unstable(k)
        ceiling = layer.ceilings
        clipped = np.flatnonzero(unstable & (bounds.upper[k] > ceiling))
        plain = np.flatnonzero(unstable & (bounds.upper[k] <= ceiling))
        if not window or k in window:
            behind = at[plain] + plain.size
            if not own:
                values[behind] = x[plain] - v[plain]
                values[at[clipped] - clipped.size] = v[clipped]
            if window:
                z, q = columns.z[k], columns.q[k]
                values[z[z >= 0]] = v[z >= 0] > 0
                values[q[q >= 0]] = (v >= ceiling)[q >= 0]
    return values


def violation(model, values):
    """Largest violation of a bound or row, relative to the terms' size."""
    terms = abs(model.matrix) @ np.abs(values) + 1e-300
    rows = model.matrix @ values
    over = np.maximum(model.row_lower - rows, rows - model.row_upper) / terms
    outside = np.maximum(model.lower - values, values - model.upper)
    outside = outside / (np.abs(values) + 1e-300)
    return max(over.max(initial=0.0), outside.max(initial=0.0))


@settings(max_examples=examples(50, 100), deadline=None)
@given(data=st.data())
def test_every_point_of_the_network_is_feasible(data):
    network = data.draw(networks())
    lower, upper = data.draw(boxes(network.n_inputs))
    bounds = interval_bounds(network, lower, upper)
    layer = len(network.layers) - 1
    model, columns = relax_layer(network, bounds, layer)
    exact, exact_columns = relax_window(network, bounds, layer, layer)
    for point in sample(0, lower, upper, 20):
        values = lifted(network, bounds, columns, model, point)
        assert violation(model, values) < 1e-12
        window = set(range(layer))
        values = lifted(network, bounds, exact_columns, exact, point, window)
        assert violation(exact, values) < 1e-12


def test_an_unstable_neuron_takes_two_columns_and_two_rows():
    network = Network.sequential(
        [[[1.0], [1.0], [1.0]], np.ones((1, 3))], [[0.0, 5.0, -5.0], [0.0]]
    )
    bounds = interval_bounds(network, -1.0, 3.0)
    model, columns = relax_layer(network, bounds, 1)
    # The active neuron takes one of each, the inactive one nothing.
    assert model.matrix.shape == (3, 4)
    assert columns.post[0].tolist() == [2, 1, -1]
    # Triangle: -L / U x + s <= -L with L = -1, U = 3 and the quotient rounded down.
    row, L, U = model.matrix.toarray()[2], bounds.lower[0][0], bounds.upper[0][0]
    assert model.row_upper[2] == -L
    assert row == pytest.approx([0.0, 0.0, 1 / 3, 1.0])
    assert Fraction(row[2]) * Fraction(U) <= Fraction(-L)


def test_only_ancestors_are_in_the_relaxation():
    w = np.eye(2)
    layers = [
        Layer([Source(INPUT)], [w], [0.1, 0.2]),
        Layer([Source(INPUT)], [w], [0.3, 0.4]),
        Layer([Source(1)], [w], [0.0, 0.0], "identity"),
    ]
    network = Network(layers, [("x", (2,))], [("y", (2,))])
    model, columns = relax_layer(network, interval_bounds(network, -1.0, 1.0), 2)
    assert list(columns.post) == [1] and model.n_columns == 2 + 4


def test_equilibration_is_exact():
    rng = np.random.default_rng(0)
    A = sparse.csr_array(rng.normal(size=(5, 4)) * 10.0 ** rng.integers(-6, 6, (5, 4)))
    model = LinearModel(
        A, np.full(5, -np.inf), np.ones(5), -np.arange(4.0), np.arange(4.0)
    )
    scaled, scale = model.equilibrated()
    x = rng.uniform(model.lower, model.upper)
    rows = model.row_upper / scaled.row_upper
    assert np.array_equal((scaled.matrix.toarray().T * rows).T / scale, A.toarray())
    assert np.array_equal(scaled.upper * scale, model.upper)
    assert np.all(np.abs(x / scale) < 2.0)
    largest = abs(scaled.matrix).max(axis=1).toarray()
    assert np.all((largest >= 1) & (largest < 2))


def test_bad_models_are_refused():
    one = sparse.csr_array([[1.0]])
    with pytest.raises(BoundsError, match="needs two bounds per row"):
        LinearModel(one, [0.0, 1.0], [1.0], [0.0], [1.0])
    with pytest.raises(BoundsError, match="column bound of the linear model is NaN"):
        LinearModel(one, [0.0], [1.0], [np.nan], [1.0])
    with pytest.raises(
        BoundsError, match="coefficient of the linear model is infinite"
    ):
        LinearModel(sparse.csr_array([[np.inf]]), [0.0], [1.0], [0.0], [1.0])
    network = random_network(0, 2, (3,), 1)
    with pytest.raises(
        BoundsError, match="2 inputs and 1 output, but got columns for 1 and 1"
    ):
        EmbeddedNetwork(network, [0], [1], "surrogate")


def test_propagation_finds_implied_bounds_and_contradictions():
    inf = np.inf
    model = LinearModel(
        sparse.csr_array([[1.0, 1.0, 0.0], [0.0, 2.0, -1.0]]),
        [-inf, 0.0],
        [4.0, 0.0],
        [1.0, 0.5, -inf],
        [inf, inf, inf],
        [False, True, False],
    )
    lower, upper = propagate(model)
    assert lower == pytest.approx([1.0, 1.0, 2.0])
    assert upper == pytest.approx([3.0, 3.0, 6.0])
    wrong = model.replace(names=("a", "b", "c")).with_row([0], [1.0], 10.0, inf)
    with pytest.raises(InfeasibleError, match="^. must lie in .* which is empty"):
        propagate(wrong)


def test_one_column_may_feed_two_inputs():
    network = random_network(1, 2, (4,), 1)
    model = LinearModel(
        sparse.csr_array((0, 2)), [], [], [-1.0, -np.inf], [1.0, np.inf]
    )
    bounds = interval_bounds(network, -1.0, 1.0)
    embedded = EmbeddedModel(model, [EmbeddedNetwork(network, [0, 0], [1])])
    joint, columns = relax_model(embedded, [bounds])
    values = lifted(network, bounds, columns[0], joint, np.array([0.3, 0.3]))
    values[:2] = 0.3, network.forward([[0.3, 0.3]])[0, 0]
    assert violation(joint, values) < 1e-12
    values[1] += 1e-3
    assert violation(joint, values) > 1e-6


@pytest.mark.parametrize("twice", [False, True])
def test_parts_that_were_made_before_give_the_same_relaxation(twice):
    rng = np.random.default_rng(0)
    networks = [
        random_network(rng, 2, (5, 4), 2, pre=bool(i % 2), clipped=True)
        for i in range(3)
    ]
    n = 12
    linear = LinearModel(
        sparse.csr_array(rng.normal(size=(2, n))),
        np.full(2, -np.inf),
        np.ones(2),
        np.full(n, -1.0),
        np.full(n, 1.0),
    )
    functions = [
        EmbeddedNetwork(
            net, [4 * i, 4 * i if twice else 4 * i + 1], [4 * i + 2, 4 * i + 3]
        )
        for i, net in enumerate(networks)
    ]
    model = EmbeddedModel(
        linear.replace(lower=np.full(n, -9.0), upper=np.full(n, 9.0)), functions
    )
    wide = [interval_bounds(net, -1.0, 1.0) for net in networks]
    narrow = [interval_bounds(net, -0.5, 0.5) for net in networks]
    parts = {}
    for chosen in (
        wide,
        [None, *wide[1:]],
        [narrow[0], *wide[1:]],
        [narrow[0], None, narrow[2]],
        wide,
    ):
        (one, at), (other, there) = (
            relax_model(model, chosen),
            relax_model(model, chosen, parts),
        )
        assert one.matrix.shape == other.matrix.shape
        assert abs(one.matrix - other.matrix).max() == 0
        for name in ("lower", "upper", "row_lower", "row_upper", "integer"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        for a, b in zip(at, there, strict=True):
            assert (a is None) == (b is None)
            for k in a.post if a is not None else ():
                np.testing.assert_array_equal(a.post[k], b.post[k])
    assert len(parts) == (0 if twice else 3)
