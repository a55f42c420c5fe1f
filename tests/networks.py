"""Small networks with known structure for tests; no test logic here."""

import itertools

import numpy as np

from pyomo_relu import Layer, Network
from pyomo_relu.network import INPUT, Source


def chain(sizes, seed=0, ceilings=None, scale=1.4):
    """A dense ReLU network of the given layer sizes with random weights."""
    rng = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(sizes))
    return Network.sequential(
        [rng.normal(size=(b, a)) / np.sqrt(a) * scale for a, b in pairs],
        [0.3 * rng.normal(size=b) for _, b in pairs],
        ceilings,
        name=f"chain {sizes} seed {seed}",
    )


def two_two_one():
    """y = 2 relu(x0 + x1) - relu(x0 - x1), all coefficients visible."""
    return Network.sequential(
        [[[1.0, 1.0], [1.0, -1.0]], [[2.0, -1.0]]], [[0.0, 0.0], [0.0]], name="2-2-1"
    )


def dying_network(rng):
    """3 inputs, two layers of 8 of which 3 are what weight decay leaves of dead neurons."""
    weights = [rng.normal(size=shape) for shape in ((8, 3), (8, 8), (1, 8))]
    biases = [rng.normal(size=w.shape[0]) for w in weights]
    for k in (0, 1):
        weights[k][:3] *= np.array([[1e-9], [1e-8], [1e-7]])
        biases[k][:3] = [-0.3, 0.2, -0.1]
        weights[k + 1][:, :3] *= 1e-8
    return Network.sequential(weights, biases, name="dying")


def residual(seed=0):
    """2 inputs; a residual connection and a leaky (pre-activation) source."""
    rng = np.random.default_rng(seed)
    first = Layer([Source(INPUT)], [rng.normal(size=(4, 2))], rng.normal(size=4))
    second = Layer(
        [Source(0), Source(0, False)],
        [rng.normal(size=(4, 4)), 0.1 * rng.normal(size=(4, 4))],
        rng.normal(size=4),
        "clipped",
        [1.0, 2.0, np.inf, 0.5],
    )
    last = Layer(
        [Source(INPUT), Source(0), Source(1)],
        [rng.normal(size=(1, 2)), rng.normal(size=(1, 4)), rng.normal(size=(1, 4))],
        [0.1],
        "identity",
    )
    return Network([first, second, last], [("x", (2,))], [("y", (1,))], name="residual")
