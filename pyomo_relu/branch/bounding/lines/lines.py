"""Linear functions below and above a problem's row functions on many boxes at once.

CROWN does the bounding; here it is applied to a batch of boxes, together with what
branching needs to know: which inputs the remaining error of the lines comes from.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.crown.backward import BackwardPass, BoxState
from pyomo_relu.bounds.crown.coefficients import full
from pyomo_relu.bounds.crown.folding import fold, work
from pyomo_relu.common.matrices import slices
from pyomo_relu.network.layer import INPUT

#: Boxes bounded together, against what a call costs whatever its size and what fits a
#: processor's cache: measured on 2x10 to 5x25 and 3x50 neurons, 128 takes 0.4 to 0.8 of
#: the seconds of 32, and no network more than 1.1 of those of its best number.
CHUNK = 128

#: A folded network is used if it takes at most this share of the work.
SMALLER = 0.6

#: Networks of less work are not folded: that takes as long as some tens of their boxes.
_WORTH_FOLDING = 1 << 24


@dataclass
class FunctionLines:
    """Proven lines ``low x + low_const <= g(x) <= high x + high_const`` per box.

    Attributes
    ----------
    low, high : numpy.ndarray, shape (B, F, n_inputs)
    low_const, high_const : numpy.ndarray, shape (B, F)
    unstable : numpy.ndarray of int, shape (B,)
        Neurons whose state is not the same on the whole box.
    errors : numpy.ndarray, shape (B, 2 F, n_inputs)
        Error of each line (the lower ones first), attributed to the inputs.
    hidden : tuple of lists of numpy.ndarray, shapes (B, layer size)
        Pre-activation bounds of the hidden layers, lower and upper.
    further : tuple of Lines
        More proven lines; which outputs have them see ``MixedBounder.n_further``.
    """

    low: np.ndarray
    low_const: np.ndarray
    high: np.ndarray
    high_const: np.ndarray
    unstable: np.ndarray
    errors: np.ndarray
    hidden: tuple
    further: tuple = ()

    def __getitem__(self, boxes):
        return FunctionLines(
            self.low[boxes],
            self.low_const[boxes],
            self.high[boxes],
            self.high_const[boxes],
            self.unstable[boxes],
            self.errors[boxes],
            tuple([a[boxes] for a in side] for side in self.hidden),
            tuple(Lines(*(a[boxes] for a in more)) for more in self.further),
        )

    @staticmethod
    def joined(parts):
        """The lines over the boxes of several, one after the other."""
        if len(parts) == 1:
            return parts[0]
        arrays = [
            np.concatenate([getattr(p, name) for p in parts])
            for name in ("low", "low_const", "high", "high_const", "unstable", "errors")
        ]
        hidden = tuple(
            [
                np.concatenate(layers)
                for layers in zip(*(p.hidden[side] for p in parts), strict=True)
            ]
            for side in (0, 1)
        )
        further = tuple(
            Lines(*(np.concatenate(a) for a in zip(*same, strict=True)))
            for same in zip(*(p.further for p in parts), strict=True)
        )
        return FunctionLines(*arrays, hidden, further)


class Lines(NamedTuple):
    """Lines below and above, as in FunctionLines."""

    low: np.ndarray
    low_const: np.ndarray
    high: np.ndarray
    high_const: np.ndarray


class LineBounder:
    """Lines of one network over batches of boxes.

    Parameters
    ----------
    network : Network
    flipped : bool
        Whether lines come with further ones, in which every unstable neuron has the
        other one of its extreme lower slopes: where a single neuron is unstable, a
        mixture of both is as good as any slope.
    chunk : int
        Boxes bounded together.
    errors : list of numpy.ndarray, shapes (layer size,), optional
        See ``BackwardPass``.
    """

    def __init__(self, network, flipped=False, chunk=CHUNK, errors=None):
        self.network = network
        self.flipped = flipped
        self._chunk = chunk
        self.kernel = BackwardPass(network, errors)
        self.groups = output_groups(network.output_layer.weights, network.n_outputs)

    def lines(self, lower, upper, start=None):
        """FunctionLines over the boxes.

        Parameters
        ----------
        lower, upper : numpy.ndarray, shape (B, n_inputs)
            Finite.
        start : pair of lists of numpy.ndarray, shapes (B, layer size), optional
            Bounds of the hidden layers that are already proven on each box.
        """

        def some(part):
            known = None
            if start is not None:
                known = [[a[part] for a in side] for side in start]
            return self._lines(self.kernel, lower[part], upper[part], known)

        return FunctionLines.joined(self._chunks(len(lower), some))

    def _chunks(self, n, some):
        """What ``some`` gives for slices of n boxes, at least one of them."""
        return [some(part) for part in slices(n, self._chunk) or [slice(0)]]

    def hidden_bounds(self, lower, upper):
        """Bounds of the hidden layers only: lists of (B, layer size), low and high."""

        def some(part):
            state = BoxState(self.kernel, lower[part], upper[part])
            for k, layer in enumerate(self.network.layers[:-1]):
                self.settle(state, k, layer, None)
            return state.ranges.lowers, state.ranges.uppers

        parts = self._chunks(len(lower), some)
        return tuple(
            [
                np.concatenate(layers)
                for layers in zip(*(p[side] for p in parts), strict=True)
            ]
            for side in (0, 1)
        )

    def _lines(self, kernel, lower, upper, known):
        network = self.network
        state = BoxState(kernel, lower, upper)
        unstable = np.zeros(len(lower), dtype=int)
        for k, layer in enumerate(network.layers[:-1]):
            unstable += self.settle(state, k, layer, known).sum(axis=1)
        scale = state.interval()[2]
        last = len(network.layers) - 1
        B, m, n = len(lower), network.n_outputs, network.n_inputs
        A, c = np.empty((B, 2 * m, n)), np.empty((B, 2 * m))
        errors = np.empty((B, 2 * m, n))
        shares = self.shares(state, upper - lower)
        eps = kernel.input_slack(lower, upper)
        slopes, further = {}, ()
        if self.flipped:
            further = (np.empty((B, 2 * m, n)), np.empty((B, 2 * m)))
            slopes = {
                j: np.where(a.free_slope > 0, a.free_slope - a.low_slope, a.low_slope)
                for j, a in enumerate(state.lines)
            }
        for rows in self.groups:
            trace, both = [], np.concatenate([rows, rows + m])
            with np.errstate(invalid="ignore", over="ignore"):
                some, constants = kernel.lines(
                    state, last, scale, rows, slice(None), trace=trace
                )
                A[:, both] = some = _on_boxes(some, B)
                c[:, both] = constants - _along(np.abs(some), eps)
                if self.flipped:
                    each = {
                        j: np.broadcast_to(a[:, None], (B, both.size, a.shape[1]))
                        for j, a in slopes.items()
                    }
                    some, constants = kernel.lines(
                        state, last, scale, rows, slice(None), each
                    )
                    further[0][:, both] = some = _on_boxes(some, B)
                    further[1][:, both] = constants - _along(np.abs(some), eps)
            errors[:, both] = self.errors(state, trace, shares, both.size)
        if self.flipped:
            low, c_low = further
            further = (Lines(low[:, :m], c_low[:, :m], -low[:, m:], -c_low[:, m:]),)
        return FunctionLines(
            A[:, :m],
            c[:, :m],
            -A[:, m:],
            -c[:, m:],
            unstable,
            errors,
            (state.ranges.lowers, state.ranges.uppers),
            further,
        )

    def folded(self, lower, upper):
        """A bounder of a smaller network on a box, or this one where that is no gain.

        Parameters
        ----------
        lower, upper : numpy.ndarray, shape (n_inputs,)
            No boxes outside are bounded.
        """
        if work(self.network) < _WORTH_FOLDING:
            return self
        hidden = self.hidden_bounds(lower[None], upper[None])
        known = ([a[0] for a in side] for side in hidden)
        found = fold(self.kernel.maps, self.network, lower, upper, *known)
        if work(found.network) > SMALLER * work(self.network):
            return self
        return LineBounder(found.network, self.flipped, self._chunk, found.errors)

    def settle(self, state, k, layer, known):
        """Bound hidden layer k; returns which neurons are unstable."""
        lo, hi, scale = state.interval()
        if known is not None:
            lo, hi = np.maximum(lo, known[0][k]), np.minimum(hi, known[1][k])
        if not all(source == INPUT for source, _ in layer.sources):
            wanted = unstable_neurons(layer, lo, hi)
            if wanted.any():
                with np.errstate(invalid="ignore", over="ignore"):
                    new_lo, new_hi = state.kernel.bounds_where(state, k, scale, wanted)
                lo, hi = np.maximum(lo, new_lo), np.minimum(hi, new_hi)
        state.append(lo, hi, scale)
        return unstable_neurons(layer, lo, hi)

    def errors(self, state, trace, shares, n_lines):
        """Error of each line by input, (B, n_lines, n).

        A neuron's relaxation is off by at most its own gap times its coefficient in
        the line; the gap is shared out in proportion to how far each input moves the
        neuron's pre-activation across the box.
        """
        errors = np.zeros((len(state), n_lines, self.network.n_inputs))
        for j, post, _ in trace:
            if post is None:
                continue
            post = full(post)
            below, above = _gaps(state, j)
            # chords lie above, so a negative coefficient pays the upper line's gap
            weighted = np.maximum(post, 0.0) * below[:, None, :]
            weighted -= np.minimum(post, 0.0) * above[:, None, :]
            errors += weighted @ shares[j]
        return errors

    def shares(self, state, width):
        """Each neuron's dependence on each input, (B, size, n), rows summing to 1."""
        jacobians, shares = [], []
        wide = (width > 0).astype(float)
        wide = (wide / np.maximum(wide.sum(axis=1, keepdims=True), 1.0))[:, None, :]
        eye = np.eye(width.shape[1])[None]
        for k, layer in enumerate(self.network.layers[:-1]):
            jacobian = np.zeros((1, layer.size, width.shape[1]))
            for (source, post), w in zip(
                layer.sources, state.kernel.maps[k].weights, strict=True
            ):
                inner = eye
                if source != INPUT:
                    inner = jacobians[source]
                    if post:
                        inner = state.lines[source].high_slope[:, :, None] * inner
                jacobian = jacobian + _matmul(w, inner)
            jacobians.append(jacobian)
            reach = np.abs(jacobian) * width[:, None, :]
            total = reach.sum(axis=2, keepdims=True)
            # slopes of zero (a ceiling's upper line) hide what a neuron depends on
            shares.append(
                np.where(total > 0, reach, wide) / np.where(total > 0, total, 1.0)
            )
        return shares


