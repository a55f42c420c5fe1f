"""What branching proves about a box: rows, lines, dual bounds, LPs, MILPs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linprog

from pyomo_relu.branch.bounding.leaves import solve_leaf
from pyomo_relu.branch.bounding.lines.lines import LineBounder
from pyomo_relu.branch.bounding.lps import LPS_INFEASIBLE, NodeLPs
from pyomo_relu.branch.bounding.relaxation import Relaxation
from pyomo_relu.branch.bounding.root import tightened_root
from pyomo_relu.branch.boxes import Nodes, OpenNodes
from pyomo_relu.branch.branch import BranchOptions, branch
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.branch.points.incumbent import Incumbent
from pyomo_relu.branch.points.region import RegionLP
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.branch.tree.handover import Handover
from pyomo_relu.branch.tree.tree import Tree
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.linear.box_rows import BoxRows, RowPattern
from pyomo_relu.linear.embedded import FEASIBILITY, EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from tests.random_networks import networks, random_network
from tests.search.models import two_networks

SEEDS = st.integers(0, 2**32 - 1)


def random_problem(seed, clipped=False):
    """Two networks, the second reading the first's output, rows of every kind."""
    rng = np.random.default_rng(seed)
    first = random_network(rng, 2, (5, 4), 2, clipped=clipped, pre=True)
    second = random_network(rng, 2, (4,), 1, residual=True)
    # columns: x0 x1 x2 | y0 y1 (first) | y2 (second reads y0, x2) | z0 integer z1
    n = 8
    matrix = rng.normal(size=(4, n)).round(1) * (rng.random((4, n)) < 0.6)
    matrix[0, 3:6] = 0.0  # a row without networks
    lower = np.array([-1.0, -1, -2, -np.inf, -np.inf, -1.5, -2, -1])
    upper = np.array([1.0, 0.5, 2, np.inf, 3, np.inf, 2, 4])
    linear = LinearModel(
        sparse.csr_array(matrix),
        np.array([-np.inf, -2.0, -np.inf, -1.0]),
        np.array([1.5, 2.0, 1.0, np.inf]),
        lower,
        upper,
        np.array([False] * 6 + [True, False]),
        tuple(f"c{j}" for j in range(n)),
    )
    costs = rng.normal(size=n).round(1)
    functions = [
        EmbeddedNetwork(second, [3, 2], [5]),
        EmbeddedNetwork(first, [0, 1], [3, 4]),
    ]
    return build_problem(EmbeddedModel(linear, functions, costs, 0.7))


def points_of(problem, rng, N):
    """Random values of x and z within their bounds."""
    points = rng.uniform(problem.lower, problem.upper, (N, problem.n_columns))
    points[:, problem.integer] = np.round(points[:, problem.integer])
    return points


def function_values(problem, points):
    """All g at points of (x, z)."""
    u = problem.network.forward(points[:, : problem.n_inputs])
    values = u[:, problem.direction] * problem.factor + (problem.rest @ points.T).T
    values[:, 0] += problem.constant
    return values


# -- the problem -----------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_row_functions_are_the_modellers_rows(seed):
    problem = random_problem(seed, clipped=True)
    rng = np.random.default_rng(seed)
    points = points_of(problem, rng, 50)
    full = problem.complete(points)
    linear = problem.original.linear
    values = function_values(problem, points)
    assert values[:, 0] == pytest.approx(problem.original.objective(full), abs=1e-9)
    below = np.maximum(problem.function_lower - values[:, 1:], 0)
    above = np.maximum(values[:, 1:] - problem.function_upper, 0)
    plain = (problem.plain @ points.T).T
    worst = np.concatenate(
        [
            below,
            above,
            np.maximum(problem.plain_lower - plain, 0),
            np.maximum(plain - problem.plain_upper, 0),
        ],
        axis=1,
    ).max(axis=1)
    rows = (linear.matrix @ full.T).T
    expected = np.concatenate(
        [
            np.maximum(linear.row_lower - rows, 0),
            np.maximum(rows - linear.row_upper, 0),
            np.maximum(linear.lower - full, 0),
            np.maximum(full - linear.upper, 0),
        ],
        axis=1,
    ).max(axis=1)
    assert worst == pytest.approx(expected, abs=1e-9)


