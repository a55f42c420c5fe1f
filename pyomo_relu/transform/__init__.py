"""The transformations, one file each; importing this package registers them."""

from pyomo_relu.transform import bigm, clipped, gdp, native_complementarity, native_sos, partition, scaled
    bigm,
    bounds,
    cells,
    clipped,
    gdp,
    obbt,
    partition,
    scaled,
)

__all__ = ["bigm", "clipped", "gdp", "native_complementarity", "native_sos", "partition", "scaled"]
    "bigm",
    "bounds",
    "cells",
    "clipped",
    "gdp",
    "obbt",
    "partition",
    "scaled",
]
