"""Sessions: incremental solves equal solves from scratch; choice of the solver."""

from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
from scipy import sparse

from pyomo_relu.common.deadline import Deadline
from pyomo_relu.errors import SolverError
from pyomo_relu.linear import unit_range
from pyomo_relu.linear.model import LinearModel, ModelBuilder
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.choice import open_session, session_class
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Batch, Settings
from pyomo_relu.linear.sessions.watcher import Watcher
from tests.linear.test_certificate import random_model


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
@pytest.mark.parametrize("integer", [False, True])
def test_changing_costs_equals_a_new_session(solver, integer):
    model = random_model(3, m=8, n=8)
    model = model.replace(integer=np.arange(8) < 3)
    model = model.replace(
        lower=model.lower * 3,
        upper=model.upper * 3,
        row_lower=model.row_lower - 2.0,
        row_upper=model.row_upper + 2.0,
    )
    rng = np.random.default_rng(0)
    with open_session(solver, model, integer) as session:
        for i in range(12):
            columns = rng.permutation(8)[: 1 + i % 5]
            coefficients = rng.normal(size=columns.size)
            answer = session.minimize(columns, coefficients)
            with open_session(solver, model, integer) as new:
                fresh = new.minimize(columns, coefficients)
            assert answer.status == fresh.status == "optimal"
            assert answer.objective == pytest.approx(fresh.objective, abs=1e-7)
            if integer:
                whole = answer.primal[:3]
                assert whole == pytest.approx(np.round(whole), abs=1e-6)
                assert answer.dual_bound == pytest.approx(answer.objective, abs=1e-6)


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_unbounded_and_timed_out_are_said(solver):
    model = random_model(3).replace(upper=np.full(5, np.inf), lower=np.full(5, -np.inf))
    model = model.replace(row_lower=np.full(6, -np.inf), row_upper=np.full(6, np.inf))
    with open_session(solver, model) as session:
        assert session.minimize(np.array([0]), np.array([1.0])).status == "unbounded"
    with open_session(solver, random_model(3, 200, 200)) as session:
        answer = session.minimize(np.arange(200), np.ones(200), time_limit=0.0)
        assert answer.status == "time limit" and answer.duals is None
        answer = session.minimize(np.arange(200), np.ones(200))
        assert answer.status == "optimal"


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
@pytest.mark.parametrize("size", [1.0, 1e4])
@pytest.mark.parametrize("integer", [False, True])
def test_adding_rows_equals_a_new_session(solver, size, integer):
    """Rows of one side, of two and of one value, in the model's units and far ones."""
    whole = random_model(7, m=12, n=8)
    whole = whole.replace(
        row_lower=np.where(np.arange(12) % 3 == 0, -np.inf, whole.row_lower - 0.5),
        row_upper=np.where(np.arange(12) % 3 == 1, np.inf, whole.row_upper + 0.5),
        integer=np.arange(8) < 2,
    )
    factors = np.where(np.arange(12) < 8, 1.0, size)
    whole = whole.replace(
        matrix=sparse.csr_array(whole.matrix.toarray() * factors[:, None]),
        row_lower=whole.row_lower * factors,
        row_upper=whole.row_upper * factors,
    )
    columns, costs = np.arange(8), np.random.default_rng(0).normal(size=8)

    def part(last):
        return whole.replace(
            matrix=whole.matrix[:last],
            row_lower=whole.row_lower[:last],
            row_upper=whole.row_upper[:last],
        )

    with open_session(solver, part(4), integer) as session:
        for first, last in ((4, 7), (7, 12)):
            session.minimize(columns, costs)
            rows = slice(first, last)
            session.add_rows(
                whole.matrix[rows], whole.row_lower[rows], whole.row_upper[rows]
            )
            answer = session.minimize(columns, costs)
            with open_session(solver, part(last), integer) as new:
                fresh = new.minimize(columns, costs)
            assert answer.status == fresh.status == "optimal"
            assert answer.objective == pytest.approx(fresh.objective, abs=1e-6)
            if not integer:
                assert answer.duals == pytest.approx(fresh.duals, abs=1e-6)


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_changing_anything_equals_a_new_session(solver, size):
    """Bounds, sides (also of rows that were one-sided) and coefficients."""
    model = random_model(5, m=8, n=8)
    model = model.replace(
        matrix=model.matrix / size,
        lower=model.lower * size,
        upper=model.upper * size,
        row_lower=np.where(np.arange(8) < 4, -np.inf, model.row_lower - 1.0),
        row_upper=model.row_upper + 1.0,
    )
    assert (size == 1.0) == unit_range.UnitRange(model).identity
    rng = np.random.default_rng(1)
    A, low, high = model.matrix.toarray(), model.row_lower, model.row_upper
    lower, upper = model.lower, model.upper
    columns = np.arange(8)
    statuses = set()
    with open_session(solver, model) as session:
        for _ in range(12):
            j, i = rng.permutation(8)[:2], rng.permutation(8)[:3]
            lower, upper = lower.copy(), upper.copy()
            lower[j] = -rng.uniform(0.2, 1.0, 2) * size
            upper[j] = rng.uniform(0.2, 1.0, 2) * size
            session.set_bounds(j, lower[j], upper[j])
            low, high = low.copy(), high.copy()
            middle = rng.normal(size=3)
            low[i], high[i] = middle - [0.0, 0.3, np.inf], middle + [0.0, 0.5, 1.0]
            session.set_rows(i, low[i], high[i])
            A[i[0], j[0]] = rng.normal() / size
            session.set_coefficient(i[0], j[0], A[i[0], j[0]])
            costs, constant = rng.normal(size=8), rng.normal()
            answer = session.minimize(columns, costs, constant=constant)
            changed = type(model)(A, low, high, lower, upper)
            with open_session(solver, changed) as new:
                fresh = new.minimize(columns, costs)
            assert answer.status == fresh.status
            statuses.add(str(answer.status))
            if answer.status == "optimal":
                expected = fresh.objective + constant
                assert answer.objective == pytest.approx(expected, abs=1e-7 * size)
        assert "optimal" in statuses
        session.load(model)
        with open_session(solver, model) as new:
            expected = new.minimize(columns, costs).objective
        found = session.minimize(columns, costs).objective
        assert found == pytest.approx(expected, abs=1e-7 * size)


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_added_columns_equal_a_new_session(solver, size):
    """One by one and several, in rows that are divided by their size too."""
    model = random_model(5, m=8, n=8)
    model = model.replace(
        matrix=model.matrix / size,
        lower=model.lower * size,
        upper=model.upper * size,
        row_lower=model.row_lower - 1.0,
        row_upper=model.row_upper + 1.0,
    )
    rng = np.random.default_rng(1)
    A, lower, upper = model.matrix.toarray(), model.lower, model.upper
    with open_session(solver, model) as session:
        session.minimize(np.arange(8), rng.normal(size=8))
        for more in (1, 3, 2):
            new = rng.normal(size=(8, more)) * (rng.random((8, more)) < 0.7)
            low, high = np.zeros(more), rng.uniform(0.5, 2.0, more)
            session.add_columns(sparse.csc_array(new), low, high)
            session.go_on_primal(more != 3)
            A = np.concatenate([A, new], axis=1)
            lower, upper = np.append(lower, low), np.append(upper, high)
            costs = rng.normal(size=A.shape[1])
            answer = session.minimize(np.arange(costs.size), costs)
            whole = LinearModel(A, model.row_lower, model.row_upper, lower, upper)
            with open_session(solver, whole) as other:
                fresh = other.minimize(np.arange(costs.size), costs)
            assert answer.status == fresh.status == "optimal"
            assert answer.objective == pytest.approx(fresh.objective, abs=1e-6 * size)
            assert costs @ answer.primal == pytest.approx(answer.objective, rel=1e-6)
        j = A.shape[1] - 1
        session.set_bounds(np.array([j]), np.array([0.25]), np.array([0.25]))
        answer = session.minimize(np.arange(costs.size), costs)
        assert answer.primal[j] == pytest.approx(0.25)


