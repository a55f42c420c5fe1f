"""Stages in a row: each network reads the state that the last one left."""

import pyomo.environ as pyo

from benchmarks.regret.surrogates import surrogate
from pyomo_relu import ReLUNetworkBlock


def chain_4():
    """Four stages that leave the lower rest for the upper one with little effort."""
    return _chain(4)


def chain_8():
    """Eight stages that leave the lower rest for the upper one with little effort."""
    return _chain(8)


def _chain(stages):
    stage = surrogate("stage")
    m = pyo.ConcreteModel(f"chain_{stages}")
    m.stages = pyo.RangeSet(stages)
    m.state = pyo.Var(range(stages + 1), bounds=stage.bounds(0))
    m.control = pyo.Var(m.stages, bounds=stage.bounds(1))
    m.effort = pyo.Var(m.stages, bounds=(0, 2))
    m.miss = pyo.Var(bounds=(0, 4))
    m.state[0].fix(-0.4)
    m.nn = ReLUNetworkBlock(
        m.stages,
        network=stage.path,
        inputs=lambda k: [m.state[k - 1], m.control[k]],
        outputs=lambda k: [m.state[k]],
    )
    m.push = pyo.Constraint(m.stages, rule=lambda m, k: m.effort[k] >= m.control[k])
    m.pull = pyo.Constraint(m.stages, rule=lambda m, k: m.effort[k] >= -m.control[k])
    m.above = pyo.Constraint(expr=m.miss >= m.state[stages] - 1)
    m.below = pyo.Constraint(expr=m.miss >= 1 - m.state[stages])
    m.cost = pyo.Objective(expr=5 * m.miss + pyo.quicksum(m.effort.values()))
    return m
