"""Badly scaled units: pascals beside mole fractions, and watts in the objective."""

import pyomo.environ as pyo

from benchmarks.regret.surrogates import surrogate
from pyomo_relu import ReLUNetworkBlock


def units_2():
    """Two compressors share flow, pressure and a trace component; least power."""
    compressor = surrogate("compressor")
    m = pyo.ConcreteModel("units_2")
    m.each = pyo.RangeSet(2)
    m.pressure = pyo.Var(m.each, bounds=compressor.bounds(0))
    m.fraction = pyo.Var(m.each, bounds=compressor.bounds(1))
    m.flow = pyo.Var(m.each, bounds=compressor.bounds(2))
    m.power = pyo.Var(m.each)
    m.nn = ReLUNetworkBlock(
        m.each,
        network=compressor.path,
        inputs=lambda k: [m.pressure[k], m.fraction[k], m.flow[k]],
        outputs=lambda k: [m.power[k]],
    )
    m.served = pyo.Constraint(expr=m.flow[1] + m.flow[2] == 5)
    m.pressed = pyo.Constraint(expr=m.pressure[1] + m.pressure[2] >= 2.2e6)
    m.traces = pyo.Constraint(expr=m.fraction[1] + m.fraction[2] >= 1.4e-2)
    m.cost = pyo.Objective(expr=m.power[1] + m.power[2])
    return m
