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


class OpenNodes:
    """Nodes that wait, given out in batches of the least bounds."""

    def __init__(self, nodes):
        self._nodes = nodes
        self._new = []

    def __len__(self):
        return len(self._nodes) + sum(map(len, self._new))

    @property
    def nodes(self):
        """All of them."""
        self._merge()
        return self._nodes

    @property
    def bound(self):
        """The least bound; infinite if no node is left."""
        self._merge()
        return float(self._nodes.bound.min()) if len(self._nodes) else np.inf

    @property
    def counted(self):
        """Number of nodes that are counted."""
        self._merge()
        return int(self._nodes.counted.sum())

    def add(self, nodes):
        """Put nodes back."""
        if len(nodes):
            self._new.append(nodes)

    def prune(self, cutoff):
        """Drop nodes whose bound reaches ``cutoff``; returns the least of their bounds.

        Of what the nodes' boxes were shrunk by it says nothing.
        """
        self._merge()
        keep = self._nodes.bound < cutoff
        if keep.all():
            return np.inf
        least = float(self._nodes.bound[~keep].min())
        self._nodes = self._nodes[keep]
        return least

    def confine(self, lower, upper):
        """Intersect all boxes with one; those left without a point stay, crossed."""
        self._merge()
        nodes = self._nodes
        nodes.lower = np.maximum(nodes.lower, lower)
        nodes.upper = np.minimum(nodes.upper, upper)

    def pop(self, count):
        """The ``count`` nodes of least bound, which are no longer open."""
        self._merge()
        nodes = self._nodes
        if count >= len(nodes):
            self._nodes = nodes[:0]
            return nodes
        order = np.argpartition(nodes.bound, count)
        self._nodes = nodes[order[count:]]
        return nodes[order[:count]]

    def best(self, count):
        """Up to ``count`` nodes of least bound, best first; they stay open."""
        self._merge()
        return self._nodes[np.argsort(self._nodes.bound, kind="stable")[:count]]

    def _merge(self):
        if self._new:
            self._nodes = Nodes.joined([self._nodes, *self._new])
            self._new = []
