"""Lines below curves, proven over the boxes that reach into slabs of them."""

from dataclasses import dataclass

import numpy as np

from pyomo_relu.decompose.cover import Cover
from pyomo_relu.linear.rounding import rounding

#: Boxes halved together, and pairs of boxes and lines bounded together.
_HALVED, _PAIRS = 512, 200_000

#: Boxes per part from which on what is proven is left as it is.
_MOST_BOXES = 3000


@dataclass(frozen=True, eq=False)
class Lines:
    """Q lines to be proven, each of one member of a family, on one slab.

    Parameters
    ----------
    owner : numpy.ndarray of int, shape (Q,)
    weights : numpy.ndarray, shape (Q, n + m)
        Of inputs and outputs.
    low, high : numpy.ndarray, shape (Q,)
        Of the slabs.
    best, tolerance : numpy.ndarray, shape (Q,)
        Values at known points, and what a proof may leave below them.
    scale : numpy.ndarray, shape (Q,)
        What z costs, by its order of magnitude.
    """

    owner: np.ndarray
    weights: np.ndarray
    low: np.ndarray
    high: np.ndarray
    best: np.ndarray
    tolerance: np.ndarray
    scale: np.ndarray


def prove_lines(family, cover, directions, costs, lines, deadline):
    """Least values of linear functions over the boxes that reach into slabs.

    Parameters
    ----------
    family : Family
    cover : Cover
    directions, costs : numpy.ndarray, shape (K, n + m)
    lines : Lines
        What is known to be better on the way is noted in ``best``.
    deadline : Deadline

    Returns
    -------
    cover : Cover
        Perhaps of smaller boxes.
    least : numpy.ndarray, shape (Q,)
        Proven; infinite where no box reaches.
    seen : (numpy.ndarray of int, numpy.ndarray), shapes (N,) and (N, n + m)
        Points of members that were looked at.
    """
    errors, seen = np.abs(costs) + np.abs(directions), []
    stuck = np.zeros(len(cover), dtype=bool)
    most = _MOST_BOXES * max(1, np.unique(cover.owner).size)
    while True:
        least, open_, X = _bounded(cover, directions, lines)
        seen.append(_visit(family, X, least, directions, lines))
        open_[stuck] = 0.0
        if deadline.passed() or not (open_ > 0).any() or len(cover) > most:
            return cover, least, _joined(seen)
        at = np.flatnonzero(open_ > 0)
        # the worst first: what they leave is what counts
        some = max(_HALVED, at.size // 2)
        if at.size > some:
            at = at[np.argpartition(-open_[at], some)[:some]]
        halves, cannot = cover[at].halves(family.bounder, family.integer, errors)
        keep = np.ones(len(cover), dtype=bool)
        keep[at[~cannot]] = False
        stuck[at[cannot]] = True
        if halves is None:
            continue
        cover = Cover.joined([cover[keep], halves])
        stuck = np.concatenate([stuck[keep], np.zeros(len(halves), dtype=bool)])


def _bounded(cover, directions, lines):
    """Least values of lines, and by how much boxes are too coarse for one."""
    first, _ = cover.bounds(directions)
    last = -cover.bounds(-directions)[0]
    least = np.full(lines.owner.size, np.inf)
    open_ = np.zeros(len(cover))
    n = cover.lower.shape[1]
    X = np.full((least.size, n), np.nan)
    one = (directions != 0).sum(axis=1) == 1
    single = np.where(one & (directions[:, :n] == 1).any(axis=1), 1, 0)
    single = np.where(single > 0, directions[:, :n].argmax(axis=1), -1)
    by_owner = np.argsort(lines.owner, kind="stable")
    starts = np.searchsorted(lines.owner[by_owner], cover.owner, side="left")
    ends = np.searchsorted(lines.owner[by_owner], cover.owner, side="right")
    counts = ends - starts
    for box in _chunks(counts, _PAIRS):
        repeated = np.repeat(box, counts[box])
        within = np.arange(repeated.size) - np.repeat(
            np.cumsum(counts[box]) - counts[box], counts[box]
        )
        line = by_owner[np.repeat(starts[box], counts[box]) + within]
        low = np.maximum(first[repeated], lines.low[line])
        high = np.minimum(last[repeated], lines.high[line])
        meets = low <= high
        repeated, line, low, high = (
            repeated[meets],
            line[meets],
            low[meets],
            high[meets],
        )
        if not line.size:
            continue
        some = cover[repeated]
        j = single[lines.owner[line]]
        at = np.flatnonzero(j >= 0)
        lower, upper = some.lower.copy(), some.upper.copy()
        lower[at, j[at]] = np.maximum(lower[at, j[at]], lines.low[line[at]])
        upper[at, j[at]] = np.minimum(upper[at, j[at]], lines.high[line[at]])
        pairs = Cover(line, lower, upper, some.lines)
        bounds, corners = pairs.bounds(lines.weights)
        if at.size < line.size:
            bounds = _within_slabs(pairs, bounds, directions, lines, low, high)
        order = np.argsort(-bounds)
        order = order[bounds[order] < least[line[order]]]
        least[line[order]], X[line[order]] = bounds[order], corners[order]
        missing = lines.best[line] - lines.tolerance[line] - bounds
        np.maximum.at(open_, repeated, missing)
    return least, open_, X


def _visit(family, X, least, directions, lines):
    """Evaluate one point for each line; note where it is better than what is known."""
    at = np.flatnonzero(np.isfinite(least) & (least < lines.best - lines.tolerance))
    owner, X = lines.owner[at], X[at]
    X = np.where(family.integer[owner], np.round(X), X)
    V = np.concatenate([X, family.network.forward(X)], axis=1)
    z = (V * directions[owner]).sum(axis=1)
    values = (V * lines.weights[at]).sum(axis=1)
    inside = (z >= lines.low[at]) & (z <= lines.high[at])
    values[~inside] = np.inf
    lines.best[at] = np.minimum(lines.best[at], values)
    return owner, V


def _joined(seen):
    return tuple(np.concatenate(part) for part in zip(*seen, strict=True))


def _within_slabs(pairs, bounds, directions, lines, low, high):
    """Better bounds where only a part of a box's range lies in a slab.

    For z within [low, high] and any nu, ``w . v >= (w + nu a) . v - max(nu z)``.
    """
    along = directions[lines.owner]
    for factor in (-4.0, -1.0, 1.0, 4.0):
        nu = factor * lines.scale
        more, _ = pairs.bounds(lines.weights + nu[:, None] * along)
        own = nu[pairs.owner]
        most = np.maximum(own * low, own * high)
        more = more - most - rounding(np.abs(most) + np.abs(more), operations=8)
        bounds = np.maximum(bounds, more)
    return bounds


def _chunks(counts, most):
    """Numbers of boxes, together with at most about ``most`` pairs."""
    group = np.cumsum(counts) // most
    return np.split(np.arange(counts.size), np.flatnonzero(np.diff(group)) + 1)
