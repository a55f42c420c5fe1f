"""Two networks that read the same inputs, one in the objective and one in a limit."""

import pyomo.environ as pyo

from benchmarks.regret.surrogates import surrogate
from pyomo_relu import ReLUNetworkBlock


def shared_3():
    """Three inputs: the cheapest operation that makes enough, pure enough."""
    names = ["product", "by_product"]
    m = _networks("shared_3", names)
    m.enough = pyo.Constraint(expr=m.y["product"] >= 0.7)
    m.pure = pyo.Constraint(expr=m.y["by_product"] <= 0.12)
    m.cost = pyo.Objective(expr=0.02 * (m.x[0] - 300) + 0.5 * m.x[1] + 3 * m.x[2])
    return m


def shared_5():
    """Five inputs: one output is least while the other stays above zero."""
    return _limited("shared_5", 5)


def shared_7():
    """Seven inputs: one output is least while the other stays above zero."""
    return _limited("shared_7", 7)


def _limited(model_name, n_inputs):
    first, second = f"shared_{n_inputs}_first", f"shared_{n_inputs}_second"
    m = _networks(model_name, [first, second])
    m.limit = pyo.Constraint(expr=m.y[second] >= 0)
    m.cost = pyo.Objective(expr=m.y[first])
    return m


def _networks(model_name, names):
    networks = {name: surrogate(name) for name in names}
    m = pyo.ConcreteModel(model_name)
    m.x = networks[names[0]].input_vars()
    m.y = pyo.Var(names)
    m.nn = ReLUNetworkBlock(
        names,
        network={name: network.path for name, network in networks.items()},
        inputs=lambda name: list(m.x.values()),
        outputs=lambda name: [m.y[name]],
    )
    return m
