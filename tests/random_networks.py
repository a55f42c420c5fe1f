"""Random networks of every shape the package knows; no test logic here."""

import numpy as np
from hypothesis import strategies as st
from scipy import sparse

from pyomo_relu.network import INPUT, Layer, Network, Source


def random_network(
    rng,
    n_inputs=2,
    widths=(8, 8),
    n_outputs=1,
    *,
    residual=False,
    pre=False,
    clipped=False,
    sparse_weights=False,
    density=1.0,
    scale=1.0,
):
    """A random network, Gaussian weights of variance ``scale^2 / fan-in``.

    Parameters
    ----------
    rng : numpy.random.Generator or int
        A seed gives the same network each time.
    n_inputs, n_outputs : int
    widths : sequence of int
        Sizes of the activation layers.
    residual : bool
        Layers also read a random set of earlier post-activations or the inputs.
    pre : bool
        Layers also read pre-activations: of the layer before (as leaky ReLU and
        absolute value do) or of any earlier one.
    clipped : bool
        About half of the activation layers have ceilings, some of them infinite.
    sparse_weights : bool
        Store about half of the matrices as CSR.
    density : float
        Share of nonzero weights.
    scale : float
        Gain of each layer.
    """
    rng = np.random.default_rng(rng)
    sizes = [*widths, n_outputs]
    layers = []
    for k, size in enumerate(sizes):
        sources = {Source(k - 1)}
        for j in range(INPUT, k - 1):
            if residual and rng.random() < 0.5:
                sources.add(Source(j))
        for j in range(k):
            if pre and rng.random() < (0.7 if j == k - 1 else 0.3):
                sources.add(Source(j, False))
        sources = sorted(sources)
        fan_in = [n_inputs if s == INPUT else widths[s] for s, _ in sources]
        gain = scale / np.sqrt(sum(fan_in) * density)
        weights = [_weights(rng, size, n, gain, density) for n in fan_in]
        for i in range(len(weights)):
            if pre and size == fan_in[i] and rng.random() < 0.4:
                # Diagonal, as after exact reductions of leaky ReLU or |v|.
                weights[i] = np.diag(rng.choice([-1.0, 0.01, 1.0, 2.0], size)) * scale
            if sparse_weights and rng.random() < 0.5:
                weights[i] = sparse.csr_array(weights[i])
        bias = rng.normal(size=size) * 0.3 * scale
        activation, ceiling = ("identity" if k == len(widths) else "relu"), None
        if clipped and activation == "relu" and rng.random() < 0.6:
            activation = "clipped"
            ceiling = rng.uniform(0.05, 2.0, size) * scale
            ceiling[rng.random(size) < 0.2] = np.inf
        layers.append(Layer(sources, weights, bias, activation, ceiling, f"layer {k}"))
    return Network(layers, [("x", (n_inputs,))], [("y", (n_outputs,))], "random")


def alike(network, rng, count):
    """Networks of one architecture: the given one, and others of random dense weights."""

    def layer(old):
        weights = [
            rng.normal(size=w.shape) * np.abs(w).max() * (rng.random(w.shape) < 0.8)
            for w in old.weights
        ]
        bias = old.bias + 0.3 * rng.normal(size=old.size)
        return Layer(old.sources, weights, bias, old.activation, old.ceiling, old.name)

    others = [
        Network(
            [layer(m) for m in network.layers],
            network.inputs,
            network.outputs,
            f"other {k}",
        )
        for k in range(1, count)
    ]
    return [network, *others]


def twins(seed, depth=3, pairs=6):
    """A network of two inputs that takes maxima of affine functions, pair by pair.

    ``max(a, b) = (a + b + |a - b|) / 2`` is written with ReLUs alone, so that each neuron
    has a twin with the negated row.
    """
    rng = np.random.default_rng(seed)
    width = pairs * 2 ** (depth - 1)
    weights, biases = [rng.normal(size=(width, 2))], [rng.normal(size=width)]
    weights = [np.concatenate([weights[0], -weights[0]])]
    biases = [np.concatenate([biases[0], -biases[0]])]
    for _ in range(depth - 1):
        value = np.concatenate([np.eye(width), -np.eye(width)], axis=1)
        even, odd = value[::2], value[1::2]
        rows = [even + odd, -even - odd, even - odd, odd - even]
        weights.append(np.concatenate(rows))
        biases.append(np.zeros(2 * width))
        width //= 2
        combine = 0.5 * np.concatenate(
            [np.eye(width), -np.eye(width), np.eye(width), np.eye(width)], axis=1
        )
        weights.append(np.concatenate([combine, -combine]))
        biases.append(np.zeros(2 * width))
    weights.append(np.concatenate([np.ones((1, width)), -np.ones((1, width))], axis=1))
    biases.append(np.zeros(1))
    return Network.sequential(weights, biases)


@st.composite
def networks(draw, max_inputs=5, max_depth=4, max_width=9, scales=None):
    """Hypothesis strategy: networks of all shapes, sources, ceilings and scales."""
    flags = {
        name: draw(st.booleans(), label=name)
        for name in ("residual", "pre", "clipped", "sparse_weights")
    }
    widths = draw(
        st.lists(st.integers(1, max_width), min_size=1, max_size=max_depth),
        label="widths",
    )
    return random_network(
        draw(st.integers(0, 2**32 - 1), label="seed"),
        n_inputs=draw(st.integers(1, max_inputs), label="n_inputs"),
        widths=widths,
        n_outputs=draw(st.integers(1, 3), label="n_outputs"),
        density=draw(st.sampled_from([1.0, 0.4]), label="density"),
        scale=draw(st.sampled_from(scales or [1.0, 1e-3, 0.1, 3.0, 1e3])),
        **flags,
    )


@st.composite
def boxes(draw, n_inputs):
    """Hypothesis strategy: (lower, upper) of shape (n_inputs,), some edges flat."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="box seed"))
    size = draw(st.sampled_from([1e-6, 0.1, 1.0, 10.0]), label="box size")
    centre = rng.normal(size=n_inputs)
    half = size * rng.uniform(size=n_inputs) * (rng.random(n_inputs) < 0.9)
    return centre - half, centre + half


def sample(rng, lower, upper, n=1000):
    """Points of a box: uniform ones, random points of its faces, and corners."""
    rng = np.random.default_rng(rng)
    d = lower.size
    X = rng.uniform(size=(n, d))
    faces = X[: n // 2]
    faces[rng.random(faces.shape) < 0.5] = 0.0
    faces[rng.random(faces.shape) < 0.4] = 1.0
    if d <= 12:
        corners = (np.arange(2**d)[:, None] >> np.arange(d)) & 1
    else:
        corners = rng.integers(0, 2, size=(n, d))
    X = np.concatenate([X, corners])
    points = lower + X * (upper - lower)
    points = np.where(X == 1.0, upper, np.where(X == 0.0, lower, points))
    return np.clip(points, lower, upper)


def _weights(rng, rows, columns, gain, density):
    w = rng.normal(size=(rows, columns)) * gain
    w[rng.random(w.shape) >= density] = 0.0
    return w
