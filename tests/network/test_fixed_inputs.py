"""Networks with inputs replaced by constants: the same function, biases exact."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from pyomo_relu.bounds.crown.crown import crown_bounds
from pyomo_relu.errors import NetworkError
from pyomo_relu.network import Layer, Network
from pyomo_relu.network.fixed_inputs import exact_biases, fix_inputs
from tests.random_networks import networks, sample


@settings(max_examples=60, deadline=None)
@given(networks(max_inputs=5), st.integers(0, 2**32 - 1))
def test_same_function_and_bounds_of_it_hold(network, seed):
    rng = np.random.default_rng(seed)
    n = network.n_inputs
    fixed = np.flatnonzero(rng.random(n) < 0.5)[: n - 1]
    values = rng.normal(size=n)
    part = fix_inputs(network, {int(j): float(values[j]) for j in fixed})
    assert (part is network) == (not fixed.size)
    free = np.setdiff1d(np.arange(n), fixed)
    assert part.n_inputs == free.size
    lower, upper = -np.ones(n), np.ones(n)
    lower[fixed] = upper[fixed] = values[fixed]
    X = sample(rng, lower, upper, 60)
    for mine, given_ in zip(
        part.propagate(X[:, free])[0], network.propagate(X)[0], strict=True
    ):
        np.testing.assert_allclose(
            mine, given_, rtol=1e-9, atol=1e-9 * np.abs(given_).max()
        )
    bounds = crown_bounds(part, lower[free], upper[free])
    for k, v in enumerate(network.propagate(X)[0]):
        room = 1e-13 * np.abs(v).max()  # of summing the fixed terms in float64
        assert np.all(v >= bounds.lower[k] - room)
        assert np.all(v <= bounds.upper[k] + room)


@pytest.mark.parametrize("dense", [True, False])
def test_biases_are_rounded_once(dense):
    rng = np.random.default_rng(0)
    for _ in range(50):
        w = rng.normal(size=(5, 4)) * 10.0 ** rng.integers(-12, 12, (5, 4))
        w[rng.random(w.shape) < 0.3] = 0.0
        b = rng.normal(size=5) * 10.0 ** rng.integers(-12, 12, 5)
        c = [*map(Fraction, rng.normal(size=3).tolist()), Fraction(1, 3)]
        exact = [
            float(Fraction(b[i]) + sum(Fraction(w[i, j]) * c[j] for j in range(4)))
            for i in range(5)
        ]
        given_ = w if dense else sparse.csr_array(w)
        np.testing.assert_array_equal(exact_biases(b, given_, c), exact)


def test_what_cancels_loses_nothing():
    network = Network.sequential([[[1e16, 1e16, 1.0]], [[1.0]]], [[1.0], [0.0]])
    part = fix_inputs(network, {0: 1.0, 1: -1.0})
    assert part.layers[0].bias.tolist() == [1.0]
    third = fix_inputs(network, {0: Fraction(1, 3), 1: Fraction(-1, 3)})
    assert third.layers[0].bias.tolist() == [1.0]


def test_tensors_keep_their_names():
    layer = Layer([(-1, True)], [np.arange(8.0)[None]], [0.0], "identity")
    inputs = [("a", (2,)), ("b", (2, 2)), ("c", (2,))]
    network = Network([layer], inputs, [("y", (1,))])
    part = fix_inputs(network, {0: 1.0, 1: 2.0, 3: 5.0})
    assert part.inputs == (("b", (3,)), ("c", (2,)))
    assert part.forward([1.0, 0, 0, 0, 0]) == network.forward([1, 2, 1, 5, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({2: 1.0}, "there is no input 2 to fix; they are counted from 0 to 1"),
        ({-1: 1.0}, "there is no input -1 to fix"),
        ({0: 1.0, 1: 1.0}, "all inputs are fixed, which leaves no network"),
        ({0: float("nan")}, "the values of fixed inputs must be finite"),
        ({0: "much"}, "the values of fixed inputs must be finite"),
    ],
)
def test_refused(values, message):
    network = Network.sequential([[[1.0, 1.0]]], [[0.0]])
    with pytest.raises(NetworkError, match=message):
        fix_inputs(network, values)
