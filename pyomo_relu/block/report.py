"""The text that a network block prints about itself."""

from pyomo.common.dependencies import numpy as np

from pyomo_relu.block.expression_inputs import expressions_text
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import BoundsError


def summary_text(block):
    """One screen of text: network, sizes, bounds in force, formulation.

    Parameters
    ----------
    block : ReLUNetworkBlockData

    Returns
    -------
    str
    """
    network, encoding = block.network, block.record.encoding
    sizes = (
        f"{counted(network.n_inputs, 'input')}, "
        f"{counted(network.n_outputs, 'output')}, "
        f"{counted(network.n_neurons, 'neuron')} in "
        f"{counted(len(network.layers) - 1, 'layer')}"
    )
    lines = [f"{block.name}: {sizes} ({network.name})"]
    if encoding is None:
        lines.append("formulation: none (exact nonlinear rows)")
    else:
        lines.append(f"formulation: {encoding.description()}")
        if encoding.choice is not None:
            lines.append(encoding.choice)
        if encoding.leak is not None:
            lines.append(f"accuracy: {encoding.leak}")
    expressions = expressions_text(block)
    if expressions is not None:
        lines.append(expressions)
    try:
        bounds = block.neuron_bounds()
    except BoundsError as error:
        return "\n".join([*lines, f"bounds: none ({error})"])
    lines.append(
        f"{'layer':>5} {'neurons':>8} {'stable':>7} "
        f"{'mean width':>11} {'largest M':>10}  sources"
    )
    for k, layer in enumerate(network.layers):
        last = k == len(network.layers) - 1
        sources, counts = np.unique(bounds.source[k], return_counts=True)
        largest = np.max(np.maximum(-bounds.lower[k], bounds.upper[k]))
        lines.append(
            f"{'out' if last else k:>5} {layer.size:>8} "
            f"{'' if last else int(bounds.stable(k).sum()):>7} "
            f"{bounds.mean_width(k):>11.4g} {largest:>10.4g}  "
            + ", ".join(f"{s} {n}" for s, n in zip(sources, counts, strict=True))
        )
    return "\n".join(lines)