def test_each_direction_is_bounded_once():
    network = random_network(0, 2, (4,), 2)
    matrix = np.zeros((4, 4))
    matrix[:, 2] = [1.0, -3.0, 0.1, 0.0]
    matrix[3] = [1.0, 0.0, 2.0, -4.0]
    linear = LinearModel(
        sparse.csr_array(matrix),
        -np.ones(4),
        np.ones(4),
        -np.ones(4),
        np.array([1, 1, np.inf, np.inf]),
    )
    function = EmbeddedNetwork(network, [0, 1], [2, 3])
    problem = build_problem(EmbeddedModel(linear, [function], [0.0, 0.0, -1.0, 2.0]))
    # y2, y3 alone (its bound), and -y2 + 2 y3, of which the last row is a multiple
    assert problem.network.n_outputs == 3
    assert sorted(np.unique(problem.factor)) == [-3.0, -2.0, -1.0, 0.1, 1.0] or (
        set(np.abs(problem.factor)) <= {0.1, 1.0, 2.0, 3.0, 4.0}
    )
    assert problem.n_inputs == problem.n_columns == 2


# -- rows ------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_propagation_keeps_every_point(seed):
    rng = np.random.default_rng(seed)
    B, R, n = 6, 3, 4
    dense = rng.normal(size=(R, n)) * (rng.random((R, n)) < 0.7)
    row, column = np.nonzero(dense)
    pattern = RowPattern(row, column, R, n)
    data = dense[row, column] * rng.uniform(0.5, 1.5, (B, row.size))
    lower, upper = np.tile(-np.ones(n), (B, 1)), np.tile(np.ones(n), (B, 1))
    integer = np.array([False, False, True, False])
    sides = rng.normal(size=(B, R)) * 0.5
    rows = BoxRows(pattern, data, sides - rng.uniform(0, 1, (B, R)), sides)
    points = rng.uniform(-1, 1, (500, n))
    points[:, 2] = np.round(points[:, 2])
    new_lower, new_upper = lower.copy(), upper.copy()
    empty = rows.tighten(new_lower, new_upper, integer)
    for b in range(B):
        A = np.zeros((R, n))
        A[row, column] = data[b]
        values = points @ A.T
        inside = np.all((values >= rows.lower[b]) & (values <= rows.upper[b]), axis=1)
        kept = points[inside]
        assert not (empty[b] and len(kept))
        if len(kept):
            assert np.all(kept >= new_lower[b] - 1e-9)
            assert np.all(kept <= new_upper[b] + 1e-9)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_lp_bounds_match_another_solver_and_any_duals_are_safe(seed):
    rng = np.random.default_rng(seed)
    B, R, n = 4, 3, 4
    row, column = np.nonzero(np.ones((R, n)))
    pattern = RowPattern(row, column, R, n)
    data = rng.normal(size=(B, R * n))
    lower, upper = -np.ones((B, n)), np.full((B, n), 2.0)
    sides = rng.normal(size=(B, R))
    rows = BoxRows(pattern, data, np.full((B, R), -np.inf), sides)
    costs, constants = rng.normal(size=(B, n)), rng.normal(size=B)
    answers = NodeLPs(pattern).solve(rows, costs, constants, lower, upper)
    wild = rows.dual_bounds(costs, constants, rng.normal(size=(B, R)), lower, upper)
    for b in range(B):
        A = data[b].reshape(R, n)
        box = list(zip(lower[b], upper[b], strict=True))
        expected = linprog(costs[b], A, sides[b], bounds=box)
        if expected.status == 2:
            assert answers.bounds[b] == LPS_INFEASIBLE
            continue
        value = expected.fun + constants[b]
        assert answers.bounds[b] == pytest.approx(value, abs=1e-7)
        assert wild[b] <= value + 1e-9


def test_unbounded_column_needs_exact_multipliers():
    pattern = RowPattern(np.array([0, 0]), np.array([0, 1]), 1, 2)
    rows = BoxRows(
        pattern, np.array([[1.0, 1.0]]), np.array([[3.0]]), np.array([[np.inf]])
    )
    lower, upper = np.array([[0.0, 0.0]]), np.array([[1.0, np.inf]])
    costs, zero = np.array([[0.0, 1.0]]), np.zeros(1)
    exact = rows.dual_bounds(costs, zero, np.array([[1.0]]), lower, upper)
    assert exact[0] == pytest.approx(2.0)
    wrong = rows.dual_bounds(costs, zero, np.array([[1.1]]), lower, upper)
    assert wrong[0] == -np.inf


