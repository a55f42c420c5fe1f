"""What decomposition answers is what branching on inputs and networks answer."""

import numpy as np
import pytest
from scipy import sparse

from pyomo_relu.branch.branch import BranchOptions, branch
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.branch.statuses import (
    INFEASIBLE,
    OPTIMAL,
    STALLED,
    TIME_LIMIT,
    UNBOUNDED,
)
from pyomo_relu.decompose.decompose import decompose
from pyomo_relu.linear.embedded import FEASIBILITY, EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from tests.decompose.models import coupled
from tests.random_networks import random_network
from tests.thinned import thinned


def assert_same(model, **options):
    """Both ways agree to the gap; the point is one, the bound is below all points."""
    options = BranchOptions(time_limit=60, **options)
    expected = branch(build_problem(model), options)
    found = decompose(model, options)
    assert found.status == expected.status
    if found.status != OPTIMAL:
        return found
    tolerance = options.tolerance(expected.value) + options.tolerance(found.value)
    assert found.value == pytest.approx(expected.value, abs=tolerance)
    assert found.bound <= expected.value + 1e-9 * (1 + abs(expected.value))
    assert found.value - found.bound <= options.tolerance(found.value) * (1 + 1e-6)
    assert model.violation(found.full) <= FEASIBILITY
    assert model.objective(found.full) == pytest.approx(found.value, rel=1e-9)
    return found


@pytest.mark.parametrize("seed", thinned(range(40), 16))
def test_random_coupled_models(seed):
    assert_same(coupled(seed))


def test_random_models_have_optima_and_contradictions():
    statuses = {decompose(coupled(seed)).status for seed in range(6)}
    assert statuses == {OPTIMAL, INFEASIBLE}


def one_network(rows, low, high, lower, upper, costs, seed=3, integer=None):
    """x0, x1, y and further columns, as many as there are bounds."""
    network = random_network(seed, 2, (6, 5), 1, scale=1.5)
    rows = np.array(rows, dtype=float).reshape(-1, len(lower))
    linear = LinearModel(sparse.csr_array(rows), low, high, lower, upper, integer)
    return EmbeddedModel(linear, [EmbeddedNetwork(network, [0, 1], [2])], costs)


def test_unbounded():
    free = [-1, -1, -np.inf, -np.inf], [1, 1, np.inf, np.inf]
    model = one_network([[0, 0, 1, -1]], [0], [np.inf], *free, [0, 0, 1, 1])
    found = assert_same(model)
    assert (found.status, found.bound) == (UNBOUNDED, -np.inf)
    # without a point nothing is unbounded
    rows = [[0, 0, 1, -1], [0, 0, 1, 0]]
    model = one_network(rows, [0, 1e3], [np.inf] * 2, *free, [0, 0, 1, 1])
    assert assert_same(model).status == INFEASIBLE


def test_columns_without_ends_that_the_objective_bounds():
    # z >= 3 y - x0 and z >= x1 - y, from above by nothing
    rows = [[1, 0, -3, 1], [0, -1, 1, 1]]
    ends = [-1, -1, -np.inf, -np.inf], [1, 1, np.inf, np.inf]
    model = one_network(rows, [0, 0], [np.inf] * 2, *ends, [0, 0, 0, 1])
    assert assert_same(model).status == OPTIMAL


def test_degenerate_boxes():
    for upper in ([0.3, -0.2, np.inf], [0.3, 1.0, np.inf]):
        model = one_network([], [], [], [0.3, -0.2, -np.inf], upper, [0, 0, 1.0])
        assert assert_same(model).status == OPTIMAL


def test_infeasible_by_the_network_alone():
    model = one_network([], [], [], [-1, -1, 50.0], [1, 1, 60.0], [0, 0, 1.0])
    assert decompose(model).status == INFEASIBLE


