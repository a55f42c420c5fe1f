r"""Linear bounds carried forwards through a network: cheap where inputs are few.

Every tensor t has lines ``A_low x + c_low <= t <= A_high x + c_high`` in the inputs.  A
layer ``v = sum_s W_s t_s + b`` takes lower lines where weights are positive and upper
ones where they are negative, an activation scales them by the slopes of its own lines
(which are not negative).  One pass costs ``n_inputs`` products with each weight matrix,
where the backward pass costs one per neuron; its lines forget how neurons cancel, so
they are looser, except on small boxes.

Source: the forward mode of Xu et al., "Automatic perturbation analysis for scalable
certified robustness and beyond", 2020.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.crown.lines import times
from pyomo_relu.linear.rounding import TINY, UNDERFLOW, UNIT, slack
from pyomo_relu.network.layer import INPUT, Source


class ForwardLines:
    """Lines of a network's tensors over a batch of boxes, layer by layer.

    Parameters
    ----------
    pass_ : ForwardPass
    lower, upper : numpy.ndarray, shape (B, n_inputs)
    """

    def __init__(self, pass_, lower, upper):
        self.maps, self.parts = pass_.kernel.maps, pass_.parts
        B, n = lower.shape
        self.centre = 0.5 * lower + 0.5 * upper
        self.radius = np.maximum(upper - self.centre, self.centre - lower)
        self.reach = np.maximum(np.abs(lower), np.abs(upper))
        # coefficients, then the constant, last: (B, n + 1, size)
        own = np.zeros((B, n + 1, n))
        own[:, np.arange(n), np.arange(n)] = 1.0
        self._lines = {Source(INPUT): (own, own, self.reach)}

    def bounds(self, k):
        """Bounds of layer k's pre-activations, shapes (B, size).

        Valid in exact and in float64 arithmetic: coefficients and constants are sums
        of products whose magnitudes add up to at most ``scale``, and so does the
        forward pass (``linear.rounding``).
        """
        amap, n = self.maps[k], self.centre.shape[1]
        low = high = 0.0
        scale = np.abs(amap.bias)[None]
        for source, (positive, negative, size) in zip(
            amap.sources, self.parts[k], strict=True
        ):
            a, b, reach = self._lines[source]
            low = low + _through(a, positive) + _through(b, negative)
            high = high + _through(b, positive) + _through(a, negative)
            scale = scale + times(reach, size)
        error = slack(2 * amap.terms + 4 * n) * scale + (TINY + amap.error)
        error = error + UNDERFLOW * (1.0 + scale + self.reach.sum(axis=1)[:, None])
        low[:, n] += amap.bias - error
        high[:, n] += amap.bias + error
        self._lines[Source(k, False)] = low, high, self._size(low, high)
        lo, hi = low[:, n].copy(), high[:, n].copy()
        for i in range(n):  # few: faster than sums along a short axis
            c, r = self.centre[:, i, None], self.radius[:, i, None]
            lo += low[:, i] * c - np.abs(low[:, i]) * r
            hi += high[:, i] * c + np.abs(high[:, i]) * r
        more = slack(4 * n + 8) * self._lines[Source(k, False)][2] + TINY
        lo, hi = lo - more, hi + more
        # overflow proves nothing
        lo[~np.isfinite(lo)] = -np.inf
        hi[~np.isfinite(hi)] = np.inf
        return lo, hi

    def activate(self, k, lines):
        """Lines of layer k's post-activations, by its ActivationLines."""
        low, high, size = self._lines[Source(k, False)]
        low = low * lines.low_slope[:, None]
        high = high * lines.high_slope[:, None]
        error = 8 * UNIT * (size + np.abs(lines.low_const) + lines.high_const) + TINY
        low[:, -1] += lines.low_const - error
        high[:, -1] += lines.high_const + error
        self._lines[Source(k)] = low, high, self._size(low, high)

    def _size(self, low, high):
        """At least the magnitudes of all terms of either line, and of the tensor."""
        n = self.centre.shape[1]
        sizes = [np.abs(low[:, n]), np.abs(high[:, n])]
        for size, a in zip(sizes, (low, high), strict=True):
            for i in range(n):
                size += np.abs(a[:, i]) * self.reach[:, i, None]
        return np.maximum(*sizes) * (1.0 + 8 * (n + 2) * UNIT)


class ForwardPass:
    """What ``ForwardLines`` of one network share.

    Parameters
    ----------
    kernel : BackwardPass
    """

    def __init__(self, kernel):
        self.kernel = kernel
        self.parts = [
            [(_clipped(w, 1), _clipped(w, -1), abs(w)) for w in amap.weights]
            for amap in kernel.maps
        ]


def _clipped(w, sign):
    """The entries of one sign, others zero."""
    if not sparse.issparse(w):
        return np.maximum(w, 0.0) if sign > 0 else np.minimum(w, 0.0)
    part = sparse.csr_array(w, copy=True)
    part.data = np.maximum(part.data, 0.0) if sign > 0 else np.minimum(part.data, 0.0)
    part.eliminate_zeros()
    return part


def _through(lines, w):
    """``W`` applied to lines (B, n + 1, size)."""
    B, n, size = lines.shape
    return times(lines.reshape(B * n, size), w).reshape(B, n, w.shape[0])
