"""Subproblems of all families at once: proven here, or in batches on an executor.

A batch is a pure, picklable task of about as many members as any other: a part of a
large family, whose members have one network and are bounded by the same expressions, or
several small families.  What a lost batch would have proven is proven here.
"""

import logging
from dataclasses import dataclass, field, replace

import numpy as np

from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.executor import run_tasks
from pyomo_relu.decompose.subproblems.cover import Cover
from pyomo_relu.linear.sessions.highs_runs import processor_seconds

logger = logging.getLogger("pyomo.relu")

#: Boxes of a family halved together.
_BATCH = 64

#: Boxes that subproblems may be given before they are left at what is proven: at least,
#: and for each of many members.
_MOST_BOXES, _BOXES_EACH = 20000, 1000

#: Points kept of each batch of halves: at least, and one of so many.
_KEPT, _ONE_OF = 16, 8

#: Batches per round: enough for some dozens of workers, and for uneven batches.
_BATCHES = 64


@dataclass(frozen=True, eq=False)
class Subproblems:
    """Minimise linear functions over some members of a family.

    Parameters
    ----------
    networks : MemberNetworks
    integer : numpy.ndarray of bool, shape (K, n)
        Inputs that are whole numbers.
    cover : Cover
    costs : numpy.ndarray, shape (K, n + m)
    best : numpy.ndarray, shape (K,)
        Least values at known points.
    tolerance : float
        What proven values may be below the best ones known, on average.
    """

    networks: object
    integer: np.ndarray
    cover: Cover
    costs: np.ndarray
    best: np.ndarray
    tolerance: float

    def __len__(self):
        return self.best.size

    def members(self, first, last):
        """Those from ``first`` up to before ``last``, and their boxes."""
        if last - first == len(self):
            return self
        some, part = slice(first, last), self.cover.of_owners(first, last)
        return replace(
            self,
            networks=self.networks[some].compact(),
            integer=self.integer[some],
            cover=part,
            costs=self.costs[some],
            best=self.best[some],
        )


@dataclass(frozen=True, eq=False)
class Proven:
    """What is known afterwards.

    Parameters
    ----------
    cover : Cover
        Perhaps of smaller boxes.
    least : numpy.ndarray, shape (K,)
        Proven; infinite for a member without boxes.
    owner : numpy.ndarray of int, shape (N,)
    points : numpy.ndarray, shape (N, n + m)
        Good ones that were found.
    """

    cover: Cover
    least: np.ndarray
    owner: np.ndarray
    points: np.ndarray


@dataclass(frozen=True, eq=False)
class Batch:
    """One task: subproblems of several families, and when to stop."""

    parts: list
    deadline: object


@dataclass
class BatchResult:
    """Proven of each part, and the seconds of processor time that it took."""

    parts: list
    seconds: float


def prove_batch(batch):
    """A task for any executor.

    Parameters
    ----------
    batch : Batch

    Returns
    -------
    BatchResult
    """
    began = processor_seconds()
    parts = [prove(part, batch.deadline) for part in batch.parts]
    return BatchResult(parts, processor_seconds() - began)


