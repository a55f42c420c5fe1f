r"""Networks with some inputs replaced by constants: fixed inputs are no inputs.

With ``W = [W_free, W_fixed]`` in a layer that reads the inputs,

    W x + b = W_free x_free + (b + W_fixed x_fixed),

so only biases change.  Each new bias is the exact value of its sum, rounded once to the
nearest float64 (``exact_biases``); no more than 2**-53 of the new bias is lost,
whatever cancels in the sum.  That is one more rounding of a term that ``linear.rounding``
already counts with the size ``|b|``, and its ``slack`` has 24 of those to spare: bounds
of the smaller network hold for the given one at the constants, in exact arithmetic.
Evaluating the *given* network in float64 sums the fixed terms anew, which errs by at
most ``gamma(n) (|W| |x| + |b|)`` per pre-activation; where the fixed terms are far
larger than their sum, this is more than the smaller network's own error.  Points are
verified with the given network, up to tolerances relative to what it reaches.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from pyomo_relu.errors import NetworkError
from pyomo_relu.network.layer import INPUT, Source, Tensor
from pyomo_relu.network.network import Network

if TYPE_CHECKING:
    from pyomo_relu.common.types import FloatArray, Matrix

#: Bits of a float64's mantissa.
_MANTISSA = 53


def fix_inputs(network: Network, values: Mapping[int, float | Fraction]) -> Network:
    """The network as a function of the inputs that have no value given.

    Parameters
    ----------
    network : Network
    values : mapping
        From positions among the inputs to the constants; Fractions are taken exactly.

    Returns
    -------
    Network
        ``network`` itself where there are no values.  An input tensor that is fixed in
        part keeps its name and becomes a vector; one that is fixed as a whole is left
        out.

    Raises
    ------
    NetworkError
        If a position is not an input's, a value is not finite, or no input is left.
    """
    if not values:
        return network
    fixed = np.array(sorted(values), dtype=int)
    if fixed[0] < 0 or fixed[-1] >= network.n_inputs:
        raise NetworkError(
            f"{network.name}: there is no input {fixed[0] if fixed[0] < 0 else fixed[-1]}"
            f" to fix; they are counted from 0 to {network.n_inputs - 1}."
        )
    if fixed.size == network.n_inputs:
        raise NetworkError(
            f"{network.name}: all inputs are fixed, which leaves no network; evaluate it "
            "with forward()."
        )
    try:
        constants = [Fraction(values[j]) for j in fixed.tolist()]
    except (ValueError, OverflowError, TypeError):
        raise NetworkError(
            f"{network.name}: the values of fixed inputs must be finite numbers, not "
            f"{[values[j] for j in fixed.tolist()]!r:.80}."
        ) from None
    free = np.setdiff1d(np.arange(network.n_inputs), fixed)
    layers = [_fixed(layer, fixed, free, constants) for layer in network.layers]
    inputs, first = [], 0
    for tensor in network.inputs:
        left = int(((free >= first) & (free < first + tensor.size)).sum())
        first += tensor.size
        if left == tensor.size:
            inputs.append(tensor)
        elif left:
            inputs.append(Tensor(tensor.name, (left,)))
    return Network(layers, inputs, network.outputs, network.name)


def _fixed(layer, fixed, free, constants):
    if Source(INPUT) not in layer.sources:
        return layer
    at = layer.sources.index(Source(INPUT))
    weights = list(layer.weights)
    bias = exact_biases(layer.bias, weights[at][:, fixed], constants)
    weights[at] = weights[at][:, free]
    return layer.replace(weights=weights, bias=bias)


def exact_biases(bias: FloatArray, weights: Matrix, constants: list) -> FloatArray:
    """``bias + weights @ constants``, rounded once.

    Integers hold all terms, over one power of two and one denominator.

    Parameters
    ----------
    bias : numpy.ndarray, shape (size,)
    weights : numpy.ndarray or scipy.sparse array, shape (size, K)
    constants : list of Fraction, length K
    """
    entries = sparse.coo_array(weights)
    used = entries.data != 0
    rows, columns = (axis[used] for axis in entries.coords)
    w, w_exponents = _integers(entries.data[used])
    b, b_exponents = _integers(bias)
    least = min(w_exponents.min(initial=0), b_exponents.min(initial=0))
    denominator = lcm(*(c.denominator for c in constants))
    numerators = np.array([int(c * denominator) for c in constants], dtype=object)
    totals = (b << (b_exponents - least).astype(object)) * denominator
    shifted = w << (w_exponents - least).astype(object)
    np.add.at(totals, rows, shifted * numerators[columns])
    scale = denominator << int(-least)
    new = np.array(bias)
    for i in np.unique(rows):  # big integers divide one by one
        new[i] = totals[i] / scale
    return new


def _integers(values):
    """Integers M (as objects) and exponents e with ``values = M 2**e``."""
    mantissa, exponent = np.frexp(values)
    whole = np.ldexp(mantissa, _MANTISSA).astype(np.int64).astype(object)
    return whole, exponent.astype(np.int64) - _MANTISSA
