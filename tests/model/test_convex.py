"""Rows on convex quadratic forms: they hold at every point and make relaxations tight."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.branch.read import read_model
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


def test_columns_without_bounds_get_none():
    _, at = rows_of(model(np.array([[2.0, 1.0], [1.0, 2.0]]), np.zeros(2), None))
    assert at.size == 0


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
