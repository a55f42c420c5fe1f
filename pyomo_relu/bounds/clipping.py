"""What ceilings do to a network: bounds on the clipped one, and how far it moves.

Choosing ceilings and encoding them lives elsewhere.
"""

import numpy as np

from pyomo_relu.bounds.crown.crown import crown_bounds
from pyomo_relu.bounds.crown.interval import interval_bounds
from pyomo_relu.bounds.crown.lines import times
from pyomo_relu.bounds.neuron_bounds import NeuronBounds
from pyomo_relu.common.arguments import a_network, bounds_record, checked
from pyomo_relu.errors import BoundsError, NetworkError
from pyomo_relu.linear.rounding import TINY, UNIT, down, slack, up
from pyomo_relu.network.layer import INPUT, Layer, Source
from pyomo_relu.network.network import Network
from pyomo_relu.network.rescale import clip_network


@checked(BoundsError, bounds=bounds_record)
def clipped_bounds(bounds, ceilings):
    """Bounds on the network under ceilings, from bounds on the network.

    Interval arithmetic on the clipped network, intersected with the given bounds moved
    by what the pre-activations can move.  Neurons that no ceiling reaches keep their
    bounds and sources.  Ceilings that these bounds prove out of reach are left out.

    Parameters
    ----------
    bounds : NeuronBounds
    ceilings : sequence of numpy.ndarray, shapes (layer size,)

    Returns
    -------
    NeuronBounds
        Its ``network`` is the clipped one.
    """
    network = clip_network(bounds.network, ceilings)
    result = _bounds_of(network, bounds)
    needed = [np.where(c < result.upper[k], c, np.inf) for k, c in enumerate(ceilings)]
    lean = clip_network(bounds.network, needed)
    return NeuronBounds(
        lean,
        result.lower,
        result.upper,
        result.source,
        result.input_lower,
        result.input_upper,
    )


@checked(BoundsError, bounds=bounds_record, clipped=bounds_record)
def output_movement(bounds, clipped):
    """How far ceilings move the outputs: bounds on clipped(x) - network(x).

    The difference is propagated through the layers, and bounded a second time by CROWN
    on the network that computes both and subtracts them; the tighter of the two counts.

    Parameters
    ----------
    bounds : NeuronBounds
        Of the network.
    clipped : NeuronBounds
        Of the network under ceilings, on the same input box.

    Returns
    -------
    lower, upper : numpy.ndarray, shape (n_outputs,)
        Valid in exact arithmetic and for float64 forward passes of both networks.
    """
    low, high = _movements(bounds, clipped)[-1]
    both = difference_network(bounds.network, clipped.network)
    crown = crown_bounds(both, bounds.input_lower, bounds.input_upper)
    # CROWN covers the rounding of all layers but that of the two separate outputs
    error = _rounding(bounds, clipped, len(bounds.lower) - 1)
    still = (low == 0.0) & (high == 0.0)
    return (
        np.where(still, low, np.maximum(low, crown.lower[-1] - error)),
        np.where(still, high, np.minimum(high, crown.upper[-1] + error)),
    )


@checked(NetworkError, first=a_network, second=a_network)
def difference_network(first, second):
    """The network that computes ``second(x) - first(x)``; equal layers are shared.

    Both must have the same layers up to ceilings.
    """
    layers, at = [], {INPUT: (INPUT, INPUT)}
    for k, (one, two) in enumerate(
        zip(first.layers[:-1], second.layers[:-1], strict=True)
    ):
        sources = [_placed(one.sources, at, side) for side in (0, 1)]
        layers.append(one.replace(sources=sources[0]))
        mine = len(layers) - 1
        same = sources[0] == sources[1] and np.array_equal(one.ceilings, two.ceilings)
        if not same:
            layers.append(two.replace(sources=sources[1]))
        at[k] = mine, len(layers) - 1
    last = first.layers[-1]
    weights = {}
    for side, sign in ((0, -1.0), (1, 1.0)):
        for source, w in zip(
            _placed(last.sources, at, side), last.weights, strict=True
        ):
            weights[source] = (
                weights[source] + sign * w if source in weights else sign * w
            )
    weights = {s: w for s, w in weights.items() if abs(w).sum() > 0}
    layers.append(
        Layer(list(weights), list(weights.values()), np.zeros(last.size), "identity")
    )
    return Network(layers, first.inputs, first.outputs, first.name)


