"""Curves, sums of columns, shrinking by multipliers and choices of integer values."""

from fractions import Fraction

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.branch.bounding.lines.bounder import LINES, Curve, Curves, MixedBounder
from pyomo_relu.branch.bounding.lines.lines import LineBounder
from pyomo_relu.branch.bounding.lps import NodeLPs
from pyomo_relu.branch.bounding.relaxation import Relaxation
from pyomo_relu.branch.bounding.root import tightened_root
from pyomo_relu.branch.branch import BranchOptions, branch
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.branch.points.assignment import Assignments
from pyomo_relu.branch.points.budget import Budget
from pyomo_relu.branch.points.incumbent import Incumbent
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.branch.problem.joint_parts import Substitution, only_outputs
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.linear.box_rows import BoxRows, RowPattern
from pyomo_relu.linear.embedded import FEASIBILITY, EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.network import Network
from tests.branch.test_truth import routing
from tests.random_networks import random_network

SEEDS = st.integers(0, 2**32 - 1)
FLAGS = ("residual", "pre", "clipped", "sparse_weights")


def _flags(rng):
    return {name: bool(rng.random() < 0.5) for name in FLAGS}


# -- curves ----------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_curve_lines_and_ranges_hold_and_touch(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng, 1, (7, 6), 2, **_flags(rng))
    lower, upper = np.array([-2.0]), np.array([1.5])
    curves = Curves(network, lower, upper)
    assert curves.inputs.tolist() == [0] * len(curves)
    left, right = np.sort(rng.uniform(-2, 1.5, (2, 9)), axis=0)
    right[:3] = left[:3] + [0.0, 1e-13, 1e-6]
    right = np.minimum(right, 1.5)
    for curve, k in zip(curves.curves, curves.outputs, strict=True):
        slope_low, low, slope_high, high, below, above = curve.lines(left, right)
        least, most = curve.range(left, right)
        for b in range(9):
            inner = curve.points[(curve.points > left[b]) & (curve.points < right[b])]
            some = rng.uniform(left[b], right[b], 50)
            x = np.concatenate([some, inner, [left[b], right[b]]])[:, None]
            y = network.forward(x)[:, k]
            size = 1e-9 * (1.0 + np.abs(y).max())
            under = (x * slope_low[b] + low[b]).max(axis=1)
            over = (x * slope_high[b] + high[b]).min(axis=1)
            assert np.all(under <= y) and np.all(y <= over)
            assert least[b] <= y.min() and y.max() <= most[b]
            # exact ends, and errors that are no smaller than a tenth of the truth
            assert y.min() - least[b] <= size and most[b] - y.max() <= size
            assert 0.1 * (y - under).max() <= below[b] + size
            assert 0.1 * (over - y).max() <= above[b] + size
            assert over[-2] - y[-2] <= size and over[-1] - y[-1] <= size
            assert y[-2] - under[-2] <= size and y[-1] - under[-1] <= size


def test_curve_lines_cover_the_rounding_of_interpolating():
    # near x = 0, where f is small: a rounding error of values of 1e10 counts
    rng = np.random.default_rng(0)
    for _ in range(50):
        points = rng.uniform(0.1, 1.0, 2) * [-1, 1]
        values = 1e10 * points + rng.normal()
        curve = Curve(points, values, values)
        left = rng.uniform(-1e-16, 1e-16, 20)
        slope_low, low, slope_high, high, _, _ = curve.lines(left, left + 1e-17)
        (p, q), (u, v) = ([Fraction(a) for a in pair] for pair in (points, values))
        for i, x in enumerate(map(Fraction, left)):
            y = u + (x - p) / (q - p) * (v - u)
            for k in range(LINES):
                assert Fraction(slope_low[i, k]) * x + Fraction(low[i, k]) <= y
                assert Fraction(slope_high[i, k]) * x + Fraction(high[i, k]) >= y


def test_curves_of_more_inputs_or_no_width_are_left_to_crown():
    network = random_network(0, 2, (4,), 1)
    assert not len(Curves(network, -np.ones(2), np.ones(2)))
    network = random_network(0, 1, (4,), 1)
    assert not len(Curves(network, np.ones(1), np.ones(1)))
    assert len(Curves(network, -np.ones(1), np.ones(1))) == 1


# -- parts of networks -----------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_only_outputs_are_the_same_function_of_fewer_neurons(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng, 3, (6, 5, 4), 3, density=0.4, **_flags(rng))
    outputs = rng.permutation(3)[: rng.integers(1, 4)]
    part = only_outputs(network, outputs)
    assert part.n_neurons <= network.n_neurons
    X = rng.uniform(-2, 2, (100, 3))
    assert part.forward(X) == pytest.approx(network.forward(X)[:, outputs])
    reads = network.support()
    for k in range(3):
        for j in np.flatnonzero(~reads[k]):
            moved = X.copy()
            moved[:, j] += 1.0
            y = network.forward(moved)[:, k]
            assert np.array_equal(y, network.forward(X)[:, k])


