"""The plants' surrogates: trained networks of two inputs, and variations of them."""

from typing import NamedTuple

import numpy as np

from benchmarks.regret.surrogates import surrogate
from pyomo_relu import example_networks
from pyomo_relu.network import Layer, Network, load_onnx

#: Standard deviation of the factors by which weights and biases are varied.
_VARIED = 0.05


class Plant(NamedTuple):
    """A network and the box of its inputs."""

    network: Network
    lower: list
    upper: list

    def bounds(self, j):
        """Bounds of an input."""
        return self.lower[j], self.upper[j]


def trained(name):
    """An example network, or one of ``benchmarks/regret/networks``, by name."""
    examples = example_networks()
    known = examples[name] if name in examples else surrogate(name)
    return Plant(load_onnx(known.path), list(known.lower), list(known.upper))


def varied(plant, seed):
    """A plant of the same make: weights and biases differ by a few per cent.

    Each is multiplied with a random factor near 1; biases of the first layer are those
    about the middle of the box, whatever the inputs' units are.
    """
    rng = np.random.default_rng(seed)
    shift = 0.5 * (np.array(plant.lower) + np.array(plant.upper))
    layers = []
    for layer in plant.network.layers:
        (weight,) = layer.weights
        bias = layer.bias + weight @ shift
        weight = weight * (1 + _VARIED * rng.standard_normal(weight.shape))
        bias = bias * (1 + _VARIED * rng.standard_normal(bias.shape)) - weight @ shift
        layers.append(
            Layer(layer.sources, [weight], bias, layer.activation, layer.ceiling)
        )
        shift = np.zeros(layer.size)
    name = f"{plant.network.name}, varied {seed}"
    network = Network(layers, plant.network.inputs, plant.network.outputs, name)
    return Plant(network, plant.lower, plant.upper)


def plants(names, count, identical):
    """So many plants.

    Parameters
    ----------
    names : sequence of str
        Of trained networks.
    count : int
    identical : bool
        All with the first network as it was trained; else each with a network of its
        own, varied from all of these in turn.
    """
    makes = [trained(name) for name in names]
    if identical:
        return makes[:1] * count
    return [varied(makes[k % len(makes)], seed=k) for k in range(count)]