def test_infeasible_by_several_together():
    """Each network can reach its half, both together cannot: only a proof ends it."""
    network = random_network(5, 2, (6, 5), 1, scale=1.5)
    x = np.random.default_rng(0).uniform(-1, 1, (4000, 2))
    most = float(network.forward(x).max())
    functions = [EmbeddedNetwork(network, [2 * k, 2 * k + 1], [4 + k]) for k in (0, 1)]
    row = sparse.csr_array(np.array([[0.0, 0, 0, 0, 1, 1]]))
    ends = [-1.0] * 4 + [-np.inf] * 2, [1.0] * 4 + [np.inf] * 2
    for need, status in ((2 * most + 0.2, INFEASIBLE), (2 * most - 0.1, OPTIMAL)):
        linear = LinearModel(row, [need], [np.inf], *ends)
        model = EmbeddedModel(linear, functions, [1.0, 0, 0, 0, 0, 0])
        assert assert_same(model).status == status


def test_circular_and_repeated_columns():
    network = random_network(11, 2, (5, 4), 1, scale=0.7)
    # f(x0, y) = y, and g(x0, x0) = y as well
    linear = LinearModel(sparse.csr_array((0, 3)), [], [], [-1, -1, -2.0], [1, 1, 2.0])
    functions = [EmbeddedNetwork(network, [0, 2], [2], "f")]
    assert_same(EmbeddedModel(linear, functions, [0.5, 0, 1.0]))
    functions = [EmbeddedNetwork(network, [0, 0], [2], "g")]
    assert_same(EmbeddedModel(linear, functions, [0.5, 0, 1.0]))
    both = [
        EmbeddedNetwork(network, [0, 1], [2]),
        EmbeddedNetwork(network, [1, 0], [2]),
    ]
    assert_same(EmbeddedModel(linear, both, [0.5, 0, 1.0]))


def test_chain_of_networks():
    network = random_network(2, 2, (5, 4), 1, scale=1.2)
    # state k is column k, control k is column 4 + k
    linear = LinearModel(
        sparse.csr_array((0, 7)),
        [],
        [],
        [0.2, *[-np.inf] * 3, -1, -1, -1],
        [0.2, *[np.inf] * 3, 1, 1, 1],
    )
    chain = [EmbeddedNetwork(network, [k, 4 + k], [k + 1]) for k in range(3)]
    assert_same(EmbeddedModel(linear, chain, [0, 0, -0.3, 1, 0.1, -0.1, 0.1]))


def test_far_units():
    """Scaled columns and objective give the same optimum in their units."""
    model = coupled(1)
    expected = decompose(model)
    assert expected.status == OPTIMAL
    size = np.ones(model.n_columns)
    free = ~model.linear.integer
    size[free] = 2.0 ** np.random.default_rng(0).integers(-25, 25, free.sum())
    linear = model.linear
    scaled = linear.replace(
        matrix=sparse.csr_array(linear.matrix @ sparse.diags_array(1 / size)),
        lower=linear.lower * size,
        upper=linear.upper * size,
    )
    functions = [f.in_units(1 / size) for f in model.functions]
    other = EmbeddedModel(
        scaled, functions, 1e9 * model.costs / size, 1e9 * model.constant
    )
    found = decompose(other)
    assert found.status == OPTIMAL
    assert found.value == pytest.approx(1e9 * expected.value, rel=2e-4)
    assert other.violation(found.full) <= FEASIBILITY


def test_no_time_is_an_honest_answer():
    model = coupled(0)
    best = decompose(model)
    assert best.status == OPTIMAL
    found = decompose(model, BranchOptions(time_limit=0))
    assert found.status == TIME_LIMIT
    assert np.isfinite(found.bound)
    assert found.bound <= best.value
    assert found.full is None or model.violation(found.full) <= FEASIBILITY


def test_a_gap_of_nothing_ends():
    """Rounding leaves something: the answer says so, or is within it."""
    model = coupled(7)
    found = decompose(model, BranchOptions(mip_gap=0.0, abs_gap=1e-9, time_limit=20))
    assert found.status in (OPTIMAL, STALLED, TIME_LIMIT)
    assert found.bound <= decompose(model).value + 1e-9
