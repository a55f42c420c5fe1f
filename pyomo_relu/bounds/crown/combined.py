r"""A line below one combination of a network's outputs on every box, slopes optimised.

For weights q and ``u(x)`` the outputs, ``q'u(x)`` is bounded by a single backward pass per
box.  Neurons that several outputs read are relaxed once, for the sum: so, with the best
lower slopes, the line's least value is that of the linear programme in which every unstable
neuron is replaced by its triangle (Salman et al., "A convex relaxation barrier to tight
robustness verification of neural networks", 2019), whereas lines of the outputs apart lose
what they disagree in.
"""

import numpy as np

from pyomo_relu.linear.rounding import TINY, UNDERFLOW, slack
from pyomo_relu.network.layer import INPUT, Source


class CombinedLines:
    """Lines below combinations of the last layer's pre-activations.

    Parameters
    ----------
    kernel : BackwardPass
        With dense weights.
    state : BoxState
        With all layers but the last one settled.

    Attributes
    ----------
    free : dict of int to numpy.ndarray of bool, shapes (B, layer size)
        Where any lower slope from 0 to the layer's ``free_slope`` is sound, by layer.
    magnitudes : numpy.ndarray, shape (B, n_outputs)
        No output is larger on the box.
    """

    def __init__(self, kernel, state):
        self._kernel, self._state = kernel, state
        self._last = len(kernel.maps) - 1
        self._scale = state.interval()[2]
        self.magnitudes = self._scale * (1.0 + 1e-9) + (kernel.maps[-1].error + TINY)
        self.free = {
            j: one.free_slope > 0
            for j, one in enumerate(state.lines)
            if one is not None and one.free_slope.any()
        }

    def start(self):
        """CROWN's own lower slopes: {layer: (B, size)}."""
        return {j: self._state.lines[j].low_slope.copy() for j in self.free}

    def below(self, weights, slopes, trace=None):
        """Proven lines ``A x + c <= weights . u(x)``.

        Parameters
        ----------
        weights : numpy.ndarray, shape (B, n_outputs)
        slopes : dict of int to numpy.ndarray, shapes (B, layer size)
            Lower slopes between 0 and ``free_slope``, for the layers of ``free``.
        trace : list, optional
            See ``BackwardPass.lines``.

        Returns
        -------
        A, c : numpy.ndarray, shapes (B, n_inputs) and (B,)
            Rounding is charged in the constants, but for that of evaluating the line.
        """
        state, k = self._state, self._last
        amap = self._kernel.maps[k]
        size = np.abs(weights)
        # forming the rows below is a sum of as many products as there are outputs
        lost = slack(amap.terms + 2 * k + amap.size) * self._scale + (TINY + amap.error)
        underflow = UNDERFLOW * (1.0 + state.magnitude)
        c = weights @ amap.bias - (size * lost).sum(axis=1)
        c -= underflow * (1.0 + size.sum(axis=1))
        coefficients = {
            source: (weights @ w)[:, None]
            for source, w in zip(amap.sources, amap.weights, strict=True)
        }
        each = {
            j: np.where(free, slopes[j], state.lines[j].low_slope)[:, None]
            for j, free in self.free.items()
        }
        A, c = self._kernel.substitute(
            state, k, coefficients, c[:, None], slice(None), each, trace
        )
        A = np.broadcast_to(A, (len(state), *A.shape[1:]))[:, 0]
        eps = self._kernel.input_slack(*state.ranges.box)
        return A, c[:, 0] - (np.abs(A) * eps).sum(axis=1)

    def gradient(self, slopes, trace, x):
        """What the lines' values at points depend on.

        Parameters
        ----------
        slopes, trace
            As given to ``below``, and as it left it.
        x : numpy.ndarray, shape (B, n_inputs)
            Where the lines, with all that is added to them, are least.

        Returns
        -------
        gradient : dict of int to numpy.ndarray, shapes (B, layer size)
            Derivatives of the values to the lower slopes, by Danskin's theorem; see
            ``alpha.optimised_bounds``.
        outputs : numpy.ndarray, shape (B, n_outputs)
            What the lines make of each output: the derivatives to the weights.
        """
        maps, values, gradient = self._kernel.maps, {Source(INPUT): x}, {}
        for j, post, _ in reversed(trace):
            v = _affine(maps[j], values, len(x))
            values[Source(j, False)] = v
            if post is None:
                continue
            post, lines = post[:, 0], self._state.lines[j]
            low = lines.low_slope
            if j in self.free:
                low = np.where(self.free[j], slopes[j], low)
                gradient[j] = np.maximum(post, 0.0) * v * self.free[j]
            values[Source(j, True)] = np.where(
                post > 0,
                low * v + lines.low_const,
                lines.high_slope * v + lines.high_const,
            )
        return gradient, _affine(maps[self._last], values, len(x))

    def clipped(self, slopes):
        """The slopes moved to where they are sound."""
        return {
            j: np.clip(a, 0.0, self._state.lines[j].free_slope)
            for j, a in slopes.items()
        }


def _affine(amap, values, B):
    """A layer's pre-activations, without what is not traced: it does not matter."""
    v = np.broadcast_to(amap.bias, (B, amap.size))
    for source, w in zip(amap.sources, amap.weights, strict=True):
        if source in values:
            v = v + values[source] @ w.T
    return v
