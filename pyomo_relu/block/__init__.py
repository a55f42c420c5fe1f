"""The Pyomo Block type for networks: what the modeller holds."""

from pyomo_relu.block.block import ReLUNetworkBlock, ReLUNetworkBlockData

__all__ = ["ReLUNetworkBlock", "ReLUNetworkBlockData"]
