r"""What a solver cannot resolve of a network's rows: huge numbers, leaks of big-M rows.

*Huge numbers.*  HiGHS takes no coefficient of 1e15 and takes 1e20 for infinite; others
lose such rows silently.

*Leakage.*  Solvers take a binary within 1e-6 of an integer for one.  ``x <= U z`` with
z = 1e-6 lets an inactive neuron be at ``1e-6 U``, ``x <= v - L (1 - z)`` an active one
at ``v - 1e-6 L``; a clipped one likewise.  So neuron i may be off by ``1e-6 M_i``, and
output o by

    1e-6 M_i |d y_o / d x_i|

Two choices make this figure say something.  The derivative is taken at points, the
largest of a few (products of absolute weights grow with depth whatever the network
does).  It is compared with how much the output varies *where the network bends*: at
points near the kinks of its first layer and the origin, moved into the input box.  By
the range that the outputs' bounds leave, no box is ever too wide: interval arithmetic
multiplies the same M by the same weights, so the ratio is about 1e-6 on any box, while
on one of half width 1e6 an optimum near the origin is off by its own size.
"""

from typing import NamedTuple

import numpy as np

from pyomo_relu.common.matrices import maxima, slices
from pyomo_relu.linear.rounding import INTEGRALITY
from pyomo_relu.network.gradients import backpropagated, slopes
from pyomo_relu.network.onnx.verification.points import points_near_kinks

#: From here on solvers take no coefficient, and no value has a digit behind its point.
LARGEST = 1e15

#: From here on a big-M is beyond solvers: within their tolerances for integers an
#: inactive neuron may be at 1e7, and float64 leaves sums of that size no 1e-3.
LARGEST_BIG_M = 8e12

#: Derivatives are taken of so many outputs at most, at so many points, of so many pairs
#: of both, and with arrays of so many entries.
_OUTPUTS, _POINTS, _PAIRS, _ENTRIES = 256, 8, 256, 1 << 22


class Leak(NamedTuple):
    """The neuron through whose big-M rows an output may be off by most.

    Attributes
    ----------
    layer, neuron, output : int
    big_m : float
        ``max(-L, U)`` of the neuron.
    move : float
        By how much the output may be off, in its units.
    scale : float
        How much the output varies where the network bends.
    count : int
        Neurons whose share exceeds the limit that was asked for.
    """

    layer: int
    neuron: int
    output: int
    big_m: float
    move: float
    scale: float
    count: int

    @property
    def share(self):
        """``move / scale``."""
        return self.move / self.scale


class Unresolved(NamedTuple):
    """A neuron, or an output, with numbers of LARGEST or more; ``what`` says which."""

    layer: int
    neuron: int
    what: str


def unresolved_rows(bounds):
    """Neurons with numbers that no solver resolves.

    Parameters
    ----------
    bounds : NeuronBounds

    Returns
    -------
    constant : list of (int, int)
        (layer, neuron) with such a row whose post-activation is constant on the box:
        they can be left out.
    other : Unresolved or None
        The first one, outputs included, that cannot.
    """
    constant, other = [], None
    for k, layer in enumerate(bounds.network.layers):
        size = np.maximum(-bounds.lower[k], bounds.upper[k])
        weight = np.zeros(layer.size)
        for w in layer.weights:
            weight = np.maximum(weight, maxima(abs(w), axis=1))
        bias = np.abs(layer.bias)
        huge = (size >= LARGEST) | (weight >= LARGEST) | (bias >= LARGEST)
        last = k == len(bounds.lower) - 1
        # an output of that size, written with binaries, has lost the small terms
        binaries = bounds.n_unstable > 0 if last else bounds.unstable(k)
        huge |= (size >= LARGEST_BIG_M) & binaries
        fixed = np.zeros(layer.size, dtype=bool)
        if not last:
            fixed = bounds.inactive(k) | bounds.at_ceiling(k)
        constant += [(k, i) for i in np.flatnonzero(huge & fixed).tolist()]
        for i in np.flatnonzero(huge & ~fixed)[: other is None].tolist():
            what = f"lies in [{bounds.lower[k][i]:.3g}, {bounds.upper[k][i]:.3g}]"
            if max(weight[i], bias[i]) >= LARGEST > size[i]:
                what = f"has a weight or bias of {max(weight[i], bias[i]):.3g}"
            other = Unresolved(k, i, what)
    return constant, other


