"""Affine rescaling of a network's inputs and outputs, folded into its layers."""

from collections.abc import Mapping, Set

import numpy as np
from scipy import sparse

from pyomo_relu.errors import NetworkError
from pyomo_relu.network.layer import INPUT, Source


def scaled_layers(network, input_scaling, output_scaling):
    """Layers that map x to ``y_offset + y_factor * f((x - x_offset) / x_factor)``.

    The affine maps are folded into the layers that read the inputs and into the output
    layer.

    Parameters
    ----------
    network : Network
    input_scaling, output_scaling : (offset, factor) or None
        Scalars or arrays of shape (n_inputs,) or (n_outputs,); factors nonzero.

    Raises
    ------
    NetworkError
        If a scaling is not such a pair of finite numbers.
    """
    layers = list(network.layers)
    if input_scaling is not None:
        offset, factor = _scaling(input_scaling, network.n_inputs, "input_scaling")
        for k, layer in enumerate(layers):
            layers[k] = _rescale_inputs(layer, offset, factor)
    if output_scaling is not None:
        offset, factor = _scaling(output_scaling, network.n_outputs, "output_scaling")
        last = layers[-1]
        rows = sparse.diags_array(factor)
        layers[-1] = last.replace(
            weights=[
                (rows @ w).tocsr() if sparse.issparse(w) else factor[:, None] * w
                for w in last.weights
            ],
            bias=factor * last.bias + offset,
        )
    return layers


#: What scikit-learn's scalers hold, and what of it is offset and factor.
_SCALERS = (
    (("mean_", "scale_"), "(scaler.mean_, scaler.scale_)"),
    (("center_", "scale_"), "(scaler.center_, scaler.scale_)"),
    (("min_", "scale_"), "(-scaler.min_ / scaler.scale_, 1 / scaler.scale_)"),
)


def parts(pair):
    """The parts of a scaling, as a tuple.

    Raises
    ------
    TypeError
        If they have no order: two keys of a dict would pass for offset and factor.
    """
    if isinstance(pair, (Mapping, Set, str)):
        raise TypeError("a scaling is a pair")
    return tuple(pair)


def _scaling(pair, size, what):
    try:
        offset, factor = (
            np.broadcast_to(np.asarray(part, dtype=float), (size,))
            for part in parts(pair)
        )
    except (TypeError, ValueError):
        have = (h for names, h in _SCALERS if all(hasattr(pair, n) for n in names))
        advice = next((f" Give {h}." for h in have), "")
        raise NetworkError(
            f"{what} must be a pair (offset, factor) of numbers or of sequences of "
            f"length {size}, got {_described(pair)}.{advice}"
        ) from None
    if not (np.all(np.isfinite(offset)) and np.all(np.isfinite(factor))):
        raise NetworkError(f"{what}: offsets and factors must be finite.")
    if not np.all(factor != 0):
        place = int(np.flatnonzero(factor == 0)[0])
        raise NetworkError(
            f"{what}: factors must not be zero, and that of entry {place} is. The order "
            "is (offset, factor)."
        )
    return offset, factor


def _described(pair):
    """What was given in place of a pair, sequences by their lengths."""
    if not isinstance(pair, (tuple, list)):
        return f"{pair!r:.80}"
    parts = [
        f"{len(part)} numbers" if np.ndim(part) else f"{part!r:.40}" for part in pair
    ]
    return f"({', '.join(parts)})"


def _rescale_inputs(layer, offset, factor):
    if Source(INPUT) not in layer.sources:
        return layer
    at = layer.sources.index(Source(INPUT))
    w = layer.weights[at]
    if sparse.issparse(w):
        w = (w @ sparse.diags_array(1.0 / factor)).tocsr()
    else:
        w = w / factor
    weights = list(layer.weights)
    weights[at] = w
    return layer.replace(weights=weights, bias=layer.bias - w @ offset)
