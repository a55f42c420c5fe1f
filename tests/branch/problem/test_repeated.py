"""Networks that stand many times in a model: the same lines, points and optima."""

import itertools

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.branch.bounding.lines.lines import LineBounder
from pyomo_relu.branch.bounding.lines.repeated_lines import RepeatedLineBounder
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.branch.points.tangents import TangentLP
from pyomo_relu.branch.problem.joint import RepeatedJoint, build_problem
from pyomo_relu.branch.problem.repeated import repeated_members
from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.network import Network
from pyomo_relu.network.gradients import gradient
from pyomo_relu.network.repeated import RepeatedNetworks
from tests.random_networks import random_network

SEEDS = st.integers(0, 2**32 - 1)


def repeated_model(seed, n_outputs=1, members=9, deep=True, alike=True):
    """Networks that read two shared columns, fixed ones and one of their own."""
    rng = np.random.default_rng(seed)
    shapes = {"pre": True, "residual": True, "clipped": bool(rng.random() < 0.5)}
    kinds = [
        random_network(rng, 4, (6, 5) if deep else (6,), n_outputs, **shapes),
        random_network(rng, 4, (5,), n_outputs),
    ]
    functions, lower, upper = [], [-1.0, -2.0], [1.0, 1.0]
    for s in range(members):
        first = len(lower)
        fixed = float(rng.normal())
        lower += [fixed, -0.5] + [-np.inf] * n_outputs
        upper += [fixed, 0.5] + [np.inf] * n_outputs
        inputs = [0, 1, first, first + 1]
        outputs = range(first + 2, first + 2 + n_outputs)
        functions.append(EmbeddedNetwork(kinds[s % 4 == 0], inputs, outputs, f"f{s}"))
    n = len(lower)
    matrix = rng.normal(size=(3, n)).round(1) * (rng.random((3, n)) < 0.5)
    costs = rng.normal(size=n).round(1)
    if n_outputs > 1 and alike:  # combinations that differ by powers of two only
        for f in functions:
            matrix[:, f.outputs] = 0.0
            costs[f.outputs] = [2.0, -3.0] if rng.random() < 0.5 else [-4.0, 6.0]
    linear = LinearModel(
        sparse.csr_array(matrix),
        np.full(3, -np.inf),
        np.full(3, 5.0),
        np.array(lower),
        np.array(upper),
    )
    return EmbeddedModel(linear, functions, costs, 0.3)


def random_boxes(problem, rng, count=5):
    n = problem.n_inputs
    ends = rng.uniform(problem.lower[:n], problem.upper[:n], (2, count, n))
    return ends.min(axis=0), ends.max(axis=0)


