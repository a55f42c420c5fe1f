"""Where a node is split: where a network mixes points that do not lie on its graph."""

from typing import NamedTuple

import numpy as np

from pyomo_relu.linear.rounding import INTEGRALITY, NEGLIGIBLE

#: Splits keep this share of a box's width away from its ends.
_MARGIN = 0.05

#: Shorter edges, relative to the column's size, are not split.
_LEAST = 1e-9

#: Share of an error that counts however little its multiplier is.
_UNPRICED = 1e-3


class Split(NamedTuple):
    """Column, and where its left part ends and its right one begins."""

    column: int
    low: float
    high: float


def choose_split(node, mixture, families, duals, integer, widths):
    """The split of a node, or None if nothing is left to be split.

    An integer column that is fractional comes first, the most fractional one.  Else
    each part's mixture is compared with its network: the error of its outputs at the
    mixture's mean, weighted by the multipliers, is shared out to the inputs in
    proportion to what keeping each of them at its mean changes; a column's shares are
    summed over all parts that read it.

    Parameters
    ----------
    node : Node
    mixture : Mixture or None
    families : sequence of Family
    duals : list of numpy.ndarray, shapes (K, n + m)
        Multipliers of the links, by family.
    integer : numpy.ndarray of bool, shape (n,)
    widths : numpy.ndarray, shape (n,)
        Of all columns at the root.
    """
    lower, upper = node.lower, node.upper
    if mixture is None:
        return _widest(node, families, integer, widths)
    x = mixture.x[: widths.size]
    split = _fractional(x, lower, upper, integer)
    if split is not None:
        return split
    scores = np.zeros(widths.size)
    weight = np.zeros(widths.size)
    mean = np.zeros(widths.size)
    for f, pi in zip(families, duals, strict=True):
        for k, _, _, total, by_input, middle in mixture_errors(f, mixture, pi):
            columns = f.columns[k, : f.n]
            scores[columns] += total * by_input
            mean[columns] += total * by_input * middle
            weight[columns] += total * by_input
    width = upper - lower
    scores[~(width > 0)] = 0.0
    order = np.argsort(-scores)
    for j in order[: 1 + np.count_nonzero(scores)]:
        if scores[j] <= 0:
            break
        split = split_at(j, mean[j] / weight[j], lower, upper, integer)
        if split is not None:
            return split
    return _widest(node, families, integer, widths)


def mixture_errors(f, mixture, duals):
    """What the parts of a family mix, and how far that is from their networks.

    Parameters
    ----------
    f : Family
    mixture : Mixture
    duals : numpy.ndarray, shape (K, n + m)

    Yields
    ------
    member : int
    points, shares : numpy.ndarray, shapes (P, n + m) and (P,)
        With P > 1.
    error : float
        Of the outputs at the mean input, weighted by the multipliers.
    by_input : numpy.ndarray, shape (n,)
        Shares of it.
    mean : numpy.ndarray, shape (n,)
    """
    numbers, shares = mixture.weights(f)
    owner = f.owner[numbers]
    for k in np.flatnonzero(np.bincount(owner, minlength=len(f)) > 1):
        mine = owner == k
        points, part = f.points[numbers[mine]], shares[mine]
        part = part / part.sum()
        yield k, points, part, *_errors(f, k, points, part, duals[k])


def _errors(f, k, points, shares, pi):
    """Weighted error of a mixture, its shares by input, and the mean input."""
    n = f.n
    X, Y = points[:, :n], points[:, n:]
    middle = shares @ X
    at_mean = f.networks.forward(np.array([k]), middle[None])[0]
    reach = np.maximum(Y.max(axis=0) - Y.min(axis=0), 1e-12)
    price = np.abs(pi[n:]) + _UNPRICED * np.abs(pi[n:]).max(initial=0.0) + 1e-9 / reach
    total = float(price @ np.abs(shares @ Y - at_mean))
    by_input = np.zeros(n)
    for j in range(n):
        if np.ptp(X[:, j]) == 0:
            continue
        moved = X.copy()
        moved[:, j] = middle[j]
        change = Y - f.networks.forward(np.full(len(moved), k), moved)
        by_input[j] = price @ np.abs(shares @ change)
        by_input[j] += 0.1 * (price @ (shares @ np.abs(change)))
    sum_ = by_input.sum()
    return total, by_input / sum_ if sum_ > 0 else by_input, middle


def _fractional(x, lower, upper, integer):
    free = integer & (lower < upper)
    off = np.where(free, np.abs(x - np.round(x)), 0.0)
    j = int(off.argmax()) if off.size else 0
    if not off.size or off[j] <= INTEGRALITY:
        return None
    low = np.clip(np.floor(x[j]), lower[j], upper[j] - 1.0)
    return Split(j, low, low + 1.0)


def split_at(j, value, lower, upper, integer, margin=_MARGIN):
    """A split of column j near a value, or None if it has no room.

    It keeps a share ``margin`` of the width away from both ends.
    """
    low, high = lower[j], upper[j]
    if integer[j]:
        at = np.clip(np.floor(value), low, high - 1.0)
        return Split(j, at, at + 1.0) if low < high else None
    if high - low <= _LEAST * (1.0 + max(abs(low), abs(high))):
        return None
    room = margin * (high - low)
    at = float(np.clip(value, low + room, high - room))
    return Split(j, at, at) if low < at < high else None


def _widest(node, families, integer, widths):
    """The column whose box is the widest, relative to its size at first."""
    lower, upper = node.lower, node.upper
    at = [f.columns[:, : f.n].ravel() for f in families]
    at += [np.flatnonzero(integer)]
    columns = np.unique(np.concatenate(at))
    width = upper[columns] - lower[columns]
    # outputs and others may have no end; they follow from the inputs
    order = np.argsort(-width / np.maximum(widths[columns], NEGLIGIBLE))
    for j in columns[order]:
        split = split_at(j, 0.5 * (lower[j] + upper[j]), lower, upper, integer)
        if split is not None:
            return split
    return None
