"""Columns and rows of the MILP over pieces, beside the model's own."""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.rounding import rounding


class PieceRows:
    """Columns and rows of pieces, beside the model's columns.

    Parameters
    ----------
    low, high : numpy.ndarray, shape (n,)
        Bounds of the model's columns; those of members of one piece are shrunk.
    """

    def __init__(self, low, high):
        self._low, self._high = low, high
        self._n, self._height = low.size, 0
        self.lower, self.upper, self.integer, self.costs = [], [], [], []
        self._entries, self._sides = [], []
        self.z, self.w = [], []

    def add(self, p):
        """One family's."""
        f, K, P = p.family, len(p.family), len(p)
        alone = p.counts[p.member] == 1
        at = f.columns[p.member[alone]]
        np.maximum.at(self._low, at, p.lower[alone])
        np.minimum.at(self._high, at, p.upper[alone])
        least, most = _reach(p.costs[p.member], p.lower, p.upper)
        # of a member of one piece, or sums over its pieces
        lowest, highest = np.full(K, np.inf), np.full(K, -np.inf)
        np.minimum.at(lowest, p.member, least)
        np.maximum.at(highest, p.member, most)
        w = self._columns(lowest, highest, costs=1.0)
        z = self._columns(np.zeros(P), np.ones(P), whole=True)
        self.w.append(w)
        self.z.append(z)
        one = self._rows(np.ones(K), np.ones(K))
        self._put(one[p.member], z, np.ones(P))
        line = (p.linked.sum(axis=1) == 1)[p.member]
        self._lines(p, np.flatnonzero(line), z, w, least)
        self._boxes(p, np.flatnonzero(~line), alone, z, w, least, most)

    def _lines(self, p, some, z, w, least):
        """Pieces over one column: w lies above their lines, whose corners are mixed."""
        if not some.size:
            return
        j = p.linked[p.member[some]].argmax(axis=1)
        columns = p.family.columns[p.member[some], j]
        order = np.argsort(p.of, kind="stable")
        ends = np.searchsorted(p.of[order], np.arange(len(p) + 1))
        piece, x, value = [], [], []
        for i, b in enumerate(some):
            cuts = order[ends[b] : ends[b + 1]]
            slopes = np.append(-p.duals[cuts, j[i]], 0.0)
            levels = np.append(p.least[cuts], least[b])
            corners = envelope(slopes, levels, p.lower[b, j[i]], p.upper[b, j[i]])
            piece.append(np.full(len(corners), i))
            x.append(corners[:, 0])
            value.append(corners[:, 1])
        piece, x, value = (np.concatenate(a) for a in (piece, x, value))
        shares = self._columns(np.zeros(x.size), np.ones(x.size))
        none = np.zeros(some.size)
        rows = self._rows(none, none)
        self._put(rows, z[some], -np.ones(some.size))
        self._put(rows[piece], shares, np.ones(x.size))
        for sums, data in ((columns, x), (w[p.member[some]], value)):
            of, at = np.unique(sums, return_inverse=True)
            rows = self._rows(np.zeros(of.size), np.zeros(of.size))
            self._put(rows, of, -np.ones(of.size))
            self._put(rows[at[piece]], shares, data)

    def _boxes(self, p, some, alone, z, w, least, most):
        """Pieces over several columns: copies of these, within boxes and cuts."""
        f, K, P = p.family, len(p.family), len(p)
        w_of = np.where(alone, w[p.member], -1)
        more = some[~alone[some]]
        none, endless = np.zeros(more.size), np.full(more.size, np.inf)
        w_of[more] = self._columns(
            np.minimum(least[more], 0.0), np.maximum(most[more], 0.0)
        )
        several = np.unique(p.member[more])
        sums = np.full(K, -1)
        sums[several] = self._rows(np.zeros(several.size), np.zeros(several.size))
        self._put(sums[several], w[several], np.ones(several.size))
        self._put(sums[p.member[more]], w_of[more], -np.ones(more.size))
        for side, ends in ((least, (none, endless)), (most, (-endless, none))):
            rows = self._rows(*ends)
            self._put(rows, w_of[more], np.ones(more.size))
            self._put(rows, z[more], -side[more])
        v_of = f.columns[p.member].copy()
        for j in range(f.columns.shape[1]):
            self._copies(p, j, more, z, v_of)
        chosen = np.zeros(P, dtype=bool)
        chosen[some] = True
        self._cuts(p, np.flatnonzero(chosen[p.of]), alone, z, w_of, v_of)

    def _copies(self, p, j, more, z, v_of):
        """Column j of pieces of members that have several."""
        some = more[p.linked[p.member[more], j]]
        low, high = p.lower[some, j], p.upper[some, j]
        v_of[some, j] = self._columns(np.minimum(low, 0.0), np.maximum(high, 0.0))
        members = np.unique(p.member[some])
        sums = np.full(len(p.family), -1)
        none, endless = np.zeros(some.size), np.full(some.size, np.inf)
        sums[members] = self._rows(np.zeros(members.size), np.zeros(members.size))
        self._put(sums[members], p.family.columns[members, j], np.ones(members.size))
        self._put(sums[p.member[some]], v_of[some, j], -np.ones(some.size))
        for side, ends in ((low, (none, endless)), (high, (-endless, none))):
            rows = self._rows(*ends)
            self._put(rows, v_of[some, j], np.ones(some.size))
            self._put(rows, z[some], -side)

    def _cuts(self, p, cuts, alone, z, w_of, v_of):
        """Some cuts; a power of two as factor changes no digit."""
        of, C = p.of[cuts], cuts.size
        linked = p.linked[p.member[of]]
        duals = np.where(linked, p.duals[cuts], 0.0)
        priced = (p.costs[p.member[of]] != 0).any(axis=1)
        size = np.maximum(np.abs(duals).max(axis=1, initial=0.0), 1.0 * priced)
        size = 2.0 ** np.floor(np.log2(np.where(size > 0, size, 1.0)))
        least, single = p.least[cuts] / size, alone[of]
        rows = self._rows(np.where(single, least, 0.0), np.full(C, np.inf))
        for j in range(duals.shape[1]):
            some = linked[:, j]
            self._put(rows[some], v_of[of[some], j], (duals[:, j] / size)[some])
        self._put(rows, w_of[of], 1.0 / size)
        self._put(rows[~single], z[of[~single]], -least[~single])

    def _columns(self, lower, upper, whole=False, costs=0.0):
        first = self._n
        self._n += lower.size
        self.lower.append(lower)
        self.upper.append(upper)
        self.integer.append(np.full(lower.size, whole))
        self.costs.append(np.full(lower.size, costs))
        return np.arange(first, self._n)

    def _rows(self, lower, upper):
        first = self._height
        self._height += lower.size
        self._sides.append((lower, upper))
        return np.arange(first, self._height)

    def _put(self, rows, columns, data):
        self._entries.append((rows, columns, data))

    def matrix(self):
        """Of all rows, over all columns."""
        rows, columns, data = (
            np.concatenate([np.zeros(0), *part])
            for part in zip(*self._entries, strict=True)
        )
        at = rows.astype(int), columns.astype(int)
        return sparse.csr_array((data, at), shape=(self._height, self._n))

    def sides(self):
        """Of all rows."""
        return tuple(np.concatenate(part) for part in zip(*self._sides, strict=True))