@given(SEEDS, st.sampled_from([1, 2]))
@settings(max_examples=8, deadline=None)
def test_values_and_derivatives_are_those_of_the_written_out_network(seed, size):
    problem = build_problem(repeated_model(seed, size))
    network = problem.network
    assert isinstance(network, RepeatedNetworks)
    whole, rng = network.whole(), np.random.default_rng(seed)
    assert whole.n_neurons == network.n_neurons
    assert np.array_equal(whole.support(), network.support())
    X = rng.uniform(*random_boxes(problem, rng))
    u = whole.forward(X)
    near = {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(network.forward(X), u, **near)
    seeds = rng.normal(size=u.shape)
    values, slope = network.value_and_gradient(X, seeds)
    np.testing.assert_allclose(values, (u * seeds).sum(axis=1), **near)
    pre = whole.propagate(X)[0]
    np.testing.assert_allclose(slope, gradient(whole, pre, seeds), **near)
    C, d = network.tangents(X[0])
    np.testing.assert_allclose(d, u[0], **near)
    every = np.repeat([0], len(d))
    expected = gradient(whole, [v[every] for v in pre], np.eye(len(d)))
    np.testing.assert_allclose(C.toarray(), expected, **near)


@given(SEEDS, st.sampled_from([1, 2]))
@settings(max_examples=8, deadline=None)
def test_lines_of_one_layer_are_those_of_the_written_out_network(seed, size):
    # of more layers, neurons that are stable in one box only are bounded in others too
    problem = build_problem(repeated_model(seed, size, deep=False))
    network = problem.network
    box = random_boxes(problem, np.random.default_rng(seed))
    found = RepeatedLineBounder(network).lines(*box)
    expected = LineBounder(network.whole()).lines(*box)
    for name in ("low", "low_const", "high", "high_const", "errors"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-7, atol=1e-7
        )
    assert np.array_equal(found.unstable, expected.unstable)


@given(SEEDS, st.booleans())
@settings(max_examples=15, deadline=None)
def test_lines_hold_at_points_and_corners(seed, alike):
    model = repeated_model(seed, 2, alike=alike)
    joint = RepeatedJoint(repeated_members(model))
    problem = joint.problem(model)
    assert joint.summed != alike
    network, rng = problem.network, np.random.default_rng(seed)
    lower, upper = random_boxes(problem, rng, 3)
    lines = RepeatedLineBounder(network).lines(lower, upper)
    for b in range(3):
        X = rng.uniform(lower[b], upper[b], (40, network.n_inputs))
        X = np.concatenate([X, np.where(rng.random(X.shape) < 0.5, lower[b], upper[b])])
        u = network.forward(X)
        assert np.all(X @ lines.low[b].T + lines.low_const[b] <= u)
        assert np.all(X @ lines.high[b].T + lines.high_const[b] >= u)


def test_a_column_that_is_read_twice_is_one_input():
    """``max(0, 3 x - 3 x + a z + 1)``, a summed of 0.1, 0.2 and -0.3 without loss."""
    w = np.array([[3.0, 0.1, -3.0, 0.2, -0.3]])
    network = Network.sequential([w, np.eye(1)], [np.ones(1), np.zeros(1)])
    wide = Network.sequential(
        [sparse.csr_array(w), np.eye(1)], [np.ones(1), np.zeros(1)]
    )
    functions = [
        EmbeddedNetwork((network, wide)[s % 2], [0, 1, 0, 1, 1], [2 + s], f"f{s}")
        for s in range(12)
    ]
    linear = LinearModel(
        sparse.csr_array((0, 14)),
        np.zeros(0),
        np.zeros(0),
        np.concatenate([[-5.0, -4.0], np.full(12, -np.inf)]),
        np.concatenate([[5.0, 4.0], np.full(12, np.inf)]),
    )
    costs = np.concatenate([np.zeros(2), 1.0 + np.arange(12) % 3])
    problem = build_problem(EmbeddedModel(linear, functions, costs, 0.0))
    assert isinstance(problem.network, RepeatedNetworks)
    n = problem.n_inputs
    lower, upper = (a[None, :n] for a in (problem.lower, problem.upper))
    lines = RepeatedLineBounder(problem.network).lines(lower, upper)
    assert lines.unstable.sum() == 0
    np.testing.assert_allclose(lines.low, 0.0, atol=1e-14)
    np.testing.assert_allclose(lines.low_const, lines.high_const, rtol=1e-12)
    X = np.random.default_rng(0).uniform(lower[0], upper[0], (50, n))
    u = problem.network.forward(X)
    assert (u >= lines.low_const).all() and (u <= lines.high_const).all()


def test_some_directions_need_some_members_only():
    problem = build_problem(repeated_model(3))
    network = problem.network
    X = np.random.default_rng(0).uniform(-0.5, 0.5, (4, network.n_inputs))
    some = network.only([1])
    np.testing.assert_allclose(some.forward(X)[:, 0], network.forward(X)[:, 1])
    assert some.n_members <= network.n_members


def scenarios(count, rows=None, integer=False, seed=0, widths=(12, 8)):
    """A Pyomo model of recourse costs; returns it with its objective at points."""
    network = random_network(seed, 4, widths, 1, scale=1.5)
    xi = np.random.default_rng(seed + 1).uniform(-1, 1, (count, 2))
    m = pyo.ConcreteModel()
    m.x = pyo.Var(
        range(2), bounds=(-2, 2), domain=pyo.Integers if integer else pyo.Reals
    )
    m.S = pyo.RangeSet(0, count - 1)
    m.y = pyo.Var(m.S)
    m.nn = ReLUNetworkBlock(
        m.S,
        network=network,
        inputs=lambda s: [m.x[0], m.x[1], float(xi[s, 0]), float(xi[s, 1])],
        outputs=lambda s: [m.y[s]],
    )
    if rows == "budget":
        m.budget = pyo.Constraint(expr=m.x[0] + m.x[1] <= 0.5)
    cost = sum(m.y[s] for s in m.S) / count
    if rows == "tail":
        m.threshold = pyo.Var()
        m.excess = pyo.Var(m.S, domain=pyo.NonNegativeReals)
        m.above = pyo.Constraint(
            m.S, rule=lambda m, s: m.excess[s] >= m.y[s] - m.threshold
        )
        cost = m.threshold + sum(m.excess[s] for s in m.S) / (0.25 * count)
    m.total = pyo.Objective(expr=cost + 0.2 * m.x[0])

    def value(X):
        each = np.concatenate(
            [np.repeat(X, count, axis=0), np.tile(xi, (len(X), 1))], axis=1
        )
        y = network.forward(each).reshape(len(X), count)
        mean = y.mean(axis=1)
        if rows == "tail":  # the mean of the greatest quarter
            mean = np.sort(y, axis=1)[:, -count // 4 :].mean(axis=1)
        total = mean + 0.2 * X[:, 0]
        return (
            np.where(X.sum(axis=1) <= 0.5 + 1e-9, total, np.inf)
            if (rows == "budget")
            else total
        )

    return m, value


@pytest.mark.parametrize(
    ("count", "rows", "integer"),
    [
        *itertools.product([20], [None, "budget", "tail"], [False, True]),
        (240, None, False),
        (240, "budget", True),
        (240, "tail", True),
    ],
)
def test_optima_under_scenarios_are_those_of_a_grid(count, rows, integer):
    m, value = scenarios(count, rows, integer)
    results = pyo.SolverFactory("relu.branch").solve(m)
    assert results.solver.termination_condition == "optimal"
    step = 1.0 if integer else 0.05
    ends = np.arange(-2.0, 2.0 + step / 2, step)
    grid = value(np.array(list(itertools.product(ends, ends)))).min()
    found = pyo.value(m.total)
    x = np.array([[m.x[0].value, m.x[1].value]])
    assert found == pytest.approx(value(x)[0], abs=1e-5)
    assert results.problem.lower_bound <= grid + 1e-9
    assert found <= grid + 1e-4 * abs(grid) + 1e-6
    if integer:
        assert found == pytest.approx(grid, rel=1e-4, abs=1e-5)


def test_nothing_stored_is_of_all_neurons_squared():
    m, _ = scenarios(100, widths=(24, 24))
    problem = read_model(m).problem
    network = problem.network
    assert problem.is_large
    neurons = network.n_neurons
    assert neurons == 100 * 48
    (one,) = network.repetitions
    stored = sum(w.size for layer in one.network.layers for w in layer.weights)
    stored += one.columns.size + one.matrix.nnz
    stored += sum(len(known) for known in one.constants)
    assert stored < neurons
    # neither evaluating nor bounding writes the layers out
    X = np.zeros((3, 2))
    network.forward(X)
    network.value_and_gradient(X, np.ones((3, 1)))
    RepeatedLineBounder(network).lines(X - 1.0, X + 1.0)
    assert TangentLP(problem).solve(np.zeros(problem.n_columns)) is not None
    assert "layers" not in vars(network)


def test_many_networks_share_one_in_memory():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(12), bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(
        range(12),
        network=random_network(0, 1, (3,), 1),
        inputs=lambda i: [m.x[i]],
        input_scaling=(0.0, [0.5]),
    )
    assert len({id(block.network) for block in m.nn.values()}) == 1


def test_few_or_chained_networks_stay_apart():
    few = repeated_model(0, members=7)
    assert not isinstance(build_problem(few).network, RepeatedNetworks)
    model = repeated_model(0, members=9)
    first, *others = model.functions
    chained = EmbeddedNetwork(
        first.network, [*others[0].outputs, *first.inputs[1:]], first.outputs
    )
    model = EmbeddedModel(model.linear, [chained, *others], model.costs)
    assert not isinstance(build_problem(model).network, RepeatedNetworks)
