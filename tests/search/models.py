"""Pyomo models with known answers or awkward parts; no test logic here."""

import json

import numpy as np
import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock
from tests.networks import chain, residual
from tests.paths import ROOT

NETWORKS = ROOT / "pyomo_relu" / "example_networks"


def surrogate(name):
    """Minimise one of the trained surrogates of ``pyomo_relu/example_networks`` over its box."""
    entry = json.loads((NETWORKS / "manifest.json").read_text())[name]
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(network=str(NETWORKS / f"{name}.onnx"))
    for var, lo, hi in zip(
        m.nn.input_vars(), entry["lower"], entry["upper"], strict=True
    ):
        var.setlb(lo)
        var.setub(hi)
    m.cost = pyo.Objective(expr=m.nn.output_vars()[0])
    return m


def two_networks():
    """Two networks on the same inputs, an integer, and rows on inputs and outputs."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.k = pyo.Var(domain=pyo.Integers, bounds=(-8, 8))
    m.y = pyo.Var()
    m.first = ReLUNetworkBlock(network=residual(3), inputs=m.x)
    m.second = ReLUNetworkBlock(network=chain([2, 6, 6, 1]), inputs=m.x)
    m.on_inputs = pyo.Constraint(expr=m.x[0] + m.x[1] <= 0.7)
    m.on_outputs = pyo.Constraint(
        expr=m.y == m.first.outputs[0] + m.second.outputs[0] + 0.3 * m.k
    )
    m.level = pyo.Constraint(expr=m.y >= 0.2)
    m.cost = pyo.Objective(expr=m.y + 0.1 * m.k + 0.05 * m.x[0])
    return m


def level_set(level):
    """Maximise x0 where the network's output must equal ``level``."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1, 2], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=chain([3, 12, 12, 1], seed=5), inputs=m.x)
    m.equal = pyo.Constraint(expr=m.nn.outputs[0] == level)
    m.gain = pyo.Objective(expr=m.x[0], sense=pyo.maximize)
    return m


def violation(m):
    """Largest violation of an active row, a Var bound or integrality; Vars without
    values count as infinite."""
    worst = 0.0
    for row in m.component_data_objects(pyo.Constraint, active=True):
        body = pyo.value(row.body)
        if row.lower is not None:
            worst = max(worst, pyo.value(row.lower) - body)
        if row.upper is not None:
            worst = max(worst, body - pyo.value(row.upper))
    for var in m.component_data_objects(pyo.Var, active=True):
        if var.value is None:
            return np.inf
        if var.lb is not None:
            worst = max(worst, var.lb - var.value)
        if var.ub is not None:
            worst = max(worst, var.value - var.ub)
        if not var.is_continuous():
            worst = max(worst, abs(var.value - round(var.value)))
    return worst
