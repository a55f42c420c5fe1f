"""Gaps at which searches stop: of the value, whatever the terms that it is the sum of."""

import pyomo.environ as pyo
import pytest

from tests.networks import chain
from tests.transform.battery import box_model


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("solver", ["relu", "relu.branch"])
@pytest.mark.parametrize("seed", range(2))
def test_large_terms_that_cancel_do_not_widen_the_gap(seed, solver, sense):
    """1e5 (y - y*) + 1 is 1 at its optimum, and not 1 to 1e-6 of 1e5."""
    m = box_model(chain([2, 8, 8, 1], seed), sense)
    pyo.SolverFactory(solver).solve(m, mip_gap=0.0, abs_gap=1e-9)
    best = pyo.value(m.objective)
    m = box_model(chain([2, 8, 8, 1], seed), sense)
    m.objective.set_value(1e5 * (m.nn.outputs[0] - best) + 1.0)
    found = pyo.SolverFactory(solver).solve(m)
    assert str(found.solver.termination_condition) == "optimal"
    assert pyo.value(m.objective) == pytest.approx(1.0, abs=1e-3)
    gap = found.problem.upper_bound - found.problem.lower_bound
    assert 0.0 <= gap <= 1e-3
