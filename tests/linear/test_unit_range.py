"""Sessions give the answers of a model in any units; what is alike stays as it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from pyomo_relu.linear.certificate import Certifier
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.sessions.choice import open_session
from pyomo_relu.linear.unit_range import UnitRange, objective_size
from tests.linear.test_certificate import random_model


def in_units(model, columns, rows):
    """The model with columns ``columns`` times and rows ``rows`` times as large."""
    A = sparse.diags_array(rows) @ model.matrix @ sparse.diags_array(1.0 / columns)
    return model.replace(
        matrix=A,
        row_lower=model.row_lower * rows,
        row_upper=model.row_upper * rows,
        lower=model.lower * columns,
        upper=model.upper * columns,
    )


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
@pytest.mark.parametrize("integer", [False, True])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_answers_do_not_depend_on_units(solver, integer, seed):
    rng = np.random.default_rng(seed)
    model = random_model(seed % 50, m=6, n=6)
    model = model.replace(
        integer=np.arange(6) < (2 if integer else 0),
        row_lower=model.row_lower - 2.0,
        row_upper=model.row_upper + 2.0,
    )
    costs = rng.normal(size=6)
    columns = np.where(model.integer, 1.0, 10.0 ** rng.uniform(-8, 8, 6))
    rows, out = 10.0 ** rng.uniform(-8, 8, 6), 10.0 ** rng.uniform(-8, 8)
    other, other_costs = in_units(model, columns, rows), out * costs / columns
    with open_session(solver, model, integer) as session:
        expected = session.minimize(np.arange(6), costs)
    with open_session(solver, other, integer) as session:
        answer = session.minimize(np.arange(6), other_costs)
    assert answer.status == expected.status == "optimal"
    assert answer.objective / out == pytest.approx(expected.objective, abs=1e-7)
    x = answer.primal / columns
    assert x @ costs == pytest.approx(expected.objective, abs=1e-7)
    assert np.all(model.matrix @ x >= model.row_lower - 1e-7)
    assert np.all(model.matrix @ x <= model.row_upper + 1e-7)
    if integer:
        assert answer.dual_bound / out == pytest.approx(expected.objective, abs=1e-7)
    else:
        proven = Certifier(other).lower_bounds(other_costs[None], answer.duals)[0]
        assert proven / out == pytest.approx(expected.objective, abs=1e-7)
        assert proven <= answer.objective


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_rays_prove_infeasibility_in_the_models_units(solver):
    model = random_model(5, m=6, n=6)
    A = sparse.vstack([model.matrix, model.matrix[[0]]], format="csr")
    clash = model.replace(
        matrix=A,
        row_lower=np.append(np.full(6, -np.inf), 1e3),
        row_upper=np.append(np.full(6, 1e2), np.inf),
    )
    rng = np.random.default_rng(0)
    other = in_units(
        clash, 10.0 ** rng.uniform(-6, 6, 6), 10.0 ** rng.uniform(-6, 6, 7)
    )
    with open_session(solver, other) as session:
        answer = session.minimize(np.array([0]), np.array([1.0]))
    assert answer.status == "infeasible"
    assert Certifier(other).proves_infeasible(answer.ray)


def test_alike_ranges_stay_as_they_are():
    model = random_model(1, m=6, n=6)
    assert UnitRange(model).model is model
    scaled, _ = in_units(model, np.full(6, 1e5), np.ones(6)).equilibrated()
    assert UnitRange(scaled).model is scaled
    given = np.array([0.02, 3.0])
    assert UnitRange(model).costs(np.array([0, 1]), given)[1] == 1.0


@given(st.integers(0, 10**6))
def test_scaling_is_free_of_rounding(seed):
    rng = np.random.default_rng(seed)
    model = random_model(seed % 50, m=5, n=5)
    model = in_units(
        model, 10.0 ** rng.uniform(-12, 12, 5), 10.0 ** rng.uniform(-12, 12, 5)
    )
    scaled = UnitRange(model)
    back = in_units(scaled.model, scaled.columns, scaled.rows)
    for name in ("row_lower", "row_upper", "lower", "upper"):
        assert np.array_equal(getattr(back, name), getattr(model, name))
    assert np.array_equal(back.matrix.toarray(), model.matrix.toarray())
    assert np.all(np.frexp(scaled.columns)[0] == 0.5)


def rows_of(*rows):
    return sparse.csr_array(np.array(rows, dtype=float))


def test_a_bound_that_had_to_be_given_is_no_size():
    """z >= y with z <= 1e6 only because a bound had to be given."""
    model = LinearModel(rows_of([1, -1]), [0], [np.inf], [0, 0], [1e6, 1])
    assert UnitRange(model).identity
    # but of an equation with a wide column the other one is wide
    wide = LinearModel(rows_of([1, -1]), [0], [0], [-np.inf, -1e6], [np.inf, 1e6])
    assert UnitRange(wide, np.array([np.nan, 1e6])).columns.tolist() == [2.0**19] * 2


def test_a_big_m_does_not_scale_its_row():
    model = LinearModel(
        rows_of([1, -1e6]), [-np.inf], [0], [0, 0], [1, 1], [False, True]
    )
    assert UnitRange(model).identity


def test_a_narrow_range_far_from_zero_needs_no_unit():
    far = LinearModel(rows_of([1.0]), [-np.inf], [1e5 + 0.5], [1e5], [1e5 + 1])
    assert UnitRange(far).identity


def test_columns_without_bounds_follow_their_rows():
    model = LinearModel(
        rows_of([1, -1e7], [1, 0]), [0, -np.inf], [0, np.inf], [-np.inf, 0], [np.inf, 1]
    )
    scaled = UnitRange(model)
    assert scaled.columns.tolist() == [2.0**23, 1.0]
    # one that nothing is known of keeps its unit
    free = LinearModel(rows_of([1.0]), [-np.inf], [np.inf], [-np.inf], [np.inf])
    assert UnitRange(free).identity


@pytest.mark.parametrize("side", [0.0, -np.finfo(float).tiny, -1e-200])
def test_a_zero_that_was_rounded_outward_is_no_size(side):
    """Of two columns without an upper bound, one at least 0 by a row of its own."""
    model = LinearModel(
        rows_of([0, 1], [4, 1], [0.1, 1]),
        [side, -3, -np.inf],
        [np.inf, np.inf, -0.02],
        [-np.inf, side],
        [np.inf, np.inf],
    )
    exact = UnitRange(model.replace(row_lower=np.array([0, -3, -np.inf])))
    assert UnitRange(model).columns.tolist() == exact.columns.tolist()
    with open_session("highs", model) as session:
        # w >= |t|-like lines: t is bounded only because w has to rise with -t
        answer = session.minimize(np.array([0]), np.array([1.0]))
    assert answer.objective == pytest.approx(-2.98 / 3.9, rel=1e-6)


@given(st.integers(0, 10**6))
def test_sides_that_rounding_left_are_no_sizes(seed):
    """A chain of equations between free columns, each with a side of a few ulps of one;
    then such rows of one bounded column each."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 5))
    slopes = 10.0 ** rng.uniform(-2, 2, (2 * n, 1))
    chain = slopes[:n] * (np.eye(n, n + 1) - np.eye(n, n + 1, 1))
    linked = np.vstack([chain, np.eye(1, n + 1)])
    parts = (sparse.csr_array(linked), sparse.diags_array(slopes[n:].ravel()))
    matrix = sparse.csr_array(sparse.block_diag(parts))

    def factors(noise):
        side = np.insert(noise * slopes.ravel(), n, 3e-7)
        wide = np.append(np.full(n + 1, np.inf), np.ones(n))
        scaled = UnitRange(LinearModel(matrix, side, side, -wide, wide))
        return scaled.columns.tolist(), scaled.rows.tolist()

    noise = rng.integers(-4, 5, 2 * n) * 2.0**-53
    assert factors(noise) == factors(np.zeros(2 * n))


@given(st.integers(0, 10**6))
def test_columns_do_not_depend_on_the_units_of_rows(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 5))
    matrix = sparse.csr_array(rng.normal(size=(size, size)))
    side = 10.0 ** rng.uniform(-20, 5, size)
    wide = np.where(rng.random(size) < 0.3, 1.0, np.inf)
    model = LinearModel(matrix, side, side, -wide, wide)
    other = in_units(model, np.ones(size), 2.0 ** rng.integers(-90, 90, size))
    assert UnitRange(other).columns.tolist() == UnitRange(model).columns.tolist()


def test_the_objectives_size():
    assert objective_size([1e-7, 3e-9]) == 1e-7
    assert objective_size([1e7]) == 1e7
    assert objective_size([1.0, 1e6]) == 1.0
    assert objective_size([]) == objective_size([0.0]) == 1.0
