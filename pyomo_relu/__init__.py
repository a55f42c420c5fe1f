"""Optimising over trained ReLU networks in Pyomo.

Importing the package registers ``ReLUNetworkBlock`` and the ``relu.*``
transformations.
"""

from typing import TYPE_CHECKING

from pyomo_relu import plugins  # noqa: F401  (registers)
from pyomo_relu.block import ReLUNetworkBlock
from pyomo_relu.common.lazy import lazy_exports
from pyomo_relu.version import __version__

if TYPE_CHECKING:
    from pyomo_relu.bounds import NeuronBounds
    from pyomo_relu.network import Layer, Network, load_onnx, register_operator
    from pyomo_relu.network.examples import example_network, example_networks
    from pyomo_relu.properties import VerificationResult, read_vnnlib, verify
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "bounds": ["NeuronBounds"],
            "network": ["Layer", "Network", "load_onnx", "register_operator"],
            "network.examples": ["example_network", "example_networks"],
            "properties": ["VerificationResult", "read_vnnlib", "verify"],
        },
    )

__all__ = [
    "Layer",
    "Network",
    "NeuronBounds",
    "ReLUNetworkBlock",
    "VerificationResult",
    "__version__",
    "example_network",
    "example_networks",
    "load_onnx",
    "read_vnnlib",
    "register_operator",
    "verify",
]
