"""Networks as mathematical objects and how they are read."""

from typing import TYPE_CHECKING

from pyomo_relu.common.lazy import lazy_exports

if TYPE_CHECKING:
    from pyomo_relu.network.layer import (
        ACTIVE,
        AT_CEILING,
        INACTIVE,
        INPUT,
        Layer,
        Source,
        Tensor,
    )
    from pyomo_relu.network.network import Network
    from pyomo_relu.network.onnx.budget import Budget
    from pyomo_relu.network.onnx.reader import load_onnx, register_operator
    from pyomo_relu.network.reduce import Reduction, reduce_network
    from pyomo_relu.network.rescale import (
        clip_network,
        l1_factors,
        max_factors,
        rescale_network,
    )
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "layer": [
                "ACTIVE",
                "AT_CEILING",
                "INACTIVE",
                "INPUT",
                "Layer",
                "Source",
                "Tensor",
            ],
            "network": ["Network"],
            "onnx.budget": ["Budget"],
            "onnx.reader": ["load_onnx", "register_operator"],
            "reduce": ["Reduction", "reduce_network"],
            "rescale": ["clip_network", "l1_factors", "max_factors", "rescale_network"],
        },
    )

__all__ = [
    "ACTIVE",
    "AT_CEILING",
    "INACTIVE",
    "INPUT",
    "Budget",
    "Layer",
    "Network",
    "Reduction",
    "Source",
    "Tensor",
    "clip_network",
    "l1_factors",
    "load_onnx",
    "max_factors",
    "reduce_network",
    "register_operator",
    "rescale_network",
]
