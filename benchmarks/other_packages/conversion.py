"""Our networks as other packages take them, to be timed beside us; no timing in here."""

import numpy as np


def as_array(weights):
    """A layer's matrix as a plain array."""
    return np.asarray(weights.toarray() if hasattr(weights, "toarray") else weights)


def omlt_definition(network, lower, upper):
    """OMLT's NetworkDefinition of a chain of dense layers on a box of the inputs."""
    from omlt.neuralnet import NetworkDefinition
    from omlt.neuralnet.layer import DenseLayer, InputLayer

    bounds = {
        i: (float(lo), float(hi))
        for i, (lo, hi) in enumerate(zip(lower, upper, strict=True))
    }
    definition = NetworkDefinition(scaled_input_bounds=bounds)
    previous = InputLayer([network.n_inputs])
    definition.add_layer(previous)
    for layer in network.layers:
        dense = DenseLayer(
            [layer.weights[0].shape[1]],
            [layer.size],
            activation="relu" if layer.activation == "relu" else "linear",
            weights=as_array(layer.weights[0]).T.copy(),
            biases=layer.bias.copy(),
        )
        definition.add_layer(dense)
        definition.add_edge(previous, dense)
        previous = dense
    return definition


def torch_sequential(network):
    """A torch.nn.Sequential of a chain of dense layers, in float64."""
    import torch

    modules = []
    for layer in network.layers:
        linear = torch.nn.Linear(layer.weights[0].shape[1], layer.size).double()
        linear.weight.data = torch.tensor(as_array(layer.weights[0]))
        linear.bias.data = torch.tensor(layer.bias)
        modules.append(linear)
        if layer.activation == "relu":
            modules.append(torch.nn.ReLU())
    return torch.nn.Sequential(*modules)
