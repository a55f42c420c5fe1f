"""Unit commitment: the fuel of a boiler is a network of its load, per boiler and hour."""

import math

import pyomo.environ as pyo

from benchmarks.regret.surrogates import surrogate
from pyomo_relu import ReLUNetworkBlock

#: boiler -> cost of a start
_START = {"boiler_a": 60.0, "boiler_b": 35.0, "boiler_c": 15.0}

#: How much a boiler's load may change from hour to hour.
_RAMP = 40.0


def commitment_12():
    """Three boilers over half a day."""
    return _commitment(12)


def commitment_24():
    """Three boilers over a day."""
    return _commitment(24)


def _demand(hour):
    wave = math.sin(2 * math.pi * (hour - 7) / 24)
    return 105 + 60 * wave + 12 * math.sin(1.7 * hour)


def _commitment(hours):
    networks = {name: surrogate(name) for name in _START}
    m = pyo.ConcreteModel(f"commitment_{hours}")
    m.units = pyo.Set(initialize=list(_START))
    m.hours = pyo.RangeSet(0, hours - 1)
    at = m.units, m.hours

    def output_bounds(m, u, t):
        return networks[u].bounds(0)

    m.on = pyo.Var(*at, domain=pyo.Binary)
    m.start = pyo.Var(*at, bounds=(0, 1))
    m.output = pyo.Var(*at, bounds=output_bounds)
    m.fuel_at_load = pyo.Var(*at)
    m.heat = pyo.Var(*at, bounds=lambda m, u, t: (0, networks[u].upper[0]))
    m.fuel = pyo.Var(*at, bounds=(0, 400))
    m.nn = ReLUNetworkBlock(
        *at,
        network=lambda u, t: networks[u].path,
        inputs=lambda u, t: [m.output[u, t]],
        outputs=lambda u, t: [m.fuel_at_load[u, t]],
    )
    # an idle boiler's load is anywhere: it makes no heat and burns nothing
    m.idle = pyo.Constraint(
        *at, rule=lambda m, u, t: m.heat[u, t] <= networks[u].upper[0] * m.on[u, t]
    )
    m.least = pyo.Constraint(
        *at, rule=lambda m, u, t: m.heat[u, t] >= networks[u].lower[0] * m.on[u, t]
    )
    m.at_most = pyo.Constraint(
        *at,
        rule=lambda m, u, t: (
            m.heat[u, t] <= m.output[u, t] + networks[u].upper[0] * (1 - m.on[u, t])
        ),
    )
    m.at_least = pyo.Constraint(
        *at,
        rule=lambda m, u, t: (
            m.heat[u, t] >= m.output[u, t] - networks[u].upper[0] * (1 - m.on[u, t])
        ),
    )
    m.burnt = pyo.Constraint(
        *at,
        rule=lambda m, u, t: (
            m.fuel[u, t] >= m.fuel_at_load[u, t] - 400 * (1 - m.on[u, t])
        ),
    )
    m.started = pyo.Constraint(
        *at,
        rule=lambda m, u, t: m.start[u, t] >= m.on[u, t] - (m.on[u, t - 1] if t else 0),
    )
    m.stays_on = pyo.Constraint(
        *at,
        rule=lambda m, u, t: (
            sum(m.start[u, k] for k in range(max(0, t - 2), t + 1)) <= m.on[u, t]
        ),
    )
    m.ramp = pyo.Constraint(
        *at,
        rule=lambda m, u, t: (
            (-_RAMP, m.output[u, t] - m.output[u, t - 1], _RAMP)
            if t
            else pyo.Constraint.Skip
        ),
    )
    m.demand = pyo.Constraint(
        m.hours,
        rule=lambda m, t: sum(m.heat[u, t] for u in m.units) >= _demand(t),
    )
    m.cost = pyo.Objective(
        expr=sum(
            m.fuel[u, t] + _START[u] * m.start[u, t] for u in m.units for t in m.hours
        )
    )
    return m
