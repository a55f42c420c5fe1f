"""Pieces of parts refined where a MILP over them is too good to be true.

A tree over boxes splits one part at a time, and what it learns below one half it learns
again below the other.  Where many parts mix points of their graphs, few of these splits
decide anything by themselves.  So all parts are split at once here: a MILP
(``disjunction``) says which pieces are worth a look together and proves a bound; column
generation within them proves the cuts that the MILP did not know, and what is still
mixed there is split.
"""

import time

import numpy as np

from pyomo_relu.decompose.nodes.branching import mixture_errors, split_at
from pyomo_relu.decompose.nodes.lagrangian import improvable
from pyomo_relu.decompose.nodes.node import Node
from pyomo_relu.decompose.pieces.disjunction import choose
from pyomo_relu.decompose.pieces.facets import facets
from pyomo_relu.decompose.pieces.pieces import Pieces

#: Accuracy of the minima on pieces, as a share of what each part may be off.
_ACCURACY = 0.1

#: Gap of the MILPs: a share of the gap that is left, at least one of the tolerance.
_GAP, _LEAST_GAP = 0.3, 0.25

#: Share of a part's tolerance up to which a mixture is not split.
_SMALL = 0.1

#: Share of the gap that a round without splits must close, and how many may not.
_GAIN, _PATIENCE = 0.01, 3

#: Share of the time for refinement; the rest is the tree's.
_SHARE = 0.8

#: Seconds that the tree has to itself: it closes easy models sooner than one MILP ends.
_TREE_FIRST = 2.0

#: Seconds of a MILP: a share of those so far, and the least.
_MILP, _LEAST_SECONDS = 0.3, 2.0