def prove(part, deadline):
    """Halve boxes until what is proven is close to what is known.

    Parameters
    ----------
    part : Subproblems
    deadline : Deadline

    Returns
    -------
    Proven
    """
    cover, costs, best = part.cover, part.costs, part.best
    bounds, _ = cover.bounds(costs)
    done = np.zeros(len(cover), dtype=bool)
    least = cover.least(bounds, len(part))
    owners, points = [np.zeros(0, dtype=int)], [np.zeros((0, costs.shape[1]))]
    most = max(_MOST_BOXES, _BOXES_EACH * len(part))
    while not deadline.passed() and len(cover) < most:
        gaps = np.where(np.isfinite(least), best - least, 0.0)
        if gaps.sum() <= part.tolerance * len(part):
            break
        target = best - 0.5 * part.tolerance
        open_ = np.flatnonzero(~done & (bounds < target[cover.owner]))
        if not open_.size:
            break
        some = max(_BATCH, open_.size // 3)
        if open_.size > some:
            below = (bounds - best[cover.owner])[open_]
            open_ = open_[np.argpartition(below, some)[:some]]
        parents = cover[open_]
        halves, stuck = parents.halves(part.networks, part.integer, costs)
        done[open_[stuck]] = True
        if halves is None:
            continue
        new_bounds, at = halves.bounds(costs)
        best, owner, V = _visit(part, halves.owner, at, best)
        owners.append(owner)
        points.append(V)
        keep = np.ones(len(cover), dtype=bool)
        keep[open_[~stuck]] = False
        cover = Cover.joined([cover[keep], halves])
        # a half is no worse than the whole
        whole = np.tile(bounds[open_[~stuck]], 2)
        bounds = np.concatenate([bounds[keep], np.maximum(new_bounds, whole)])
        done = np.concatenate([done[keep], np.zeros(len(halves), dtype=bool)])
        least = cover.least(bounds, len(part))
    return Proven(cover, least, np.concatenate(owners), np.concatenate(points))


def _visit(part, owner, X, best):
    """Evaluate points: the least values known then, and good ones of them."""
    X = np.where(part.integer[owner], np.round(X), X)
    V = part.networks.graph(owner, X)
    values = np.einsum("nd,nd->n", V, part.costs[owner])
    keep = np.flatnonzero(values < best[owner] + part.tolerance)
    best = best.copy()
    np.minimum.at(best, owner, values)
    most = max(_KEPT, len(X) // _ONE_OF)
    keep = keep[np.argsort(values[keep] - best[owner[keep]])][:most]
    return best, owner[keep], V[keep]


@dataclass
class Round:
    """One round of pricing, for judging how it would go with more workers.

    Attributes
    ----------
    since : float
        Seconds of processor time here since the round before.
    here : float
        Seconds of processor time here for handing out batches and taking them back.
    batches : list of float
        Seconds of processor time of each batch.
    """

    since: float
    here: float = 0.0
    batches: list = field(default_factory=list)


class Pricing:
    """Proves subproblems of families, on an executor if there is one.

    Parameters
    ----------
    executor : concurrent.futures.Executor, optional

    Attributes
    ----------
    rounds : list of Round
    """

    def __init__(self, executor=None):
        self.executor = executor
        self.rounds = []
        self._last = processor_seconds()

    def prove(self, families, covers, duals, tolerance, deadline):
        """Proven least values of linear functions over each member's boxes.

        Parameters
        ----------
        families : sequence of Family
            Points that are found are theirs afterwards.
        covers : sequence of Cover
        duals : sequence of numpy.ndarray, shapes (K, n + m)
        tolerance : float
        deadline : Deadline

        Returns
        -------
        covers : list of Cover
        values : list of numpy.ndarray, shapes (K,)

        Raises
        ------
        KeyboardInterrupt
        """
        whole = [
            f.subproblems(cover, pi, tolerance)
            for f, cover, pi in zip(families, covers, duals, strict=True)
        ]
        groups = self._groups(whole)
        batches = [
            Batch([whole[i].members(first, last) for i, first, last in g], deadline)
            for g in groups
        ]
        began = processor_seconds()
        this = Round(began - self._last)
        executor = self.executor if len(batches) > 1 else None
        run = run_tasks(prove_batch, batches, executor, deadline)
        if run.executor_broken:
            self.executor = None
            logger.warning(
                "relu.decompose: the executor takes no more tasks; what is left is done "
                "in this process."
            )
        if run.interrupted:
            raise KeyboardInterrupt
        found = [[] for _ in whole]
        for group, batch, result in zip(groups, batches, run.results, strict=True):
            if result is None:  # no time was left: what the boxes have proven already
                late = Deadline(0.0)
                result = BatchResult([prove(part, late) for part in batch.parts], 0.0)
            this.batches.append(result.seconds)
            for (i, first, _), proven in zip(group, result.parts, strict=True):
                found[i].append((first, proven))
        covers, values = [], []
        for f, parts in zip(families, found, strict=True):
            parts.sort(key=lambda pair: pair[0])
            covers.append(
                Cover.joined([p.cover.with_owners_from(first) for first, p in parts])
            )
            values.append(np.concatenate([p.least for _, p in parts]))
            owner = np.concatenate([first + p.owner for first, p in parts])
            f.keep(owner, np.concatenate([p.points for _, p in parts]))
        self._last = processor_seconds()
        this.here = self._last - began
        if executor is None:
            this.here -= sum(this.batches)
        self.rounds.append(this)
        return covers, values

    def _groups(self, whole):
        """Batches as lists of (family, first member, last member + 1)."""
        sizes = [len(part) for part in whole]
        if self.executor is None:
            return [[(i, 0, size)] for i, size in enumerate(sizes)]
        most = max(1, -(-sum(sizes) // _BATCHES))
        groups, room = [], 0
        for i, size in enumerate(sizes):
            first = 0
            while first < size:
                if not room:
                    groups.append([])
                    room = most
                last = min(size, first + room)
                groups[-1].append((i, first, last))
                room -= last - first
                first = last
        return groups