# -- lines -----------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(networks(max_inputs=4), SEEDS)
def test_lines_hold_and_errors_cover_the_gap(network, seed):
    rng = np.random.default_rng(seed)
    n = network.n_inputs
    lower = rng.uniform(-1, 0.5, (7, n))
    upper = lower + rng.uniform(0, 1, (7, n)) * (rng.random((7, n)) < 0.8)
    bounder = LineBounder(network)
    lines = bounder.lines(lower, upper)
    narrower = bounder.lines(lower, upper, lines.hidden)
    m = network.n_outputs
    for b in range(7):
        X = rng.uniform(lower[b], upper[b], (200, n))
        y = network.forward(X)
        for part in (lines, narrower):
            below = X @ part.low[b].T + part.low_const[b]
            above = X @ part.high[b].T + part.high_const[b]
            assert np.all(below <= y) and np.all(y <= above)
        size = 1e-6 * (1 + np.abs(y).max())
        total = lines.errors[b].sum(axis=1)
        below = X @ lines.low[b].T + lines.low_const[b]
        above = X @ lines.high[b].T + lines.high_const[b]
        if np.all(upper[b] > lower[b]):
            assert np.all((y - below).max(axis=0) <= total[:m] + size)
            assert np.all((above - y).max(axis=0) <= total[m:] + size)
        states = network.activation_pattern(X)
        moving = sum(int((s != s[0]).any(axis=0).sum()) for s in states)
        assert moving <= lines.unstable[b]


def test_many_boxes_at_once_equal_few():
    network = random_network(1, 3, (9, 9), 2)
    rng = np.random.default_rng(0)
    lower = rng.uniform(-1, 0, (600, 3))
    upper = lower + rng.uniform(0.1, 1, (600, 3))
    bounder = LineBounder(network, flipped=True)
    many = bounder.lines(lower, upper)
    few = bounder.lines(lower[500:510], upper[500:510])
    assert many.low[500:510] == pytest.approx(few.low)
    assert many.high_const[500:510] == pytest.approx(few.high_const)
    assert many.further[0].low[500:510] == pytest.approx(few.further[0].low)
    none = bounder.lines(lower[:0], upper[:0])
    assert none.low.shape == (0, 2, 3) and none.errors.shape == (0, 4, 3)


@settings(max_examples=20, deadline=None)
@given(networks(max_inputs=4), SEEDS)
def test_lines_of_flipped_slopes_hold(network, seed):
    rng = np.random.default_rng(seed)
    n = network.n_inputs
    lower = rng.uniform(-1, 0.5, (5, n))
    upper = lower + rng.uniform(0, 1, (5, n))
    plain = LineBounder(network).lines(lower, upper)
    lines = LineBounder(network, flipped=True).lines(lower, upper)
    assert np.array_equal(plain.low, lines.low)
    (further,) = lines.further
    for b in range(5):
        X = rng.uniform(lower[b], upper[b], (200, n))
        y = network.forward(X)
        assert np.all(X @ further.low[b].T + further.low_const[b] <= y)
        assert np.all(X @ further.high[b].T + further.high_const[b] >= y)


# -- boxes -----------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_evaluated_boxes_lose_no_point_below_the_cutoff(seed):
    problem = random_problem(seed)
    rng = np.random.default_rng(seed)
    relaxation = Relaxation(problem)
    points = points_of(problem, rng, 3000)
    full = problem.complete(points)
    feasible = problem.original.violation(full) == 0.0
    points, values = points[feasible], problem.original.objective(full[feasible])
    cutoff = np.median(values) if len(values) else np.inf
    nodes = relaxation.root()
    for _ in range(4):
        done = relaxation.evaluate(nodes, cutoff)
        left = done.nodes
        for point, value in zip(points, values, strict=True):
            if value >= cutoff:
                continue
            inside = np.all(
                (left.lower <= point + 1e-9) & (point <= left.upper + 1e-9), axis=1
            )
            assert inside.any()
            assert left.bound[inside].min() <= value + 1e-9
        left = left[left.column >= 0]
        if not len(left):
            break
        nodes = left.split(problem.integer)


