"""Cheap lower and upper limits of the number of linear regions: samples and theory."""

from math import comb

import numpy as np

from pyomo_relu.network.layer import Source


def sampled_patterns(maps, n_samples, seed=0):
    """Number of distinct activation patterns at random points of the box.

    A point at which a pre-activation is farther from its levels than rounding reaches
    shows that neuron's state for certain.  Points where all neurons show theirs lie in
    the interior of their regions, so patterns that differ there belong to different
    full-dimensional regions: the number is a certified lower bound.  Neurons whose
    state rounding hides at many points (constant ones, for instance) are left out.

    Parameters
    ----------
    maps : Maps
    n_samples : int
        Uniformly distributed points, drawn from the generator with this ``seed``.

    Returns
    -------
    int
    """
    rng = np.random.default_rng(seed)
    batch = max(100, min(20_000, 2_000_000 // max(1, maps.network.n_neurons)))
    box, seen, kept = maps.box, set(), None
    lower, upper = box.lower[box.free], box.upper[box.free]
    for start in range(0, n_samples, batch):
        size = min(batch, n_samples - start)
        X = box.full_point(rng.uniform(lower, upper, (size, box.dimension)))
        clear, above = [np.ones((size, 0), bool)], [np.ones((size, 0), bool)]
        for k, v in enumerate(maps.network.pre_activations(X)):
            index, level, _ = maps.cuts[k]
            distance = v[:, index] - level
            clear.append(np.abs(distance) > maps.tolerances[k])
            above.append(distance > 0)
        clear, above = np.concatenate(clear, axis=1), np.concatenate(above, axis=1)
        kept = clear.mean(axis=0) > 0.99 if kept is None else kept
        rows = clear[:, kept].all(axis=1)
        bits = np.packbits(above[rows][:, kept], axis=1)
        seen.update(row.tobytes() for row in np.unique(bits, axis=0))
    return max(1, len(seen))


def theoretical_upper_bound(maps):
    """Upper bound on the number of activation regions from the layers' sizes alone.

    In d dimensions m hyperplanes make at most ``sum_{j<=d} binom(m, j)`` cells
    (Zaslavsky 1975), of which at most binom(m, j) have m - j neurons active.  Where s
    neurons are active the layer's image has at most s dimensions, which limits the
    next layer's cells.  With d_0 free inputs and layers of m_l neurons::

        R <= sum over (j_1, ..., j_L) of prod_l binom(m_l, j_l),
             j_l <= d_{l-1},   d_l = min(d_{l-1}, m_l - j_l)

    Source: Serra, Tjandraatmadja, Ramalingam (2018), "Bounding and counting linear
    regions of deep neural networks", Theorem 1.  Here only unstable neurons cut, stably
    active ones (a_l) add to the image: ``d_l = min(d_{l-1}, a_l + m_l - j_l)``.  A
    neuron with a ceiling may cut twice; then, and in networks that are not chains, the
    dimension is not reduced by j_l (as in Montufar 2017, or not at all).

    Returns
    -------
    int
    """
    n_inputs = maps.box.dimension
    layers = maps.network.activation_layers
    chain = all(
        layer.sources in ((), (Source(k - 1),))
        for k, layer in enumerate(maps.network.layers)
    )
    counts = {n_inputs: 1}
    for k, layer in enumerate(layers):
        index, _, base = maps.cuts[k]
        cutting, m = np.unique(index).size, len(index)
        always_active = int(np.sum(np.delete(base, index) == 1))
        after = {}
        for d, count in counts.items():
            for j in range(min(d, m) + 1):
                if not chain:
                    image = n_inputs
                elif layer.ceiling is None:
                    image = min(d, always_active + cutting - j)
                else:
                    image = min(d, always_active + cutting)
                after[image] = after.get(image, 0) + count * comb(m, j)
        counts = after
    return sum(counts.values())
