"""Linear regions by search over activation patterns, for any number of inputs.

From one region the search walks through every facet into the neighbour behind it.  As
the box is convex, its full-dimensional regions are connected through facets, so all of
them are found; a search that is stopped early has found a certified lower bound, for
each region counted holds a ball that a linear programme has shown.

Source: the walk over an arrangement's cells is reverse search's neighbour relation
(Avis and Fukuda 1996) with a table of visited cells, applied to the layered arrangement
of a ReLU network.
"""

from collections import deque

import numpy as np
from scipy import sparse

from pyomo_relu.errors import NetworkError, SolverError
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.rounding import NEGLIGIBLE
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings

#: Balls and facets of a smaller radius (the box being [-1, 1]^n) are not seen.
THIN = 1e-8
#: Two hyperplanes (unit normals) are one if they differ by less.
COINCIDENT = 1e-9

_SETTINGS = Settings("the search for linear regions", tolerance=1e-10, rays=False)


class _Cell:
    """A pattern, ``above[k]`` saying which levels of layer k are passed, and its maps."""

    def __init__(self, above, pre, post):
        self.above, self.pre, self.post = above, pre, post
        self.key = b"".join(part.tobytes() for part in above)

    def set_rows(self, maps):
        """Set the inequalities ``G s + h >= 0`` of the cell, s in [-1, 1]^n.

        Rows have unit length; ``group`` maps each level to its row, -1 for redundant
        ones, -2 for levels that the pre-activation equals all over the cell.
        """
        above, pre = self.above, self.pre
        middle, half = _scaling(maps.box)
        rows, values, constant = (
            [np.zeros((0, half.size))],
            [np.zeros(0)],
            [np.zeros(0)],
        )
        for k, (index, level, _) in enumerate(maps.cuts):
            C, d = pre[k]
            sign = np.where(above[k] > 0, 1.0, -1.0)
            rows.append(sign[:, None] * C[index] * half)
            values.append(sign * (C[index] @ middle + d[index] - level))
            constant.append(maps.tolerances[k])
        G, h = np.concatenate(rows), np.concatenate(values)
        norm, tolerance = np.linalg.norm(G, axis=1), np.concatenate(constant)
        flat = norm <= tolerance
        self.group = np.full(len(h), -1)
        self.group[flat & (np.abs(h) <= tolerance)] = -2
        norm = np.where(flat, 1.0, norm)
        G, h = G / norm[:, None], h / norm
        # Farther from the box's centre than its corners in that direction: redundant.
        near = np.flatnonzero(~flat & (h - np.abs(G).sum(axis=1) <= THIN))
        labels = _coincident(np.column_stack([G[near], h[near]]))
        self.group[near] = labels
        first = np.unique(labels, return_index=True)[1]
        self.G, self.h = G[near][first], h[near][first]


def search(maps, max_regions, deadline, seed=0, tick=lambda: None):
    """Find the activation regions of ``maps`` one neighbour after another.

    Parameters
    ----------
    maps : Maps
        In floating-point arithmetic, with at least one free input.
    max_regions : int
        Stop after so many regions.
    deadline : Deadline
    seed : int
        Of the directions that are tried before linear programmes.
    tick : callable
        Called for each region.

    Returns
    -------
    regions : list of Region
    neighbours : numpy.ndarray of int, shape (m, 2)
        Pairs of regions found with a common facet.
    complete : bool
        Whether no region is missing (but for ones thinner than ``THIN``).
    """
    if maps.exact or maps.box.dimension == 0:
        raise NetworkError(
            f"{maps.network.name}: the search over patterns needs floating-point "
            "arithmetic and an input that is not fixed. Use method='geometry'."
        )
    rng = np.random.default_rng(seed)
    start = _start(maps, rng)
    number = {start.key: 0}
    queue, regions, pairs, dropped = deque([start]), [], [], set()
    found = {}
    session = HighsSession(settings=_SETTINGS)
    try:
        while queue and len(regions) < max_regions:
            cell = queue.popleft()
            cell.set_rows(maps)
            own = number[cell.key]
            programme = _Programme(session, cell, deadline)
            radius, s = programme.largest_ball()
            if radius <= THIN:
                dropped.add(own)
                continue
            found[own] = len(regions)
            regions.append(_region(maps, cell, s))
            tick()
            for row in programme.facets(s, rng):
                other = _beyond(maps, cell, row)
                if other.key not in number:
                    number[other.key] = len(number)
                    queue.append(other)
                pairs.append((own, number[other.key]))
        complete = not queue and not dropped
    except _OutOfTime:
        complete = False
    finally:
        session.close()
    return regions, _renumber(pairs, found), complete


