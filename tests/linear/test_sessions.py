"""Sessions: incremental solves equal solves from scratch; choice of the solver."""

import numpy as np
import pytest

from pyomo_relu.errors import SolverError
from pyomo_relu.linear.sessions.choice import open_session, session_class
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


def test_solvers_by_name():
    assert session_class("highs").__name__ == "HighsSession"
    assert session_class(session_class("gurobi")) is session_class("gurobi")
    with pytest.raises(SolverError, match="use one of highs, gurobi"):
        session_class("glpk")
