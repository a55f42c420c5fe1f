"""The models: two fields of oil wells where their data lie, and a smaller one of our own."""

from pathlib import Path

import pyomo.environ as pyo

from examples.oil_wells import build
from pyomo_relu import ReLUNetworkBlock, example_network

_SHARED = Path(__file__).parents[3] / "shared" / "models" / "oilwell"


def ackley():
    """A network of five inputs and 3x50 neurons over a box."""
    m = pyo.ConcreteModel(name="ackley5_3x50")
    m.x = pyo.Var(range(5), bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=example_network("ackley5_3x50"), inputs=m.x)
    m.cost = pyo.Objective(expr=m.nn.outputs[0])
    return m


def _field(nets):
    return lambda: build(_SHARED, _SHARED / nets)


MODELS = {"ackley": ackley}
if _SHARED.is_dir():
    MODELS |= {"oil_shallow": _field("shallow"), "oil_deep": _field("deep")}
