"""A MILP counts as infeasible once a second run says so, too."""

import numpy as np
import pytest
from scipy import sparse

from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.confirmed import confirmed
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings


@pytest.mark.parametrize(
    ("least", "presolve", "runs", "status"),
    [
        (1.0, True, [True], Status.OPTIMAL),
        (1.5, True, [True, False], Status.INFEASIBLE),
        (1.5, False, [False], Status.INFEASIBLE),
    ],
)
def test_only_infeasible_ones_are_solved_twice(least, presolve, runs, status):
    # 2 x + 2 y is even
    model = LinearModel(
        sparse.csr_array([[2.0, 2.0]]),
        [2 * least],
        [2 * least],
        np.zeros(2),
        np.full(2, 3.0),
        np.ones(2, dtype=bool),
    )
    seen = []

    def solve(settings):
        seen.append(settings.presolve_milps)
        with HighsSession(model, True, settings) as session:
            return session.minimize(np.arange(2), np.ones(2))

    answer = confirmed(solve, Settings(presolve_milps=presolve))
    assert answer.status is status
    assert seen == runs
