"""One surrogate over its box: two, three, five and ten inputs, shallow and deep."""

import pyomo.environ as pyo

from benchmarks.regret.surrogates import surrogate
from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.study.problems.surrogates import surrogate_model


def single_2():
    """Two inputs: the peaks surrogate of two layers of 25."""
    return surrogate_model(["peaks_2x25"])


def single_2_deep():
    """Two inputs, five layers of 25: the Ackley surrogate."""
    return surrogate_model(["ackley2_5x25"])


def single_3():
    """Three inputs: the product of a reactor, less what heat and volume cost."""
    product = surrogate("product")
    m = pyo.ConcreteModel("single_3")
    m.x = product.input_vars()
    m.y = pyo.Var()
    m.nn = ReLUNetworkBlock(network=product.path, inputs=m.x, outputs=[m.y])
    profit = 10 * m.y - 0.01 * (m.x[0] - 300) - 0.4 * m.x[1] - 2 * m.x[2]
    m.profit = pyo.Objective(expr=profit, sense=pyo.maximize)
    return m


def single_5():
    """Five inputs: a surrogate of many local minima over its box."""
    return _least("single_5", "ridges_5")


def single_10():
    """Ten inputs and 30 neurons, with a budget for the inputs."""
    m = _least("single_10", "ridges_10")
    m.budget = pyo.Constraint(expr=pyo.quicksum(m.x.values()) <= -1)
    return m


def _least(model_name, name):
    """The least value of a surrogate."""
    network = surrogate(name)
    m = pyo.ConcreteModel(model_name)
    m.x = network.input_vars()
    m.y = pyo.Var()
    m.nn = ReLUNetworkBlock(network=network.path, inputs=m.x, outputs=[m.y])
    m.cost = pyo.Objective(expr=m.y)
    return m