class _OutOfTime(Exception):
    """The deadline passed inside a linear programme or between two."""


def _renumber(pairs, found):
    kept = {
        (min(a, b), max(a, b))
        for a, b in ((found.get(p, -1), found.get(q, -1)) for p, q in pairs)
        if min(a, b) >= 0
    }
    return np.array(sorted(kept), dtype=int).reshape(-1, 2)


def _scaling(box):
    lower, upper = box.lower[box.free], box.upper[box.free]
    return (lower + upper) / 2, (upper - lower) / 2


def _coincident(rows):
    """Equal labels, 0, 1, ..., for rows that differ by less than ``COINCIDENT``."""
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    n = len(rows)
    if n == 0:
        return np.zeros(0, dtype=int)
    pairs = KDTree(rows).query_pairs(COINCIDENT, p=np.inf, output_type="ndarray")
    ones = np.ones(len(pairs))
    graph = sparse.coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def _follow(maps, choose):
    """The cell whose passed levels ``choose(k, pre_map)`` names, layer by layer."""
    above, pre, post = [], [], []
    for k, (index, _, base) in enumerate(maps.cuts):
        pre.append(maps.pre(k, pre, post))
        above.append(choose(k, pre[-1]))
        state = base.copy()
        np.add.at(state, index, above[-1])
        post.append(maps.post(k, pre[-1], state))
    return _Cell(above, pre, post)


def _start(maps, rng):
    """The region around a random point of the box."""
    middle, half = _scaling(maps.box)
    u = middle + half * rng.uniform(-0.5, 0.5, half.size)

    def choose(k, pre_map):
        index, level, _ = maps.cuts[k]
        value = pre_map[0][index] @ u + pre_map[1][index] - level
        return (value > 0).astype(np.int8)

    return _follow(maps, choose)


def _beyond(maps, cell, row):
    """The neighbour behind a facet.

    Pre-activations are continuous, so only levels that are met on the whole facet
    change: the one of this row, those with the same hyperplane, and those that their
    pre-activation equals all over the cell.  Which side such a neuron takes is the
    sign of its derivative in the outward direction, in the maps of the new cell.
    """
    outward = -cell.G[row] * _scaling(maps.box)[1]
    sizes = np.cumsum([len(part) for part in cell.above])[:-1]
    met = np.split((cell.group == row) | (cell.group == -2), sizes)

    def choose(k, pre_map):
        above = cell.above[k].copy()
        index = maps.cuts[k][0][met[k]]
        above[met[k]] = pre_map[0][index] @ outward > 0
        return above

    return _follow(maps, choose)


def _region(maps, cell, s):
    middle, half = _scaling(maps.box)
    pattern = []
    for (index, _, base), above in zip(maps.cuts, cell.above, strict=True):
        state = base.copy()
        np.add.at(state, index, above)
        pattern.append(state)
    output_map = maps.pre(len(maps.cuts), cell.pre, cell.post)
    return maps.region(pattern, middle + half * s, output_map)


