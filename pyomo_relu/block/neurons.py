"""The neurons of a network block as it is built: Vars and exact rows."""

import math

from pyomo.core.base.constraint import Constraint
from pyomo.core.base.set_types import Any, Reals
from pyomo.core.base.var import Var

from pyomo_relu.block.rows import (
    NetworkColumns,
    affine_rows,
    ceilings,
    exact_activation,
)


def add_neurons(block):
    """Vars ``pre`` and ``post``, affine rows and exact activation rows of a network."""
    network = block._network
    neurons = [
        (k, i)
        for k, layer in enumerate(network.activation_layers)
        for i in range(layer.size)
    ]
    block.pre = Var(neurons, domain=Reals)
    block.post = Var(neurons, domain=Reals)
    block.affine = Constraint(Any)
    block.activation = Constraint(Any)
    columns = NetworkColumns(block)
    for k, layer in enumerate(network.layers):
        results = columns.pre[k]
        for i, row in enumerate(affine_rows(layer, columns, results)):
            block.affine[k, i] = row
        if layer.activation == "identity":
            continue
        limits = ceilings(layer)
        for i, (v, x) in enumerate(zip(columns.pre[k], columns.post[k], strict=True)):
            x.setlb(0.0)
            if math.isfinite(limits[i]):
                x.setub(limits[i])
            block.activation[k, i] = exact_activation(v, x, limits[i])
