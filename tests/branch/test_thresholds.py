"""stop_at and prove_above: decisions in place of optima, in both senses."""

import concurrent.futures

import pyomo.environ as pyo
import pytest
from pyomo.opt import TerminationCondition

from pyomo_relu import ReLUNetworkBlock
from tests.networks import chain


def model(sense):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.net = ReLUNetworkBlock(network=chain([2, 8, 8, 1], seed=3), inputs=m.x)
    m.o = pyo.Objective(expr=m.net.outputs[0] + 5, sense=sense)
    return m


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_decisions_on_both_sides_of_the_optimum(sense, capsys):
    solver = pyo.SolverFactory("relu.branch")
    m = model(sense)
    solver.solve(m)
    best, sign = pyo.value(m.o), 1 if sense == pyo.minimize else -1
    worse, better = best + sign * 0.05, best - sign * 0.05

    found = solver.solve(m, stop_at=worse, tee=True)
    condition = found.solver.termination_condition
    assert condition == TerminationCondition.minFunctionValue
    assert "stop_at is reached" in found.solver.message
    assert "status: stop_at is reached" in capsys.readouterr().out
    assert sign * pyo.value(m.o) <= sign * worse

    found = solver.solve(m, prove_above=better)
    assert found.solver.termination_condition == TerminationCondition.other
    assert "prove_above is proven" in found.solver.message
    ends = found.problem.lower_bound, found.problem.upper_bound
    assert sign * ends[0 if sign > 0 else 1] >= sign * better - 1e-12

    # neither can be reached: the optimum is found as usual
    found = solver.solve(m, stop_at=better, prove_above=worse)
    assert found.solver.termination_condition == TerminationCondition.optimal
    assert pyo.value(m.o) == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_decisions_by_workers(sense):
    solver = pyo.SolverFactory("relu.branch")
    m = model(sense)
    solver.solve(m)
    best, sign = pyo.value(m.o), 1 if sense == pyo.minimize else -1
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        found = solver.solve(m, stop_at=best + sign * 0.05, executor=executor)
        assert "stop_at is reached" in found.solver.message
        found = solver.solve(m, prove_above=best - sign * 1e-3, executor=executor)
        assert "prove_above is proven" in found.solver.message
        found = solver.solve(m, stop_at=best - sign, executor=executor)
        assert found.solver.termination_condition == TerminationCondition.optimal