class Refinement:
    """The pieces of all parts within one node, and what they prove about it.

    Parameters
    ----------
    evaluator : Evaluator
    node : Node
        Evaluated; with multipliers.

    Attributes
    ----------
    bound : float
        Proven, of all points of the node.
    stuck : bool
        Whether another round would find nothing new.
    """

    def __init__(self, evaluator, node):
        self._e, self.node = evaluator, node
        self.bound, self.stuck, self._idle = node.bound, False, 0
        self.pieces = [
            Pieces(f, cover)
            for f, cover in zip(evaluator.families, node.covers, strict=True)
        ]
        self._linked = self._links()

    @property
    def n_pieces(self):
        """Number of pieces of all parts."""
        return sum(len(p) for p in self.pieces)

    def _links(self):
        """Inputs of each family's members whose column rows or other parts read."""
        linear = self._e.linear
        readers = np.zeros(linear.n_columns, dtype=int)
        readers[np.unique(linear.matrix.indices)] += 1
        for f in self._e.families:
            np.add.at(readers, f.columns.ravel(), 1)
        return [readers[f.columns[:, : f.n]] > 1 for f in self._e.families]

    def begin(self, cutoff, tolerance):
        """Cuts from the node's own multipliers."""
        self._prove(self.node.duals, cutoff, tolerance)

    def round(self, cutoff, tolerance, time_limit):
        """One MILP, column generation within the pieces that it chose, cuts, splits.

        Parameters
        ----------
        cutoff : float
            Points of at least this value do not count.
        tolerance : float
            Accuracy that the objective is wanted to.
        time_limit : float
            Seconds for the MILP.

        Returns
        -------
        Node, Mixture
            Where to look for points, and what the master mixes there; or None, None.
        """
        e, none = self._e, (None, None)
        gap = max(_LEAST_GAP * tolerance, _GAP * (cutoff - self.bound))
        if not np.isfinite(gap):
            gap = tolerance
        linear = e.linear.replace(lower=self.node.lower, upper=self.node.upper)
        choice = choose(
            linear, e.costs, e.constant, self.pieces, cutoff, gap, time_limit
        )
        before = self.bound
        self.bound = max(self.bound, min(choice.bound, cutoff))
        if self.bound >= cutoff or choice.x is None or e.deadline.passed():
            self._judge(0, before, cutoff)
            return none
        for p, z in zip(self.pieces, choice.z, strict=True):
            p.age(choice.x, z)
        node, chosen = self._within(choice)
        run, mixture = e.generate(node, cutoff, tolerance)
        for p, some, cover in zip(self.pieces, chosen, run.covers, strict=True):
            p.take_back(some, cover)
        m = e.master.n_rows + e.master.n_links
        multipliers = [] if run.best_duals is None else [run.best_duals]
        splits = 0
        if mixture is not None and mixture.solved:
            multipliers.append(mixture.duals[:m])
            splits = self._refine(mixture, chosen, cutoff, tolerance)
        if len(multipliers) == 2 and np.array_equal(*multipliers):
            multipliers.pop()
        for duals in multipliers:
            self._prove(duals, cutoff, tolerance, choice.x)
        self._judge(splits, before, cutoff)
        solved = mixture is not None and mixture.solved
        return (node, mixture) if solved else none

    def _judge(self, splits, before, cutoff):
        """Count rounds that gained nothing."""
        gained = self.bound - before > _GAIN * (cutoff - before)
        self._idle = 0 if splits or gained else self._idle + 1
        self.stuck = self._idle >= _PATIENCE

    def _within(self, choice):
        """The node in the chosen pieces, integers as chosen; and the pieces' numbers."""
        integer = self._e.linear.integer
        lower, upper = self.node.lower.copy(), self.node.upper.copy()
        lower[integer] = upper[integer] = np.round(choice.x[integer])
        chosen, covers = [], []
        for p, z in zip(self.pieces, choice.z, strict=True):
            some = np.flatnonzero(z > 0.5)
            at = p.family.columns[p.member[some]]
            np.maximum.at(lower, at, p.lower[some])
            np.minimum.at(upper, at, p.upper[some])
            chosen.append(some)
            covers.append(p.of_pieces(some))
        # to the solver's tolerance pieces may miss each other
        return Node(lower, np.maximum(lower, upper), tuple(covers)), chosen

    def _refine(self, mixture, chosen, cutoff, tolerance):
        """Split chosen pieces that are mixed; cuts on facets of the new ones."""
        e, splits = self._e, 0
        _, by_family = e.master.split(mixture.duals)
        least = _SMALL * tolerance / max(1, e.master.n_parts)
        new = []
        for p, some, pi in zip(self.pieces, chosen, by_family, strict=True):
            piece = dict(zip(p.member[some], some, strict=True))
            fresh = []
            for k, _, _, error, by_input, mean in mixture_errors(p.family, mixture, pi):
                if error <= least or k not in piece:
                    continue
                b, j = piece[k], int(by_input.argmax())
                split = split_at(
                    j, mean[j], p.lower[b], p.upper[b], p.family.integer[k]
                )
                if split is not None:
                    p.split(b, split)
                    fresh += [b, len(p) - 1]
            splits += len(fresh) // 2
            new.append(fresh)
        rounds = [
            _by_member(facets(p, fresh, pi, linked))
            for p, fresh, pi, linked in zip(
                self.pieces, new, by_family, self._linked, strict=True
            )
        ]
        for i in range(max((len(r) for r in rounds), default=0)):
            duals, members = [], []
            for r, pi in zip(rounds, by_family, strict=True):
                own, some = np.zeros_like(pi), np.zeros(len(pi), dtype=bool)
                for k, multipliers in (r[i] if i < len(r) else {}).items():
                    own[k], some[k] = multipliers, True
                duals.append(own)
                members.append(some)
            self._cut(duals, members, cutoff, tolerance)
        return splits

    def _prove(self, multipliers, cutoff, tolerance, x=None):
        """A bound from multipliers of rows and links; cuts, where x violates them."""
        e = self._e
        _, by_family = e.master.split(multipliers)
        members = [np.ones(len(p.family), dtype=bool) for p in self.pieces]
        values = self._cut(by_family, members, cutoff, tolerance, x)
        least = [p.members_least(v) for p, v in zip(self.pieces, values, strict=True)]
        bound = e.lagrangian.bound(
            e.costs,
            e.constant,
            multipliers,
            np.concatenate(least),
            self.node.lower,
            self.node.upper,
        )
        self.bound = max(self.bound, min(bound, cutoff))
        for p, v, lowest in zip(self.pieces, values, least, strict=True):
            p.drop(~improvable(v, lowest[p.member], bound, cutoff))

    def _cut(self, duals, members, cutoff, tolerance, x=None):
        """Prove least values on pieces of these members' families; keep their cuts."""
        e, slack = self._e, max(tolerance, cutoff - self.bound)
        work = [
            parts
            for parts in zip(self.pieces, duals, members, strict=True)
            if parts[2].any()
        ]
        for p, _, _ in work:
            p.slack = slack
        covers, values = e.pricing.prove(
            [p for p, _, _ in work],
            [p.cover for p, _, _ in work],
            [pi[p.member] for p, pi, _ in work],
            _ACCURACY * tolerance / max(1, e.master.n_parts),
            e.deadline,
        )
        for (p, pi, some), cover, v in zip(work, covers, values, strict=True):
            p.cover = cover
            if x is not None:
                at = np.einsum("kd,kd->k", pi, x[p.family.columns])
                some = some & ((p.counts > 1) | (at < p.members_least(v)))
            p.add_cuts(pi, v, some)
        return values


class Refining:
    """Rounds of refinement within a share of the time, as long as they find anything.

    Parameters
    ----------
    evaluator : Evaluator
    node : Node
        The root, evaluated.
    """

    def __init__(self, evaluator, node):
        self.refinement = Refinement(evaluator, node)
        self._deadline = evaluator.deadline
        self._begun, self._spent = False, 0.0

    @property
    def bound(self):
        """Proven, of all points of the model."""
        return self.refinement.bound

    def due(self, elapsed):
        """Whether a round is worth its time now, ``elapsed`` seconds after the start."""
        late = elapsed >= _TREE_FIRST
        return late and not self.refinement.stuck and self._spent <= _SHARE * elapsed

    def run(self, cutoff, tolerance, points):
        """One round, and points near what it found."""
        started, r = time.perf_counter(), self.refinement
        if not self._begun:
            self._begun = True
            r.begin(cutoff, tolerance)
        most = max(_LEAST_SECONDS, _MILP * self._deadline.elapsed())
        node, mixture = r.round(cutoff, tolerance, self._deadline.left(most))
        self._spent += time.perf_counter() - started
        if mixture is not None:
            points.look(node, mixture, tolerance, new=True)


def _by_member(multipliers):
    """Lists of member -> multipliers in which each member occurs once."""
    rounds = []
    seen = {}
    for k, pi in multipliers:
        i = seen.get(k, 0)
        seen[k] = i + 1
        if i == len(rounds):
            rounds.append({})
        rounds[i][k] = pi
    return rounds
