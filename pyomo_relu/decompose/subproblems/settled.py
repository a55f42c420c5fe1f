"""Points of a network where the inputs that nothing else reads are about the best ones."""

import numpy as np

#: Points per input that is minimised over: at first, and in each closer look.
_FIRST, _CLOSER = 24, 8

#: Closer looks, and how much smaller each one's box is.
_LOOKS, _SMALLER = 4, 0.3


def settled(network, X, free, lower, upper, integer, price):
    """Points of a network's graph near the least value over some of its inputs.

    Parameters
    ----------
    network : Network
    X : numpy.ndarray, shape (N, n)
        What the other inputs are.
    free : numpy.ndarray of bool, shape (n,)
    lower, upper : numpy.ndarray, shape (n,)
        Of the free inputs.
    integer : numpy.ndarray of bool, shape (n,)
        Inputs that are whole numbers.
    price : numpy.ndarray, shape (n + m,)
        Of inputs and outputs.

    Returns
    -------
    numpy.ndarray, shape (N, n + m)
    """
    at = np.flatnonzero(free & (lower < upper))
    X = X.copy()
    X[:, free] = 0.5 * (lower + upper)[free]
    X[:, integer & free] = np.floor(X[:, integer & free])
    best = np.concatenate([X, network.forward(X)], axis=1)
    if not at.size:
        return best
    rng, (N, n) = np.random.default_rng(0), X.shape
    low, high = np.tile(lower[at], (N, 1)), np.tile(upper[at], (N, 1))
    count = _FIRST
    for _ in range(1 + _LOOKS):
        shares = np.linspace(0.0, 1.0, count)[:, None]
        if at.size > 1:
            shares = rng.random((count * at.size, at.size))
        tried = np.repeat(best[:, None, :n], len(shares), axis=1)
        tried[:, :, at] = low[:, None] + shares * (high - low)[:, None]
        tried[:, :, integer & free] = np.round(tried[:, :, integer & free])
        tried = tried.reshape(-1, n)
        V = np.concatenate([tried, network.forward(tried)], axis=1)
        V = np.concatenate([V.reshape(N, len(shares), -1), best[:, None]], axis=1)
        best = V[np.arange(N), (V @ price).argmin(axis=1)]
        width = (high - low) * (1.5 / count if at.size == 1 else _SMALLER)
        low = np.maximum(best[:, at] - width, lower[at])
        high = np.minimum(best[:, at] + width, upper[at])
        count = _CLOSER
    return best
