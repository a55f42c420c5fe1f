"""Models with functions in them: order, completed points, what feasible means."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.embedded import (
    FEASIBILITY,
    EmbeddedModel,
    EmbeddedNetwork,
    Units,
)
from pyomo_relu.linear.evaluation import Evaluation, in_units
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.network import Network
from tests.random_networks import alike, networks, random_network

LINE = Network.sequential([[[2.0]]], [[1.0]])


class Product:
    """The function ``x_i x_j``: anything with these members will do."""

    name = "product"

    def __init__(self, inputs, outputs):
        self.inputs, self.outputs = np.array(inputs), np.array(outputs)

    def values(self, X):
        return X.prod(axis=1, keepdims=True)


def free_columns(n, **changes):
    return LinearModel(
        sparse.csr_array((0, n)), [], [], np.full(n, -np.inf), np.full(n, np.inf)
    ).replace(**changes)


def lines(*ends, n=5):
    """y = 2 x + 1 between pairs of columns."""
    return EmbeddedModel(
        free_columns(n),
        [EmbeddedNetwork(LINE, [i], [j], f"{i} to {j}") for i, j in ends],
    )


# -- order -----------------------------------------------------------------------------


def test_a_function_comes_after_those_it_reads():
    model = lines((2, 3), (0, 1), (1, 2), (0, 4))
    assert model.order(strict=True) == [1, 3, 2, 0]
    assert not model.circular
    assert model.input_columns().tolist() == [0]
    assert model.output_columns().tolist() == [1, 2, 3, 4]
    assert model.complete([1.0, 0, 0, 0, 0]).tolist() == [1, 3, 7, 15, 3]


def test_functions_in_a_circle_are_named():
    model = lines((3, 4), (1, 2), (2, 1), (0, 3))
    assert model.circular
    assert sorted(model.order()) == [0, 1, 2, 3]
    with pytest.raises(BoundsError, match="'1 to 2', '2 to 1'.*in a circle"):
        model.order(strict=True)
    # one pass; a point at which both hold stays as it is
    fixed = np.array([0.0, -1.0, -1.0, 1.0, 3.0])
    assert np.array_equal(model.complete(fixed), fixed)
    assert model.violation(fixed) == 0.0
    assert model.violation(model.complete(np.zeros(5))) > FEASIBILITY
    assert lines((1, 1)).circular


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_chain_is_ordered_whatever_order_it_is_given_in(data):
    n = data.draw(st.integers(1, 8))
    ends = data.draw(st.permutations([(j, j + 1) for j in range(n)]))
    model = lines(*ends, n=n + 1)
    assert [ends[i][0] for i in model.order(strict=True)] == list(range(n))


# -- points ----------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(networks(), st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_completed_points_are_those_of_the_network(network, seed, n_points):
    rng = np.random.default_rng(seed)
    n, m = network.n_inputs, network.n_outputs
    columns = rng.permutation(n + m + 2)
    inputs, outputs = columns[:n], columns[n : n + m]
    costs = rng.normal(size=columns.size)
    model = EmbeddedModel(
        free_columns(columns.size),
        [EmbeddedNetwork(network, inputs, outputs)],
        costs,
        0.5,
    )
    X = rng.uniform(-2.0, 2.0, (n_points, columns.size))
    before, full = X.copy(), model.complete(X)
    assert np.array_equal(X, before)
    assert np.array_equal(full[:, outputs], network.forward(X[:, inputs]))
    others = np.setdiff1d(columns, outputs)
    assert np.array_equal(full[:, others], X[:, others])
    assert model.violation(full).tolist() == [0.0] * n_points
    assert model.objective(full) == pytest.approx(full @ costs + 0.5)
    assert np.array_equal(model.complete(X, keep=columns), X)
    if n_points:
        one = model.complete(X[0])
        assert one == pytest.approx(full[0], rel=1e-9, abs=1e-9)
        off = full.copy()
        off[:, outputs[0]] += 0.5 * (1.0 + np.abs(off[:, outputs[0]]))
        assert np.all(model.violation(off) > FEASIBILITY)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-30, 30), st.integers(-30, 30))
def test_unit_range_keeps_points_values_and_feasibility(seed, a, b):
    """Chained networks, columns multiplied by powers of two: the same model."""
    rng = np.random.default_rng(seed)
    first = EmbeddedNetwork(random_network(rng, 2, (5,), 1), [0, 1], [2])
    second = EmbeddedNetwork(random_network(rng, 1, (4,), 1), [2], [3])
    plain = LinearModel(
        sparse.csr_array(rng.normal(size=(2, 4))),
        [-1.0, -np.inf],
        [1.0, 0.5],
        [-1.0, -1.0, -np.inf, -np.inf],
        [1.0, 1.0, np.inf, np.inf],
    )
    factor = np.ldexp(1.0, [a, b, 0, a])
    linear = plain.replace(
        matrix=plain.matrix @ sparse.diags_array(1.0 / factor),
        lower=plain.lower * factor,
        upper=plain.upper * factor,
    )
    functions = [f.in_units(1.0 / factor) for f in (second, first)]
    model = EmbeddedModel(linear, functions, rng.normal(size=4) / factor, 3.0)
    unit = model.in_unit_range()
    assert unit.units.identity and unit.in_unit_range() is unit
    X = model.complete(rng.uniform(-1.0, 1.0, (50, 4)) * factor)
    there = unit.complete(X / model.units.columns)
    assert np.array_equal(there * model.units.columns, X)
    assert unit.objective(there) * model.units.objective == pytest.approx(
        model.objective(X)
    )
    feasible = model.violation(X) <= FEASIBILITY
    assert np.array_equal(unit.violation(there) <= FEASIBILITY, feasible)


def test_everything_that_can_be_violated_counts():
    network = EmbeddedNetwork(LINE, [0], [1])
    linear = LinearModel(
        sparse.csr_array([[1.0, 1.0, 1.0]]),
        [-np.inf],
        [4.0],
        [-1.0, -np.inf, 0.0],
        [1.0, np.inf, 3.0],
        [False, False, True],
    )
    model = EmbeddedModel(linear, [network], [1.0, 0.0, 0.0], 2.0)
    good = [0.5, 2.0, 1.0]
    wrong = {
        "bound": [-1.5, -2.0, 1.0],
        "network": [0.5, 2.5, 1.0],
        "integer": [0.0, 1.0, 1.5],
        "row": [0.5, 2.0, 2.0],
    }
    assert model.violation(np.array([good, *wrong.values()])).tolist() == [0] + 4 * [
        0.5
    ]
    assert model.violation(np.array([np.nan, 0.0, 0.0])) == np.inf
    assert model.objective(np.array(good)) == 2.5
    finished = model.finished(np.array([0.5, 9.0, 1.0 + 1e-7]))
    assert finished.tolist() == good
    assert model.finished(np.array([1.0, 3.0, 1.0])) is None


def test_functions_need_not_be_networks():
    model = EmbeddedModel(
        free_columns(4), [EmbeddedNetwork(LINE, [2], [3]), Product([0, 1], [2])]
    )
    assert model.complete([3.0, 2.0, 0.0, 0.0]).tolist() == [3.0, 2.0, 6.0, 13.0]
    assert model.violation(np.array([3.0, 2.0, 6.0, 12.0])) == 1.0


def test_without_functions_it_is_the_linear_model():
    model = EmbeddedModel(free_columns(2, upper=[1.0, 1e9]))
    assert model.order() == [] and model.input_columns().size == 0
    assert model.costs.tolist() == [0.0, 0.0]
    assert model.complete([1.0, 2.0]).tolist() == [1.0, 2.0]
    assert Units.ones(model.linear).identity


def test_columns_that_do_not_exist_are_refused():
    with pytest.raises(BoundsError, match="0 to 7: column 7 is not among.*5 columns"):
        lines((0, 7))
    with pytest.raises(BoundsError, match="5 columns needs as many costs"):
        EmbeddedModel(free_columns(5), costs=[1.0])


@pytest.mark.parametrize("count", [3, 12])
def test_networks_of_one_architecture_are_evaluated_as_each_of_them(count):
    rng = np.random.default_rng(0)
    every = alike(random_network(0, 2, (5, 4), 2), rng, count)
    every += [every[1], random_network(1, 2, (4,), 2)]
    functions = [
        EmbeddedNetwork(f, rng.permutation(4)[:2], [4 + 2 * k, 5 + 2 * k])
        for k, f in enumerate(every)
    ]
    X = rng.normal(size=(7, 4 + 2 * len(every)))
    found = np.full(X.shape, np.nan)
    for outputs, values in Evaluation(functions)(X):
        found[:, outputs] = values
    for f in functions:
        expected = f.values(X[:, f.inputs])
        np.testing.assert_allclose(found[:, f.outputs], expected, atol=1e-12)


def test_functions_of_one_network_are_evaluated_as_each_of_them():
    rng = np.random.default_rng(0)
    shared, other = random_network(0, 2, (5,), 2), random_network(1, 2, (4,), 1)
    functions = [
        EmbeddedNetwork(shared, [0, 1], [3, 4]),
        EmbeddedNetwork(other, [1, 2], [5]),
        EmbeddedNetwork(shared, [2, 0], [6, 7]),
        EmbeddedNetwork(shared, [3, 6], [8, 9]),
    ]
    X = rng.normal(size=(7, 10))
    found = {}
    for outputs, values in Evaluation(functions)(X):
        found.update(zip(outputs.tolist(), values.T, strict=True))
    for f in functions:
        expected = f.values(X[:, f.inputs])
        for j, column in zip(f.outputs.tolist(), expected.T, strict=True):
            np.testing.assert_allclose(found[j], column, rtol=1e-12, atol=1e-12)
    free = np.full(10, np.inf)
    nothing = np.zeros(0)
    linear = LinearModel(sparse.csr_array((0, 10)), nothing, nothing, -free, free)
    model = EmbeddedModel(linear, functions[::-1])
    full = model.complete(X)
    last = shared.forward(full[:, [3, 6]])
    np.testing.assert_allclose(full[:, 8:], last, rtol=1e-12, atol=1e-12)
    scaled = in_units(functions, np.where(np.arange(10) == 2, 4.0, 1.0))
    assert scaled[0] is functions[0] and scaled[3].network is shared
    assert scaled[2].network is not shared
