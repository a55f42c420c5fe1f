r"""Value functions of parts that meet the rest of a model along one direction.

What such a part costs, as a function of the one quantity z that the rest knows of,

    h(z) = min { c . (x, f(x)) : a . (x, f(x)) = z, x in the part's boxes },

is a curve.  Its range is cut into slabs, and on each slab h lies above lines
``mu z + beta``: beta is a proven least value of ``(c - mu a) . (x, f(x))`` over the boxes
whose z reaches into the slab.  Slopes mu are those of the lower hull of known points.
Sources: piecewise linear underestimators, Rebennack and Kallrath (JOTA 167, 2015);
value functions in place of blocks, as in Lagrangian decomposition of separable models.
"""

import numpy as np

from pyomo_relu.linear.rounding import rounding

#: Points along a curve of which the least is kept, and random ones per round for them.
_BINS, _SAMPLES, _ROUNDS = 160, 3200, 7

#: About the most lines of a slab, and most slabs of a curve to begin with.
_LINES, _SLABS = 16, 24


class Curve:
    """One part's curve: known points, slabs, and what is proven on them.

    Parameters
    ----------
    z, g : numpy.ndarray, shape (P,)
        Known values of the direction, increasing, and of the costs there.
    X : numpy.ndarray, shape (P, n)
        Inputs of them.
    low, high : float
        Proven ends of z.

    Attributes
    ----------
    ends : list of float
        Of the slabs, one more than there are slabs.
    lines : list of (slopes, constants) or None
        Of each slab; None where nothing is proven yet.
    """

    def __init__(self, z, g, X, low, high):
        self.z, self.g, self.X = z, g, X
        self.ends, self.lines = [low, high], [None]
        self.scale = np.ptp(g) / max(np.ptp(z), 1e-12)

    def learn(self, z, g, X):
        """Further points, those below what is known."""
        better = g < np.interp(z, self.z, self.g)
        if better.any():
            known = (self.z, self.g, self.X)
            more = (z[better], g[better], X[better])
            z, g, X = (np.concatenate(pair) for pair in zip(known, more, strict=True))
            order = np.lexsort((g, z))
            keep = order[np.concatenate([[True], np.diff(z[order]) > 0])]
            self.z, self.g, self.X = z[keep], g[keep], X[keep]

    def split(self, at):
        """Two slabs in place of the one around a value; False if it is an end."""
        i = self.slab(at)
        room = 1e-6 * (self.ends[-1] - self.ends[0])
        if not self.ends[i] + room < at < self.ends[i + 1] - room:
            return False
        self.ends.insert(i + 1, float(at))
        self.lines[i : i + 1] = [None, None]
        return True

    def slab(self, at):
        """The slab that a value lies in."""
        i = int(np.searchsorted(self.ends, at, side="right")) - 1
        return min(max(i, 0), len(self.lines) - 1)

    def within(self, i):
        """Numbers of the known points of a slab."""
        first = np.searchsorted(self.z, self.ends[i], side="left")
        last = np.searchsorted(self.z, self.ends[i + 1], side="right")
        return np.arange(first, last)

    def nearest(self, at):
        """Number of the known point nearest to a value."""
        i = int(np.clip(np.searchsorted(self.z, at), 1, max(1, self.z.size - 1)))
        if self.z.size == 1 or at - self.z[i - 1] < self.z[i] - at:
            return i - 1
        return i

    def value(self, at):
        """The cost at a value, between the known points next to it."""
        return float(np.interp(at, self.z, self.g))

    def refine(self, error):
        """Split slabs until known points lie close to their hulls."""
        waiting = list(range(len(self.lines)))
        while waiting and len(self.lines) < _SLABS:
            at = waiting.pop(0)
            mine = self.within(at)
            if mine.size < 3:
                continue
            hull = lower_hull(self.z[mine], self.g[mine])
            off = self.g[mine] - np.interp(
                self.z[mine], self.z[mine][hull], self.g[mine][hull]
            )
            worst = int(off.argmax())
            if off[worst] > error and self.split(self.z[mine[worst]]):
                waiting = [i + (i > at) for i in waiting] + [at, at + 1]

    def slopes(self, i, error):
        """Slopes of lines whose greatest is as close as that to a slab's lower hull."""
        mine = self.within(i)
        if mine.size < 2:
            # what is known next to it
            at = self.nearest(0.5 * (self.ends[i] + self.ends[i + 1]))
            mine = np.arange(max(0, at - 1), min(self.z.size, at + 2))
        if mine.size < 2 or np.ptp(self.z[mine]) <= 0:
            return np.zeros(1)
        hull = mine[lower_hull(self.z[mine], self.g[mine])]
        z, g = self.z[hull], self.g[hull]
        slopes = np.diff(g) / np.diff(z)
        constants = g[:-1] - slopes * z[:-1]
        chosen = {int(np.diff(z).argmax())}
        while len(chosen) < min(_LINES, slopes.size):
            some = sorted(chosen)
            off = g - (np.outer(z, slopes[some]) + constants[some]).max(axis=1)
            worst = int(off.argmax())
            beside = {max(0, worst - 1), min(worst, slopes.size - 1)} - chosen
            if off[worst] <= error or not beside:
                break
            chosen |= beside
        return slopes[sorted(chosen)]

    def improvable(self, i, error):
        """Whether known points allow for higher lines on a slab than those proven."""
        mine = self.within(i)
        if self.lines[i] is None or mine.size < 2 or not self.vertices(i)[0].size:
            return False
        hull = mine[lower_hull(self.z[mine], self.g[mine])]
        proven = np.interp(self.z[hull], *self.vertices(i))
        return bool((self.g[hull] - proven).max() > error)

    def vertices(self, i):
        """Corners of what is proven on a slab: values of z, increasing, and of h.

        Empty if no point of the part is in the slab.
        """
        slopes, constants = self.lines[i]
        if (constants == np.inf).any():
            return np.zeros(0), np.zeros(0)
        first, last = self.ends[i], self.ends[i + 1]
        j, k = np.triu_indices(slopes.size, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (constants[k] - constants[j]) / (slopes[j] - slopes[k])
        z = np.unique(np.concatenate([[first], z[(z > first) & (z < last)], [last]]))
        each = np.outer(z, slopes) + constants
        size = np.abs(np.outer(z, slopes)) + np.abs(constants)
        return z, each.max(axis=1) - rounding(size.max(axis=1), operations=8)


def lower_hull(z, g):
    """Numbers of the corners of the lower hull of points with increasing z."""
    hull = []
    for i in range(z.size):
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (g[b] - g[a]) * (z[i] - z[a]) < (g[i] - g[a]) * (z[b] - z[a]):
                break
            hull.pop()
        if hull and z[i] <= z[hull[-1]]:
            if g[i] >= g[hull[-1]]:
                continue
            hull.pop()
        hull.append(i)
    return np.array(hull, dtype=int)


# -- known points ------------------------------------------------------------------


def sample_curves(family, members, directions, costs, lower, upper, rng):
    """Low points along the curves of members of a family.

    Random points first, then ones around the least of each bin.

    Parameters
    ----------
    family : Family
    members : numpy.ndarray of int, shape (Q,)
    directions, costs : numpy.ndarray, shape (K, n + m)
    lower, upper : numpy.ndarray, shape (K, n)
        Boxes of inputs.

    Returns
    -------
    list of (z, g, X)
        As ``Curve`` has them.
    """
    found = []
    for k in members:
        mine = np.flatnonzero(family.valid & (family.owner == k))
        width = upper[k] - lower[k]
        X = rng.uniform(lower[k], upper[k], (_SAMPLES, family.n))
        one = directions[k] != 0
        one = one[: family.n] if one.sum() == 1 else np.zeros(family.n, dtype=bool)
        # along an input the others are searched at fixed values of it
        X[:, one] = np.linspace(lower[k, one], upper[k, one], _BINS)[
            np.arange(_SAMPLES) % _BINS
        ]
        X = np.concatenate([family.points[mine, : family.n], X])
        width[one] = 0.0
        best = None
        for turn in range(_ROUNDS):
            X = np.clip(X, lower[k], upper[k])
            X[:, family.integer[k]] = np.round(X[:, family.integer[k]])
            V = np.concatenate([X, family.network.forward(X)], axis=1)
            more = V @ directions[k], V @ costs[k], X
            best = _lowest(best, more)
            spread = width * 0.2 * 0.5**turn
            steps = rng.standard_normal((8, *best[2].shape)) * spread
            X = (best[2][None] + steps).reshape(-1, family.n)
        found.append(best)
    return found


def _lowest(known, more):
    """The least point of each bin of z."""
    if known is not None:
        more = [np.concatenate(pair) for pair in zip(known, more, strict=True)]
    z, g, X = more
    low, width = z.min(), np.ptp(z)
    at = np.minimum((z - low) * (_BINS / width), _BINS - 1) if width > 0 else 0 * z
    order = np.lexsort((g, at.astype(int)))
    _, first = np.unique(at.astype(int)[order], return_index=True)
    keep = order[first]
    # the ends of the curve, too
    keep = np.unique(np.concatenate([keep, [z.argmin(), z.argmax()]]))
    keep = keep[np.argsort(z[keep], kind="stable")]
    return z[keep], g[keep], X[keep]
