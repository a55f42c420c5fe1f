"""Big-M rows as arrays: with integer indicators they are the activation itself."""

import numpy as np
import pytest

from pyomo_relu.bounds.relaxation.bigm_rows import add_big_m, big_m_rows
from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.solve import solve_linear

#: Bounds and ceiling: plain, clipped, clipped and never inactive.
CASES = [(-1.5, 2.0, np.inf), (-1.5, 2.0, 0.7), (0.25, 2.0, 0.7)]


def rows(lower, upper, ceiling):
    return big_m_rows(*(np.array([a]) for a in (lower, upper, ceiling)))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shift", [None, 0.125])
@pytest.mark.parametrize("sense", [1.0, -1.0])
def test_only_the_activation_is_left(case, shift, sense):
    lower, upper, ceiling = case
    for v in (lower, 0.3, 0.7, 1.1, upper):
        builder = ModelBuilder()
        start = np.array([v - (shift or 0.0)])
        pre = builder.add_columns(start, start)
        x = builder.add_columns(np.zeros(1), np.array([min(upper, ceiling)]))
        bounds = (np.array([a]) for a in case)
        given = None if shift is None else np.array([shift])
        add_big_m(builder, [(pre, 1.0)], x, *bounds, given, integer=True)
        model = builder.build()
        costs = np.zeros(model.n_columns)
        costs[x] = sense
        answer = solve_linear(model, costs)
        assert answer.primal[x[0]] == pytest.approx(min(max(0.0, v), ceiling), abs=1e-7)


@pytest.mark.parametrize("case", CASES)
def test_every_point_of_the_graph_keeps_the_rows_exactly(case):
    """In rational arithmetic, whatever rounding did to the coefficients."""
    from fractions import Fraction

    lower, upper, ceiling = case
    for v in np.linspace(lower, upper, 41):
        x = min(max(0.0, v), ceiling)
        at = {"v": v, "x": x, "z": float(v > 0), "q": float(v >= ceiling)}
        for neurons, terms, right in rows(*case):
            for n in range(neurons.size):
                left = sum(
                    Fraction(float(np.ravel(c)[n if np.ndim(c) else 0]))
                    * Fraction(at[t])
                    for t, c in terms.items()
                )
                assert left <= Fraction(right[n])


def test_indicators_stand_only_where_a_state_is_open():
    builder = ModelBuilder()
    v, x = builder.add_columns(*np.zeros((2, 3))), builder.add_columns(*np.ones((2, 3)))
    lower, upper, ceiling = (np.array(a) for a in zip(*CASES, strict=True))
    z, q = add_big_m(builder, [(v, 1.0)], x, lower, upper, ceiling)
    assert (z >= 0).tolist() == [True, True, False]
    assert (q >= 0).tolist() == [False, True, True]
