"""Points of networks where the inputs that nothing else reads are about the best ones."""

import numpy as np

from pyomo_relu.common.matrices import slices

#: Points per input that is minimised over: at first, and in each closer look.
_FIRST, _CLOSER = 24, 8

#: Closer looks, and how much smaller each one's box is.
_LOOKS, _SMALLER = 4, 0.3

#: Most points that are evaluated together.
_TOGETHER = 1 << 16


def settled(networks, owner, X, free, lower, upper, integer, prices):
    """Points of members' graphs near the least value over some of the inputs.

    Parameters
    ----------
    networks : MemberNetworks
    owner : numpy.ndarray of int, shape (N,)
        The member of each point.
    X : numpy.ndarray, shape (N, n)
        What the other inputs are.
    free : numpy.ndarray of bool, shape (N, n)
    lower, upper : numpy.ndarray, shape (N, n)
        Of the free inputs.
    integer : numpy.ndarray of bool, shape (N, n)
        Inputs that are whole numbers.
    prices : numpy.ndarray, shape (N, n + m)
        Of inputs and outputs.

    Returns
    -------
    numpy.ndarray, shape (N, n + m)
    """
    X, whole = np.where(free, 0.5 * (lower + upper), X), integer & free
    X = np.where(whole, np.floor(X), X)
    best = networks.graph(owner, X)
    varied = free & (lower < upper)
    for some in np.unique(varied, axis=0):
        at = np.flatnonzero(some)
        if not at.size:
            continue
        rows = np.flatnonzero((varied == some).all(axis=1))
        for together in slices(rows.size, _TOGETHER // (_FIRST * at.size)):
            part = rows[together]
            ends = lower[part][:, at], upper[part][:, at]
            known = best[part], whole[part], prices[part]
            best[part] = _closer(networks, owner[part], at, ends, *known)
    return best


def _closer(networks, owner, at, ends, best, whole, prices):
    """Better points where inputs ``at`` are anywhere between their ends, (N, k) each."""
    rng, (N, n) = np.random.default_rng(0), whole.shape
    low, high = ends
    count = _FIRST
    for _ in range(1 + _LOOKS):
        shares = np.linspace(0.0, 1.0, count)[:, None]
        if at.size > 1:
            shares = rng.random((count * at.size, at.size))
        tried = np.repeat(best[:, None, :n], len(shares), axis=1)
        tried[:, :, at] = low[:, None] + shares * (high - low)[:, None]
        tried = np.where(whole[:, None], np.round(tried), tried).reshape(-1, n)
        V = networks.graph(np.repeat(owner, len(shares)), tried)
        V = np.concatenate([V.reshape(N, len(shares), -1), best[:, None]], axis=1)
        least = np.matmul(V, prices[:, :, None])[:, :, 0].argmin(axis=1)
        best = V[np.arange(N), least]
        width = (high - low) * (1.5 / count if at.size == 1 else _SMALLER)
        low = np.maximum(best[:, at] - width, ends[0])
        high = np.minimum(best[:, at] + width, ends[1])
        count = _CLOSER
    return best
