"""Decides whether claimed pre-activation bounds hold: points against them, and proofs.

Used for bounds that somebody else states; nothing here computes bounds for encoding.
"""

import itertools
from collections.abc import Mapping

import numpy as np

from pyomo_relu.bounds.tightening import tighten
from pyomo_relu.common.arguments import (
    bounds_record,
    checked,
    instance,
    numbers,
    optional,
    seconds,
)
from pyomo_relu.errors import BoundsError
from pyomo_relu.network.gradients import gradient

_MAX_CORNERS = 1024
_N_SAMPLES = 1024
_ASCENT_STEPS = 20


@checked(BoundsError, bounds=bounds_record, time_limit=optional(seconds))
def attained_range(bounds, claims, time_limit=60.0):
    """What neurons attain on the input box, and what can be proven of them.

    Parameters
    ----------
    bounds : NeuronBounds
        Proven bounds; their input box is the one asked about.
    claims : dict
        {(layer, neuron): (lower, upper)} as claimed by somebody.
    time_limit : float
        Seconds for the proofs.

    Returns
    -------
    attained : dict
        {(layer, neuron, side): (value, point)}: the smallest (side 0) or largest
        (side 1) pre-activation found, and the inputs there, shape (n_inputs,).
    proven : dict
        {(layer, neuron, side): bound}, tightened only until the claims are decided.
    """
    network = bounds.network
    _check_claims(network, claims)
    points = _points(bounds)
    pre = network.pre_activations(points)
    attained = {}
    for k, i in claims:
        for side, best in ((0, np.argmin), (1, np.argmax)):
            at = best(pre[k][:, i])
            attained[k, i, side] = _ascend(bounds, k, i, side, points[at])
    undecided = [
        (k, i)
        for (k, i), (low, high) in claims.items()
        if attained[k, i, 0][0] >= low and attained[k, i, 1][0] <= high
    ]
    if undecided:
        bounds, _ = tighten(
            network,
            bounds.input_lower,
            bounds.input_upper,
            start=bounds,
            methods=("crown", "split", "lp", "milp"),
            time_limit=time_limit,
        )
    proven = {
        (k, i, side): float((bounds.lower, bounds.upper)[side][k][i])
        for k, i in claims
        for side in (0, 1)
    }
    return attained, proven


def _check_claims(network, claims):
    sizes = [layer.size for layer in network.activation_layers]
    neurons = {(k, i) for k, size in enumerate(sizes) for i in range(size)}
    for key, ends in instance("claims", claims, Mapping, BoundsError).items():
        if key not in neurons:
            raise BoundsError(f"claims: {network.name} has no neuron {key!r:.80}.")
        if numbers(f"claims[{key}]", ends, BoundsError).shape != (2,):
            raise BoundsError(f"claims[{key}] must be a pair (lower, upper): {ends!r}.")


def _points(bounds):
    """Corners where they are few, the centre, and random points of the input box."""
    low, high = bounds.input_lower, bounds.input_upper
    rng = np.random.default_rng(0)
    points = [0.5 * (low + high)[None], rng.uniform(low, high, (_N_SAMPLES, low.size))]
    if 2**low.size <= _MAX_CORNERS:
        points.append(np.array(list(itertools.product(*zip(low, high, strict=True)))))
    return np.vstack(points)


def _ascend(bounds, k, i, side, x):
    """Climb from ``x`` along the linear pieces to the box's corners (Frank-Wolfe).

    Each step goes to the best of a few points between x and the corner that the
    present linear piece points to; on the first layer the first step is optimal.
    """
    network = bounds.network
    low, high = bounds.input_lower, bounds.input_upper
    sign = 1.0 if side else -1.0
    value = -np.inf
    for _ in range(_ASCENT_STEPS):
        unit = np.zeros(network.layers[k].size)
        unit[i] = sign
        slope = gradient(network, network.pre_activations(x), unit[None], k)[0]
        corner = np.where(slope > 0, high, np.where(slope < 0, low, x))
        steps = np.concatenate([[0.0], 2.0 ** -np.arange(8.0)[::-1]])
        trial = x + steps[:, None] * (corner - x)
        trial = np.clip(trial, low, high)
        values = sign * network.pre_activations(trial)[k][:, i]
        best = int(np.argmax(values))
        x = trial[best]
        if values[best] <= value:
            break
        value = values[best]
    return sign * float(max(value, values[best])), x
