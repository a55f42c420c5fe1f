"""Bringing a pendulum to rest with learned dynamics: the model, and the true law.

Its speed changes within a step by ``f(angle, speed, torque)``, which a network has
learned from data; the block is indexed by time, so the whole is the network unrolled
over the horizon::

    speed[t+1] = speed[t] + f_NN(angle[t], speed[t], torque[t])
    angle[t+1] = angle[t] + STEP * speed[t+1]

The cost is the l1 norm of torques plus that of the final state (both linear).
"""

import numpy as np
import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock, example_network
from pyomo_relu.study.problems.problems import STEP, pendulum

NETWORK = "pendulum_2x8"
START = (1.0, 0.0)


def build(network=None, horizon=6, start=START, final_weight=2.0):
    """The control problem as a Pyomo model with untransformed network blocks.

    Parameters
    ----------
    network : path, bytes, ModelProto or Network, optional
        Maps (angle, speed, torque) to the change of speed in one step; default the
        example network ``pendulum_2x8``.
    horizon : int
        Number of steps.
    start : (float, float)
        Angle and speed at time 0.
    final_weight : float
        Weight of ``|angle| + |speed|`` at the end, against the sum of ``|torque|``
        times the length of a step.

    Returns
    -------
    pyomo.environ.ConcreteModel
    """
    network = example_network(NETWORK) if network is None else network
    lower, upper = pendulum().lower, pendulum().upper
    m = pyo.ConcreteModel("pendulum")
    m.states = pyo.RangeSet(0, horizon)
    m.steps = pyo.RangeSet(0, horizon - 1)
    m.angle = pyo.Var(m.states, bounds=(lower[0], upper[0]))
    m.speed = pyo.Var(m.states, bounds=(lower[1], upper[1]))
    m.torque = pyo.Var(m.steps, bounds=(lower[2], upper[2]))
    m.change = pyo.Var(m.steps)
    m.size = pyo.Var(m.steps, domain=pyo.NonNegativeReals)
    m.rest = pyo.Var(["angle", "speed"], domain=pyo.NonNegativeReals)
    m.angle[0].fix(start[0])
    m.speed[0].fix(start[1])
    m.dynamics = ReLUNetworkBlock(
        m.steps,
        network=network,
        inputs=lambda t: [m.angle[t], m.speed[t], m.torque[t]],
        outputs=lambda t: [m.change[t]],
    )
    m.accelerate = pyo.Constraint(m.steps, rule=_accelerate)
    m.turn = pyo.Constraint(m.steps, rule=_turn)
    m.above = pyo.Constraint(m.steps, rule=_torque_above)
    m.below = pyo.Constraint(m.steps, rule=_torque_below)
    final = {"angle": m.angle[horizon], "speed": m.speed[horizon]}
    m.final_above = pyo.Constraint(m.rest.index_set())
    m.final_below = pyo.Constraint(m.rest.index_set())
    for name, var in final.items():
        m.final_above[name] = m.rest[name] >= var
        m.final_below[name] = m.rest[name] >= -var
    m.cost = pyo.Objective(
        expr=STEP * sum(m.size[t] for t in m.steps)
        + final_weight * (m.rest["angle"] + m.rest["speed"])
    )
    return m


def _accelerate(m, t):
    return m.speed[t + 1] == m.speed[t] + m.change[t]


def _turn(m, t):
    return m.angle[t + 1] == m.angle[t] + STEP * m.speed[t + 1]


def _torque_above(m, t):
    return m.size[t] >= m.torque[t]


def _torque_below(m, t):
    return m.size[t] >= -m.torque[t]


def simulate(torques, start=START, change=None):
    """Angles and speeds under given torques, by the true law or a learned one.

    Parameters
    ----------
    torques : sequence of float
    start : (float, float)
    change : callable, optional
        Maps (1, 3) to (1,); default the true law.

    Returns
    -------
    numpy.ndarray, shape (len(torques) + 1, 2)
    """
    change = pendulum() if change is None else change
    states = [tuple(start)]
    for torque in torques:
        angle, speed = states[-1]
        speed = speed + float(change(np.array([[angle, speed, torque]]))[0])
        states.append((angle + STEP * speed, speed))
    return np.array(states)


def true_cost(m, final_weight=2.0):
    """Cost of the solution's torques when the pendulum follows its true law."""
    torques = [m.torque[t].value for t in m.steps]
    start = m.angle[0].value, m.speed[0].value
    final = simulate(torques, start)[-1]
    return STEP * float(np.abs(torques).sum()) + final_weight * np.abs(final).sum()
