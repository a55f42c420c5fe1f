"""Two stages: one size for all scenarios, then a temperature in each."""

import numpy as np
import pyomo.environ as pyo

from benchmarks.regret.surrogates import surrogate
from pyomo_relu import ReLUNetworkBlock


def scenarios_20():
    """Twenty scenarios of price and feed quality, and a plant's size."""
    plant = surrogate("plant")
    rng = np.random.default_rng(20)
    n = 20
    price, quality = rng.uniform(2, 6, n).tolist(), rng.uniform(0, 1, n).tolist()
    m = pyo.ConcreteModel("scenarios_20")
    m.scenarios = pyo.RangeSet(0, n - 1)
    m.size = pyo.Var(bounds=plant.bounds(0))
    m.temperature = pyo.Var(m.scenarios, bounds=plant.bounds(1))
    m.quality = pyo.Var(m.scenarios, bounds=plant.bounds(2))
    m.made = pyo.Var(m.scenarios)
    for s in m.scenarios:
        m.quality[s].fix(quality[s])
    m.nn = ReLUNetworkBlock(
        m.scenarios,
        network=plant.path,
        inputs=lambda s: [m.size, m.temperature[s], m.quality[s]],
        outputs=lambda s: [m.made[s]],
    )
    earned = sum(
        price[s] * m.made[s] - 0.01 * (m.temperature[s] - 300) for s in m.scenarios
    )
    m.profit = pyo.Objective(expr=earned / n - 0.8 * m.size, sense=pyo.maximize)
    return m
