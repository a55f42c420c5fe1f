"""Relaxations contain every point of the network; linear models are checked."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from pyomo_relu.bounds.interval import interval_bounds
from pyomo_relu.bounds.relaxation import relax_layer, relax_window
from pyomo_relu.bounds.relaxation_linear import LinearModel, power_of_two
from pyomo_relu.bounds.relaxation_model import (
    EmbeddedNetwork,
    propagate,
    relax_model,
)
from pyomo_relu.errors import BoundsError, InfeasibleError
from pyomo_relu.network import INPUT, Layer, Network, Source
from tests.random_networks import boxes, networks, random_network, sample


def lifted(network, bounds, columns, model, point):
    """The column values that a point of the network takes, binaries included.

    Slacks and binaries are not recorded by NetworkColumns: they are found from the rows
    that hold them, one unknown after the other.
    """
    values = np.full(model.n_columns, np.nan)
    values[columns.inputs] = point
    pre, post = network.propagate(point[None])
    for k, at in columns.post.items():
        values[at[at >= 0]] = post[k][0][at >= 0]
        if columns.pre[k] is not None:
            values[columns.pre[k]] = pre[k][0]
    return values


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_point_of_the_network_is_feasible(data):
    network = data.draw(networks(scales=[1.0, 0.1, 3.0]))
    lower, upper = data.draw(boxes(network.n_inputs))
    bounds = interval_bounds(network, lower, upper)
    layer = len(network.layers) - 1
    if data.draw(st.booleans()):
        model, columns = relax_window(network, bounds, layer, 2)
    else:
        model, columns = relax_layer(network, bounds, layer)
    for point in sample(0, lower, upper, 5)[:12]:
        values = lifted(network, bounds, columns, model, point)
        assert remaining_is_feasible(model, values)


def remaining_is_feasible(model, values):
    """Is there a value for the columns that are NaN?  Solved as a MILP by scipy."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    known = np.isfinite(values)
    size = 1e-7 * (1.0 + np.abs(np.where(known, values, 0.0)))
    lower = np.where(known, values - size, model.lower)
    upper = np.where(known, values + size, model.upper)
    answer = milp(
        np.zeros(model.n_columns),
        integrality=model.integer.astype(int),
        bounds=Bounds(lower, upper),
        constraints=(
            LinearConstraint(model.matrix, model.row_lower, model.row_upper)
            if model.n_rows
            else None
        ),
    )
    return answer.status == 0


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


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-80, 1e80))
def test_power_of_two(size):
    p = float(power_of_two(size))
    assert p <= size < 2 * p and np.frexp(p)[0] == 0.5


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
    with pytest.raises(BoundsError, match="2 inputs and 1 outputs, but 1 and 1"):
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
    joint, _ = relax_model(model, [EmbeddedNetwork(network, [0, 0], [1])], [bounds])
    x = 0.3
    y = network.forward([[x, x]])[0, 0]
    values = np.full(joint.n_columns, np.nan)
    values[:2] = x, y
    assert remaining_is_feasible(joint, values)
    values[1] = y + 10.0
    assert not remaining_is_feasible(joint, values)
