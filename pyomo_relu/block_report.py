"""The text that a network block prints about itself; changes nothing."""

from pyomo.common.dependencies import numpy as np

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
    network, record = block.network, block.record
    lines = [
        f"{block.name}: {network.n_inputs} inputs, {network.n_outputs} outputs, "
        f"{network.n_neurons} neurons in {len(network.layers) - 1} layers "
        f"({network.name})",
        "formulation: "
        + (
            "none (exact nonlinear rows)"
            if record.encoding is None
            else record.encoding.description()
        ),
    ]
    if record.encoding is not None and "leak" in record.encoding.details:
        lines.append(f"accuracy: {record.encoding.details['leak']}")
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
            + ", ".join(f"{s} {n}" for s, n in zip(sources, counts))
        )
    return "\n".join(lines)
