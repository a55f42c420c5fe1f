"""The transformations, one file each; importing this package registers them."""

from pyomo_relu.transform import bigm

__all__ = ["bigm"]
