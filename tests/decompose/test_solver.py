"""SolverFactory("relu.decompose"): the common face over decomposition."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu.errors import BoundsError, ModelError
from tests.branch.interface.test_solver import absolute, peaky
from tests.branch.test_truth import MODELS, check_solution, reference

SOLVER = pyo.SolverFactory("relu.decompose")


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_same_optimum_as_bigm(make):
    m = make(np.random.default_rng(7))
    expected = reference(m)
    results = SOLVER.solve(m)
    condition = str(results.solver.termination_condition)
    if expected == "infeasible":
        assert condition == "infeasible"
        return
    assert condition == "optimal"
    assert results.solver.name == "relu.decompose"
    assert pyo.value(m.obj) == pytest.approx(expected, abs=1e-4 * max(1, abs(expected)))
    check_solution(m)


def test_log(capsys):
    m = peaky()
    SOLVER.solve(m, tee=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("relu.decompose ") and "1 network, 2 inputs" in lines[0]
    assert lines[1].split() == ["nodes", "open", "bound", "incumbent", "gap", "seconds"]
    assert float(lines[-2].split()[3]) == pytest.approx(pyo.value(m.obj))
    assert lines[-1] == "status: optimal"
    SOLVER.solve(peaky())
    assert capsys.readouterr().out == ""


def test_refusals_are_in_its_own_name():
    m = absolute()
    m.x.setub(None)
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    with pytest.raises(BoundsError, match=r"^relu.decompose: network input 'x' has"):
        SOLVER.solve(m)
    with pytest.raises(ModelError, match=r"^relu.decompose: unknown option 'batch'"):
        SOLVER.solve(peaky(), batch=3)
