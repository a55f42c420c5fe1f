"""Decomposition over networks: a master LP, and each network apart."""

from typing import TYPE_CHECKING

from pyomo_relu.common.lazy import lazy_exports

if TYPE_CHECKING:
    from pyomo_relu.decompose.solver import ReLUDecompose
else:
    __getattr__, __dir__ = lazy_exports(__name__, {"solver": ["ReLUDecompose"]})

__all__ = ["ReLUDecompose"]