def batch_of(B, m=3, n=4):
    """As many LPs, feasible ones and others."""
    rng = np.random.default_rng(2)
    return Batch(
        np.arange(m + 1) * n,
        np.tile(np.arange(n), m),
        rng.normal(size=(B, m * n)),
        np.full((B, m), -np.inf),
        rng.normal(size=(B, m)),
        -np.ones((B, n)),
        np.full((B, n), 2.0),
        rng.normal(size=(B, n)),
    )


def test_a_batch_of_many_turns_comes_back_in_order():
    batch = batch_of(600)
    with session_class("highs")(settings=Settings()) as session:
        answers = list(session.minimize_each(batch))
    assert len(answers) == 600
    for b, answer in enumerate(answers):
        if answer.status is Status.OPTIMAL:
            assert answer.objective == pytest.approx(batch.costs[b] @ answer.primal)
            sums = batch.data[b].reshape(3, 4) @ answer.primal
            assert (sums <= batch.row_upper[b] + 1e-6).all()


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_a_batch_equals_one_session_each(solver):
    B, n = 12, 4
    batch = batch_of(B)
    with session_class(solver)(settings=Settings()) as session:
        answers = list(session.minimize_each(batch))
        assert list(session.minimize_each(batch, deadline=Deadline(0.0))) == []
    assert len(answers) == B
    for b, answer in enumerate(answers):
        with open_session(solver, batch.model(b)) as new:
            fresh = new.minimize(np.arange(n), batch.costs[b])
        assert answer.status is fresh.status
        if answer.status is Status.OPTIMAL:
            assert answer.objective == pytest.approx(fresh.objective, abs=1e-7)
            assert answer.duals == pytest.approx(fresh.duals, abs=1e-6)
        else:
            assert answer.status is Status.INFEASIBLE and answer.ray is not None


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_limits_gaps_and_figures(solver):
    """A knapsack of one row with odd weights needs a tree; a node limit stops it."""
    rng = np.random.default_rng(0)
    n = 60
    weights, worth = rng.integers(30, 90, (5, n)), rng.integers(30, 90, n)
    model = LinearModel(
        weights,
        np.full(5, -np.inf),
        weights.sum(axis=1) // 2 + 0.5,
        np.zeros(n),
        np.ones(n),
        np.ones(n, dtype=bool),
    )
    every = np.arange(n)

    def solve(**settings):
        settings = Settings(figures=True, **settings)
        with session_class(solver)(model, True, settings) as session:
            return session.minimize(every, -1e4 * worth, constant=5.0)

    stopped, close = solve(node_limit=1), solve(relative_gap=0.0, absolute_gap=3e5)
    assert stopped.status is Status.NODE_LIMIT and stopped.figures.nodes <= 2
    assert close.status is Status.OPTIMAL
    assert close.objective - close.dual_bound <= 3e5
    assert close.figures.root_bound <= close.objective
    assert close.figures.iterations > 0
    value = -1e4 * worth @ np.round(close.primal) + 5.0
    assert close.objective == pytest.approx(value)
    assert stopped.dual_bound <= close.objective + 1.0


