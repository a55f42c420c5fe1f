"""What solvers cannot resolve of an encoding: left out, refused, or warned of."""

import logging

from pyomo.common.dependencies import numpy as np

from pyomo_relu.block.records.var_bounds import ends
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
    block, columns = rows.block, rows.root.columns
    layers = rows.network.layers
    read = {
        (source.layer, int(j))
        for layer in layers
        for source, w in layer.terms
        if not source.post
        for j in np.unique(w.nonzero()[1])
    }
    outside = variables_read(read_surrounding(block.model(), [block]))
    affine = rows.reformulation.component("affine")
    for k, i in constant:
        if (k, i) in read or id(columns.pre[k][i]) in outside:
            what = "has numbers of 1e15 or more, and its pre-activation is read"
            raise _refusal(name, rows, k, i, what)
        rows.replaced.append(block.affine[k, i])
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


def refuse_far_factors(name, block, factors):
    """Raise where a neuron is in so tiny a unit that no rows tie its copy to it.

    Parameters
    ----------
    name : str
        Of the formulation.
    block : ReLUNetworkBlockData
    factors : list of numpy.ndarray, shapes (layer size,), or None
        How many times the neurons their copies are.

    Raises
    ------
    TransformationError
    """
    from pyomo_relu.bounds.neuron_units import LARGEST_FACTOR

    for k, s in enumerate(factors or ()):
        far = s > LARGEST_FACTOR
        if far.any():
            i = int(far.argmax())
            raise TransformationError(
                f"{name}: the values of neuron {i} of layer {k} "
                f"('{block.network.layers[k].name}') of '{block.name}' are of the size "
                f"{1.0 / s[i]:.3g}, and a row with that coefficient is refused by "
                "solvers. Multiply the neuron's weights and bias by a factor, and "
                "divide the weights behind it by the same, or solve with relu.branch."
            )


def warn_of_leak(name, encoding):
    """Log what solvers' tolerances may do to an output if it can be seen.

    Returns
    -------
    str or None
        What may happen.
    """
    text = " ".join(filter(None, (_leak(encoding), _swamped(encoding)))) or None
    if text is not None:
        logger.warning(f"{name}: {encoding.block.name}: {text}")
    return text


def _leak(encoding):
    from pyomo_relu.bounds.resolution import largest_leak

    new = encoding.reformulation
    rows = (new.indicator, new.ceiling_indicator)
    with_big_m = _masks(encoding, rows)
    leak = largest_leak(encoding.bounds, with_big_m, _LIMIT, _widths(encoding.block))
    if leak is None or leak.share <= _LIMIT:
        return None
    return (
        f"at a solver's integrality tolerance of 1e-6, {_moved(leak)}, through the "
        f"big-M rows of {_neuron(encoding, leak)}, M = {leak.big_m:.3g}){_others(leak)}. "
        "Tighten the inputs' bounds, apply relu.obbt or relu.bounds before, or solve "
        "with relu.branch, which has no such rows."
    )


def _swamped(encoding):
    from pyomo_relu.bounds.neuron_units import swamped_neuron

    copies = encoding.neurons
    found = swamped_neuron(encoding.bounds, None if copies is None else copies.factors)
    # without rows of its own the neuron is part of those behind it
    rows = encoding.reformulation.rows
    if found is None or (found.layer, found.neuron, "active") not in rows:
        return None
    k, i = found.layer, found.neuron
    low, high = float(encoding.bounds.lower[k][i]), float(encoding.bounds.upper[k][i])
    return (
        f"neuron {i} of layer {k} ('{encoding.network.layers[k].name}') is always "
        f"active and varies by {high - low:.2g} about {high:.2g}, which rows that hold "
        f"to 1e-6 do not resolve: an output may be off by {found.share:.2g} times its "
        "size. Move that constant from the neuron's bias into those behind it, or "
        "solve with relu.branch or relu.reduce, which have no such rows."
    )


def _masks(encoding, containers):
    """Which neurons have entries in containers indexed by (layer, neuron, ...)."""
    masks = [np.zeros(x.size, dtype=bool) for x in encoding.bounds.lower[:-1]]
    for container in containers:
        for k, i, *_ in container:
            masks[k][i] = True
    return masks


def _moved(leak):
    return (
        f"output {leak.output} may be off by {leak.move:.2g} (it varies by "
        f"{leak.scale:.2g} where the network bends)"
    )


def _neuron(encoding, leak):
    layer = encoding.network.layers[leak.layer].name
    return f"neuron {leak.neuron} of layer {leak.layer} ('{layer}'"


def _others(leak):
    return f" and of {leak.count - 1} more" if leak.count > 1 else ""


def _widths(block):
    return np.array([high - low for low, high in map(ends, block.output_vars())])
