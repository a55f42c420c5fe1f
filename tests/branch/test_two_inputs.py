"""Expressions that engineers write, of a network's input and output and one more Var."""

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.core.expr.numeric_expr import MaxExpression, MinExpression

from pyomo_relu import ReLUNetworkBlock
from tests.branch.test_atoms import ABSOLUTE


class OfModels:
    """The functions of Pyomo's expressions."""

    exp, log = pyo.exp, pyo.log

    @staticmethod
    def largest(*parts):
        return MaxExpression([*parts])

    @staticmethod
    def least(*parts):
        return MinExpression([*parts])


class OfArrays:
    """The same of arrays."""

    exp, log = np.exp, np.log

    @staticmethod
    def largest(*parts):
        return np.maximum.reduce(np.broadcast_arrays(*parts))

    @staticmethod
    def least(*parts):
        return np.minimum.reduce(np.broadcast_arrays(*parts))


#: name -> (cost, what is at least 0), of x, y = |x|, z and the functions
CASES = {
    # a logarithm that only the row keeps away from 0
    "log mean": (
        lambda x, y, z, f: -(y + 1 - z) / f.log((y + 1) / z),
        lambda x, y, z, f: y + 0.9 - z,
    ),
    "largest": (lambda x, y, z, f: f.largest(x * z, 0.3, y - z) - 0.1 * x, None),
    "least": (
        lambda x, y, z, f: f.least(x, z, y * z) + 0.1 * z,
        lambda x, y, z, f: f.least(x + 0.5, z) - 0.2,
    ),
    "linear largest": (
        lambda x, y, z, f: f.largest(x, z - 1) - 0.4 * y,
        lambda x, y, z, f: 1.5 - f.largest(y, z),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_a_grid(name):
    cost, row = CASES[name]
    m = pyo.ConcreteModel()
    m.x, m.y, m.z = pyo.Var(bounds=(-1, 2)), pyo.Var(), pyo.Var(bounds=(0.5, 2))
    m.nn = ReLUNetworkBlock(network=ABSOLUTE, inputs=[m.x], outputs=[m.y])
    if row is not None:
        m.row = pyo.Constraint(expr=row(m.x, m.y, m.z, OfModels) >= 0)
    m.cost = pyo.Objective(expr=cost(m.x, m.y, m.z, OfModels))
    results = pyo.SolverFactory("relu").solve(m)
    assert results.solver.termination_condition == "optimal"
    x, z = np.meshgrid(np.linspace(-1, 2, 1201), np.linspace(0.5, 2, 601))
    with np.errstate(all="ignore"):
        grid = cost(x, np.abs(x), z, OfArrays)
        if row is not None:
            grid = np.where(row(x, np.abs(x), z, OfArrays) >= 0, grid, np.nan)
    least = np.nanmin(grid)
    assert results.problem.lower_bound <= least + 1e-9
    assert results.problem.upper_bound <= least + 3e-4
    assert pyo.value(m.cost) >= least - 5e-3