def test_solvers_by_name():
    assert session_class("highs").__name__ == "HighsSession"
    assert session_class(session_class("gurobi")) is session_class("gurobi")
    with pytest.raises(SolverError, match="use one of highs, gurobi"):
        session_class("glpk")


class _Follower(Watcher):
    """Notes what it is told; hands over a point; ends the run or raises."""

    def __init__(self, point=None, ends=False, error=None):
        self.bounds, self.points = [], []
        self.point, self.ends, self.error = point, ends, error

    def step(self, bound):
        self.bounds.append(bound)
        if self.error is not None:
            raise self.error
        return self.ends

    def found(self, point):
        self.points.append(point)

    def offered(self):
        point, self.point = self.point, None
        return point


def _knapsack():
    """A MILP with a few hundred nodes, in units far from 1."""
    rng = np.random.default_rng(4)
    n, sizes = 30, np.repeat([1.0, 1e4, 1e-3], 10)
    weights = rng.uniform(1, 2, (5, n))
    integer = np.arange(n) < 10
    return LinearModel(
        weights / sizes,
        np.full(5, -np.inf),
        np.full(5, 12.3),
        np.zeros(n),
        sizes,
        integer,
    ), -rng.uniform(1, 2, n) / sizes


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_a_watcher_sees_bounds_and_points_in_the_models_units(solver):
    model, costs = _knapsack()
    every, settings = np.arange(30), Settings(presolve=True)
    with session_class(solver)(model, True, settings) as session:
        session.watcher = follower = _Follower()
        answer = session.minimize(every, costs, constant=1.0)
    assert answer.status == "optimal"
    assert np.all(np.array(follower.bounds) <= answer.objective + 1e-6)
    assert follower.points
    values = [costs @ x + 1.0 for x in follower.points]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(answer.objective)
    assert all(np.all(x <= model.upper * (1 + 1e-6)) for x in follower.points)


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_a_watchers_point_is_taken_and_it_may_end_the_run(solver):
    model, costs = _knapsack()
    every, settings = np.arange(30), Settings(presolve=True)
    with session_class(solver)(model, True, settings) as session:
        best = session.minimize(every, costs).primal
        session.watcher = follower = _Follower(best)
        answer = session.minimize(every, costs)
        assert follower.point is None
        assert answer.objective == pytest.approx(costs @ best)
        session.watcher = _Follower(ends=True)
        answer = session.minimize(every, costs)
        assert answer.status in ("stopped", "optimal")
        if solver == "highs":
            assert answer.status == "stopped"


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_what_a_watcher_raises_comes_out(solver):
    model, costs = _knapsack()
    with session_class(solver)(model, True, Settings(presolve=True)) as session:
        session.watcher = _Follower(error=ZeroDivisionError("here"))
        with pytest.raises(ZeroDivisionError, match="here"):
            session.minimize(np.arange(30), costs)
        session.watcher = None
        assert session.minimize(np.arange(30), costs).status == "optimal"


