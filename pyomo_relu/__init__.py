"""Optimising over trained ReLU networks in Pyomo.

Importing the package registers ``ReLUNetworkBlock`` and the ``relu.*``
transformations.
"""

from pyomo_relu import plugins  # noqa: F401  (registers)
from pyomo_relu.block import ReLUNetworkBlock
from pyomo_relu.common.lazy import lazy_exports
from pyomo_relu.version import __version__

__all__ = [
    "Layer",
    "Network",
    "NeuronBounds",
    "ReLUNetworkBlock",
    "__version__",
    "load_onnx",
    "register_operator",
]
__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "bounds": ["NeuronBounds"],
        "network": ["Layer", "Network", "load_onnx", "register_operator"],
    },
)
