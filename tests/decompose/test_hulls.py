"""Hulls of pieces with the rows around them: vertices, the MILP, its answers."""

import numpy as np
import pytest
from scipy import sparse

from pyomo_relu.branch.branch import INFEASIBLE, INTERRUPTED, OPTIMAL, BranchOptions
from pyomo_relu.common.deadline import ENDLESS
from pyomo_relu.decompose.by_hulls import solve_by_hulls
from pyomo_relu.decompose.decompose import decompose
from pyomo_relu.decompose.hulls import _corners, hulls
from pyomo_relu.decompose.parts import take_apart
from pyomo_relu.decompose.root import root_box
from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.solve import solve_linear
from tests.decompose.models import coupled, units
from tests.decompose.test_truth import assert_same
from tests.random_networks import random_network


@pytest.mark.parametrize("seed", range(16))
def test_units_on_and_off(seed):
    assert_same(units(seed))


@pytest.mark.parametrize("seed", range(6))
def test_units_without_a_milp(seed):
    assert_same(units(seed), milp_neurons=0)


def test_units_are_solved_by_a_milp_unless_they_are_infeasible():
    statuses = set()
    for seed in range(16):
        found = solve_by_hulls(units(seed).in_unit_range(), BranchOptions())
        whole = decompose(units(seed), BranchOptions(milp_neurons=0))
        assert (found is None) == (whole.status == INFEASIBLE)
        statuses.add(None if found is None else found.status)
    assert OPTIMAL in statuses


@pytest.mark.parametrize("seed", range(8))
def test_all_points_are_in_the_hulls(seed):
    """Fix what a feasible point says of its columns: the MILP admits it."""
    model = units(seed).in_unit_range()
    best = decompose(model)
    if best.full is None:
        return
    lower, upper = root_box(take_apart(model), ENDLESS)
    milp = hulls(model, lower, upper)
    rng = np.random.default_rng(seed)
    linear, n = milp.linear, model.n_columns
    # the least of any direction over the MILP is no more than the best point's value
    for _ in range(3):
        costs = np.zeros(linear.n_columns)
        costs[:n] = rng.normal(size=n) * (model.costs != 0)
        answer = solve_linear(linear, costs)
        assert answer.objective <= costs[:n] @ best.full + 1e-6
    relaxed = solve_linear(linear, milp.costs, integer=False)
    assert relaxed.objective + model.constant <= best.value + 1e-6


def test_corners():
    square = np.zeros(2), np.ones(2)
    row = np.array([[1.0, 1.0]])
    found = _corners(row, np.array([-np.inf]), np.array([1.5]), *square)
    assert {tuple(u) for u in found} == {(0, 0), (1, 0), (0, 1), (1, 0.5), (0.5, 1)}
    # an equation, a row that says nothing, none that can hold
    found = _corners(row, np.array([1.0]), np.array([1.0]), *square)
    assert {tuple(u) for u in found} == {(1, 0), (0, 1)}
    assert len(_corners(row, np.array([-9.0]), np.array([9.0]), *square)) == 4
    assert len(_corners(row, np.array([2.5]), np.array([9.0]), *square)) == 0
    assert len(_corners(0 * row, np.array([1.0]), np.array([2.0]), *square)) == 0
    many = np.random.default_rng(0).normal(size=(60, 4))
    ends = np.full(60, -0.1), np.full(60, 0.1)
    assert _corners(many, *ends, np.zeros(4), np.ones(4)) is None


def test_models_of_another_kind():
    options = BranchOptions()
    for model in (coupled(0), coupled(1)):
        none = model.linear.replace(integer=np.zeros(model.n_columns, dtype=bool))
        continuous = EmbeddedModel(none, model.functions, model.costs)
        assert solve_by_hulls(continuous, options) is None
    network = random_network(0, 2, (4,), 1)
    linear = LinearModel(
        sparse.csr_array((0, 4)),
        [],
        [],
        [-1, -1, -np.inf, 0],
        [1, 1, np.inf, 1],
        [False, False, False, True],
    )
    model = EmbeddedModel(linear, [EmbeddedNetwork(network, [0, 1], [2])])
    assert solve_by_hulls(model, options) is None
    # without a box nothing is listed: the error comes from where it always does
    free = linear.replace(lower=np.array([-np.inf, 0.5, -np.inf, 0]))
    model = EmbeddedModel(free, [EmbeddedNetwork(network, [0, 1], [2])])
    assert solve_by_hulls(model, options) is None


def test_no_time_for_a_milp():
    model = units(0)
    best = decompose(model)
    found = decompose(model, BranchOptions(time_limit=0))
    assert found.bound <= best.value + 1e-9
    assert found.value >= best.bound - 1e-9


def test_an_interrupted_milp(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pyomo_relu.decompose.by_hulls.ask", interrupt)
    found = decompose(units(0))
    assert (found.status, found.bound) == (INTERRUPTED, -np.inf)
