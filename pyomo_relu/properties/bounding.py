"""Lower bounds of a property's rows over batches of boxes, and where to split these.

The lines come from the branch and bound's ``LineBounder``: one pass per batch bounds all
rows, whatever the number of disjuncts.  Their lower slopes are then optimised for the
rows of the boxes that are left (alpha-CROWN), which costs little beside the hidden
layers' bounds: there are few rows.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.crown.backward import BoxState
from pyomo_relu.bounds.crown.coefficients import full
from pyomo_relu.bounds.crown.folding import fold, work
from pyomo_relu.bounds.crown.forward import ForwardLines, ForwardPass
from pyomo_relu.bounds.crown.lines import times
from pyomo_relu.branch.bounding.lines.lines import (
    CHUNK,
    SMALLER,
    LineBounder,
    unstable_neurons,
)
from pyomo_relu.common.matrices import slices
from pyomo_relu.network.layer import INPUT, Source

#: First step of the ascent on slopes, and what each further one is multiplied by.
_STEP, _DECAY = 0.5, 0.7

#: Share of boxes that the ascent must close, how fast that share forgets, and how often
#: it is tried below it.
_RARE, _MEMORY, _AGAIN = 0.05, 0.3, 8

#: Up to so many inputs, lines are carried forwards where weights are sparse.
_FEW_INPUTS = 8

#: Entries of the largest array of hidden bounds or coefficients of a chunk.
_LARGEST = 1 << 20


class RowLines(NamedTuple):
    """Proven lines ``A x + c <= row`` on each box.

    Attributes
    ----------
    A : numpy.ndarray, shape (B, R, n_inputs)
    c : numpy.ndarray, shape (B, R)
    least : numpy.ndarray, shape (B, R)
        The lines' least values on the box, rounded downward.
    errors : numpy.ndarray, shape (B, R, n_inputs)
        The lines' error, attributed to the inputs.
    unstable : numpy.ndarray of int, shape (B,)
    """

    A: np.ndarray
    c: np.ndarray
    least: np.ndarray
    errors: np.ndarray
    unstable: np.ndarray


class RowBounder:
    """Lines of the outputs of a network over batches of boxes.

    Parameters
    ----------
    network : Network
        Whose outputs are the rows (``row_network``).
    steps : int
        Of the ascent on the lower slopes.
    errors : list of numpy.ndarray, shapes (layer size,), optional
        See ``BackwardPass``.
    """

    def __init__(self, network, steps=4, errors=None):
        self.network = network
        self.steps = steps
        self._tries, self._success = 0, 2 * _RARE
        self.work = work(network)
        self._bounder = LineBounder(network, errors=errors)
        self.kernel = self._bounder.kernel
        widest = max(network.n_inputs, *(layer.size for layer in network.layers))
        rows, n = network.n_outputs, network.n_inputs
        # the backward pass is one per neuron, and of large sparse weights a slow one
        few = network.n_inputs <= _FEW_INPUTS
        self._forward = ForwardPass(self.kernel) if self.kernel.sparse and few else None
        self.chunk = max(1, min(CHUNK, _LARGEST // (widest * max(rows, n))))

    def lines(self, lower, upper, is_open):
        """RowLines over boxes.

        Parameters
        ----------
        lower, upper : numpy.ndarray, shape (B, n_inputs)
        is_open : callable
            Of the chunk's boxes (a slice) and the rows' least values on them, shape
            (b, R): for which boxes better lines are wanted, bool of shape (b,).
        """
        parts = []
        for part in slices(len(lower), self.chunk):
            with np.errstate(invalid="ignore", over="ignore"):
                parts.append(self._lines(lower[part], upper[part], part, is_open))
        return RowLines(*(np.concatenate(a) for a in zip(*parts, strict=True)))

    def _lines(self, lower, upper, part, is_open):
        state = BoxState(self.kernel, lower, upper)
        unstable = self._settle(state, lower, upper)
        every = np.arange(len(lower))
        scale = state.interval()[2]
        trace = []
        A, c, least = self._pass(state, scale, every, None, trace)
        shares = self._bounder.shares(state, upper - lower)
        errors = self._bounder.errors(state, trace, shares, self.network.n_outputs)
        some = np.flatnonzero(is_open(part, least) & (unstable > 0))
        if some.size and self.steps and self._worthwhile():
            self._ascend(state, scale, some, trace, (A, c, least))
            closed = some.size - np.count_nonzero(is_open(part, least)[some])
            self._success += _MEMORY * (closed / some.size - self._success)
        return RowLines(A, c, least, errors, unstable)

    def folded(self, lower, upper):
        """A smaller network on one box, or None where that is not much smaller.

        Parameters
        ----------
        lower, upper : numpy.ndarray, shape (n_inputs,)

        Returns
        -------
        RowBounder or None
        """
        state = BoxState(self.kernel, lower[None], upper[None])
        with np.errstate(invalid="ignore", over="ignore"):
            self._settle(state, lower[None], upper[None])
        known = (
            [a[0] for a in side] for side in (state.ranges.lowers, state.ranges.uppers)
        )
        smaller, errors, _ = fold(self.kernel.maps, self.network, lower, upper, *known)
        if work(smaller) > SMALLER * self.work:
            return None
        return RowBounder(smaller, self.steps, errors)

    def _worthwhile(self):
        """Whether the ascent closes boxes; now and then it is tried all the same."""
        self._tries += 1
        return self._success > _RARE or self._tries % _AGAIN == 1

    def _settle(self, state, lower, upper):
        """Bound the hidden layers; returns the numbers of unstable neurons."""
        unstable = np.zeros(len(lower), dtype=int)
        forward = self._forward and ForwardLines(self._forward, lower, upper)
        for k, layer in enumerate(self.network.layers[:-1]):
            if forward is None:
                unstable += self._bounder.settle(state, k, layer, None).sum(axis=1)
                continue
            lo, hi, scale = state.interval()
            new_lo, new_hi = forward.bounds(k)
            lo, hi = np.maximum(lo, new_lo), np.minimum(hi, new_hi)
            state.append(lo, hi, scale)
            forward.activate(k, state.lines[k])
            unstable += unstable_neurons(layer, lo, hi).sum(axis=1)
        return unstable

    def _pass(self, state, scale, boxes, slopes, trace):
        """Lines and their least values for some of the state's boxes."""
        last, rows = len(self.network.layers) - 1, np.arange(self.network.n_outputs)
        A, c = self.kernel.lines(
            state, last, scale, rows, boxes, slopes, trace, below_only=True
        )
        A = full(A)
        least = self.kernel.least(state, A, c, boxes)
        least[~np.isfinite(least)] = -np.inf
        A = np.broadcast_to(A, (len(boxes), *A.shape[1:])).copy()
        eps = self.kernel.input_slack(*(a[boxes] for a in state.ranges.box))
        c = c - np.matmul(np.abs(A), eps[:, :, None])[:, :, 0]
        return A, np.broadcast_to(c, A.shape[:2]).copy(), least

    def _ascend(self, state, scale, some, trace, best):
        """Better lines for some boxes, by projected gradient ascent on lower slopes.

        As ``bounds.crown.alpha``, for many boxes at once: with x* where a row's line is
        least, the derivative to the lower slope of neuron i in layer j is ``max(0,
        A_ji) v_ji(x*)``.
        """
        R = self.network.n_outputs
        lines = [one and type(one)(*(a[some] for a in one)) for one in state.lines]
        free = {j: a.free_slope[:, None] for j, a in enumerate(lines) if a}
        slopes = {j: np.repeat(lines[j].low_slope[:, None], R, axis=1) for j in free}
        A, trace = best[0][some], [_of_some(step, some) for step in trace]
        for step in range(self.steps):
            gradient = self._gradient(state, lines, slopes, trace, A, some)
            if not gradient:
                return
            norm = np.max([np.abs(g).max(axis=2) for g in gradient.values()], axis=0)
            norm[~(norm > 0)] = 1.0
            move = (_STEP * _DECAY**step / norm)[:, :, None]
            for j, g in gradient.items():
                moved = np.clip(slopes[j] + np.nan_to_num(move * g), 0.0, free[j])
                slopes[j] = np.where(free[j] > 0, moved, slopes[j])
            trace = []
            A, c, least = self._pass(state, scale, some, slopes, trace)
            better = least > best[2][some]
            for old, new in zip(best, (A, c, least), strict=True):
                box, row = np.nonzero(better)
                old[some[box], row] = new[box, row]

    def _gradient(self, state, lines, slopes, trace, A, some):
        """Derivatives of each row's least value to its lower slopes, by layer."""
        lower, upper = (a[some][:, None] for a in state.ranges.box)
        values = {Source(INPUT): np.where(A > 0, lower, upper)}
        gradient = {}
        for j, post, _ in reversed(trace):
            amap = self.kernel.maps[j]
            v = amap.bias
            for source, w in zip(amap.sources, amap.weights, strict=True):
                # what only stably inactive neurons read was not traced
                if source in values:
                    t = values[source]
                    v = v + times(t.reshape(-1, t.shape[2]), w).reshape(
                        *t.shape[:2], w.shape[0]
                    )
            v = np.broadcast_to(v, (*A.shape[:2], amap.size))
            values[Source(j, False)] = v
            if post is None:
                continue
            post = full(post)
            one = lines[j]
            values[Source(j, True)] = np.where(
                post > 0,
                slopes[j] * v + one.low_const[:, None],
                one.high_slope[:, None] * v + one.high_const[:, None],
            )
            gradient[j] = np.maximum(post, 0.0) * v * (one.free_slope[:, None] > 0)
        return gradient


def _of_some(step, some):
    """A step of a trace for some boxes; what does not depend on the box stays."""
    layer, *coefficients = step
    return layer, *(
        a if a is None or sparse.issparse(a) or len(a) == 1 else a[some]
        for a in coefficients
    )