def largest_leak(bounds, with_big_m, limit, widths=None, seed=0):
    """The neuron through whose big-M rows an output may be off by the largest share.

    Parameters
    ----------
    bounds : NeuronBounds
    with_big_m : list of numpy.ndarray of bool, shapes (layer size,)
        Neurons that have big-M rows, per activation layer.
    limit : float
        Share of an output's scale that ``Leak.count`` counts from.
    widths : array_like, shape (n_outputs,), optional
        Ranges that the modeller leaves the outputs; scales are not larger.
    seed : int

    Returns
    -------
    Leak or None
        None if there are no big-M rows, or no output changes on the box.
    """
    if not any(mask.any() for mask in with_big_m):
        return None
    pairs = zip(bounds.lower, bounds.upper, with_big_m, strict=False)
    with np.errstate(all="ignore"):
        off = [INTEGRALITY * np.maximum(-low, high) * mask for low, high, mask in pairs]
    return _most_felt(bounds, off, limit, widths, seed)


def _most_felt(bounds, off, limit, widths, seed):
    """The neuron that moves an output by most, as a Leak, each off by so much."""
    network = bounds.network
    points = points_near_kinks(network, np.random.default_rng(seed))
    points = np.clip(points, bounds.input_lower, bounds.input_upper)
    best = None
    with np.errstate(all="ignore"):
        scale = _scales(bounds, points, widths)
        outputs = _spread(network.n_outputs, _OUTPUTS)
        at = max(1, min(_POINTS, _PAIRS // len(outputs)))
        points = points[_spread(len(points), at)]
        exceeds = [np.zeros(each.size, dtype=bool) for each in off]
        widest = max(layer.size for layer in network.layers)
        for some in slices(len(outputs), _ENTRIES // (widest * len(points))):
            part = outputs[some]
            for k, reach in _slopes(network, points, part):
                shares = np.nan_to_num(off[k] * reach / scale[part, None])
                exceeds[k] |= np.any(shares > limit, axis=0)
                o, i = np.unravel_index(int(np.argmax(shares)), shares.shape)
                if best is None or shares[o, i] > best[0]:
                    best = shares[o, i], k, int(i), int(part[o])
    if best is None or not best[0] > 0:
        return None
    share, k, i, o = best
    big_m = float(max(-bounds.lower[k][i], bounds.upper[k][i]))
    count = sum(int(mask.sum()) for mask in exceeds)
    return Leak(k, i, o, big_m, float(share * scale[o]), float(scale[o]), count)


def _spread(size, most):
    """At most so many of the numbers below ``size``, evenly spaced, the last first."""
    return np.linspace(size - 1, 0, min(size, most)).astype(int)


def _scales(bounds, points, widths):
    """How much each output varies at the points; else on the box; inf if nowhere."""
    network = bounds.network
    scale = np.ptp(network.forward(points), axis=0)
    width = bounds.upper[-1] - bounds.lower[-1]
    scale = np.where(scale > 1e-9 * width, scale, width)
    if widths is not None:
        scale = np.where(np.asarray(widths) > 0, np.minimum(scale, widths), scale)
    return np.where(scale > 0, scale, np.inf)


def _slopes(network, points, outputs):
    """Pairs of an activation layer k and ``max_points |d y / d x^k|``.

    The arrays have shape (len(outputs), layer size).
    """
    active = [s[:, None, :] for s in slopes(network, network.propagate(points)[0])]
    rows = np.eye(network.n_outputs)[outputs]
    seed = np.broadcast_to(rows, (len(points), *rows.shape))
    for source, slope in backpropagated(network, active, seed, to_inputs=False):
        if source.post:
            yield source.layer, np.abs(slope).max(axis=0)
