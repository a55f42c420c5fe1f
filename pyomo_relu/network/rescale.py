r"""The same layers in other units, or under ceilings: what may be done to neurons.

Nothing here knows how a network is encoded.  Factors s > 0 per neuron leave the
function as it is, since ``max(0, s v) = s max(0, v)``::

    W'_ij = s_i W_ij / s_j (s_j = 1 for inputs)    b'_i = s_i b_i    c'_i = s_i c_i

so neuron i of the rescaled network has pre- and post-activation ``s_i v_i, s_i x_i``;
every layer that reads neuron j, be it before or after the activation, divides by s_j.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from pyomo_relu.common import powers
from pyomo_relu.common.arguments import (
    a_network,
    checked,
    each,
    flag,
    numbers,
    optional,
    whole,
)
from pyomo_relu.common.matrices import maxima
from pyomo_relu.errors import NetworkError
from pyomo_relu.network.layer import INPUT
from pyomo_relu.network.network import Network

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.common.types import FloatArray


#: Factors are kept within 1/LARGEST_FACTOR and LARGEST_FACTOR: solvers resolve about
#: nine decimal digits, and refuse coefficients of 1e15.
LARGEST_FACTOR = 2.0**30

_MAX_SWEEPS = 1000

#: Of the least and the largest numbers of float64.
_EXPONENT = 1023


@checked(NetworkError, network=a_network)
def clip_network(network: Network, ceilings: Sequence[ArrayLike]) -> Network:
    """The network with ceilings on its activations, in addition to its own.

    Parameters
    ----------
    network : Network
    ceilings : sequence of numpy.ndarray, shapes (layer size,)
        One per activation layer, positive; ``inf`` leaves a neuron as it is.

    Returns
    -------
    Network
        ``network`` itself where all ceilings are infinite.
    """
    sizes = [layer.size for layer in network.activation_layers]
    ceilings = each(numbers)("clip_network: ceilings", ceilings, NetworkError)
    fits = [c.shape in ((), (n,)) for c, n in zip(ceilings, sizes, strict=False)]
    if len(ceilings) != len(sizes) or not all(fits):
        raise NetworkError(
            f"{network.name}: ceilings must be numbers or arrays, one per activation "
            f"layer, for layers of {sizes} neurons."
        )
    if all(np.all(np.isinf(c)) for c in ceilings):
        return network
    layers = list(network.layers)
    for k, (layer, ceiling) in enumerate(
        zip(network.activation_layers, ceilings, strict=True)
    ):
        if layer.ceiling is not None:
            ceiling = np.minimum(ceiling, layer.ceiling)
        elif np.all(np.isinf(ceiling)):
            continue
        layers[k] = layer.replace(activation="clipped", ceiling=ceiling)
    return Network(layers, network.inputs, network.outputs, network.name)


@checked(NetworkError, network=a_network, factors=each(numbers))
def rescale_network(network: Network, factors: Sequence[ArrayLike]) -> Network:
    """The network with neuron i of layer k in units that are 1/factors[k][i] as large.

    Parameters
    ----------
    network : Network
    factors : sequence of array_like, shapes (layer size,)
        One per activation layer, positive and finite.

    Returns
    -------
    Network
        The same function; bit for bit if the factors are powers of two and nothing
        over- or underflows, because then every product and sum is scaled exactly.

    Raises
    ------
    NetworkError
        If factors do not fit the layers, or are not positive and finite.
    """
    factors = _checked(network, factors)
    layers = []
    for k, layer in enumerate(network.layers):
        own = factors[k]
        weights = [
            _scaled(w, own, np.ones(w.shape[1]) if s == INPUT else factors[s])
            for (s, _), w in layer.terms
        ]
        ceiling = None if layer.ceiling is None else own * layer.ceiling
        bias = own * layer.bias
        layers.append(layer.replace(weights=weights, bias=bias, ceiling=ceiling))
    return Network(layers, network.inputs, network.outputs, network.name)


@checked(NetworkError, factors=each(numbers), up=optional(flag))
def power_of_two(
    factors: Sequence[ArrayLike], up: bool | None = None
) -> list[FloatArray]:
    """The nearest power of two per factor (in the exponent), or the next one down.

    Parameters
    ----------
    factors : sequence of numpy.ndarray
    up : bool or None
        None rounds to the nearest exponent, False down, True up.
    """
    return [powers.power_of_two(s, up, _EXPONENT) for s in factors]


@checked(NetworkError, network=a_network, max_sweeps=whole)
def l1_factors(network: Network, max_sweeps: int = _MAX_SWEEPS) -> list[FloatArray]:
    r"""Factors that minimise the l1 norm of all weights and biases.

    Solves ``min_t sum |W_ij| exp(t_i - t_j) + sum |b_i| exp(t_i)`` over the log
    factors t, which is convex (Plate et al., eq. 12), by block coordinate descent:
    with all other layers fixed, a neuron with incoming l1 norm A (bias included) and
    outgoing l1 norm B is optimal at ``s = sqrt(B / A)``.  At the optimum A = B for
    every neuron.  Neurons with A = 0 or B = 0 keep the factor 1, and no factor leaves
    [1/LARGEST_FACTOR, LARGEST_FACTOR].

    Parameters
    ----------
    network : Network
    max_sweeps : int
        Sweeps over all layers; ends earlier once no factor moves by 1e-9 relative.

    Returns
    -------
    list of numpy.ndarray, shapes (layer size,)
        One per activation layer.
    """
    return _balance(network, np.add.reduce, True, max_sweeps)


@checked(NetworkError, network=a_network, max_sweeps=whole)
def max_factors(network: Network, max_sweeps: int = _MAX_SWEEPS) -> list[FloatArray]:
    """Factors that give each neuron equal largest incoming and outgoing weights.

    Cross-layer equalisation (Nagel et al., "Data-free quantization through weight
    equalization and bias correction", 2019) with ``s = sqrt(r_out / r_in)`` over all
    sources and all readers of a neuron, swept until it rests.  Biases do not count.

    Parameters
    ----------
    network : Network
    max_sweeps : int
        Sweeps over all layers; ends earlier once no factor moves by 1e-9 relative.

    Returns
    -------
    list of numpy.ndarray, shapes (layer size,)
        One per activation layer.

    Raises
    ------
    NetworkError
        If ``max_sweeps`` is not a whole number.
    """
    return _balance(network, np.maximum.reduce, False, max_sweeps)


def neurons_that_matter(network, reach):
    """Neurons that move a neuron that matters, or an output, by more than rounding.

    Of the terms ``|w_ij| reach_j`` and ``|b_i|`` that reader i sums, those below 2**-52
    of the sum are lost in float64 whatever the units are.

    Parameters
    ----------
    network : Network
    reach : sequence of numpy.ndarray, shapes (layer size,)
        Largest absolute pre-activation per neuron of each activation layer.

    Returns
    -------
    list of numpy.ndarray of bool, shapes (layer size,)
        One mask per activation layer.  The inputs are taken as they are: beside them
        nothing counts as small.
    """
    masks = [np.zeros(layer.size, dtype=bool) for layer in network.layers]
    masks[-1][:] = True
    for k in range(len(network.layers) - 1, -1, -1):
        layer, rows = network.layers[k], np.flatnonzero(masks[k])
        parts = [
            (source, abs(w)[rows]) for (source, _), w in layer.terms if source != INPUT
        ]
        total = np.abs(layer.bias[rows])
        for source, w in parts:
            total = total + w @ reach[source]
        weight = 1.0 / np.where(total > 0, total, np.inf)
        for source, w in parts:
            share = reach[source] * _rows(_scaled(w, weight, None).T, np.maximum.reduce)
            masks[source] |= ~(share <= 2.0**-52)
    return masks[:-1]


@checked(NetworkError, network=a_network)
def l1_norm(network):
    """Sum of the absolute values of all weights and biases of a ``network``."""
    return sum(
        float(np.abs(layer.bias).sum())
        + sum(float(abs(w).sum()) for w in layer.weights)
        for layer in network.layers
    )


def _balance(network, combine, with_bias, max_sweeps):
    """Sweep ``s_i = sqrt(out_i / in_i)`` through the layers until it rests."""
    factors = [np.ones(layer.size) for layer in network.layers]
    weights = [[abs(w) for w in layer.weights] for layer in network.layers]
    readers = [
        [
            (m, weights[m][at])
            for m, layer in enumerate(network.layers)
            for at, source in enumerate(layer.sources)
            if source.layer == k
        ]
        for k in range(len(network.layers) - 1)
    ]
    for _ in range(max_sweeps):
        moved = 0.0
        for k, layer in enumerate(network.layers[:-1]):
            incoming = [
                _rows(w if s == INPUT else _scaled(w, None, factors[s]), combine)
                for (s, _), w in zip(layer.sources, weights[k], strict=True)
            ]
            if with_bias:
                incoming.append(np.abs(layer.bias))
            outgoing = [
                _rows(_scaled(w, factors[m], None).T, combine) for m, w in readers[k]
            ]
            if not incoming or not outgoing:
                continue
            a, b = combine(np.array(incoming)), combine(np.array(outgoing))
            usable = (a > 0) & (b > 0)
            with np.errstate(over="ignore"):
                new = np.where(usable, np.sqrt(b / np.where(usable, a, 1.0)), 1.0)
            new = np.clip(new, 1.0 / LARGEST_FACTOR, LARGEST_FACTOR)
            moved = max(moved, float(np.max(np.abs(new / factors[k] - 1.0))))
            factors[k] = new
        if moved < 1e-9:
            break
    return factors[:-1]


def _rows(matrix, combine):
    """Row-wise sums or maxima of a nonnegative matrix."""
    if not sparse.issparse(matrix):
        return combine(matrix, axis=1) if matrix.shape[1] else np.zeros(len(matrix))
    if combine is np.add.reduce:
        return np.asarray(matrix.sum(axis=1)).ravel()
    return maxima(matrix, axis=1)


def _scaled(w, rows, columns):
    """``diag(rows) w diag(1/columns)``; None stands for ones."""
    if sparse.issparse(w):
        if rows is not None:
            w = sparse.diags_array(rows) @ w
        if columns is not None:
            w = w @ sparse.diags_array(1.0 / columns)
        return sparse.csr_array(w)
    if rows is not None:
        w = rows[:, None] * w
    return w if columns is None else w / columns


def _checked(network, factors):
    sizes = [(layer.size,) for layer in network.activation_layers]
    factors = [np.asarray(s, dtype=float) for s in factors]
    if [s.shape for s in factors] != sizes:
        raise NetworkError(
            f"{network.name}: factors of shapes {[s.shape for s in factors]} do not fit "
            f"activation layers of shapes {sizes}."
        )
    if not all(np.all((s > 0) & np.isfinite(s)) for s in factors):
        raise NetworkError(f"{network.name}: factors must be positive and finite.")
    return [*factors, np.ones(network.n_outputs)]
