"""Certificates prove what they claim, in exact rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linprog

from pyomo_relu.bounds.crown.interval import interval_bounds
from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.box_rows import BoxRows, propagate
from pyomo_relu.linear.certificate import Certifier, evaluation_errors
from pyomo_relu.linear.column_bounds import (
    bound_endless_columns,
    bound_free_columns,
)
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.sessions.choice import open_session
from tests.random_networks import random_network


def random_model(seed, m=6, n=5, scale=1.0):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(m, n)) * scale * (rng.random((m, n)) < 0.7)
    inside = rng.uniform(-1.0, 1.0, n)
    row_lower, row_upper = A @ inside - rng.random(m), A @ inside + rng.random(m)
    kind = rng.integers(0, 4, m)
    row_lower[kind == 0] = -np.inf
    row_upper[kind == 1] = np.inf
    equal = kind == 2
    row_lower[equal] = row_upper[equal] = (A @ inside)[equal]
    return LinearModel(
        sparse.csr_array(A), row_lower, row_upper, -np.ones(n), np.ones(n)
    )


def exact_value(model, cost, y):
    """The Neumaier-Shcherbina bound in rational arithmetic."""
    y = [Fraction(v) for v in y]
    A = model.matrix.toarray()
    total = Fraction(0)
    for i, v in enumerate(y):
        if v != 0:
            side = model.row_lower[i] if v > 0 else model.row_upper[i]
            total += v * Fraction(side)
    for j in range(model.n_columns):
        d = Fraction(cost[j]) - sum(Fraction(A[i, j]) * v for i, v in enumerate(y))
        total += min(d * Fraction(model.lower[j]), d * Fraction(model.upper[j]))
    return total


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-6, 1.0, 1e6]))
def test_float_bound_is_below_the_exact_one(seed, scale):
    model = random_model(seed, scale=scale)
    rng = np.random.default_rng(seed)
    certifier = Certifier(model)
    costs = rng.normal(size=(4, model.n_columns))
    duals = rng.normal(size=(4, model.n_rows)) * 10.0 ** rng.integers(-8, 3)
    bounds = certifier.lower_bounds(costs, duals)
    for cost, y, bound in zip(costs, certifier.project(duals), bounds, strict=True):
        exact = exact_value(model, cost, y)
        assert Fraction(bound) <= exact
        size = 1.0 + np.abs(y).sum() * scale * 10 + np.abs(cost).sum()
        assert float(exact) - bound <= 1e-12 * size


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
@pytest.mark.parametrize("seed", range(5))
def test_optimal_duals_give_the_optimum(solver, seed):
    model = random_model(seed)
    rng = np.random.default_rng(seed)
    with open_session(solver, model) as session:
        for _ in range(4):
            columns = rng.permutation(model.n_columns)[:3]
            coefficients = rng.normal(size=3)
            answer = session.minimize(columns, coefficients)
            cost = np.zeros(model.n_columns)
            cost[columns] = coefficients
            A = model.matrix.toarray()
            above, below = np.isfinite(model.row_upper), np.isfinite(model.row_lower)
            expected = linprog(
                cost,
                np.vstack([A[above], -A[below]]),
                np.concatenate([model.row_upper[above], -model.row_lower[below]]),
                bounds=(-1, 1),
            ).fun
            bound = Certifier(model).lower_bounds(cost[None], answer.duals[None])[0]
            assert answer.status == "optimal"
            assert answer.objective == pytest.approx(expected, abs=1e-7)
            assert bound <= expected + 1e-9
            assert bound == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_infeasibility_needs_a_proof(solver):
    model = LinearModel(
        sparse.csr_array([[1.0, 1.0], [1.0, -1.0]]),
        [1.5, 1.0],
        [np.inf, np.inf],
        [0.0, 0.0],
        [1.0, 1.0],
    )
    with open_session(solver, model) as session:
        answer = session.minimize(np.array([0]), np.array([1.0]))
    assert answer.status == "infeasible"
    certifier = Certifier(model)
    assert certifier.proves_infeasible(answer.ray)
    feasible = Certifier(model.replace(row_lower=np.array([1.5, 0.4])))
    assert not feasible.proves_infeasible(answer.ray)
    for nonsense in (None, np.zeros(2), np.full(2, np.nan), np.ones(3)):
        assert not certifier.proves_infeasible(nonsense)


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_unbounded_columns_get_bounds_where_rows_imply_them(solver):
    rng = np.random.default_rng(1)
    n = 4
    A = np.hstack([rng.normal(size=(30, n)), np.zeros((30, 1))])
    free = np.full(n + 1, np.inf)
    model = LinearModel(
        sparse.csr_array(A), -np.full(30, np.inf), np.ones(30), -free, free
    )
    lower, upper, solves = bound_free_columns(model, range(n + 1), solver)
    assert solves == 2 * (n + 1)
    for j in range(n):
        for sign, end in ((1.0, lower[j]), (-1.0, -upper[j])):
            cost = np.zeros(n + 1)
            cost[j] = sign
            best = linprog(cost, A, np.ones(30), bounds=(None, None)).fun
            assert end <= best + 1e-12 and end == pytest.approx(best, abs=1e-7)
    assert np.isinf(lower[n]) and np.isinf(upper[n])


def test_an_excess_in_each_scenario_gets_an_end_from_the_threshold():
    # e_s >= a_s - t, and t + 4 mean(e) <= 9 as a cutoff: t is free, each e_s >= 0
    n = 40
    a = np.random.default_rng(0).normal(size=n)
    matrix = sparse.vstack(
        [
            sparse.hstack([sparse.csr_array(np.ones((n, 1))), sparse.eye_array(n)]),
            sparse.csr_array(np.concatenate([[1.0], np.full(n, 4.0 / n)])[None]),
        ],
        format="csr",
    )
    free = np.full(n + 1, np.inf)
    lower = np.concatenate([[-np.inf], np.zeros(n)])
    rows = np.concatenate([a, [-np.inf]]), np.concatenate([np.full(n, np.inf), [9.0]])
    model = LinearModel(sparse.csr_array(matrix), *rows, lower, free)
    low, high = bound_endless_columns(model, np.arange(n + 1))
    assert np.isfinite(low).all() and np.isfinite(high).all()
    for j in (0, 1, n):
        for sign, end in ((1.0, low[j]), (-1.0, -high[j])):
            cost = np.zeros(n + 1)
            cost[j] = sign
            best = linprog(
                cost,
                np.vstack([-matrix.toarray()[:n], matrix.toarray()[n:]]),
                np.concatenate([-a, [9.0]]),
                bounds=list(zip(lower, free, strict=True)),
            ).fun
            assert end <= best + 1e-9
    few = bound_endless_columns(model, [0])
    assert few[0][0] == pytest.approx(low[0]) and few[1][0] == pytest.approx(high[0])


def test_contradicting_rows_without_bounds_are_proven_infeasible():
    free = np.full(2, np.inf)
    model = LinearModel(
        sparse.csr_array([[1.0, 1.0], [1.0, 1.0]]),
        [1.0, -np.inf],
        [np.inf, 0.0],
        -free,
        free,
    )
    with pytest.raises(InfeasibleError, match="leave no feasible point"):
        bound_free_columns(model, [0])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_evaluation_error_covers_float64(scale):
    network = random_network(2, 3, (6, 6, 6), 2, scale=scale, residual=True)
    bounds = interval_bounds(network, -1.0, 1.0)
    errors = evaluation_errors(network, bounds)
    x = np.random.default_rng(0).uniform(-1.0, 1.0, 3)
    computed = network.propagate(x[None])[0]
    exact_post = []
    for k, layer in enumerate(network.layers):
        exact = []
        for i in range(layer.size):
            v = Fraction(layer.bias[i])
            for (source, _), w in zip(layer.sources, layer.weights, strict=True):
                values = [Fraction(t) for t in x] if source < 0 else exact_post[source]
                v += sum(Fraction(a) * t for a, t in zip(w[i], values, strict=True))
            exact.append(v)
        exact_post.append([max(Fraction(0), v) for v in exact])
        for i, v in enumerate(exact):
            assert abs(Fraction(computed[k][0, i]) - v) <= Fraction(errors[k][i])
        assert np.all(errors[k] <= 1e-12 * (1e-300 + bounds.upper[k] - bounds.lower[k]))


@pytest.mark.parametrize("seed", range(20))
def test_boxes_and_models_have_the_same_bounds(seed):
    """Of several costs over one model and of several boxes; both below the exact one."""
    model = random_model(seed)
    rng = np.random.default_rng(seed)
    costs = rng.normal(size=(3, model.n_columns))
    duals = rng.normal(size=(3, model.n_rows))
    certifier, rows = Certifier(model), BoxRows.of_model(model)
    bounds = certifier.lower_bounds(costs, duals)
    y = certifier.project(duals)
    lower, upper = model.lower[None], model.upper[None]
    for k in range(3):
        one = slice(k, k + 1)
        found = rows.dual_bounds(costs[one], np.zeros(1), duals[one], lower, upper)[0]
        assert found == pytest.approx(bounds[k], rel=1e-12, abs=1e-12)
        assert Fraction(found) <= exact_value(model, costs[k], y[k])


@pytest.mark.parametrize(("m", "n"), [(6, 5), (260, 400)])
@pytest.mark.parametrize("seed", range(3))
def test_rows_that_were_added_count_as_if_they_had_been_there(m, n, seed):
    """Also where a column is free, so that only an exact residual proves anything."""
    model, half = random_model(seed, m, n), m // 2
    lower = model.lower.copy()
    lower[0] = -np.inf
    model = model.replace(lower=lower)
    rng = np.random.default_rng(seed)
    y = rng.integers(-2, 3, (2, m)).astype(float)
    certifier = Certifier(
        model.replace(
            matrix=model.matrix[:half],
            row_lower=model.row_lower[:half],
            row_upper=model.row_upper[:half],
        )
    )
    for rows in (slice(half, half + 1), slice(half + 1, m)):
        certifier.add(model.matrix[rows], model.row_lower[rows], model.row_upper[rows])
    fresh = Certifier(model)
    y = fresh.project(y)
    costs = rng.normal(size=(2, n))
    # the free column's residual is zero, but for what rounding makes of it
    costs[:, 0] = [float(model.matrix[:, [0]].toarray()[:, 0] @ d) for d in y]
    found, expected = certifier.lower_bounds(costs, y), fresh.lower_bounds(costs, y)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    smaller = np.full(n, -0.5), model.upper
    inside = certifier.lower_bounds(costs, y, smaller)
    assert (inside >= expected - 1e-9).all() and np.isfinite(inside).all()


def test_rays_prove_that_boxes_are_empty():
    """``x_0 + x_1 >= 3`` in two boxes, one of which has such a point."""
    A = sparse.csr_array(np.ones((1, 2)))
    model = LinearModel(A, np.array([3.0]), np.array([np.inf]), np.zeros(2), np.ones(2))
    assert Certifier(model).proves_infeasible(np.array([-1e-30]))
    assert not Certifier(model).proves_infeasible(np.array([0.0]))
    assert not Certifier(model).proves_infeasible(None)
    one = BoxRows.of_model(model)
    both = (np.repeat(a, 2, axis=0) for a in (one.data, one.lower, one.upper))
    rows = BoxRows(one.pattern, *both)
    upper = np.array([[1.0, 1.0], [1.0, 2.0]])
    rays = np.array([[-1e-30], [1.0]])
    assert rows.proven_empty(rays, np.zeros((2, 2)), upper).tolist() == [True, False]
    with pytest.raises(InfeasibleError, match="empty"):
        propagate(model)


def test_one_huge_term_leaves_other_bounds_sharp():
    """``x_0 + x_1 <= 5``: how far x_0 could reach says nothing about x_1's error."""
    A = sparse.csr_array(np.ones((1, 2)))
    upper = np.array([1e15, 1e15])
    model = LinearModel(A, np.array([-np.inf]), np.array([5.0]), np.zeros(2), upper)
    assert np.all(propagate(model)[1] <= 5.0 + 1e-13)
