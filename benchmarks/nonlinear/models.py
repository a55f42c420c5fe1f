"""The nonlinear models: this set's own, the example's, and flowsheets kept elsewhere."""

import pyomo.environ as pyo

from benchmarks.flowsheets.models import NONLINEAR, flowsheets
from benchmarks.regret.surrogates import surrogate
from examples.optimal_control import build as pendulum
from examples.reactor_recycle import build as reactor_recycle
from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.study.problems.surrogates import surrogate_model

#: Where points have been evaluated already, for ``acquisition_2``.
_EVALUATED = [(-2.0, -2.0), (0.2, -1.6), (1.5, 0.0), (-0.5, 0.6), (0.0, 2.2)]


def closest_4():
    """The input nearest to a point at which a surrogate of four inputs is low enough."""
    m = _ridges("closest_4")
    m.low = pyo.Constraint(expr=m.y <= -2.2)
    wanted = (0.4, -0.2, 0.3, 0.1)
    m.distance = pyo.Objective(expr=sum((m.x[j] - wanted[j]) ** 2 for j in range(4)))
    return m


def acquisition_2():
    """A surrogate's low value, and distance to what has been evaluated: 5 rows."""
    m = surrogate_model(["peaks_2x25"])
    m.name = "acquisition_2"
    x, y = m.nn[0].input_vars()
    m.away = pyo.Var(bounds=(0, 4))
    m.each = pyo.RangeSet(0, len(_EVALUATED) - 1)
    m.distances = pyo.Constraint(
        m.each,
        rule=lambda m, i: (
            m.away <= (x - _EVALUATED[i][0]) ** 2 + (y - _EVALUATED[i][1]) ** 2
        ),
    )
    m.cost.expr -= 2 * m.away
    return m


def chain_4_effort():
    """Four stages in a row to the upper rest; a quadratic row limits the effort."""
    stage = surrogate("stage")
    m = pyo.ConcreteModel("chain_4_effort")
    m.stages = pyo.RangeSet(4)
    m.state = pyo.Var(range(5), bounds=stage.bounds(0))
    m.control = pyo.Var(m.stages, bounds=stage.bounds(1))
    m.state[0].fix(-0.4)
    m.nn = ReLUNetworkBlock(
        m.stages,
        network=stage.path,
        inputs=lambda k: [m.state[k - 1], m.control[k]],
        outputs=lambda k: [m.state[k]],
    )
    m.effort = pyo.Constraint(expr=sum(u**2 for u in m.control.values()) <= 5)
    m.reached = pyo.Objective(expr=m.state[4], sense=pyo.maximize)
    return m


def mpc_20():
    """A pendulum is brought to rest over 20 steps at a quadratic cost."""
    m = pendulum(horizon=20)
    for rows in (m.above, m.below, m.final_above, m.final_below, m.size, m.rest):
        m.del_component(rows)
    m.del_component(m.cost)
    m.cost = pyo.Objective(
        expr=sum(m.angle[t] ** 2 + 0.1 * m.speed[t] ** 2 for t in m.states)
        + 0.05 * sum(torque**2 for torque in m.torque.values())
    )
    return m


def _ridges(name):
    """The surrogate of five inputs, its last one measured."""
    network = surrogate("ridges_5")
    m = pyo.ConcreteModel(name)
    m.x = network.input_vars()
    m.x[4].fix(0.25)
    m.y = pyo.Var()
    m.nn = ReLUNetworkBlock(network=network.path, inputs=m.x, outputs=[m.y])
    return m


#: Those of this repository: name -> function that builds the model
OWN = {
    "closest_4": closest_4,
    "acquisition_2": acquisition_2,
    "chain_4_effort": chain_4_effort,
    "mpc_20": mpc_20,
    "reactor_recycle": reactor_recycle,
}

#: All that are here.
MODELS = OWN | flowsheets(NONLINEAR)


def kind(name):
    """Where a model is from."""
    return "own" if name in OWN else "flowsheets"
