"""Optimised lower slopes for CROWN (alpha-CROWN)."""

import numpy as np

from pyomo_relu.bounds.crown.coefficients import full
from pyomo_relu.bounds.crown.lines import times
from pyomo_relu.network.layer import INPUT, Source

#: First step, and what each further step is multiplied by.
_STEP, _DECAY = 0.5, 0.85

#: Entries of the slopes kept at once.
_LARGEST = 1 << 23


def optimised_bounds(kernel, state, k, scale, rows, steps):
    """Bounds of layer k by projected gradient ascent on the lower slopes.

    Every target and side has slopes of its own.  Its bound is ``min_x A(alpha) x +
    c(alpha)`` over the box; with x* the minimiser, the derivative to the slope of neuron
    i in layer j is ``max(0, A_ji) v_ji(x*)``, v_j(x*) being what the chosen lines give
    from x* forwards (Danskin's theorem).  Whatever the slopes in [0, 1], the bound is
    proven; the best one of all steps is returned.

    Parameters
    ----------
    kernel : BackwardPass
    state : BoxState
    k : int
    scale : numpy.ndarray, shape (B, size)
    rows : numpy.ndarray of int
        Neurons to bound.
    steps : int

    Returns
    -------
    low, high : numpy.ndarray, shapes (B, rows)
    """
    low, high = np.empty((2, len(state), rows.size))
    width = sum(m.size for m in kernel.maps[:k]) + kernel.network.n_inputs
    n_some = max(1, _LARGEST // (2 * width))
    for box in range(len(state)):
        for at in range(0, rows.size, n_some):
            some = rows[at : at + n_some]
            value = _ascend(kernel, state, k, scale, some, slice(box, box + 1), steps)
            low[box, at : at + n_some] = value[: some.size]
            high[box, at : at + n_some] = -value[some.size :]
    return low, high


def _ascend(kernel, state, k, scale, rows, box, steps):
    """Best lower bounds of [v; -v] for one box, shape (2 rows,)."""
    lines = [one and _at(one, box) for one in state.lines[:k]]
    free = {j: one.free_slope for j, one in enumerate(lines) if one.free_slope.any()}
    alpha = {
        j: np.broadcast_to(lines[j].low_slope > 0, (2 * rows.size, f.size)).astype(
            float
        )
        for j, f in free.items()
    }
    best = np.full(2 * rows.size, -np.inf)
    for step in range(steps + 1):
        slopes = {
            j: np.where(free[j] > 0, a * free[j], lines[j].low_slope)[None]
            for j, a in alpha.items()
        }
        trace = []
        A, c = kernel.lines(state, k, scale, rows, box, slopes, trace)
        value = kernel.least(state, A, c, box)[0]
        value[~np.isfinite(value)] = -np.inf
        best = np.maximum(best, value)
        if step == steps or not free:
            return best
        x = _minimiser(state, A, box)
        gradient = _gradient(kernel, lines, slopes, trace, x)
        if not gradient:
            return best
        norm = np.max([abs(g).max(axis=1) for g in gradient.values()], axis=0)
        norm[~(norm > 0)] = 1.0
        for j, g in gradient.items():
            move = (_STEP * _DECAY**step / norm)[:, None] * g
            alpha[j] = np.clip(alpha[j] + np.nan_to_num(move), 0.0, 1.0)
    return best


def _at(lines, box):
    return type(lines)(*(a[box] for a in lines))


def _minimiser(state, A, box):
    """Where each row's line is least on the box, shape (rows, n_inputs)."""
    lower, upper = (a[box] for a in state.ranges.box)
    A = full(A)[0]
    return np.where(A > 0, lower, upper)


def _gradient(kernel, lines, slopes, trace, x):
    """Derivatives of each row's value to its lower slopes, by layer."""
    values = {Source(INPUT): x}
    gradient = {}
    for j, post, _ in reversed(trace):
        amap = kernel.maps[j]
        # What only stably inactive neurons read was not traced; it does not matter.
        v = amap.bias + sum(
            times(values[source], w)
            for source, w in zip(amap.sources, amap.weights, strict=True)
            if source in values
        )
        v = np.broadcast_to(v, (len(x), amap.size))
        values[Source(j, False)] = v
        if post is None:
            continue
        post = full(post)[0]
        low = slopes[j][0] if j in slopes else lines[j].low_slope
        values[Source(j, True)] = np.where(
            post > 0,
            low * v + lines[j].low_const,
            lines[j].high_slope * v + lines[j].high_const,
        )
        if j in slopes:
            gradient[j] = np.maximum(post, 0.0) * v * lines[j].free_slope
    return gradient