def envelope(slopes, levels, lower, upper):
    """Corners of the largest of some lines over an interval, none above it in between.

    Parameters
    ----------
    slopes, levels : numpy.ndarray, shapes (S,)
        Lines ``levels + slopes x``.
    lower, upper : float

    Returns
    -------
    numpy.ndarray, shape (Q, 2)
        x, ascending, and values.  What joins two neighbours is nowhere above one of the
        lines, rounding included.
    """
    size = np.abs(levels) + np.abs(slopes) * max(abs(lower), abs(upper))
    error = rounding(size, operations=4)

    def below(line, x):
        return levels[line] + slopes[line] * x - error[line]

    at = levels + slopes * lower
    line = int(np.lexsort((slopes, at))[-1])
    corners, x = [(lower, below(line, lower))], lower
    while True:
        steeper = np.flatnonzero(slopes > slopes[line])
        with np.errstate(over="ignore"):
            meet = levels[line] - levels[steeper]
            meet = meet / (slopes[steeper] - slopes[line])
        meet = np.maximum(meet, x)
        if not steeper.size or meet.min() >= upper:
            break
        first = meet.min()
        others = steeper[meet == first]
        before, line = line, int(others[slopes[others].argmax()])
        x = float(first)
        corners.append((x, min(below(before, x), below(line, x))))
    if upper > x or len(corners) == 1:
        corners.append((upper, below(line, upper)))
    return np.array(corners)


def _reach(costs, lower, upper):
    """Least and largest of ``costs v`` on boxes, rounded outward, shapes (P,)."""
    low, high = costs * lower, costs * upper
    size = np.maximum(np.abs(low), np.abs(high)).sum(axis=1)
    error = rounding(size, operations=costs.shape[1] + 1)
    error = np.where(size > 0, error, 0.0)
    least, most = np.minimum(low, high), np.maximum(low, high)
    return least.sum(axis=1) - error, most.sum(axis=1) + error
