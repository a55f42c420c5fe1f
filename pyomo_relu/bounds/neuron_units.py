r"""Units in which solvers resolve neurons, and bounds of networks in other units.

Solvers let rows be off by 1e-6 and drop coefficients below 1e-9, whatever the units.  A
neuron that works in 1e-9, with a weight of 1e9 behind it, is then free to be anything;
one that works in 1e12 has no row that float64 resolves.  Neither can be seen by bounds,
which are loose in deep networks.  So sizes are estimated, by root sums of squares::

    m_i^2 = (b_i + sum_j W_ij x_j)^2 + sum_j (W_ij r_j)^2 + sum_k (W_ik p_k m_k)^2

over inputs j (midpoint x, half range r) and neurons k, with p = 1 for active ones, 0 for
inactive ones and the root of 1/2 for unstable ones, half of whose square they pass on;
no size exceeds the proven bounds.  Backwards the same sums give by how many times an
output's own size it moves per unit of a neuron.  All of this follows a change of units
exactly: a neuron in another unit has another size, and no other number changes.

A box is often wide because one had to be given.  Neurons that are large for no other
reason keep their units: in what counts as large an input ranges over no more than
``_WIDE``, or as many times the inverse of its median weight, or the share of its range
at which the network bends.  A layer bends where what the wide inputs move it by is as
large as what does not depend on them, its biases above all; the layer counts that does
so farthest out.  A network that bends only where its inputs are 1e9 works in that unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pyomo_relu.bounds.neuron_bounds import NeuronBounds
from pyomo_relu.bounds.resolution import LARGEST_BIG_M
from pyomo_relu.common.matrices import dense
from pyomo_relu.common.powers import is_power_of_two, power_of_two
from pyomo_relu.linear.rounding import FEASIBILITY
from pyomo_relu.network.layer import INPUT, Source
from pyomo_relu.network.network import Network
from pyomo_relu.network.rescale import rescale_network
from pyomo_relu.network.root_sums import columns_scaled, root_sums

if TYPE_CHECKING:
    from pyomo_relu.common.types import FloatArray

_IN = Source(INPUT)

#: Neurons of sizes between these keep their units.
_ORDINARY = 2.0**-7, 2.0**18

#: Solvers take no coefficients of 1e15, and the rows between a neuron and its copy have
#: the factor or its inverse.
LARGEST_FACTOR = 2.0**49

#: Half ranges of inputs beyond this say nothing of units.
_WIDE = 64.0

#: Share of an output's size that a row off by a solver's tolerance may move it by.
_SHARE = 1e-4

#: A neuron that is always above so many times its range hides it behind a constant.
_ABOUT = 2.0**10

#: Bounds in other units are moved outward by this much where the product is not exact.
_RELATIVE = 4.0 * 2.0**-52


class TinyUnit(NamedTuple):
    """A neuron in a unit below what solvers resolve.

    Attributes
    ----------
    layer, neuron : int
    size : float
        About what its column's values amount to.
    """

    layer: int
    neuron: int
    size: float


class Swamped(NamedTuple):
    """An active neuron that varies by little about a large constant.

    Attributes
    ----------
    layer, neuron : int
    share : float
        By how many times its own size an output may move while rows hold.
    """

    layer: int
    neuron: int
    share: float


def neuron_factors(bounds: NeuronBounds) -> list[FloatArray] | None:
    """Powers of two that bring neurons in far units to values of about 1.

    Parameters
    ----------
    bounds : NeuronBounds

    Returns
    -------
    list of numpy.ndarray, shapes (layer size,), or None
        One per activation layer; 1 for neurons in ordinary units and for those that
        move no output.  None if all are 1.
    """
    sizes = _sizes(bounds)
    far = _far(bounds, sizes, [1.0] * len(sizes))
    if not any(each.any() for each in far):
        return None
    if any(np.any(m[odd] > 1.0) for m, odd in zip(sizes[:-1], far, strict=True)):
        near = _sizes(bounds, _usual_ranges(bounds))
        # what is beyond all units, or constant, is refused or left out elsewhere
        ends = np.maximum(-bounds.lower[-1], bounds.upper[-1])
        resolved = bool(np.all(ends < LARGEST_BIG_M))
        for k, (m, odd) in enumerate(zip(near[:-1], far, strict=True)):
            large = odd & (sizes[k] > 1.0)
            scaled = (m > _ORDINARY[1]) & (m < LARGEST_FACTOR)
            odd &= ~large | (resolved & scaled)
            sizes[k] = np.where(large, m, sizes[k])
        if not any(each.any() for each in far):
            return None
    return [
        1.0 / power_of_two(np.where(odd, size, 1.0), None)
        for odd, size in zip(far, sizes[:-1], strict=True)
    ]


def tiny_unit(bounds: NeuronBounds, factors: Sequence[FloatArray]) -> TinyUnit | None:
    """The first neuron that is in a tiny unit when multiplied by its factor, or None."""
    sizes = _sizes(bounds)
    for k, far in enumerate(_far(bounds, sizes, factors)):
        now = factors[k] * sizes[k]
        tiny = far & (now < _ORDINARY[0])
        if tiny.any():
            i = int(tiny.argmax())
            return TinyUnit(k, i, float(now[i]))
    return None


def swamped_neuron(
    bounds: NeuronBounds, factors: Sequence[FloatArray] | None
) -> Swamped | None:
    """The neuron whose constant hides most of what an output makes of it, or None.

    No factor serves such a neuron: rows hold to solvers' tolerance beside the constant,
    and what varies is smaller than that.

    Parameters
    ----------
    bounds : NeuronBounds
    factors : list of numpy.ndarray, shapes (layer size,), or None
        How many times the neurons the columns are that rows are written with.
    """
    about = []
    for k in range(len(bounds.lower) - 1):
        span = bounds.upper[k] - bounds.lower[k]
        about.append(bounds.active(k) & (span > 0) & (bounds.lower[k] > _ABOUT * span))
    if not any(each.any() for each in about):
        return None
    best = None
    for k, reach in enumerate(_reaches(bounds, _sizes(bounds))):
        own = 1.0 if factors is None else factors[k]
        share = np.where(about[k], FEASIBILITY * reach / own, 0.0)
        i = int(share.argmax())
        if share[i] > (_SHARE if best is None else best.share):
            best = Swamped(k, i, float(share[i]))
    return best


def rescaled_bounds(
    bounds: NeuronBounds, factors: Sequence[FloatArray]
) -> NeuronBounds:
    """The bounds in the units of the rescaled network, no neuron's state changed.

    What reads an inactive neuron's 0 does so with a weight of 0 if its unit changed: the
    rescaled weight might be beyond solvers.

    Parameters
    ----------
    bounds : NeuronBounds
    factors : list of numpy.ndarray, shapes (layer size,)
        One per activation layer, positive.
    """
    network = _without_zeros(rescale_network(bounds.network, factors), bounds, factors)
    lower, upper = list(bounds.lower), list(bounds.upper)
    for k, s in enumerate(factors):
        widening = np.where(is_power_of_two(s), 0.0, _RELATIVE)
        low, high = s * lower[k], s * upper[k]
        low, high = low - widening * np.abs(low), high + widening * np.abs(high)
        ceiling, before = network.layers[k].ceiling, bounds.network.layers[k].ceiling
        if ceiling is not None and before is not None:
            below = bounds.upper[k] <= before
            above = bounds.lower[k] >= before
            high = np.where(below, np.minimum(high, ceiling), high)
            low = np.where(above, np.maximum(low, ceiling), low)
        lower[k], upper[k] = low, high
    return NeuronBounds(
        network, lower, upper, bounds.source, bounds.input_lower, bounds.input_upper
    )


def _without_zeros(network, bounds, factors):
    """The network with a weight of 0 for inactive neurons whose factor is not 1."""
    kept = [~(bounds.inactive(k) & (s != 1.0)) for k, s in enumerate(factors)]
    if all(each.all() for each in kept):
        return network
    layers = []
    for layer in network.layers:
        weights = [
            columns_scaled(w, kept[source.layer].astype(float))
            if source.layer != INPUT and source.post
            else w
            for source, w in layer.terms
        ]
        layers.append(layer.replace(weights=weights))
    return Network(layers, network.inputs, network.outputs, network.name)


def _far(bounds, sizes, factors):
    """Masks of the neurons whose unit is far, per activation layer."""
    low, high = _ORDINARY
    now = [s * size for s, size in zip(factors, sizes[:-1], strict=False)]
    far = [(m > 0) & ((m < low) | (m > high)) for m in now]
    if not any(each.any() for each in far):
        return far
    for k, reach in enumerate(_reaches(bounds, sizes)):
        off = FEASIBILITY * reach / factors[k]
        # rows that move nothing stand in the model too, and those of large numbers
        # must hold
        far[k] &= (now[k] > high) | (off > _SHARE)
    return far


def _passed_on(bounds, k):
    """p of layer k: the root of the share of a neuron's square that its readers get."""
    share = np.where(bounds.active(k), 1.0, 0.5**0.5)
    return np.where(bounds.varying(k), share, 0.0)


