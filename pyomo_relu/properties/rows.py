"""The network whose outputs are a property's rows, and what rounding them may move."""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.rounding import TINY, slack
from pyomo_relu.network.layer import INPUT, Layer, Source
from pyomo_relu.network.network import Network


def row_network(network, prop):
    """The network composed with the rows of a property.

    Parameters
    ----------
    network : Network
    prop : Property
        With at least one row.

    Returns
    -------
    Network
        Of the same inputs; output i is ``inputs[i] x + outputs[i] y + constants[i]``.
    """
    last = network.layers[-1]
    sources, weights = (
        list(last.sources),
        [_product(prop.outputs, w) for w in last.weights],
    )
    if prop.inputs.any():
        if Source(INPUT) in sources:
            at = sources.index(Source(INPUT))
            weights[at] = weights[at] + prop.inputs
        else:
            sources.append(Source(INPUT))
            weights.append(prop.inputs)
    bias = prop.outputs @ last.bias + prop.constants
    layer = Layer(sources, weights, bias, "identity", name="rows of the property")
    return Network(
        [*network.layers[:-1], layer],
        [(t.name, t.shape) for t in network.inputs],
        [("rows", (len(bias),))],
        network.name,
    )


def composition_error(network, prop, lower, upper, lowers, uppers):
    """How far the composed rows may be from the property's, shape (n_rows,).

    Both the composed weights ``C W`` and the row as evaluated from computed outputs err
    by a few roundings of ``|C| (|W| |t| + |b|) + |D| |x| + |d|``.

    Parameters
    ----------
    network : Network
        The one that the property is about.
    lower, upper : numpy.ndarray, shape (n_inputs,)
        A box that contains all cases.
    lowers, uppers : list of numpy.ndarray, shapes (layer size,)
        Bounds of the hidden layers on it.
    """
    last = network.layers[-1]
    size, terms = np.abs(last.bias), network.n_outputs + network.n_inputs
    for source, w in zip(last.sources, last.weights, strict=True):
        lo, hi = (
            (lower, upper)
            if source.layer == INPUT
            else (
                lowers[source.layer],
                uppers[source.layer],
            )
        )
        if source.layer != INPUT and source.post:
            lo, hi = (network.layers[source.layer].activate(a) for a in (lo, hi))
        size = size + abs(w) @ np.maximum(np.abs(lo), np.abs(hi))
        terms += w.shape[1]
    reach = np.maximum(np.abs(lower), np.abs(upper))
    total = np.abs(prop.outputs) @ size + np.abs(prop.inputs) @ reach
    return slack(2 * terms) * (total + np.abs(prop.constants)) + TINY


def _product(C, w):
    return np.asarray((w.T @ C.T).T) if sparse.issparse(w) else C @ w