def output_groups(weights, size):
    """Outputs that read the same layers, together: the others' are no work for them.

    Parameters
    ----------
    weights : sequence of arrays, shapes (size, q) or (D, size, q)
        Of the output layer, one for each source; of D networks what any of them reads.
    size : int
        Number of outputs.
    """
    groups = {}
    reads = [abs(w).sum(axis=w.ndim - 1) > 0 for w in weights]
    for i in range(size):
        key = tuple(bool(r[..., i].any()) for r in reads)
        groups.setdefault(key, []).append(i)
    return [np.array(rows) for rows in groups.values()]


def unstable_neurons(layer, lo, hi):
    """Which neurons have a kink between their bounds, bool as the bounds."""
    unstable = (lo < 0) & (hi > 0)
    if layer.ceiling is not None:
        unstable |= (lo < layer.ceiling) & (hi > layer.ceiling)
    return unstable


def _gaps(state, j):
    """Largest distance of the activation from its lower and its upper line."""
    lines = state.lines[j]
    lo, hi = state.ranges.lowers[j], state.ranges.uppers[j]
    layer = state.kernel.network.layers[j]
    kinks = [lo, hi, np.clip(0.0, lo, hi)]
    if layer.ceiling is not None:
        kinks.append(np.clip(layer.ceiling, lo, hi))
    below = above = 0.0
    for v in kinks:
        x = layer.activate(v)
        below = np.maximum(below, x - lines.low_slope * v - lines.low_const)
        above = np.maximum(above, lines.high_slope * v + lines.high_const - x)
    return below, above


def _matmul(w, inner):
    """``w @ inner`` for w (m, q) dense or sparse and inner (B, q, n)."""
    if not sparse.issparse(w):
        return np.matmul(w, inner)
    B, q, n = inner.shape
    flat = np.moveaxis(inner, 0, 2).reshape(q, n * B)
    return np.moveaxis((w @ flat).reshape(w.shape[0], n, B), 2, 0)


def _along(A, vectors):
    return np.matmul(A, vectors[:, :, None])[:, :, 0]


def _on_boxes(A, B):
    A = full(A)
    return np.broadcast_to(A, (B, *A.shape[1:]))
