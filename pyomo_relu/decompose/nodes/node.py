"""A node of the tree, and what bounding it takes."""

from dataclasses import dataclass, replace

import numpy as np

from pyomo_relu.decompose.nodes.generation import Generation
from pyomo_relu.linear.rounding import whole
from pyomo_relu.linear.sessions.answer import Status

#: Boxes whose middle and corners become points of members that have few: at least, or
#: as many as there are members.
_FIRST_BOXES = 200


@dataclass
class Node:
    """Boxes of all columns, and covers of the families within them.

    Attributes
    ----------
    lower, upper : numpy.ndarray, shape (n,)
    covers : tuple of Cover
    bound : float
    duals : numpy.ndarray or None
        The best multipliers of the node it was split from.
    again : bool
        Whether it is bounded for the second time.
    root : bool
        Whether it holds all points of the model below the cutoff.
    """

    lower: np.ndarray
    upper: np.ndarray
    covers: tuple
    bound: float = -np.inf
    duals: np.ndarray = None
    again: bool = False
    root: bool = False

    @property
    def size(self):
        """Number of boxes of its covers."""
        return sum(len(cover) for cover in self.covers)

    def split(self, column, low, high):
        """Both parts: up to ``low`` and from ``high`` on in one column."""
        left, right = self.upper.copy(), self.lower.copy()
        left[column], right[column] = low, high
        whole = replace(self, again=False, root=False)
        return replace(whole, upper=left), replace(whole, lower=right)


@dataclass
class Evaluation:
    """What is known about a node.

    Attributes
    ----------
    node : Node or None
        Shrunk, with its bound; None if it is proven to hold no point below the cutoff.
    mixture : Mixture or None
        The master's last answer.
    unbounded : bool
        The master has an improving ray.
    """

    node: Node
    mixture: object = None
    unbounded: bool = False


class Evaluator:
    """Bounds nodes.

    Parameters
    ----------
    linear : LinearModel
    costs : numpy.ndarray
    constant : float
    families : list of Family
    master : Master
    lagrangian : Lagrangian
    rows : BoxRows
        Of the model's rows.
    pricing : Pricing
    deadline : Deadline

    Attributes
    ----------
    linked : list of numpy.ndarray of bool, shapes (K, n + m)
        By family, columns that rows or other parts read.
    """

    def __init__(
        self,
        linear,
        costs,
        constant,
        families,
        master,
        lagrangian,
        rows,
        pricing,
        deadline,
    ):
        self.linear, self.costs, self.constant = linear, costs, constant
        self.families, self.master, self.lagrangian = families, master, lagrangian
        self.rows, self.pricing, self.deadline = rows, pricing, deadline
        self.penalty = 100.0 * max(1.0, np.abs(costs).max(initial=0.0))
        self._rng = np.random.default_rng(0)
        self.statistics = {"lps": 0, "proofs": 0}
        self.linked = _linked(linear, families)

    # -- shrinking -----------------------------------------------------------------

    def shrink(self, node, rounds=3):
        """The node within its rows and networks; None if these leave no point."""
        lower, upper = node.lower.copy(), node.upper.copy()
        covers = list(node.covers)
        for _ in range(rounds):
            before = lower.copy(), upper.copy()
            empty = self.rows.tighten(
                lower[None], upper[None], self.linear.integer, rounds=5
            )[0]
            if empty:
                return None
            for i, f in enumerate(self.families):
                at = f.columns
                covers[i] = covers[i].within(f.networks, lower[at], upper[at])
                low, high = covers[i].hull(len(f))
                if (low > high).any():
                    return None
                np.maximum.at(lower, at, low)
                np.minimum.at(upper, at, high)
            if (lower > upper).any():
                return None
            at = self.linear.integer
            lower[at], upper[at] = whole(lower[at], upper[at])
            if (lower > upper).any():
                return None
            width = before[1] - before[0]
            with np.errstate(invalid="ignore"):
                moved = (lower - before[0]) + (before[1] - upper) > 0.05 * width
            if not moved.any():
                break
        return replace(node, lower=lower, upper=upper, covers=tuple(covers))

    # -- evaluation ----------------------------------------------------------------

    def evaluate(self, node, cutoff, tolerance):
        """Bound a node.

        Parameters
        ----------
        node : Node
        cutoff : float
            Points of at least this value are of no interest.
        tolerance : float
            Accuracy that the objective is wanted to.
        """
        node = self.shrink(node)
        if node is None:
            return Evaluation(None)
        run, mixture = self.generate(node, cutoff, tolerance)
        unbounded = mixture is not None and mixture.status is Status.UNBOUNDED
        node = run.finished()
        if node is None and not unbounded:
            return Evaluation(None)
        if mixture is not None and not mixture.solved:
            mixture = None
        return Evaluation(node, mixture, unbounded)

    def generate(self, node, cutoff, tolerance):
        """Column generation within a node; the Generation and its Mixture or None."""
        self.master.renew()
        for f, cover in zip(self.families, node.covers, strict=True):
            f.thin(self._rng)
            f.validate(node.lower[f.columns], node.upper[f.columns], cover)
            self._populate(f, cover)
        for i, f in enumerate(self.families):
            self.master.add(i, _scarce(f))
        self.master.restrict(node.lower, node.upper)
        run = Generation(self, node, cutoff, tolerance)
        return run, run.run()

    def _populate(self, f, cover):
        """Some valid points for each member, in the master."""
        counts = np.bincount(f.owner[f.valid], minlength=len(f))
        few = np.flatnonzero(counts[cover.owner] < 10)
        if few.size:
            few = few[: max(_FIRST_BOXES, len(f))]
            middle = 0.5 * (cover.lower[few] + cover.upper[few])
            integer = f.integer[cover.owner[few]]
            middle = np.where(integer, np.floor(middle), middle)
            X = np.concatenate([cover.lower[few], middle, cover.upper[few]])
            f.add(np.tile(cover.owner[few], 3), X)


def _linked(linear, families):
    """By family, columns of members that rows or other parts read."""
    readers = np.zeros(linear.n_columns, dtype=int)
    readers[np.unique(linear.matrix.indices)] += 1
    for f in families:
        np.add.at(readers, f.columns.ravel(), 1)
    return [readers[f.columns] > 1 for f in families]


def _scarce(f):
    """Points of members that have few valid ones in the master."""
    size = f.columns.shape[1] + 1
    there = np.bincount(f.owner[f.valid & (f.column >= 0)], minlength=len(f))
    found = [np.zeros(0, dtype=int)]
    for k in np.flatnonzero(there < size):
        mine = f.of_member(k)
        mine = mine[f.valid[mine] & (f.column[mine] < 0)]
        # the outermost of each input and output, and some in between
        V = f.points[mine]
        ends = np.concatenate([V.argmin(axis=0), V.argmax(axis=0)]) if mine.size else []
        between = np.linspace(0, mine.size - 1, min(size, mine.size)).astype(int)
        found.append(mine[np.unique(np.concatenate([ends, between]).astype(int))])
    return np.concatenate(found)
