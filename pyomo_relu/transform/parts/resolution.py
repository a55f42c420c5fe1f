"""What solvers cannot resolve of an encoding: left out, refused, or warned of."""

import logging

from pyomo.common.dependencies import numpy as np

from pyomo_relu.errors import TransformationError
from pyomo_relu.model.reads import variables_read
from pyomo_relu.model.surrounding import read_surrounding

logger = logging.getLogger("pyomo.relu")

#: Share of an output's scale that leaks of big-M rows may reach without a word.
_LIMIT = 1e-4


def leave_out_unresolved(name, encoding):
    """Take rows of huge numbers out of force where nothing reads them.

    Raises
    ------
    TransformationError
        Where something does, or where the neuron's state is open.
    """
    from pyomo_relu.bounds.resolution import unresolved_rows

    constant, other = unresolved_rows(encoding.bounds)
    if other is not None:
        raise _refusal(name, encoding, *other)
    if not constant:
        return
    block, columns = encoding.block, encoding.columns
    layers = encoding.network.layers
    read = {
        (source.layer, int(j))
        for layer in layers
        for source, w in zip(layer.sources, layer.weights, strict=True)
        if not source.post
        for j in np.unique(w.nonzero()[1])
    }
    outside = variables_read(read_surrounding(block.model(), [block]))
    new = encoding.reformulation
    scaled = [new.component(name) for name in ("affine", "unit_affine")]
    for k, i in constant:
        if (k, i) in read or id(columns.pre[k][i]) in outside:
            what = "has numbers of 1e15 or more, and its pre-activation is read"
            raise _refusal(name, encoding, k, i, what)
        encoding.replaced.append(block.affine[k, i])
        for rows in scaled:
            if rows is not None and (k, i) in rows:
                rows[k, i].deactivate()


def _refusal(name, encoding, k, i, what):
    layers = encoding.network.layers
    neuron = "output" if k == len(layers) - 1 else f"neuron of layer {k}"
    return TransformationError(
        f"{name}: {neuron} {i} ('{layers[k].name}') of '{encoding.block.name}' {what}. "
        "Solvers take no coefficients of 1e15 and resolve no values of that size. "
        "Tighten the inputs' bounds, apply relu.obbt first, or correct the limit, slope "
        "or weight at that tensor of the network."
    )


def warn_of_leak(name, encoding):
    """Note the largest leak of an encoding's big-M rows; log it if it can be seen."""
    from pyomo_relu.bounds.resolution import largest_leak

    with_big_m = [np.zeros(x.size, dtype=bool) for x in encoding.bounds.lower[:-1]]
    new = encoding.reformulation
    for indicators in (new.indicator, new.ceiling_indicator):
        for k, i in indicators:
            with_big_m[k][i] = True
    leak = largest_leak(encoding.bounds, with_big_m, _LIMIT, _widths(encoding.block))
    if leak is None or leak.share <= _LIMIT:
        return
    others = f" and of {leak.count - 1} more" if leak.count > 1 else ""
    encoding.details["leak"] = text = (
        f"at a solver's integrality tolerance of 1e-6, output {leak.output} may be off "
        f"by {leak.move:.2g} (it varies by {leak.scale:.2g} where the network bends), "
        f"through the big-M rows of neuron {leak.neuron} of layer {leak.layer} "
        f"('{encoding.network.layers[leak.layer].name}', M = {leak.big_m:.3g}){others}. "
        "Tighten the inputs' bounds, apply relu.obbt or relu.bounds before, or solve "
        "with relu.branch, which has no such rows."
    )
    logger.warning(f"{name}: {encoding.block.name}: {text}")


def _widths(block):
    ends = [var.bounds for var in block.output_vars()]
    return np.array([np.inf if None in pair else pair[1] - pair[0] for pair in ends])
