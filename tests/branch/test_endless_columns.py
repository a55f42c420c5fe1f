"""Vars without bounds that a convex cost holds, against scipy; the rest is a network."""

import numpy as np
import pyomo.environ as pyo
import pytest
from scipy.optimize import minimize

from pyomo_relu import ReLUNetworkBlock
from tests.branch.test_atoms import ABSOLUTE

#: name -> (cost of z and v, lower bound of z); ``f`` is pyomo.environ or numpy
COSTS = {
    "exp": (lambda z, v, f: f.exp(z + v) + f.exp(z - v) - 4 * z, None),
    "far exp": (lambda z, v, f: f.exp(z) - 1000 * z + f.exp(-v) + v, None),
    "powers": (lambda z, v, f: (z - 5) ** 4 + (v + z - 7) ** 2, None),
    "1.5th power": (lambda z, v, f: z**1.5 - z + (v - z) ** 2, 0),
    "log": (lambda z, v, f: z - 2 * f.log(z) + (v - 1) ** 2, 0),
    "root": (lambda z, v, f: -f.sqrt(z) + 0.2 * z + abs(v - 1), 0),
    "reciprocal": (lambda z, v, f: z + 3 / z + abs(v - z), 0),
}


@pytest.mark.parametrize("name", COSTS)
def test_a_convex_cost_holds_them(name):
    cost, lower = COSTS[name]
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=(-1, 2)), pyo.Var()
    m.z, m.v = pyo.Var(bounds=(lower, None)), pyo.Var()
    m.nn = ReLUNetworkBlock(network=ABSOLUTE, inputs=[m.x], outputs=[m.y])
    m.row = pyo.Constraint(expr=m.z + m.v >= m.y - 3)
    m.cost = pyo.Objective(expr=cost(m.z, m.v, pyo) - 0.3 * m.y)
    results = pyo.SolverFactory("relu").solve(m)
    assert results.solver.termination_condition == "optimal"
    least = None if lower is None else 1e-9
    found = minimize(
        lambda p: float(cost(p[1], p[2], np)) - 0.3 * p[0],
        [1.0, 1.0, 1.0],
        method="SLSQP",
        bounds=[(0, 2), (least, None), (None, None)],
        constraints={"type": "ineq", "fun": lambda p: p[1] + p[2] - p[0] + 3},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    size = 1.0 + abs(found.fun)
    assert results.problem.lower_bound <= found.fun + 1e-7 * size
    assert pyo.value(m.cost) == pytest.approx(found.fun, abs=2e-4 * size)
