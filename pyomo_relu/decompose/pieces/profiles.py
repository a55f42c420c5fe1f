"""What parts cost over the one input that something else reads, and where that bends.

The *profile* of a part is the least value of a linear function over all of its inputs
but one, as a function of that one.  Profiles come from points of the network's graph, so
they prove nothing; they say where pieces should end, so that the profile on each of them
is close to convex, and which slopes describe the pieces.
"""

import numpy as np

from pyomo_relu.decompose.subproblems.settled import settled

#: Points of a profile.
_GRID = 129

#: Fewest intervals of the grid in a piece.
_LEAST = 2


def profiles(networks, owner, j, lower, upper, integer, prices):
    """Points along the profiles of members over one input each, within boxes of inputs.

    Parameters
    ----------
    networks : MemberNetworks
    owner, j : numpy.ndarray of int, shape (P,)
        Member and input of each profile.
    lower, upper : numpy.ndarray, shape (P, n)
    integer : numpy.ndarray of bool, shape (P, n)
    prices : numpy.ndarray, shape (P, n + m)

    Returns
    -------
    V : numpy.ndarray, shape (P, G, n + m)
        Ascending in input j.
    values : numpy.ndarray, shape (P, G)
        Without what input j itself costs.
    """
    P, n = lower.shape
    each = np.arange(P)
    X = np.repeat(lower[:, None], _GRID, axis=1)
    X[each, :, j] = np.linspace(lower[each, j], upper[each, j], _GRID, axis=1)
    free = np.arange(n) != j[:, None]
    prices = prices.copy()
    prices[each, j] = 0.0
    V = settled(
        networks,
        np.repeat(owner, _GRID),
        X.reshape(-1, n),
        *(np.repeat(a, _GRID, axis=0) for a in (free, lower, upper, integer, prices)),
    ).reshape(P, _GRID, -1)
    return V, np.matmul(V, prices[:, :, None])[:, :, 0]


def breaks(x, values, most):
    """Where a profile is cut so that it is convex to ``most`` in between.

    What is too far above its convex hull is cut where it is farthest above.

    Returns
    -------
    list of float
        Ascending, inner points of x.
    """
    found, waiting = [], [(0, x.size - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2 * _LEAST:
            continue
        some = slice(first, last + 1)
        corners = first + hull(x[some], values[some])
        above = values[some] - np.interp(x[some], x[corners], values[corners])
        if above.max() <= most:
            continue
        at = first + int(above.argmax())
        at = min(max(at, first + _LEAST), last - _LEAST)
        found.append(float(x[at]))
        waiting += [(first, at), (at, last)]
    return sorted(found)


def hull(x, values):
    """Numbers of the points on the lower convex hull, x ascending."""
    kept = []
    for i in range(x.size):
        while len(kept) > 1:
            a, b = kept[-2], kept[-1]
            rise = (values[b] - values[a]) * (x[i] - x[a])
            if rise < (values[i] - values[a]) * (x[b] - x[a]):
                break
            kept.pop()
        kept.append(i)
    return np.array(kept)


def slopes(x, values, most):
    """Slopes of supporting lines whose largest is below the hull by at most ``most``.

    Outer lines first, then the hull's edge where two neighbouring lines meet too far
    below it (the sandwich algorithm).

    Returns
    -------
    numpy.ndarray, shape (S,)
        Ascending.
    """
    corners = hull(x, values)
    x, values = x[corners], values[corners]
    if x.size < 2:
        return np.zeros(0)
    edges = np.diff(values) / np.diff(x)
    kept, waiting = {0, edges.size - 1}, [(0, edges.size - 1)]
    while waiting:
        a, b = waiting.pop()
        if b - a < 2:
            continue
        # the line of edge a ends at point a + 1, that of edge b begins at point b
        rise = edges[b] - edges[a]
        if rise <= 0:
            continue
        meet = values[a + 1] - edges[a] * x[a + 1] - values[b] + edges[b] * x[b]
        meet = meet / rise
        at = edges[a] * (meet - x[a + 1]) + values[a + 1]
        if np.interp(meet, x, values) - at <= most:
            continue
        middle = int(np.clip(np.searchsorted(x, meet) - 1, a + 1, b - 1))
        kept.add(middle)
        waiting += [(a, middle), (middle, b)]
    return edges[sorted(kept)]
