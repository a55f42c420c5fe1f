"""Many small LPs solved together agree with a solver, and end where there is no point."""

import numpy as np
import pytest
from scipy.optimize import linprog

from pyomo_relu.linear.box_rows import BoxRows, RowPattern
from pyomo_relu.linear.sessions.session import Batch
from pyomo_relu.linear.small_lps import solve_small


def programmes(seed, B=12, m=5, n=4):
    """Random programmes with equations, rows of one side, free rows and fixed columns."""
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(B, m * n)) * (rng.random((B, m * n)) < 0.7)
    lower = rng.normal(-1.0, 1.0, (B, n))
    upper = lower + rng.exponential(1.5, (B, n)) * (rng.random((B, n)) < 0.9)
    inside = lower + rng.random((B, n)) * (upper - lower)
    values = (data.reshape(B, m, n) @ inside[:, :, None])[:, :, 0]
    values[::4] += 0.5  # some of these have no point
    low = values - rng.exponential(0.3, (B, m))
    high = values + rng.exponential(0.3, (B, m))
    low[:, 0] = high[:, 0] = values[:, 0]
    low[:, 1], high[:, 2] = -np.inf, np.inf
    low[:, 3], high[:, 3] = -np.inf, np.inf
    costs = rng.normal(size=(B, n)) * (rng.random((B, n)) < 0.8)
    start, columns = np.arange(m + 1) * n, np.tile(np.arange(n), m)
    return Batch(start, columns, data, low, high, lower, upper, costs)


@pytest.mark.parametrize("seed", range(4))
def test_minimisers_multipliers_and_contradictions_are_right(seed):
    batch = programmes(seed)
    m, n = batch.row_lower.shape[1], batch.costs.shape[1]
    row = np.repeat(np.arange(m), n)
    found = solve_small(row, batch.columns, batch)
    rows = BoxRows(
        RowPattern(row, batch.columns, m, n),
        batch.data,
        batch.row_lower,
        batch.row_upper,
    )
    none, box = np.zeros(len(batch)), (batch.lower, batch.upper)
    bounds = rows.dual_bounds(batch.costs, none, found.duals, *box)
    empty = rows.proven_empty(found.duals, *box)
    assert found.solved.any() and found.infeasible.any()
    for b in range(len(batch)):
        model = batch.model(b)
        A = model.matrix.toarray()
        sides = [(A, model.row_upper), (-A, -model.row_lower)]
        A, side = (np.concatenate(parts) for parts in zip(*sides, strict=True))
        known = np.isfinite(side)
        ends = np.stack([model.lower, model.upper], axis=1)
        answer = linprog(batch.costs[b], A[known], side[known], bounds=ends)
        assert found.solved[b] == (answer.status == 0)
        assert found.infeasible[b] == (answer.status == 2)
        if found.solved[b]:
            value = batch.costs[b] @ found.points[b]
            assert value == pytest.approx(answer.fun, abs=1e-7)
            assert bounds[b] == pytest.approx(answer.fun, abs=1e-7)
            assert (A[known] @ found.points[b] <= side[known] + 1e-7).all()
        else:
            assert empty[b]


def test_one_at_a_time_gives_the_same():
    batch = programmes(7)
    row = np.repeat(np.arange(5), 4)
    every = solve_small(row, batch.columns, batch)
    for b in range(len(batch)):
        alone = solve_small(row, batch.columns, batch[np.array([b])])
        assert alone.solved[0] == every.solved[b]
        assert alone.points[0] == pytest.approx(every.points[b], abs=1e-12)
        assert alone.duals[0] == pytest.approx(every.duals[b], abs=1e-12)
