"""Backpropagation: derivatives of what a network computes to what it reads."""

import numpy as np

from pyomo_relu.network.layer import ACTIVE, INPUT, Source


def backpropagated(network, slopes, seed, layer=-1, absolute=False, to_inputs=True):
    """Derivatives of ``seed . v`` of one layer to every tensor that it depends on.

    The chain rule through the layers in reverse graph order.

    Parameters
    ----------
    network : Network
    slopes : sequence of numpy.ndarray, shapes (..., layer size)
        Derivative of each activation layer before ``layer``.
    seed : numpy.ndarray, shape (..., size of ``layer``)
        The leading axes are those of a batch.
    layer : int
        Whose pre-activations v are differentiated; the default are the outputs.
    absolute : bool
        Sum absolute values over all paths: |W| in place of W.
    to_inputs : bool
        Whether to go on to the inputs.

    Yields
    ------
    source : Source
        In reverse graph order, a post-activation before its pre-activation and the
        inputs last.  What the layer does not depend on is left out, but for the inputs.
    derivative : numpy.ndarray, shape (..., size of the source)
    """
    layer = range(len(network.layers))[layer]
    found = {Source(layer, False): seed}
    for k in range(layer, -1, -1):
        post = found.pop(Source(k), None)
        total = found.pop(Source(k, False), None)
        if post is not None:
            yield Source(k), post
            through = post * slopes[k]
            total = through if total is None else total + through
        if total is None:
            continue
        yield Source(k, False), total
        for source, w in network.layers[k].terms:
            if source.layer == INPUT and not to_inputs:
                continue
            part = _through(abs(w) if absolute else w, total)
            found[source] = found[source] + part if source in found else part
    if to_inputs:
        nothing = np.zeros((*np.shape(seed)[:-1], network.n_inputs))
        yield Source(INPUT), found.get(Source(INPUT), nothing)


def gradient(network, pre, seed, layer=-1):
    """Gradient of ``seed . v`` of one layer to the inputs, shape (..., n_inputs).

    At a breakpoint a neuron counts as inactive (or at its ceiling), which is the slope
    of one of the adjoining regions.

    Parameters
    ----------
    pre : sequence of numpy.ndarray, shapes (..., layer size)
        Pre-activations at the points, as ``Network.propagate`` gives them.
    seed, layer : as in ``backpropagated``
    """
    *_, (_, result) = backpropagated(network, slopes(network, pre[:layer]), seed, layer)
    return result


def slopes(network, pre):
    """Whether each neuron is active, i.e. its slope: bool, as the pre-activations."""
    return [
        layer.pattern(v) == ACTIVE
        for layer, v in zip(network.activation_layers, pre, strict=False)
    ]


def _through(w, total):
    flat = total.reshape(-1, total.shape[-1])
    return (w.T @ flat.T).T.reshape(*total.shape[:-1], w.shape[1])
