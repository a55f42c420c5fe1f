"""Models: an investment under scenarios, and many units that share a resource."""

from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.network import Network

#: Networks of the two-stage investment problem of Neur2SP, if they are there.
_NEUR2SP = Path(__file__).resolve().parents[3] / "shared" / "benchmarks" / "neur2sp"


def investment(n_scenarios, network=None):
    """Two investments before the scenario is known, and their mean second-stage cost.

        min  -1.5 x_1 - 4 x_2 + mean over s of f(x_1, x_2, xi_s1, xi_s2),  0 <= x <= 5

    Source: Dumouchelle, Patel, Khalil and Bodur, "Neur2SP: Neural two-stage stochastic
    programming", NeurIPS 2022; scenarios are a square grid of [5, 15]^2.

    Parameters
    ----------
    n_scenarios : int
        A square number.
    network : optional
        What ``ReLUNetworkBlock`` takes; default that of ``neur2sp_network``, or a random
        one of the same size.

    Returns
    -------
    ConcreteModel
    """
    k = round(n_scenarios**0.5)
    grid = np.linspace(5.0, 15.0, k)
    m = pyo.ConcreteModel("investment")
    m.x = pyo.Var([1, 2], bounds=(0, 5))
    m.S = pyo.RangeSet(0, k * k - 1)
    m.xi = pyo.Var(m.S, [1, 2])
    m.cost = pyo.Var(m.S)
    for s, (first, second) in enumerate((a, b) for a in grid for b in grid):
        m.xi[s, 1].fix(first)
        m.xi[s, 2].fix(second)
    m.nn = ReLUNetworkBlock(
        m.S,
        network=network or neur2sp_network() or random_network(4, (64,)),
        inputs=lambda s: [m.x[1], m.x[2], m.xi[s, 1], m.xi[s, 2]],
        outputs=lambda s: [m.cost[s]],
    )
    mean = sum(m.cost[s] for s in m.S) / (k * k)
    m.total = pyo.Objective(expr=-1.5 * m.x[1] - 4 * m.x[2] + mean)
    return m


def neur2sp_network(name="ip_second_stage_I_tmi1"):
    """Path of one of the published networks, or None."""
    path = _NEUR2SP / f"{name}.onnx"
    return path if path.is_file() else None


def random_network(n_inputs, widths, seed=0):
    """A network with one output and Gaussian weights."""
    rng = np.random.default_rng(seed)
    sizes = [n_inputs, *widths, 1]
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [rng.normal(size=shape) / shape[1] ** 0.5 for shape in shapes]
    return Network.sequential(weights, [rng.normal(size=m) for m, _ in shapes])


def units(n_units, widths=(500, 500), seed=0):
    """Units with one decision each, of the same network, that share a resource.

    Parameters
    ----------
    n_units : int
    widths : sequence of int
        Sizes of the activation layers.
    """
    m = pyo.ConcreteModel("units")
    m.U = pyo.RangeSet(0, n_units - 1)
    m.x = pyo.Var(m.U, bounds=(-1, 1))
    m.y = pyo.Var(m.U)
    condition = np.linspace(-1.0, 1.0, n_units)
    m.nn = ReLUNetworkBlock(
        m.U,
        network=random_network(2, widths, seed),
        inputs=lambda u: [m.x[u], float(condition[u])],
        outputs=lambda u: [m.y[u]],
    )
    m.resource = pyo.Constraint(expr=sum(m.x[u] for u in m.U) <= 0.1 * n_units)
    m.total = pyo.Objective(expr=sum(m.y[u] for u in m.U))
    return m
