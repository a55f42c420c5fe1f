"""Time series with a store: networks of one input, and with measured inputs."""

import math

import pyomo.environ as pyo

from benchmarks.regret.surrogates import surrogate
from pyomo_relu import ReLUNetworkBlock

_HOURS = 24


def _price(hour):
    return 1 + 0.6 * math.sin(2 * math.pi * (hour - 11) / 24) + 0.1 * (hour * 3 % 7)


def series_24():
    """One input each: the power of a pumping station over its flow, with a tank."""
    pumps = surrogate("pumps")
    m = _store("series_24", pumps, level=12.0, kept=1.0)
    m.nn = ReLUNetworkBlock(
        m.hours,
        network=pumps.path,
        inputs=lambda t: [m.rate[t]],
        outputs=lambda t: [m.power[t]],
    )
    m.balance = _balance(m, lambda t: 4 + 2.5 * math.sin(2 * math.pi * (t - 6) / 24))
    return m


def measured_24():
    """Measured inputs: a chiller's ambient temperatures are fixed, with a cold store."""
    chiller = surrogate("chiller")
    m = _store("measured_24", chiller, level=1.5, kept=0.98)
    m.ambient = pyo.Var(m.hours, bounds=chiller.bounds(1))
    for t in m.hours:
        m.ambient[t].fix(22 + 9 * math.sin(2 * math.pi * (t - 9) / 24))
    m.nn = ReLUNetworkBlock(
        m.hours,
        network=chiller.path,
        inputs=lambda t: [m.rate[t], m.ambient[t]],
        outputs=lambda t: [m.power[t]],
    )
    m.balance = _balance(m, lambda t: 0.5 + 0.3 * math.sin(2 * math.pi * (t - 9) / 24))
    return m


def _store(name, network, level, kept):
    """Rates into a store, its level half full at first and at last, and the cost."""
    m = pyo.ConcreteModel(name)
    m.hours = pyo.RangeSet(0, _HOURS - 1)
    m.kept = pyo.Param(initialize=kept)
    m.rate = pyo.Var(m.hours, bounds=network.bounds(0))
    m.power = pyo.Var(m.hours)
    m.level = pyo.Var(range(_HOURS + 1), bounds=(0, level))
    m.level[0].fix(level / 2)
    m.end = pyo.Constraint(expr=m.level[_HOURS] >= level / 2)
    m.cost = pyo.Objective(expr=sum(_price(t) * m.power[t] for t in m.hours))
    return m


def _balance(m, demand):
    return pyo.Constraint(
        m.hours,
        rule=lambda m, t: m.level[t + 1] == m.kept * m.level[t] + m.rate[t] - demand(t),
    )
