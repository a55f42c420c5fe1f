"""``SolverFactory("relu")``: routes from a model to a proven optimum, sharing their time."""

from typing import TYPE_CHECKING

from pyomo_relu.common.lazy import lazy_exports

if TYPE_CHECKING:
    from pyomo_relu.portfolio.solver import ReLU
else:
    __getattr__, __dir__ = lazy_exports(__name__, {"solver": ["ReLU"]})

__all__ = ["ReLU"]
