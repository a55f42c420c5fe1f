"""Quotients whose denominator may be 0: rows multiplied out, ranges, refusals, points."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.errors import BoundsError, ModelError
from pyomo_relu.linear.atoms.atom import Checked, Product, Quotient
from pyomo_relu.model.surrounding import read_surrounding
from tests.branch.test_atoms import ABSOLUTE


def plain():
    m = pyo.ConcreteModel()
    m.v = pyo.Var(range(4), bounds=(0, 3))
    m.s = pyo.Var(bounds=(-1, 1))
    return m


def read(m):
    return read_surrounding(m, [], atoms_for="relu").embedded


ROWS = {
    "purity": lambda m, v: v[0] / (v[0] + v[1]) >= 0.6,
    "three": lambda m, v: (2 * v[0] + v[2]) / (v[0] + v[1] + 3 * v[2]) <= 0.7,
    "constant": lambda m, v: (v[0] + 0.2) / (v[1] + v[0]) <= 2,
    "reciprocal": lambda m, v: 2 / v[0] >= 1.5,
    "two sides": lambda m, v: (0.3, v[1] / v[0], 1.2),
    "negative": lambda m, v: v[0] / (-v[1] - v[2]) <= -0.5,
    "with others": lambda m, v: v[0] / v[1] + v[2] - 0.5 * v[3] >= 1.5,
    "squared": lambda m, v: v[0] / v[1] - v[1] >= -0.3,
    "same twice": lambda m, v: v[0] / v[3] + v[1] / v[3] >= 1.5,
    "product": lambda m, v: v[0] * v[1] / (v[0] + v[2]) >= 0.8,
    "in series": lambda m, v: v[0] * v[1] / (v[0] + v[1]) >= 0.8,
    "yield": lambda m, v: v[0] * v[1] / (v[0] + 2 * v[2]) >= 0.9,
    "no more": lambda m, v: (2 * v[0] + v[1] * (v[2] + 1)) / (v[0] + v[1]) <= 1.7,
    "one less a share": lambda m, v: v[0] / (v[1] * (1 - v[2] / 3)) >= 0.4,
    "sign by the row": lambda m, v: v[0] / (v[1] - m.s) >= 0.5,
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_multiplied_out_hold_where_the_rows_do_and_nowhere_else(name):
    m = plain()
    m.row = pyo.Constraint(expr=ROWS[name](m, m.v))
    model = read(m)
    quotients = [f for f in model.functions if isinstance(f, Checked)]
    assert quotients
    assert not any(isinstance(f, Quotient) for f in model.functions)
    linear, rng = model.linear, np.random.default_rng(0)
    names = [v.name for v in (*m.v.values(), m.s)]
    X = np.zeros((3000, linear.n_columns))
    for j, column in enumerate(linear.names):
        if column in names:
            low = -1.0 if column == "s" else 0.0
            X[:, j] = rng.uniform(low, 1.0 if low else 3.0, len(X))
    X = model.complete(X)
    w = [int(f.outputs[0]) for f in quotients]
    own = np.unique(linear.matrix.tocsc()[:, w].indices)
    others = np.setdiff1d(np.arange(linear.n_rows), own)

    def held(rows):
        value = (linear.matrix[rows] @ X.T).T
        low, high = linear.row_lower[rows] - 1e-9, linear.row_upper[rows] + 1e-9
        return ((value >= low) & (value <= high)).all(axis=1)

    # bounds, also, of what computes the denominator: that has the sign of the row
    off = np.maximum(linear.lower - X, X - linear.upper)
    inside = (off <= 1e-9).all(axis=1)
    assert held(own).any() and not held(own).all()
    assert np.array_equal(held(own), held(others) & inside)


@pytest.mark.parametrize("seed", range(12))
def test_ranges_of_means_of_ratios_hold(seed):
    rng = np.random.default_rng(seed)
    m = plain()
    a = rng.normal(size=4).round(2)
    b = rng.uniform(0.1, 2.0, 4).round(2) * rng.choice([-1.0, 1.0])
    a[rng.random(4) < 0.3] = 0.0
    above = sum(float(c) * m.v[j] for j, c in enumerate(a)) + m.v[0] * m.s
    below = sum(float(c) * m.v[j] for j, c in enumerate(b))
    m.y = pyo.Var()
    m.row = pyo.Constraint(expr=m.y == above / below)
    model = read(m)
    (f,) = (f for f in model.functions if isinstance(f, Quotient))
    (w,) = f.outputs
    low, high = model.linear.lower[w], model.linear.upper[w]
    X = rng.uniform(0.0, 3.0, (20_000, 5))
    X[::2] *= rng.random((10_000, 5)) < 0.3
    s = X[:, 4] * 2 / 3 - 1
    with np.errstate(all="ignore"):
        value = (X[:, :4] @ a + X[:, 0] * s) / (X[:, :4] @ b)
    value = value[np.isfinite(value)]
    assert low <= value.min() + 1e-12 and value.max() <= high + 1e-12
    assert value.min() - low < 0.2 and high - value.max() < 0.2


def test_what_multiplies_out_needs_no_products_where_nothing_else_is_in_the_row():
    m = plain()
    m.row = pyo.Constraint(expr=m.v[0] / (m.v[0] + m.v[1]) >= 0.6)
    assert not any(isinstance(f, Product) for f in read(m).functions)


def with_network():
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=(-1, 2)), pyo.Var(bounds=(0, 2))
    m.a, m.b = pyo.Var(bounds=(0, 3)), pyo.Var(bounds=(0, 3))
    m.nn = ReLUNetworkBlock(network=ABSOLUTE, inputs=[m.x], outputs=[m.y])
    return m


SOLVED = {
    # (row, objective, least value)
    "share": (lambda m: m.a / (m.a + m.y) >= 0.6, lambda m: m.a - 2 * m.y, -1.0),
    "nothing but 0 / 0": (lambda m: m.a / (m.a + m.y) <= 0.5, lambda m: m.a + m.y, 0.0),
    "ratio": (lambda m: m.a / m.y == 2, lambda m: 0.1 * m.a - m.y, -1.2),
    "two ratios": (
        lambda m: m.a / m.b + m.y / m.b >= 2,
        lambda m: -m.b + 0.1 * m.y,
        -2.3,
    ),
    "in series": (
        lambda m: m.a * m.b / (m.a + m.b) >= 0.8,
        lambda m: m.a + m.b + m.x,
        2.2,
    ),
    "cost": (
        lambda m: m.b >= 0.5,
        lambda m: m.y - m.b / (m.a + m.b) + 0.2 * m.a,
        -1.0,
    ),
    "conversion": (
        lambda m: (m.a - m.y) / m.a >= 0.7,
        lambda m: m.a - 4 * m.y,
        -0.6,
    ),
}


@pytest.mark.parametrize("name", SOLVED)
def test_solved_points_meet_the_modellers_own_rows(name):
    row, cost, least = SOLVED[name]
    m = with_network()
    m.row = pyo.Constraint(expr=row(m))
    m.obj = pyo.Objective(expr=cost(m))
    results = pyo.SolverFactory("relu").solve(m, timelimit=100)
    assert results.solver.termination_condition == pyo.TerminationCondition.optimal
    assert results.problem.lower_bound <= least + 1e-9
    assert pyo.value(m.obj) == pytest.approx(least, abs=3e-4)
    body = pyo.value(m.row.body)  # a ZeroDivisionError where it has no value
    for side, way in ((m.row.lower, 1.0), (m.row.upper, -1.0)):
        assert side is None or way * (body - pyo.value(side)) >= -1e-6


def test_a_denominator_that_is_0_everywhere_is_refused_by_name():
    m = with_network()
    m.none = pyo.Constraint(expr=m.a + m.b <= 0)
    m.row = pyo.Constraint(expr=m.a / (m.a + m.b) <= 0.5)
    m.obj = pyo.Objective(expr=m.y)
    with pytest.raises(
        ModelError,
        match=r"relu: 'a/\(a \+ b\)' in constraint 'row' divides by 'a \+ b'.*, which is "
        "0 wherever.*small lower bound",
    ):
        pyo.SolverFactory("relu").solve(m)


def test_a_denominator_without_a_sign_is_refused_by_name():
    m = with_network()
    m.s = pyo.Var(bounds=(-1, 1))
    m.row = pyo.Constraint(expr=m.s / (m.x + m.a) >= 0.5)
    m.obj = pyo.Objective(expr=(m.x + m.a) ** 2 - m.s * (m.a - 1) - m.y)
    with pytest.raises(
        BoundsError,
        match=r"'s/\(x \+ a\)' in .* divides by 'x \+ a' in .*may be 0: it is",
    ):
        pyo.SolverFactory("relu").solve(m)


def test_entropy_down_to_nothing():
    """``w log(w)`` has bounds where log(w) has none, and no point has a value missing."""
    m = with_network()
    m.w = pyo.Var(range(2), bounds=(0, 1))
    m.row = pyo.Constraint(expr=m.w[0] + m.w[1] == 1 - m.y)
    entropy = sum(w * pyo.log(w) for w in m.w.values())
    m.obj = pyo.Objective(expr=m.x - entropy + 3 * m.w[1])
    results = pyo.SolverFactory("relu").solve(m)
    assert results.solver.termination_condition == pyo.TerminationCondition.optimal
    w, x = np.meshgrid(np.linspace(0, 1, 801), np.linspace(-1, 1, 801))
    rest = 1 - np.abs(x) - w
    with np.errstate(all="ignore"):
        parts = [np.where(v > 0, v * np.log(v), 0.0) for v in (w, rest)]
    grid = np.where(rest >= 0, x - sum(parts) + 3 * rest, np.inf).min()
    assert results.problem.lower_bound <= grid + 1e-9
    assert pyo.value(m.obj) == pytest.approx(grid, abs=2e-4)
