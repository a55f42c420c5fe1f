"""Small networks for the tests of the analysis; no tests in here."""

import itertools

import numpy as np

from pyomo_relu.network import INPUT, Layer, Network, Source


def chain(sizes, seed=0, ceilings=None):
    """Random dense chain with the layer sizes given, inputs and outputs included."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(b, a)) for a, b in itertools.pairwise(sizes)]
    biases = [rng.normal(size=b) * 0.5 for b in sizes[1:]]
    return Network.sequential(weights, biases, ceilings)


def branched(n_inputs=2, seed=0):
    """Clipped neurons, a skip connection and a leaky ReLU (a pre-activation source)."""
    rng = np.random.default_rng(seed)

    def w(*shape):
        return rng.normal(size=shape)

    layers = [
        Layer([Source(INPUT)], [w(5, n_inputs)], w(5) * 0.3),
        Layer(
            [Source(0), Source(INPUT)],
            [w(4, 5), w(4, n_inputs)],
            w(4) * 0.3,
            "clipped",
            [0.5, np.inf, 1.0, 0.7],
        ),
        Layer([Source(1), Source(0, post=False)], [w(4, 4), w(4, 5)], w(4) * 0.3),
        Layer(
            [Source(2), Source(2, post=False), Source(INPUT)],
            [0.9 * np.eye(2, 4), 0.1 * np.eye(2, 4), w(2, n_inputs)],
            w(2),
            "identity",
        ),
    ]
    return Network(layers, [("x", (n_inputs,))], [("y", (2,))])


def rescaled(network, seed=0):
    """The same function: each neuron of a chain times a positive factor."""
    rng = np.random.default_rng(seed)
    weights, biases, ceilings, before = [], [], [], None
    for layer in network.layers:
        hidden = layer.activation != "identity"
        factor = np.exp(rng.normal(size=layer.size)) if hidden else np.ones(layer.size)
        w = layer.weights[0] * factor[:, None]
        weights.append(w if before is None else w / before)
        biases.append(layer.bias * factor)
        if hidden:
            ceiling = layer.ceiling
            ceilings.append(None if ceiling is None else ceiling * factor)
        before = factor
    return Network.sequential(weights, biases, ceilings)


def patterns(regions):
    """The regions' activation patterns as a set of bytes."""
    return {np.concatenate(region.pattern).tobytes() for region in regions}


def patterns_at(network, X):
    """Distinct activation patterns at the points ``X`` as a set of bytes."""
    states = np.concatenate(network.activation_pattern(X), axis=1)
    return {row.tobytes() for row in np.unique(states, axis=0)}
