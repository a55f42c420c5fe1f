r"""Neurons of which it is enough that they are at least max(0, v), and need no indicator.

Where less of an output is never worse, a value above it does no harm: it may be lowered to
what the network computes.  Backwards through the layers,

    x_i may be too large  if  w_ji >= 0 for all readers j that may be too large,
                              w_ji <= 0 for all that may be too small,
                              w_ji  = 0 for all others,

and the same of x_i too small.  As max(0, v) rises with v, a v that is too large makes an x
that is; and an x that may be too large is described by the convex rows x >= v, x >= 0.
In the last hidden layer of a network with one output these are the neurons of positive
weight.  Leaving out rows only relaxes: bounds stay valid whatever the signs are.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.network.layer import INPUT


def convex_neurons(bounds, outputs):
    """Unstable neurons for which rows from below are enough.

    Parameters
    ----------
    bounds : NeuronBounds
    outputs : numpy.ndarray of bool, shape (2, n_outputs)
        Which ones do no harm when they are too large, too small.

    Returns
    -------
    dict of int to numpy.ndarray of bool, shape (size,)
        By hidden layer.
    """
    layers, found = bounds.network.layers, {}
    # by tensor: whether its entries may be too large, too small
    may = {
        (k, post): np.ones((2, layer.size), dtype=bool)
        for k, layer in enumerate(layers)
        for post in (True, False)
    }
    for k in reversed(range(len(layers))):
        layer = layers[k]
        if layer.activation == "identity":
            own = outputs
        else:
            own = may[k, False] & may[k, True]
            clipped = bounds.upper[k] > layer.ceilings
            found[k] = bounds.unstable(k) & ~clipped & may[k, True][0]
        for source, w in layer.terms:
            if source.layer != INPUT:
                may[source.layer, source.post] &= _of_source(w, *own)
    return found


def _of_source(w, large, small):
    """Whether entries that a layer reads may be too large, too small, (2, size)."""
    w = sparse.coo_array(w)
    rises, falls = w.data > 0, w.data < 0
    out = np.ones((2, w.shape[1]), dtype=bool)
    for at, (same, other) in enumerate(((large, small), (small, large))):
        wrong = (rises & ~same[w.row]) | (falls & ~other[w.row])
        out[at, w.col[wrong]] = False
    return out