def test_quadratic_batches_are_solved_by_highs_alone():
    """Random convex programmes, singular ones too: optimality conditions hold."""
    # before 1.16 HiGHS calls some singular ones unbounded, whatever the box
    old = tuple(map(int, version("highspy").split(".")[:2])) < (1, 16)
    rng = np.random.default_rng(4)
    B, m, n = 10, 3, 6
    factors = rng.normal(size=(B, 4, 4)) * (
        np.arange(4) < rng.integers(1, 5, (B, 1, 1))
    )
    batch = Batch(
        np.arange(m + 1) * n,
        np.tile(np.arange(n), m),
        rng.normal(size=(B, m * n)),
        np.full((B, m), -np.inf),
        rng.uniform(0.1, 1.0, size=(B, m)),
        -np.ones((B, n)),
        np.full((B, n), 2.0),
        rng.normal(size=(B, n)),
        factors @ factors.transpose(0, 2, 1),
    )
    with session_class("highs")(settings=Settings(presolve=False)) as session:
        answers = list(session.minimize_each(batch))
        linear = replace(batch, hessian=None)
        plain = [a.objective for a in session.minimize_each(linear)]
        over = list(session.minimize_each(batch, deadline=Deadline(0.0)))
    assert over == [] and len(answers) == B
    for b, answer in enumerate(answers):
        if old and answer.status is Status.UNBOUNDED:
            assert answer.primal is None
            continue
        assert answer.status is Status.OPTIMAL
        x, model = answer.primal, batch.model(b)
        slope = batch.costs[b].copy()
        slope[:4] += batch.hessian[b] @ x[:4]
        # no feasible direction goes down: the linear programme of the slopes says so
        with open_session("highs", model) as other:
            least = other.minimize(np.arange(n), slope).objective
        assert slope @ x == pytest.approx(least, abs=1e-5)
        value = batch.costs[b] @ x + 0.5 * x[:4] @ batch.hessian[b] @ x[:4]
        assert answer.objective == pytest.approx(value, abs=1e-7)
        assert plain[b] <= batch.costs[b] @ x + 1e-7
    with (
        session_class("gurobi")(settings=Settings("a test")) as session,
        pytest.raises(SolverError, match="a test has quadratic costs.*'highs'"),
    ):
        next(iter(session.minimize_each(batch)))


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("entry", [1e-8, 1e-9, 1e-10, 1e-11])
def test_small_entries_are_part_of_the_model(entry, integer):
    """Dropped by default from 1e-9 on, they leave a model with other points."""
    builder = ModelBuilder()
    first, last = 0.9e-3 / entry, 1e-3 / entry
    builder.add_columns([first, 0.0], [last, 1.0], np.array([False, integer]))
    row = sparse.csr_array([[entry, -1.0]])
    builder.add_rows([(np.arange(2), row)], np.array([-np.inf]), np.array([0.0]))
    model = builder.build().replace(in_unit_range=True)
    with HighsSession(model, integer) as session:
        answer = session.minimize(np.arange(2), np.array([0.0, 1.0]), 10.0)
    assert answer.objective == pytest.approx(1.0 if integer else 0.9e-3, rel=1e-6)