class _Programme:
    """The linear programmes on one cell: variables s and the radius t."""

    def __init__(self, session, cell, deadline):
        self.session, self.deadline = session, deadline
        self.G, self.h = cell.G, cell.h  # the box's rows follow in the programme
        self.n = n = cell.G.shape[1]
        eye = sparse.eye_array(n)
        rows = sparse.vstack([sparse.csr_array(cell.G), eye, -eye])
        m = len(self.h) + 2 * n
        session.load(
            LinearModel(
                sparse.csr_array(sparse.hstack([rows, -np.ones((m, 1))])),
                np.append(-self.h, -np.ones(2 * n)),
                np.full(m, np.inf),
                np.append(-np.ones(n), -np.inf),
                np.append(np.ones(n), np.inf),
                in_unit_range=True,
            )
        )

    def _minimum(self, column, sign):
        """A point of least ``sign`` times a column; None if there is no point."""
        if self.deadline.passed():
            raise _OutOfTime
        answer = self.session.minimize(
            np.array([column]), np.array([sign]), self.deadline.left()
        )
        if answer.status is Status.INFEASIBLE:
            return None
        if answer.status is Status.TIME_LIMIT:
            raise _OutOfTime
        if answer.status is not Status.OPTIMAL:
            raise SolverError(
                "the search for linear regions: HiGHS ended with status "
                f"{answer.word or answer.status}. Rescale the network's inputs, or use "
                "method='sampling'."
            )
        return answer.primal

    def largest_ball(self):
        """Radius and centre of the largest ball in the cell; -inf if it is empty."""
        point = self._minimum(self.n, -1.0)
        return (-np.inf, None) if point is None else (point[-1], point[:-1])

    def facets(self, s, rng):
        """Rows of the neurons that bound the cell, given an interior point.

        Rays show most of them; the smallest box around the cell rules out most of the
        others; a linear programme per row that is left decides whether the row's
        hyperplane meets the cell in a facet.
        """
        seen = self._hit_by_rays(s, rng)
        n = self.n
        unclear = np.array(sorted(set(range(len(self.h))) - seen), dtype=int)
        if unclear.size > 2 * n:
            middle, half = self._smallest_box()
            G, h = self.G[unclear], self.h[unclear]
            far = G @ middle + h - np.abs(G) @ half > THIN
            self.session.set_rows(unclear[far], -np.inf, np.inf)
            unclear = unclear[~far]
        for row in unclear:
            self.session.set_coefficient(row, n, 0.0)
            self.session.set_rows([row], -self.h[[row]], -self.h[[row]])
            if self.largest_ball()[0] > THIN:
                seen.add(row)
                self.session.set_rows([row], -self.h[[row]], np.inf)
                self.session.set_coefficient(row, n, -1.0)
            else:  # redundant: the other rows imply it
                self.session.set_rows([row], -np.inf, np.inf)
        return sorted(seen)

    def _smallest_box(self):
        """Middle and half widths of the smallest box around the cell."""
        ends = np.zeros((2, self.n))
        self.session.set_bounds([self.n], 0.0, 0.0)
        for j in range(self.n):
            for side, sign in enumerate((1.0, -1.0)):
                point = self._minimum(j, sign)
                assert point is not None  # the cell has an interior point
                ends[side, j] = point[j]
        self.session.set_bounds([self.n], -np.inf, np.inf)
        return ends.mean(axis=0), (ends[1] - ends[0]) / 2 + THIN

    def _hit_by_rays(self, s, rng):
        """Rows that some ray from s meets clearly before all others."""
        m, n = self.G.shape
        if m == 0:
            return set()
        directions = np.vstack([-self.G, rng.normal(size=(2 * m, n))])
        slack, speed = self.G @ s + self.h, -directions @ self.G.T
        with np.errstate(divide="ignore"):
            times = np.where(speed > 0, slack / np.maximum(speed, NEGLIGIBLE), np.inf)
            box = (1 - np.sign(directions) * s) / np.abs(directions)
        times = np.column_stack([times, box.min(axis=1)])
        first = np.argmin(times, axis=1)
        two = np.partition(times, 1, axis=1)[:, :2]
        clear = two[:, 1] - two[:, 0] > 1e-6
        return {int(i) for i in first[clear] if i < m}
