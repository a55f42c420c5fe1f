"""relu.scaled on pruned, denormal and wildly scaled rows: optima, factors, ranges."""

import itertools

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu.bounds import crown_bounds, interval_bounds
from pyomo_relu.errors import TransformationError
from pyomo_relu.network import Network
from pyomo_relu.network.rescale import LARGEST_FACTOR, neurons_that_matter
from tests.networks import chain
from tests.transform.battery import box_model, snapshot

CRITERIA = ["l1", "unit", "max"]


def degenerate(seed, sizes=(2, 6, 5, 1), decades=6):
    """A network in which each hidden neuron is of a kind drawn at random.

    Ordinary; pruned (row and bias 0); tiny (row and bias times 1e-12, 1e-40 or 1e-310,
    so that it moves nothing); in odd units (row times 10^u, readers by 10^-u).
    """
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(m, n)) for n, m in itertools.pairwise(sizes)]
    biases = [rng.normal(size=m) * 0.3 for m in sizes[1:]]
    for k, size in enumerate(sizes[1:-1]):
        kinds = rng.choice(["ordinary", "pruned", "tiny", "units"], size)
        for i, kind in enumerate(kinds):
            factor = {
                "ordinary": 1.0,
                "pruned": 0.0,
                "tiny": rng.choice([1e-12, 1e-40, 1e-310]),
                "units": 10.0 ** rng.uniform(-decades, decades),
            }[kind]
            weights[k][i] *= factor
            biases[k][i] *= factor
            if kind == "units":
                weights[k + 1][:, i] /= factor
    return Network.sequential(weights, biases)


@pytest.mark.parametrize("rounding", [True, False])
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("seed", range(8))
def test_optimum_factors_and_ranges(seed, criterion, rounding):
    network = degenerate(seed)
    m = box_model(network, pyo.maximize)
    scaled = pyo.TransformationFactory("relu.scaled")
    scaled.apply_to(m, criterion=criterion, rounding=rounding)
    for s in scaled.get_factors(m.nn):
        assert np.all((s >= 1.0 / LARGEST_FACTOR) & (s <= LARGEST_FACTOR))
    ranges = scaled.get_coefficient_ranges(m.nn)
    assert ranges["after"].ratio <= ranges["before"].ratio * (1 + 1e-9)
    assert np.isnan(ranges["links"].smallest) or ranges["links"].smallest >= 1.0
    results = pyo.SolverFactory("appsi_highs").solve(m)
    pyo.assert_optimal_termination(results)
    side = np.linspace(-1.0, 1.0, 201)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    best, found = float(network.forward(grid).max()), pyo.value(m.objective)
    at = network.forward([v.value for v in m.nn.input_vars()])
    size = max(1.0, abs(best))
    assert found >= best - 1e-5 * size
    assert found == pytest.approx(float(at[0]), abs=1e-5 * size)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_neurons_that_cannot_matter_keep_their_units(criterion):
    network = Network.sequential(
        [
            [[1.0, -1.0], [1e-40, -1e-40], [0.0, 0.0], [1e-7, 2e-7]],
            [[1.0, 1.0, 1.0, 1e7]],
        ],
        [[0.5, 0.0, 0.0, 1e-7], [0.0]],
    )
    m = box_model(network)
    scaled = pyo.TransformationFactory("relu.scaled")
    scaled.apply_to(m, criterion=criterion)
    (factors,) = scaled.get_factors(m.nn)
    assert factors[1] == factors[2] == 1.0 < factors[3]


def test_what_matters_is_seen_through_layers():
    """A neuron is only as important as what reads it."""
    weights = [np.eye(3), [[1.0, 0.0, 1e-30], [0.0, 1e-20, 0.0]], [[1.0, 1e-10]]]
    network = Network.sequential(weights, [np.zeros(3), np.zeros(2), np.zeros(1)])
    bounds = interval_bounds(network, -1, 1)
    first, second = neurons_that_matter(network, bounds.upper)
    assert first.tolist() == [True, False, False]
    assert second.tolist() == [True, False]


@pytest.mark.parametrize("method", [interval_bounds, crown_bounds])
def test_pruned_rows_are_stable(method):
    """A row of zeros, and one that reads only such rows, is 0: not 0 up to rounding."""
    weights = [[[1.0, -1.0], [0.0, 0.0]], [[0.0, 3.0], [1.0, 1.0]], [[1.0, 1.0]]]
    network = Network.sequential(weights, [np.zeros(2), np.zeros(2), np.zeros(1)])
    bounds = method(network, -1, 1)
    assert bounds.stable(0).tolist() == [False, True]
    assert bounds.stable(1)[0] and bounds.upper[1][0] == 0.0 == bounds.lower[1][0]


def test_products_that_underflow_are_not_taken_for_zero():
    network = Network.sequential([[[1e-200]], [[1.0]]], [[0.0], [0.0]])
    bounds = interval_bounds(network, 0.0, 1e-200)
    assert bounds.upper[0][0] > 0.0


@pytest.mark.parametrize("factor", [2.0**31, 2.0**-31, 1e300])
def test_given_factors_beyond_the_limits(factor):
    m = box_model(chain([2, 4, 1]))
    before = snapshot(m)
    with pytest.raises(TransformationError, match="within"):
        pyo.TransformationFactory("relu.scaled").apply_to(m, factors=factor)
    assert snapshot(m) == before