@settings(max_examples=8, deadline=None)
@given(SEEDS, st.booleans())
def test_milp_of_a_box_agrees_with_the_tree(seed, clipped):
    problem = tightened_root(random_problem(seed, clipped))
    if problem is None:
        return
    bounder = LineBounder(problem.network)
    answer = solve_leaf(
        problem, bounder, problem.lower, problem.upper, np.inf, 0.0, 30.0, 10**6
    )
    result = branch(problem, BranchOptions(milp_neurons=0, mip_gap=1e-5))
    assert answer.finished
    if result.status == "infeasible":
        assert answer.bound == np.inf and answer.point is None
        return
    assert result.status == "optimal"
    assert answer.bound == pytest.approx(result.value, rel=2e-5, abs=1e-5)
    incumbent = Incumbent(problem)
    feasible, values = incumbent.offer(answer.point[None])
    assert feasible[0]
    assert values[0] == pytest.approx(answer.bound, rel=1e-5, abs=1e-5)
    cutoff = result.value - 0.1
    below = solve_leaf(
        problem, bounder, problem.lower, problem.upper, cutoff, 0.0, 30.0, 10**6
    )
    assert below.finished and below.bound == np.inf


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_region_lp_gives_feasible_points_no_worse(seed):
    problem = random_problem(seed, clipped=True)
    rng = np.random.default_rng(seed)
    incumbent = Incumbent(problem)
    feasible, values = incumbent.offer(points_of(problem, rng, 500))
    if not feasible.any():
        return
    start = incumbent.full[problem.columns]
    better = RegionLP(problem).solve(start)
    assert better is not None
    full = problem.complete(better[None])
    assert problem.original.violation(full)[0] <= FEASIBILITY
    assert problem.original.objective(full)[0] <= values[feasible].min() + 1e-6


def test_points_that_break_a_row_are_not_taken():
    problem = random_problem(3)
    incumbent = Incumbent(problem)
    points = points_of(problem, np.random.default_rng(0), 2000)
    feasible, values = incumbent.offer(points)
    full = problem.complete(points)
    linear = problem.original.linear
    rows = (linear.matrix @ full.T).T
    off = np.maximum(linear.row_lower - rows, rows - linear.row_upper).max(axis=1)
    off = np.maximum(
        off, np.maximum(linear.lower - full, full - linear.upper).max(axis=1)
    )
    assert np.array_equal(feasible, off <= FEASIBILITY * 10) or np.all(
        off[feasible] <= 1e-4
    )
    assert 0 < feasible.sum() < len(points)
    assert incumbent.value == values[feasible].min()


# -- nodes and the switch --------------------------------------------------------------


def test_open_nodes_give_out_the_least_bounds():
    rng = np.random.default_rng(0)
    bounds = rng.normal(size=50)
    root = Nodes.root(np.zeros(2), np.ones(2), 1)
    nodes = root[np.zeros(50, dtype=int)]
    nodes.bound = bounds
    queue = OpenNodes(nodes[:20])
    queue.add(nodes[20:])
    assert len(queue) == 50 and queue.bound == bounds.min()
    batch = queue.pop(10)
    assert sorted(batch.bound) == pytest.approx(np.sort(bounds)[:10])
    assert queue.prune(np.sort(bounds)[30]) == np.sort(bounds)[30]
    assert queue.prune(np.inf) == np.inf
    assert len(queue) == 20
    assert len(queue.pop(100)) == 20 and not len(queue)
    assert queue.bound == np.inf


def test_open_nodes_as_if_they_were_a_list():
    rng = np.random.default_rng(1)
    root = Nodes.root(np.zeros(1), np.ones(1), 0)
    queue, listed, number = OpenNodes(root[:0]), np.zeros((0, 2)), 0
    for _ in range(300):
        size = int(rng.integers(0, 40))
        nodes = root[np.zeros(size, dtype=int)]
        nodes.bound = rng.normal(size=size)
        nodes.origin = number + np.arange(size)
        nodes.counted = nodes.origin % 2 == 0
        number += size
        queue.add(nodes)
        listed = np.concatenate([listed, np.stack([nodes.bound, nodes.origin], 1)])
        listed = listed[np.argsort(listed[:, 0])]
        best = queue.best(5)
        assert best.origin.tolist() == listed[:5, 1].tolist()
        count = int(rng.integers(0, 35))
        taken = queue.pop(count)
        assert sorted(taken.origin) == sorted(listed[:count, 1])
        assert np.array_equal(taken.counted, taken.origin % 2 == 0)
        listed = listed[count:]
        if rng.uniform() < 0.1:
            cutoff = float(rng.normal() + 1.0)
            gone = listed[listed[:, 0] >= cutoff, 0]
            assert queue.prune(cutoff) == gone.min(initial=np.inf)
            listed = listed[listed[:, 0] < cutoff]
        assert len(queue) == len(listed)
        assert queue.bound == listed[:, 0].min(initial=np.inf)
        assert queue.counted == (listed[:, 1] % 2 == 0).sum()
        if rng.uniform() < 0.05:
            assert sorted(queue.nodes.origin) == sorted(listed[:, 1])