def _placed(sources, at, side):
    return [Source(at[layer][side], post) for layer, post in sources]


def _bounds_of(network, bounds):
    clipped = interval_bounds(network, bounds.input_lower, bounds.input_upper)
    moved = _movements(bounds, clipped)
    lower, upper, source = [], [], []
    for k, (low, high) in enumerate(moved):
        still = (low == 0.0) & (high == 0.0)
        lo = np.where(still, bounds.lower[k], down(bounds.lower[k] + low))
        hi = np.where(still, bounds.upper[k], up(bounds.upper[k] + high))
        lower.append(np.where(still, lo, np.maximum(lo, clipped.lower[k])))
        upper.append(np.where(still, hi, np.minimum(hi, clipped.upper[k])))
        own = (lower[k] > clipped.lower[k]) | (upper[k] < clipped.upper[k])
        source.append(np.where(still | own, bounds.source[k], clipped.source[k]))
    return NeuronBounds(
        network, lower, upper, source, bounds.input_lower, bounds.input_upper
    )


def _movements(bounds, clipped):
    """Bounds on (clipped - original) pre-activations, one pair per layer."""
    network = bounds.network
    pre, post = [], []
    for k, layer in enumerate(network.layers):
        mid, radius = np.zeros(layer.size), _rounding(bounds, clipped, k)
        moving = np.zeros(layer.size, dtype=bool)
        for source, w in layer.terms:
            if source.layer == INPUT:
                continue
            absolute = abs(w)
            low, high = source.of(None, pre, post)
            mid += _apply(w, 0.5 * low + 0.5 * high)
            radius += _apply(absolute, 0.5 * high - 0.5 * low)
            moving |= _apply(absolute, np.maximum(-low, high)) > 0.0
        low, high = (np.where(moving, mid + sign * radius, 0.0) for sign in (-1, 1))
        pre.append((low, high))
        if k < len(network.layers) - 1:
            post.append(_post_movement(bounds, clipped, k, low, high))
    return pre


def _rounding(bounds, clipped, k):
    """What both forward passes may err by in layer k, and a sum of their difference."""
    layer = bounds.network.layers[k]
    size, terms = np.abs(layer.bias), 1
    for source, w in layer.terms:
        size = size + _apply(abs(w), _magnitude(bounds, clipped, source))
        terms += 1 + w.shape[1]
    return 2.0 * slack(2 * terms) * size + TINY


def _post_movement(bounds, clipped, k, low, high):
    """Range of ``min(max(0, v + d), c') - min(max(0, v), c)`` for v, d in intervals.

    It grows with d, and for fixed d is piecewise linear in v with kinks at 0, c, -d
    and c' - d: the extremes lie at kinks or ends.
    """
    one, two = bounds.network.layers[k], clipped.network.layers[k]
    lo, hi = bounds.lower[k], bounds.upper[k]
    c, new = one.ceilings, two.ceilings
    ends = []
    for d, best in ((low, np.min), (high, np.max)):
        kinks = np.clip(np.array([lo, hi, 0.0 * lo, c, -d, new - d]), lo, hi)
        change = two.activate(kinks + d) - one.activate(kinks)
        ends.append(best(change, axis=0))
    size = np.maximum(np.abs(lo), np.abs(hi)) + np.maximum(-low, high)
    size += np.where(np.isfinite(new), new, 0.0)
    error = 16.0 * UNIT * size + TINY
    still = (low == 0.0) & (high == 0.0) & (np.minimum(new, hi) == np.minimum(c, hi))
    return (
        np.where(still, 0.0, ends[0] - error),
        np.where(still, 0.0, ends[1] + error),
    )


def _magnitude(bounds, clipped, source):
    ends = (*bounds.range_of(source), *clipped.range_of(source))
    return np.max(np.abs(np.array(ends)), axis=0)


def _apply(matrix, vector):
    return times(vector[None], matrix)[0]
