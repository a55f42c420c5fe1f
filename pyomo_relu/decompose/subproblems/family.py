"""Parts that have networks of one architecture: their points, and subproblems over their covers.

A subproblem minimises a linear function of a part's inputs and outputs over its cover.
Its value lies between the least of the boxes' proven bounds and the least value at a
known point; boxes whose bound is below that by more than a tolerance are halved, and
stay so for whatever function is asked for next.
"""

import itertools

import numpy as np

from pyomo_relu.branch.problem.joint_parts import only_outputs
from pyomo_relu.decompose.subproblems.cover import Cover
from pyomo_relu.decompose.subproblems.networks import MemberNetworks
from pyomo_relu.decompose.subproblems.pricing import Subproblems
from pyomo_relu.network.pieces import breakpoints
from pyomo_relu.network.stack import stacked

#: Random points of a part at first: per input, and at most.
_SAMPLES, _MOST_SAMPLES = 200, 800

#: Inputs up to which all corners are among the first points.
_CORNERS = 6

#: Points from which on some are dropped: at least, and for each of many members.
_MOST_POINTS, _POINTS_EACH = 30000, 1000

#: Most pieces of a network of one input that are all boxes of its first cover.
_PIECES = 300


class Family:
    """Parts with networks of one architecture, and all points of their graphs known.

    Parameters
    ----------
    each : sequence of Network, length K
        The members' networks.
    networks : MemberNetworks
        The same together.
    members : numpy.ndarray of int, shape (K,)
        Positions of its parts.
    columns : numpy.ndarray of int, shape (K, n + m)
    integer : numpy.ndarray of bool, shape (K, n)
        Inputs that are whole numbers.

    Attributes
    ----------
    points : numpy.ndarray, shape (N, n + m)
    owner : numpy.ndarray of int, shape (N,)
        Which member each point belongs to.
    column : numpy.ndarray of int, shape (N,)
        The master's column of each point; -1 if it has none.
    valid : numpy.ndarray of bool, shape (N,)
        Whether it belongs to the node that is worked on.
    """

    def __init__(self, each, networks, members, columns, integer):
        self.networks, self.members, self._each = networks, members, each
        self.columns, self.integer = columns, integer
        self.n = each[0].n_inputs
        self.points = np.zeros((0, columns.shape[1]))
        self.owner = self.column = np.zeros(0, dtype=int)
        self.valid = np.zeros(0, dtype=bool)
        self._grouped = None, None, None

    def __len__(self):
        return self.members.size

    # -- points --------------------------------------------------------------------

    def add(self, owner, X):
        """Evaluate and keep points of members, as valid ones; their numbers."""
        return self.keep(owner, self.networks.graph(owner, X))

    def keep(self, owner, V):
        """Keep points of members' graphs, as valid ones; their numbers."""
        first, N = self.owner.size, len(V)
        self.points = np.concatenate([self.points, V])
        self.owner = np.concatenate([self.owner, owner])
        self.column = np.concatenate([self.column, np.full(N, -1)])
        self.valid = np.concatenate([self.valid, np.ones(N, dtype=bool)])
        return np.arange(first, first + N)

    def of_member(self, k):
        """Numbers of a member's points, ascending."""
        owner, order, first = self._grouped
        if owner is not self.owner:
            order = np.argsort(self.owner, kind="stable")
            first = np.searchsorted(self.owner[order], np.arange(len(self) + 1))
            self._grouped = self.owner, order, first
        return order[first[k] : first[k + 1]]

    def begin(self, lower, upper, rng):
        """First points and the first cover of boxes of inputs, shapes (K, n)."""
        owners, points, covers = [], [], []
        for k in range(len(self)):
            low, high = lower[k], upper[k]
            free = np.flatnonzero(low < high)
            pieces = None
            if free.size == 1 and not self.integer[k, free[0]]:
                pieces = self._pieces(k, low, high, free[0])
            if pieces is not None:
                ends = np.tile(low, (pieces.size, 1))
                ends[:, free[0]] = pieces
                X = ends
                right = np.array(ends[:-1])
                right[:, free[0]] = pieces[1:]
                covers.append((np.full(len(right), k), ends[:-1], right))
            else:
                X = self._samples(low, high, free, self.integer[k], rng)
                covers.append((np.array([k]), low[None], high[None]))
            owners.append(np.full(len(X), k))
            points.append(X)
        self.add(np.concatenate(owners), np.concatenate(points))
        owner, low, high = (np.concatenate(part) for part in zip(*covers, strict=True))
        return Cover.of_boxes(self.networks, owner, low, high)

    def _pieces(self, k, low, high, j):
        network = self._each[k]
        return breakpoints(
            only_outputs(network, range(network.n_outputs)),
            low,
            high,
            j,
            _PIECES,
        )

    def _samples(self, low, high, free, integer, rng):
        some = min(_MOST_SAMPLES, _SAMPLES * free.size)
        X = rng.uniform(low, high, (1 + some, low.size))
        X[0] = 0.5 * (low + high)
        X[:, integer] = np.floor(X[:, integer] + 0.5)
        if free.size <= _CORNERS:
            corners = np.array(list(itertools.product((0.0, 1.0), repeat=free.size)))
            at = np.tile(low, (len(corners), 1))
            at[:, free] = np.where(corners > 0, high[free], low[free])
            X = np.concatenate([at, X])
        return np.unique(np.clip(X, low, high), axis=0)

    def thin(self, rng):
        """Drop points that the master does not have if there are many."""
        if self.owner.size < max(_MOST_POINTS, _POINTS_EACH * len(self)):
            return
        keep = (self.column >= 0) | (rng.random(self.owner.size) < 0.5)
        for name in ("points", "owner", "column", "valid"):
            setattr(self, name, getattr(self, name)[keep])

    def validate(self, lower, upper, cover):
        """Note which points lie in a cover, and in boxes of shapes (K, n + m)."""
        p, k, n = self.points, self.owner, self.n
        self.valid = ((p >= lower[k]) & (p <= upper[k])).all(axis=1)
        at = np.flatnonzero(self.valid)
        self.valid[at] = cover.contains(k[at], p[at, :n])

    def least(self, costs):
        """Least value at valid points, (K,), and all values, (N,), inf at others."""
        values = np.einsum("nd,nd->n", self.points, costs[self.owner])
        values[~self.valid] = np.inf
        least = np.full(len(self), np.inf)
        np.minimum.at(least, self.owner, values)
        return least, values

    # -- subproblems ---------------------------------------------------------------

    def subproblems(self, cover, costs, tolerance):
        """Subproblems of all members; see ``pricing``.

        Parameters
        ----------
        cover : Cover
        costs : numpy.ndarray, shape (K, n + m)
        tolerance : float
        """
        best, _ = self.least(costs)
        return Subproblems(self.networks, self.integer, cover, costs, best, tolerance)


def families(parts, integer):
    """Parts with networks of one architecture, together.

    Parameters
    ----------
    parts : sequence of Part
    integer : numpy.ndarray of bool, shape (n_columns,)
    """
    return [
        Family(
            [parts[k].network for k in members],
            MemberNetworks(stack, which),
            members,
            np.array([parts[k].columns for k in members]),
            np.array([integer[parts[k].inputs] for k in members]),
        )
        for stack, members, which in stacked([part.network for part in parts])
    ]
