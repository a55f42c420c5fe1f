"""Open nodes of a branch and bound as arrays, and splitting them."""

from dataclasses import dataclass, fields

import numpy as np


@dataclass
class Nodes:
    """Boxes with what is known about each; one row per node.

    Attributes
    ----------
    lower, upper : numpy.ndarray, shape (N, n)
    bound : numpy.ndarray, shape (N,)
        Proven lower bound of the objective in the box.
    duals : numpy.ndarray, shape (N, R)
        Row multipliers that prove (nearly) that bound.
    column : numpy.ndarray of int, shape (N,)
        Column to branch on; -1 where no split can help.
    point : numpy.ndarray, shape (N,)
        Where to split it.
    unstable : numpy.ndarray of int, shape (N,)
        Neurons that are unstable on the box.
    counted : numpy.ndarray of bool, shape (N,)
        Whether an ancestor might have been a MILP and its boxes are counted.
    minimiser : numpy.ndarray, shape (N, n)
        Of the relaxation of the box, or of the box that it was split from.
    score : numpy.ndarray, shape (N,)
        What the column to branch on was chosen for.
    parent : numpy.ndarray, shape (N,)
        Bound of the box that it was split from.
    origin : numpy.ndarray of int, shape (N,)
        Number of the task that gave it back; 0 for none.  Within a task: which of the
        boxes that it was given it is a part of.
    """

    lower: np.ndarray
    upper: np.ndarray
    bound: np.ndarray
    duals: np.ndarray
    column: np.ndarray
    point: np.ndarray
    unstable: np.ndarray
    counted: np.ndarray
    minimiser: np.ndarray
    score: np.ndarray
    parent: np.ndarray
    origin: np.ndarray

    @classmethod
    def root(cls, lower, upper, n_rows):
        """One node with nothing known about it."""
        return cls(
            np.array(lower, dtype=float)[None],
            np.array(upper, dtype=float)[None],
            np.array([-np.inf]),
            np.zeros((1, n_rows)),
            np.array([-1]),
            np.zeros(1),
            np.zeros(1, dtype=int),
            np.zeros(1, dtype=bool),
            np.clip(0.0, lower, upper)[None],
            np.zeros(1),
            np.array([-np.inf]),
            np.zeros(1, dtype=int),
        )

    def __len__(self):
        return self.bound.size

    def __getitem__(self, which):
        return Nodes(*(getattr(self, f.name)[which] for f in fields(self)))

    def copy(self):
        """The same nodes in arrays of their own."""
        return Nodes.joined([self])

    def are_parts_of(self, given):
        """Whether each lies in the one of ``given`` that its ``origin`` says, with a bound.

        Parameters
        ----------
        given : Nodes
        """
        origin, shape = self.origin, (len(self), given.lower.shape[1])
        if self.lower.shape != shape or self.upper.shape != shape:
            return False
        if not ((origin >= 0) & (origin < len(given))).all():
            return False
        # with NaN every comparison is false
        inside = self.lower >= given.lower[origin]
        inside &= self.upper <= given.upper[origin]
        return bool(inside.all() and not np.isnan(self.bound).any())

    @staticmethod
    def joined(parts):
        """All nodes of several Nodes."""
        return Nodes(
            *(
                np.concatenate([getattr(p, f.name) for p in parts])
                for f in fields(Nodes)
            )
        )

    def split(self, integer):
        """Both halves of each node: all left ones, then all right ones."""
        left, right = self[:], self[:]
        left.parent, right.parent = self.bound.copy(), self.bound.copy()
        rows = np.arange(len(self))
        left.upper, right.lower = left.upper.copy(), right.lower.copy()
        left.upper[rows, self.column] = self.point
        right.lower[rows, self.column] = self.point + integer[self.column]
        return Nodes.joined([left, right])


