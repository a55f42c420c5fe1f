"""A network in words and as data: what every command says of its file."""

from pyomo_relu.common.wording import counted


def network_data(network):
    """Name, tensors and layers of a network, as plain data."""
    return {
        "name": network.name,
        "inputs": [_tensor(t) for t in network.inputs],
        "outputs": [_tensor(t) for t in network.outputs],
        "n_inputs": network.n_inputs,
        "n_outputs": network.n_outputs,
        "n_neurons": network.n_neurons,
        "layers": [_layer(k, layer) for k, layer in enumerate(network.layers)],
    }


def _tensor(tensor):
    return {"name": tensor.name, "shape": list(tensor.shape)}


def _layer(k, layer):
    reads = [
        "inputs" if s.layer < 0 else f"layer {s.layer}{'' if s.post else ' (before)'}"
        for s in layer.sources
    ]
    return {
        "layer": k,
        "name": layer.name,
        "activation": layer.activation,
        "size": layer.size,
        "weights": sum(_nonzeros(w) for w in layer.weights),
        "reads": reads,
    }


def _nonzeros(weights):
    return int(weights.nnz) if hasattr(weights, "nnz") else int((weights != 0).sum())


def headline(network):
    """One line: the network and its sizes."""
    return (
        f"{network.name}: {counted(network.n_inputs, 'input')}, "
        f"{counted(network.n_neurons, 'neuron')} in "
        f"{counted(len(network.activation_layers), 'layer')}, "
        f"{counted(network.n_outputs, 'output')}"
    )


def box_text(lower, upper):
    """The box in few words: one interval if all are the same."""
    ends = list(dict.fromkeys(zip(lower.tolist(), upper.tolist(), strict=True)))
    shown = ", ".join(f"[{lo:.6g}, {hi:.6g}]" for lo, hi in ends[:6])
    return f"box {shown}{', ...' if len(ends) > 6 else ''}"


def box_data(lower, upper):
    """The box as plain data."""
    return {"lower": lower.tolist(), "upper": upper.tolist()}
