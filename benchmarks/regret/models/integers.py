"""Integer inputs of networks."""

import pyomo.environ as pyo

from benchmarks.regret.surrogates import surrogate
from pyomo_relu import ReLUNetworkBlock


def integers_3():
    """Three products share lines and shifts, which are whole numbers."""
    lot = surrogate("lot")
    price = {1: 4.0, 2: 5.0, 3: 6.5}
    m = pyo.ConcreteModel("integers_3")
    m.products = pyo.Set(initialize=list(price))
    m.lines = pyo.Var(m.products, domain=pyo.Integers, bounds=lot.bounds(0))
    m.shifts = pyo.Var(m.products, domain=pyo.Integers, bounds=lot.bounds(1))
    m.speed = pyo.Var(m.products, bounds=lot.bounds(2))
    m.made = pyo.Var(m.products)
    m.nn = ReLUNetworkBlock(
        m.products,
        network=lot.path,
        inputs=lambda p: [m.lines[p], m.shifts[p], m.speed[p]],
        outputs=lambda p: [m.made[p]],
    )
    m.hall = pyo.Constraint(expr=pyo.quicksum(m.lines.values()) <= 10)
    m.staff = pyo.Constraint(expr=pyo.quicksum(m.shifts.values()) <= 6)
    m.belts = pyo.Constraint(expr=pyo.quicksum(m.speed.values()) <= 3.3)
    m.orders = pyo.Constraint(m.products, rule=lambda m, p: m.made[p] >= 5)
    m.profit = pyo.Objective(
        expr=sum(
            price[p] * m.made[p] - 4 * m.lines[p] - 6 * m.shifts[p] for p in m.products
        ),
        sense=pyo.maximize,
    )
    return m