def test_halves_cover_the_box_and_integers_are_separated():
    root = Nodes.root(np.array([0.0, -3.0]), np.array([1.0, 4.0]), 0)
    root.column, root.point = np.array([1]), np.array([0.0])
    both = root.split(np.array([False, True]))
    assert both.upper[0].tolist() == [1.0, 0.0] and both.lower[1].tolist() == [0.0, 1.0]
    root.column, root.point = np.array([0]), np.array([0.25])
    both = root.split(np.array([False, True]))
    assert both.upper[0, 0] == both.lower[1, 0] == 0.25


def test_handover_learns_which_is_cheaper():
    switch = Handover(30)
    assert switch.prefers_milp(False, 0, root=True)
    assert not any(switch.prefers_milp(False, 0) for _ in range(10))
    switch.book_boxes(1.0, 1000, 100)  # ten boxes each, a millisecond per box
    assert not switch.prefers_milp(True, 0)
    assert switch.prefers_milp(True, 1000)  # but most of them are still open
    switch.book_boxes(1.0, 1000, 1000)  # a hundred boxes each
    assert switch.prefers_milp(True, 0)
    for _ in range(5):
        switch.book_milp(30.0, True)
    assert not switch.prefers_milp(True, 0)
    neurons = switch.neurons
    switch.book_milp(1.0, False)
    assert switch.neurons < neurons
    assert Handover(0).neurons < 0


@pytest.mark.parametrize("milp_neurons", [0, 30])
def test_time_limit_is_kept(milp_neurons):
    problem = random_problem(5)
    result = branch(problem, BranchOptions(time_limit=0.0, milp_neurons=milp_neurons))
    assert result.nodes <= 1 and result.milps == 0
    assert result.status in ("time limit", "infeasible")


def test_twins_that_cancel_are_left_to_milps():
    # f(x) = g(x) - g(x) + 1: lines lose the cancellation, a MILP does not
    inner = random_network(0, 2, (3, 3, 3), 1)
    from pyomo_relu.network import Layer, Network, Source

    layers, last = [], []
    for copy in range(2):
        offset = len(layers)
        for layer in inner.layers[:-1]:
            sources = [Source(s if s < 0 else s + offset, p) for s, p in layer.sources]
            layers.append(
                Layer(sources, layer.weights, layer.bias, layer.activation, name="t")
            )
        sign = 1.0 - 2.0 * copy
        last.append((Source(len(layers) - 1), sign * inner.layers[-1].weights[0]))
    layers.append(Layer([s for s, _ in last], [w for _, w in last], [1.0], "identity"))
    twins = Network(layers, inner.inputs, inner.outputs)
    linear = LinearModel(
        sparse.csr_array((0, 3)), [], [], [-9.0, -9, -np.inf], [9.0, 9, np.inf]
    )
    function = EmbeddedNetwork(twins, [0, 1], [2])
    problem = build_problem(EmbeddedModel(linear, [function], [0.0, 0, 1]))
    result = branch(problem)
    assert result.status == "optimal"
    assert result.value == pytest.approx(1.0)


def test_bounds_below_the_cutoff_are_not_called_optimal_or_infeasible():
    problem = tightened_root(read_model(two_networks()).problem)
    tree = Tree(problem, BranchOptions(), Deadline())
    tree.limits.closed = (
        0.5  # a MILP was solved, but its solution is no point of the model
    )
    assert tree._conclusion() == "stalled"
    found = branch(problem)
    assert found.status == "optimal"
    tree.incumbent.offer(found.full[problem.columns][None])
    value = tree.incumbent.value
    assert value == pytest.approx(found.value)
    for below, status in ((1e-6, "stalled"), (1e-10, "optimal"), (0.0, "optimal")):
        tree.limits.closed = tree.cutoff - below
        assert tree._conclusion() == status
    tree.limits.unresolved = -np.inf
    assert tree._conclusion() == "stalled"