def _usual_ranges(bounds):
    """Half ranges of the inputs, where those are not wide, shape (n_inputs,)."""
    half = 0.5 * bounds.input_upper - 0.5 * bounds.input_lower
    wide = np.flatnonzero(half > _WIDE)
    weights = [w for layer in bounds.network.layers for s, w in layer.terms if s == _IN]
    share = _bending_share(bounds, half) if wide.size else 1.0
    for j in wide.tolist() if weights else ():
        column = np.concatenate([dense(abs(w)[:, [j]]).ravel() for w in weights])
        usual = np.median(column[column > 0]) if column.any() else 1.0
        half[j] = min(half[j], _WIDE * max(1.0, 1.0 / usual, share * half[j]))
    return half


def _bending_share(bounds, half):
    """At what share of the wide inputs' ranges the layer bends that does so farthest.

    1 where nothing says: a network without biases is the same at any size.
    """
    wide = half > _WIDE
    fixed = _sizes_before(bounds, np.where(wide, 0.0, half))
    moving = _sizes_before(bounds, np.where(wide, half, 0.0), constants=False)
    shares = []
    for constant, moved in zip(fixed[:-1], moving[:-1], strict=True):
        bent = (constant > 0) & (moved > 0)
        if bent.any():
            shares.append(float(np.median(constant[bent] / moved[bent])))
    return max(shares, default=1.0)


