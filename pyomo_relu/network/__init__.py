"""Networks as mathematical objects and how they are read; no Pyomo in here."""

from pyomo_relu.network.network import (
    ACTIVE,
    AT_CEILING,
    INACTIVE,
    INPUT,
    Layer,
    Network,
    Source,
    Tensor,
)
from pyomo_relu.network.onnx_reader import load_onnx, register_operator

__all__ = [
    "ACTIVE",
    "AT_CEILING",
    "INACTIVE",
    "INPUT",
    "Layer",
    "Network",
    "Source",
    "Tensor",
    "load_onnx",
    "register_operator",
]
