"""Rows on convex quadratic forms: they hold at every point and make relaxations tight."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.linear.atoms.atom import Atom, Sum
from pyomo_relu.model.polynomials import ONE, Polynomial
from tests.branch.test_atoms import ABSOLUTE


def model(Q, shift, bound=2.0):
    """min (x - shift)'Q (x - shift) with a network on the first x."""
    n = len(Q)
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(range(n), bounds=(-1, bound)), pyo.Var()
    m.nn = ReLUNetworkBlock(network=ABSOLUTE, inputs=[m.x[0]], outputs=[m.y])
    m.obj = pyo.Objective(
        expr=0.1 * m.y
        + sum(
            Q[i, j] * (m.x[i] - shift[i]) * (m.x[j] - shift[j])
            for i in range(n)
            for j in range(n)
        )
    )
    return m


def rows_of(m):
    """(EmbeddedModel, numbers of the rows on convex forms)."""
    read = read_model(m)
    names = read.surrounding.row_names
    at = [r for r, name in enumerate(names) if name.startswith("convex form")]
    return read.problem.original, np.array(at, dtype=int)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_they_hold_at_every_point(seed, sign):
    rng = np.random.default_rng(seed)
    n, rank = int(rng.integers(2, 6)), int(rng.integers(1, 6))
    B = rng.normal(size=(n, rank)) * 10.0 ** rng.integers(-3, 4)
    Q = sign * (B @ B.T)
    whole, at = rows_of(model(Q, rng.normal(size=n) * (seed % 2)))
    assert at.size == 1
    linear = whole.linear
    X = np.zeros((2000, linear.n_columns))
    x = whole.input_columns()
    boxed = np.isfinite(linear.lower) & np.isfinite(linear.upper)
    X[:, boxed] = rng.uniform(linear.lower[boxed], linear.upper[boxed], (2000, n))
    assert x.size <= n
    values = whole.complete(X) @ linear.matrix[at].toarray()[0]
    side = linear.row_lower[at[0]]
    assert np.all(values >= side)
    # and not by much: it is an equation but for rounding
    size = np.abs(Q).sum() * 9.0 + np.abs(values).max()
    assert np.all(values <= side + 1e-9 * size)


def test_a_convex_form_needs_few_boxes():
    rng = np.random.default_rng(0)
    B = rng.normal(size=(5, 5))
    m = model(B @ B.T + np.eye(5), np.full(5, 0.3))
    results = pyo.SolverFactory("relu.branch").solve(m)
    counts = results.solver.statistics.branch_and_bound
    assert counts.number_of_bounded_subproblems <= 100
    assert 0.0 < results.problem.upper_bound <= 0.03


@pytest.mark.parametrize(
    "Q",
    [
        np.array([[1.0, 2.0], [2.0, 1.0]]),
        np.array([[0.0, 1.0], [1.0, 0.0]]),
        np.array([[1.0, 1.0 + 1e-6], [1.0 + 1e-6, 1.0]]),
        np.eye(3),
    ],
)
def test_other_forms_get_none(Q):
    _, at = rows_of(model(Q, np.zeros(len(Q))))
    assert at.size == 0


def exact_values(whole, at, point):
    """The rows at a point of the input columns, without rounding."""
    x = {j: Fraction(float(v)) for j, v in enumerate(point)}
    for f in (whole.functions[i] for i in whole.order()):
        inner = [x[j] * Fraction(s) for j, s in zip(f.inputs, f.scale, strict=True)]
        if isinstance(f, Sum):
            parts = zip(f.coefficients, inner, strict=True)
            value = sum(Fraction(c) * v for c, v in parts) + Fraction(f.constant)
        else:
            value = inner[0] * inner[-1]
        x[int(f.outputs[0])] = value / Fraction(f.size)
    matrix = whole.linear.matrix.tocsr()[at]
    return [
        sum(Fraction(c) * x[int(j)] for c, j in zip(r.data, r.indices, strict=True))
        for r in (matrix[[i]] for i in range(len(at)))
    ]


def without_networks(whole):
    atoms = [f for f in whole.functions if isinstance(f, Atom)]
    return replace(whole, functions=atoms)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("digits", [1, 15])