def _sizes(bounds, half=None):
    """m of all layers, no larger than a ceiling: how far past it v is does not count."""
    found = _sizes_before(bounds, half)
    return [
        np.minimum(m, layer.ceilings)
        for m, layer in zip(found, bounds.network.layers, strict=True)
    ]


@np.errstate(all="ignore")
def _sizes_before(bounds, half=None, constants=True):
    """m of all layers, that of the outputs without their bias.

    Parameters
    ----------
    bounds : NeuronBounds
    half : numpy.ndarray, shape (n_inputs,), optional
        The inputs' half ranges, where not the box's.
    constants : bool
        Whether biases and the inputs' midpoints count.
    """
    if half is None:
        half = 0.5 * bounds.input_upper - 0.5 * bounds.input_lower
    network, found, post = bounds.network, [], []
    middle = constants * (0.5 * bounds.input_lower + 0.5 * bounds.input_upper)
    for k, layer in enumerate(network.layers):
        last = k == len(network.layers) - 1
        constant = np.zeros(layer.size) if last else constants * layer.bias
        parts = []
        for source, w in layer.terms:
            if source.layer == INPUT:
                constant = constant if last else constant + w @ middle
                parts.append((w, half))
            else:
                sizes = post if source.post else found
                parts.append((w, sizes[source.layer]))
        size = np.maximum(-bounds.lower[k], bounds.upper[k])
        root = root_sums(constant, parts)
        found.append(root if last else np.minimum(root, size))
        if not last:
            level = np.inf if layer.ceiling is None else layer.ceiling
            fixed = np.where(bounds.at_ceiling(k), level, 0.0)
            kept = np.minimum(_passed_on(bounds, k) * found[k], level)
            post.append(np.where(bounds.varying(k), kept, fixed))
    return found


@np.errstate(all="ignore")
def _reaches(bounds, sizes):
    """How many times its own size an output moves per unit of a neuron, per layer."""
    layers = bounds.network.layers
    seed = np.where(sizes[-1] > 0, 1.0 / sizes[-1], 0.0)
    before, after = ([np.zeros(layer.size) for layer in layers] for _ in range(2))
    before[-1] = seed
    for k in range(len(layers) - 1, -1, -1):
        if k < len(layers) - 1:
            through = _passed_on(bounds, k) * after[k]
            before[k] = np.hypot(before[k], through)
        for source, w in layers[k].terms:
            if source.layer != INPUT:
                to = after if source.post else before
                part = root_sums(np.zeros(w.shape[1]), [(w.T, before[k])])
                to[source.layer] = np.hypot(to[source.layer], part)
    return [np.maximum(b, a) for b, a in zip(before[:-1], after[:-1], strict=True)]
