"""What solvers cannot resolve of an encoding: left out, refused, or warned of."""

import logging

from pyomo.common.dependencies import numpy as np

from pyomo_relu.block.var_bounds import ends
from pyomo_relu.errors import TransformationError
from pyomo_relu.model.reads import variables_read
from pyomo_relu.model.surrounding import read_surrounding

logger = logging.getLogger("pyomo.relu")

#: Share of an output's scale that leaks of big-M rows may reach without a word.
_LIMIT = 1e-4


def leave_out_unresolved(name, rows):
    """Take rows of huge numbers out of force where nothing reads them.

    Raises
    ------
    TransformationError
        Where something does, or where the neuron's state is open.
    """
    from pyomo_relu.bounds.resolution import unresolved_rows

    constant, other = unresolved_rows(rows.bounds)
    if other is not None:
        raise _refusal(name, rows, *other)
    if not constant:
        return
    block, columns = rows.block, rows.columns
    layers = rows.network.layers
    read = {
        (source.layer, int(j))
        for layer in layers
        for source, w in layer.terms
        if not source.post
        for j in np.unique(w.nonzero()[1])
    }
    outside = variables_read(read_surrounding(block.model(), [block]))
    scaled = [rows.reformulation.component(n) for n in ("affine", "unit_affine")]
    for k, i in constant:
        if (k, i) in read or id(columns.pre[k][i]) in outside:
            what = "has numbers of 1e15 or more, and its pre-activation is read"
            raise _refusal(name, rows, k, i, what)
        rows.replaced.append(block.affine[k, i])
        for affine in scaled:
            if affine is not None and (k, i) in affine:
                affine[k, i].deactivate()


def _refusal(name, rows, k, i, what):
    layers = rows.network.layers
    neuron = "output" if k == len(layers) - 1 else f"neuron of layer {k}"
    return TransformationError(
        f"{name}: {neuron} {i} ('{layers[k].name}') of '{rows.block.name}' {what}. "
        "Solvers take no coefficients of 1e15 and resolve no values of that size. "
        "Tighten the inputs' bounds, apply relu.obbt first, or correct the limit, slope "
        "or weight at that tensor of the network."
    )


def warn_of_leak(name, encoding):
    """Log the largest leak of an encoding's big-M rows if it can be seen.

    Returns
    -------
    str or None
        What it may do.
    """
    from pyomo_relu.bounds.resolution import largest_leak

    with_big_m = [np.zeros(x.size, dtype=bool) for x in encoding.bounds.lower[:-1]]
    new = encoding.reformulation
    for indicators in (new.indicator, new.ceiling_indicator):
        for k, i in indicators:
            with_big_m[k][i] = True
    leak = largest_leak(encoding.bounds, with_big_m, _LIMIT, _widths(encoding.block))
    if leak is None or leak.share <= _LIMIT:
        return None
    others = f" and of {leak.count - 1} more" if leak.count > 1 else ""
    text = (
        f"at a solver's integrality tolerance of 1e-6, output {leak.output} may be off "
        f"by {leak.move:.2g} (it varies by {leak.scale:.2g} where the network bends), "
        f"through the big-M rows of neuron {leak.neuron} of layer {leak.layer} "
        f"('{encoding.network.layers[leak.layer].name}', M = {leak.big_m:.3g}){others}. "
        "Tighten the inputs' bounds, apply relu.obbt or relu.bounds before, or solve "
        "with relu.branch, which has no such rows."
    )
    logger.warning(f"{name}: {encoding.block.name}: {text}")
    return text


def _widths(block):
    return np.array([high - low for low, high in map(ends, block.output_vars())])