@dataclass(frozen=True)
class _Part:
    """Some of the nodes that wait: these rows of arrays in which others have gone."""

    nodes: Nodes
    rows: np.ndarray

    def __len__(self):
        return self.rows.size

    @property
    def bound(self):
        return self.nodes.bound[self.rows]

    @property
    def whole(self):
        """The nodes that wait, in arrays without others."""
        gone = len(self.nodes) > self.rows.size
        return self.nodes[self.rows] if gone else self.nodes

    def keep(self, which):
        """Those of these; the arrays stay until more of their rows have gone than wait."""
        rows = self.rows[which]
        if 2 * rows.size >= len(self.nodes):
            return _Part(self.nodes, rows)
        return _part(self.nodes[rows])


def _part(nodes):
    return _Part(nodes, np.arange(len(nodes)))


class OpenNodes:
    """Nodes that wait, given out in batches of the least bounds.

    They are held in parts of different sizes.  Taking some away copies these alone, and
    two parts become one where one of them is more than half as large as the other: each
    node is copied a few times, however many wait and however often some come and go.
    """

    def __init__(self, nodes):
        # always replaced as a whole: an interrupt leaves the nodes before or after
        self._parts = [_part(nodes)]

    def __len__(self):
        return sum(map(len, self._parts))

    @property
    def nodes(self):
        """All of them."""
        self._parts = [_part(Nodes.joined([part.whole for part in self._parts]))]
        return self._parts[0].nodes

    @property
    def bound(self):
        """The least bound; infinite if no node is left."""
        return min(float(part.bound.min(initial=np.inf)) for part in self._parts)

    @property
    def counted(self):
        """Number of nodes that are counted."""
        return sum(int(part.nodes.counted[part.rows].sum()) for part in self._parts)

    def add(self, nodes):
        """Put nodes back."""
        if not len(nodes):
            return
        parts = sorted([*self._parts, _part(nodes)], key=len)
        while len(parts) > 1 and 2 * len(parts[0]) > len(parts[1]):
            both = _part(Nodes.joined([part.whole for part in parts[:2]]))
            parts = sorted([both, *parts[2:]], key=len)
        self._parts = parts

    def prune(self, cutoff):
        """Drop nodes whose bound reaches ``cutoff``; returns the least of their bounds.

        Of what the nodes' boxes were shrunk by it says nothing.
        """
        bound = self._bounds()
        keep = bound < cutoff
        if keep.all():
            return np.inf
        least = float(bound[~keep].min())
        self._keep(keep)
        return least

    def confine(self, lower, upper):
        """Intersect all boxes with one; those left without a point stay, crossed."""
        nodes = self.nodes
        nodes.lower = np.maximum(nodes.lower, lower)
        nodes.upper = np.minimum(nodes.upper, upper)

    def pop(self, count):
        """The ``count`` nodes of least bound, which are no longer open."""
        if count >= len(self):
            nodes = self.nodes
            self._parts = [_part(nodes[:0])]
            return nodes
        order = np.argpartition(self._bounds(), count)
        nodes = self._at(order[:count])
        keep = np.ones(len(self), dtype=bool)
        keep[order[:count]] = False
        self._keep(keep)
        return nodes

    def best(self, count):
        """Up to ``count`` nodes of least bound, best first; they stay open."""
        return self._at(np.argsort(self._bounds(), kind="stable")[:count])

    # -- positions: those of all parts in a row ------------------------------------

    def _bounds(self):
        return np.concatenate([part.bound for part in self._parts])

    def _ends(self):
        return np.cumsum([len(part) for part in self._parts])

    def _at(self, positions):
        """The nodes at these positions, in this order."""
        part = np.searchsorted(self._ends(), positions, side="right")
        begins = self._ends() - [len(part) for part in self._parts]
        order = np.argsort(part, kind="stable")
        some = [
            one.nodes[one.rows[positions[order][part[order] == i] - begins[i]]]
            for i, one in enumerate(self._parts)
        ]
        back = np.empty(len(positions), dtype=int)
        back[order] = np.arange(len(positions))
        return Nodes.joined(some)[back]

    def _keep(self, which):
        """Drop all others."""
        each = np.split(which, self._ends()[:-1])
        kept = [
            part if some.all() else part.keep(some)
            for part, some in zip(self._parts, each, strict=True)
        ]
        self._parts = [part for part in kept if len(part)] or kept[:1]