def test_without_bounds_they_hold_exactly_far_out_too(seed, digits):
    """Of forms with short coefficients and of those that rounding touches."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 5))
    B = (2.0 * rng.normal(size=(n, n))).round(digits)
    Q = B.T @ B + 0.25 * np.eye(n)
    m = model(Q, rng.normal(size=n).round(1), bound=None)
    for v in m.x.values():
        v.setlb(None)
    cost = m.obj.expr - 0.1 * m.y
    m.row = pyo.Constraint(expr=cost + m.x[0] <= 7.0)
    whole, at = rows_of(m)
    assert at.size == 3  # the objective's, the row's and what bounds its columns
    whole, inputs = without_networks(whole), list(range(whole.n_columns))
    row = [r for r in range(whole.linear.n_rows) if r not in at]
    for size in (1e-6, 1.0, 1.0, 1e3, 1e9):
        point = size * rng.normal(size=len(inputs))
        values = exact_values(whole, at, point)
        sides = [Fraction(s) for s in whole.linear.row_lower[at]]
        free = [value >= side for value, side in zip(values, sides, strict=True)]
        inside = [
            value <= Fraction(whole.linear.row_upper[r])
            for r, value in zip(row, exact_values(whole, row, point), strict=True)
            if np.isfinite(whole.linear.row_upper[r])
            and not np.isfinite(whole.linear.row_lower[r])
        ]
        # one row holds only where the modeller's does
        assert free.count(False) <= (0 if all(inside) else 1)


def test_a_row_on_columns_without_bounds_bounds_them():
    m = pyo.ConcreteModel()
    m.x, m.y, m.z = pyo.Var(range(2)), pyo.Var(), pyo.Var()
    m.nn = ReLUNetworkBlock(network=ABSOLUTE, inputs=[m.x[0]], outputs=[m.y])
    a, b = m.x[0] - 1, m.x[1]
    m.w = pyo.Var(range(2), bounds=(0, 1))
    m.row = pyo.Constraint(
        expr=a**2 + a * b + b**2 + pyo.exp(m.w[0]) + m.w[0] * m.w[1] <= 4
    )
    m.obj = pyo.Objective(expr=m.x[0] + m.y + m.x[1])
    results = pyo.SolverFactory("relu.branch").solve(m)
    # least of 2 x0 + x1 with x0 >= 0 or of x1 with x0 <= 0 on the ellipse
    t = np.linspace(0, 2 * np.pi, 20_001)
    u, v = np.cos(t), np.sin(t)
    radius = np.sqrt(3 / (u * u + u * v + v * v))
    inner = np.linspace(0, 1, 51)[:, None] * radius
    x0, x1 = 1 + inner * u, inner * v
    least = (x0 + np.abs(x0) + x1).min()
    assert results.problem.lower_bound <= least + 1e-6
    assert results.problem.upper_bound == pytest.approx(least, abs=1e-3)


@pytest.mark.parametrize(
    "Q",
    [
        np.array([[1.0, 1.0], [1.0, 1.0 - 2.0**-52]]),
        np.array([[1.0, 2.0], [2.0, 1.0]]),
        np.array([[0.0, 1.0], [1.0, 3.0]]),
    ],
)
def test_what_is_not_convex_gets_none_without_bounds(Q):
    m = model(Q, np.zeros(2), None)
    m.x[0].setlb(None)
    assert rows_of(m)[1].size == 0


@pytest.mark.parametrize("seed", range(40))
def test_polynomials_are_told_apart_exactly(seed):
    """Squares' sums are nowhere negative, and less by anything below zero they are."""
    rng = np.random.default_rng(seed)
    n, rank = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    total = Polynomial()
    for _ in range(rank):
        terms = dict(enumerate(rng.integers(-3, 4, n).tolist()))
        total.add(Polynomial.square(terms, int(rng.integers(-2, 3))), 0.5)
    assert total.nowhere_negative()
    # its least value, zero or more: at the normal equations' solution
    M = np.zeros((n, n))
    v = np.zeros(n)
    for monomial, c in total.terms.items():
        if len(monomial) == 2:
            M[monomial] += 0.5 * float(c)
            M[monomial[::-1]] += 0.5 * float(c)
        elif monomial:
            v[monomial] += float(c)
    x = np.linalg.lstsq(2 * M, -v, rcond=None)[0]
    least = float(x @ M @ x + v @ x + total.terms[()])
    assert Polynomial(total.terms).add(ONE, -least + 1e-6).nowhere_negative()
    assert not Polynomial(total.terms).add(ONE, -least - 1e-6).nowhere_negative()
    tilted = Polynomial(total.terms).add(Polynomial({(n,): 1}), 1e-9)
    assert not tilted.nowhere_negative()


def test_parts_that_no_product_connects_are_judged_apart():
    Q = np.zeros((4, 4))
    Q[:2, :2] = [[2.0, 1.0], [1.0, 2.0]]
    Q[2:, 2:] = [[1.0, 3.0], [3.0, 1.0]]
    whole, at = rows_of(model(Q, np.zeros(4)))
    assert at.size == 1
    used = whole.linear.matrix[at].indices
    reads = {int(j) for f in whole.functions for j in f.inputs if f.outputs[0] in used}
    assert whole.linear.names[0] == "x[0]"
    assert not {j for j in reads if whole.linear.names[j] in ("x[2]", "x[3]")}