def sums_problem(seed=0, factor=1.0):
    """x0, x1 are sums of z0..z3; x2 is free; the network's output is bounded."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, 3, (10, 8), 1)
    # columns: x0 x1 x2 y z0 z1 z2 z3
    matrix = np.zeros((2, 8))
    matrix[0, [0, 4, 5, 6, 7]] = factor * np.array([1.0, -1, -1, -1, -1])
    matrix[1, [1, 4, 5, 6, 7]] = factor * np.array([1.0, -0.9, -1.1, -0.95, -1])
    linear = LinearModel(
        sparse.csr_array(matrix),
        np.zeros(2),
        np.zeros(2),
        np.array([0.0, 0, -1, -np.inf, 0, 0, 0, 0]),
        np.array([4.0, 4, 1, np.inf, 1, 1, 1, 1]),
    )
    costs = np.zeros(8)
    costs[3] = 1.0
    function = EmbeddedNetwork(network, [0, 1, 2], [3])
    return build_problem(EmbeddedModel(linear, [function], costs))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("factor", [1.0, -2.0])
def test_sums_of_the_same_columns_tighten_lines(seed, factor):
    problem = tightened_root(sums_problem(seed, factor))
    substitution = Substitution(problem, problem.network)
    assert substitution.useful
    rng = np.random.default_rng(seed)
    z = rng.uniform(0, 1, (300, 4))
    x = np.column_stack(
        [z.sum(axis=1), z @ [0.9, 1.1, 0.95, 1.0], rng.uniform(-1, 1, 300)]
    )
    full = np.zeros((300, problem.n_columns))
    at = {int(c): i for i, c in enumerate(problem.columns)}
    for column, values in zip([0, 1, 2, 4, 5, 6, 7], [*x.T, *z.T], strict=True):
        full[:, at[column]] = values
    y = problem.network.forward(full[:, : problem.n_inputs])
    composed = substitution.network.forward(full[:, substitution.columns])
    assert composed == pytest.approx(y)
    lower, upper = problem.lower[None], problem.upper[None]
    lines = MixedBounder(problem).lines(lower, upper)
    plain = LineBounder(problem.network).lines(
        lower[:, : problem.n_inputs], upper[:, : problem.n_inputs]
    )
    inputs = full[:, : problem.n_inputs]
    below = inputs @ lines.low[0].T + lines.low_const[0]
    above = inputs @ lines.high[0].T + lines.high_const[0]
    assert np.all(below <= y) and np.all(y <= above)
    assert lines.errors.sum() < 0.9 * plain.errors.sum()
    # the bound of the whole box, too
    node = Relaxation(problem).evaluate(Relaxation(problem).root(), np.inf).nodes
    assert node.bound[0] <= y.min()


def test_inexact_or_single_sums_are_not_used():
    assert not Substitution(
        tightened_root(sums_problem(factor=3.0)), random_network(0, 3, (4,), 1)
    ).useful
    problem = tightened_root(sums_problem())
    only_first = Network.sequential(
        [np.array([[1.0, 0.0, 0.0]]), np.ones((1, 1))], [np.zeros(1), np.zeros(1)]
    )
    assert not Substitution(problem, only_first).useful


# -- shrinking by multipliers ----------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_shrinking_by_multipliers_loses_no_better_point(seed):
    rng = np.random.default_rng(seed)
    B, R, n = 4, 3, 4
    row, column = np.nonzero(np.ones((R, n)))
    pattern = RowPattern(row, column, R, n)
    lower, upper = -np.ones((B, n)), np.full((B, n), 2.0)
    integer = np.array([False, False, False, True])
    points = rng.uniform(-1, 2, (3000, n))
    points[:, 3] = np.round(points[:, 3])
    sides = rng.normal(size=(B, R)) + 1.0
    data = rng.normal(size=(B, R * n))
    rows = BoxRows(pattern, data, np.full((B, R), -np.inf), sides)
    costs, zero = rng.normal(size=(B, n)), np.zeros(B)
    answers = NodeLPs(pattern).solve(rows, costs, zero, lower, upper)
    cutoff = float(np.median(costs @ points.T)) - 1.0
    for duals in (answers.duals, rng.normal(size=(B, R))):
        bounds = rows.dual_bounds(costs, zero, duals, lower, upper)
        new_lower, new_upper = lower.copy(), upper.copy()
        rows.tighten_by_duals(
            costs, duals, bounds, cutoff, new_lower, new_upper, integer
        )
        assert np.all(new_lower >= lower) and np.all(new_upper <= upper)
        for b in range(B):
            good = np.all(points @ data[b].reshape(R, n).T <= sides[b], axis=1)
            good &= points @ costs[b] < cutoff
            kept = points[good]
            assert np.all(kept >= new_lower[b]) and np.all(kept <= new_upper[b])


def test_multipliers_shrink_to_the_cutoff():
    pattern = RowPattern(np.array([0]), np.array([0]), 1, 2)
    rows = BoxRows(pattern, np.ones((1, 1)), np.array([[-9.0]]), np.array([[9.0]]))
    lower, upper = np.zeros((1, 2)), np.full((1, 2), 10.0)
    costs, duals = np.array([[1.0, -2.0]]), np.zeros((1, 1))
    bounds = rows.dual_bounds(costs, np.zeros(1), duals, lower, upper)
    assert bounds[0] == pytest.approx(-20.0)
    rows.tighten_by_duals(
        costs, duals, bounds, -15.5, lower, upper, np.array([True, False])
    )
    assert upper[0, 0] == 4.0  # 4.5, rounded down
    assert lower[0, 1] == pytest.approx(10.0 - 2.25)


def test_no_more_than_the_cutoff_is_proven():
    # boxes are shrunk to where the objective is below it, so nothing beyond is known
    problem = tightened_root(read_model(routing(0)).problem)
    result = branch(problem, BranchOptions(mip_gap=0.05))
    assert result.status == "optimal"
    best = branch(problem, BranchOptions(mip_gap=1e-6)).value
    assert result.bound <= best <= result.value + 1e-9
    assert result.bound <= result.value - 0.05 * abs(result.value) + 1e-9


# -- integer values --------------------------------------------------------------------


def test_integer_values_are_improved_by_moving_some():
    better = []
    for seed in range(4):
        problem = tightened_root(read_model(routing(seed, 4)).problem)
        best = branch(problem, BranchOptions(mip_gap=1e-6)).value
        incumbent = Incumbent(problem)
        assignments = Assignments(problem, incumbent, seed)
        assert assignments.useful
        points = np.random.default_rng(seed).uniform(
            problem.lower, problem.upper, (1, problem.n_columns)
        )
        assignments.work(points, Deadline(5.0))
        if incumbent.full is None:
            first = branch(problem, BranchOptions(mip_gap=1e3)).full
            incumbent.offer(first[problem.columns][None])
        before = incumbent.value
        while assignments.work([], Deadline(5.0)):
            pass
        assert best - 1e-5 <= incumbent.value <= before
        violation = problem.original.violation(incumbent.full[None])
        assert violation[0] <= FEASIBILITY
        if before > best + 1e-3:
            better.append(incumbent.value < before - 1e-3)
    assert len(better) >= 2 and np.mean(better) >= 0.5


def test_nothing_to_choose_without_integer_columns():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=random_network(0, 2, (4,), 1), inputs=m.x)
    m.row = pyo.Constraint(expr=m.nn.outputs[0] <= 3)
    m.cost = pyo.Objective(expr=m.nn.outputs[0])
    problem = tightened_root(read_model(m).problem)
    assert not Assignments(problem, Incumbent(problem)).useful


def test_a_budget_shrinks_while_nothing_is_gained(clock):
    clock.step = 0.001
    budget = Budget(0.5)
    assert budget.seconds(10.0) == pytest.approx(5.0)
    for _ in range(50):
        assert not budget.run(lambda: False)
    assert 0.0 < budget.seconds(10.0) < 1.5
    assert budget.run(lambda: True)
    assert budget.seconds(10.0) == pytest.approx(5.0 - 51 * clock.step)
    for _ in range(50):
        budget.run(lambda: False)
    budget.renew()
    assert budget.seconds(10.0) == pytest.approx(5.0 - 101 * clock.step)


def test_starts_wait_where_none_of_them_led_to_a_point(clock):
    """Where there is no point, boxes prove it: they get their share of the time."""
    clock.step = 0.001
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(range(2), bounds=(-1, 1)), pyo.Var(bounds=(0.5, 1))
    m.nn = ReLUNetworkBlock(network=random_network(0, 2, (4,), 1), inputs=m.x)
    m.row = pyo.Constraint(expr=m.y * m.nn.outputs[0] >= 100)
    m.cost = pyo.Objective(expr=m.nn.outputs[0])
    incumbent = Incumbent(read_model(m).problem)
    incumbent.begin(0)
    count = len(incumbent._left)
    for _ in range(4):
        incumbent.try_left_over()
    left = len(incumbent._left)
    assert 0 < left <= count - 1
    clock.advance(1000.0)
    incumbent.try_left_over()
    assert not len(incumbent._left)
