"""Pieces of parts refined where a MILP over them is too good to be true.

A tree over boxes splits one part at a time, and what it learns below one half it learns
again below the other.  Where many parts mix points of their graphs, few of these splits
decide anything by themselves.  So all parts are split at once here: a MILP
(``disjunction``) says which pieces are worth a look together and proves a bound; column
generation within them proves the cuts that the MILP did not know, and what is still
mixed there is split.
"""

import numpy as np

from pyomo_relu.decompose.nodes.branching import mixture_errors, split_at
from pyomo_relu.decompose.nodes.lagrangian import improvable
from pyomo_relu.decompose.nodes.node import Node
from pyomo_relu.decompose.pieces.bends import along, slopes_of, split_at_bends
from pyomo_relu.decompose.pieces.disjunction import choose
from pyomo_relu.decompose.pieces.pieces import Pieces

#: Accuracy of the minima on pieces, as a share of what each part may be off.
_ACCURACY = 0.1

#: How far profiles may be from convex on a piece, as a share of the same.
_BENT = 0.3

#: Gap of the MILPs: a share of the gap that is left, at least one of the tolerance.
_GAP, _LEAST_GAP = 0.3, 0.25

#: Share of a part's tolerance up to which a mixture is not split.
_SMALL = 0.1

#: Share of the gap that a round without splits must close, and how many may not.
_GAIN, _PATIENCE = 0.01, 3


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
        self._described = all(
            along(f, k, linked) is not None
            for f, linked in zip(evaluator.families, evaluator.linked, strict=True)
            for k in range(len(f))
        )
        self.pieces = [
            Pieces(f, cover, linked, evaluator.costs[f.columns])
            for f, cover, linked in zip(
                evaluator.families, node.covers, evaluator.linked, strict=True
            )
        ]

    @property
    def n_pieces(self):
        """Number of pieces of all parts."""
        return sum(len(p) for p in self.pieces)

    @property
    def constant(self):
        """Of the objective."""
        return self._e.constant

    @property
    def n_columns(self):
        """Number of the model's columns, which a MILP's point begins with."""
        return self._e.linear.n_columns

    def raise_bound(self, bound, cutoff):
        """Note a bound of what is below ``cutoff``."""
        self.bound = max(self.bound, min(bound, cutoff))

    def begin(self, cutoff, tolerance):
        """Pieces where profiles bend, and cuts of their slopes.

        Profiles are those of the node's own multipliers, which leave out first what
        cannot be below the cutoff.
        """
        self._prove(self.node.duals, cutoff, tolerance)
        _, by_family = self._e.master.split(self.node.duals)
        most = _BENT * tolerance / max(1, self._e.master.n_parts)
        for p, pi in zip(self.pieces, by_family, strict=True):
            if self._e.deadline.passed():
                return
            split_at_bends(p, p.priced(pi), most)
        self._prove(self.node.duals, cutoff, tolerance)
        every = [np.arange(len(p)) for p in self.pieces]
        self._describe(every, by_family, tolerance)

    def round(self, cutoff, tolerance, time_limit, watcher=None):
        """One MILP, column generation within the pieces that it chose, cuts, splits.

        Parameters
        ----------
        cutoff : float
            Points of at least this value do not count.
        tolerance : float
            Accuracy that the objective is wanted to.
        time_limit : float or None
            Seconds for the MILP.
        watcher : Watcher, optional
            Follows it.

        Returns
        -------
        Node, Mixture
            Where to look for points, and what the master mixes there; or None, None.
        """
        e, none = self._e, (None, None)
        gap = _LEAST_GAP * tolerance
        if not self._described:
            gap = max(gap, _GAP * (cutoff - self.bound))
        if not np.isfinite(gap):
            gap = tolerance
        linear = e.linear.replace(lower=self.node.lower, upper=self.node.upper)
        choice = choose(
            linear, e.costs, e.constant, self.pieces, cutoff, gap, time_limit, watcher
        )
        before = self.bound
        self.raise_bound(choice.bound, cutoff)
        if self.bound >= cutoff or choice.x is None or e.deadline.passed():
            self._judge(0, before, cutoff)
            return none
        for p, z, w in zip(self.pieces, choice.z, choice.w, strict=True):
            p.age(choice.x, w, z)
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
            self._prove(duals, cutoff, tolerance, choice)
        self._judge(splits, before, cutoff)
        self._described = not splits
        solved = mixture is not None and mixture.solved
        return (node, mixture) if solved else none

    def _judge(self, splits, before, cutoff):
        """Count rounds that gained nothing."""
        gained = self.bound - before > _GAIN * (cutoff - before)
        self._idle = 0 if splits or gained else self._idle + 1
        self.stuck = self._idle >= _PATIENCE

    def _within(self, choice):
        """The node in the chosen pieces, integers as chosen; and the pieces' numbers."""
        integer = self._e.linear.integer.copy()
        for p in self.pieces:  # the choice does not say where these are
            integer[p.family.columns[~p.linked]] = False
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
        e, count = self._e, 0
        _, by_family = e.master.split(mixture.duals)
        least = _SMALL * tolerance / max(1, e.master.n_parts)
        new = []
        for p, some, pi in zip(self.pieces, chosen, by_family, strict=True):
            piece = dict(zip(p.member[some], some, strict=True))
            splits = []
            for k, _, _, error, by_input, mean in mixture_errors(p.family, mixture, pi):
                if error <= least or k not in piece:
                    continue
                b, j = piece[k], int(by_input.argmax())
                split = split_at(
                    j, mean[j], p.lower[b], p.upper[b], p.family.integer[k]
                )
                if split is not None:
                    splits.append((b, [split]))
            count += len(splits)
            new.append(p.split(splits))
        self._describe(new, by_family, tolerance)
        return count

    def _describe(self, some, by_family, tolerance):
        """Cuts of the slopes of some pieces, by family."""
        e, work = self._e, []
        part = tolerance / max(1, e.master.n_parts)
        for p, fresh, pi in zip(self.pieces, some, by_family, strict=True):
            if e.deadline.passed():
                return
            found = slopes_of(p, fresh, p.priced(pi), _SMALL * part)
            if found:
                of, duals = zip(*found, strict=True)
                work.append((p.several(np.array(of)), np.array(duals)))
        _, values = e.pricing.prove(
            [view for view, _ in work],
            [view.cover for view, _ in work],
            [duals for _, duals in work],
            _ACCURACY * part,
            e.deadline,
        )
        for (view, duals), least in zip(work, values, strict=True):
            view.pieces.add_cuts(view.of, duals, least)

    def _prove(self, multipliers, cutoff, tolerance, choice=None):
        """A bound from multipliers of rows and links; cuts, where a choice violates them."""
        e, rows = self._e, self._e.master.n_rows
        _, by_family = e.master.split(multipliers)
        own = [p.priced(pi) for p, pi in zip(self.pieces, by_family, strict=True)]
        multipliers = np.concatenate([multipliers[:rows], *(pi.ravel() for pi in own)])
        w = [None] * len(self.pieces) if choice is None else choice.w
        for p in self.pieces:
            # what is far above the rest of its member needs no accuracy
            p.slack = max(tolerance, cutoff - self.bound)
        covers, values = e.pricing.prove(
            self.pieces,
            [p.cover for p in self.pieces],
            [pi[p.member] for p, pi in zip(self.pieces, own, strict=True)],
            _ACCURACY * tolerance / max(1, e.master.n_parts),
            e.deadline,
        )
        for p, cover in zip(self.pieces, covers, strict=True):
            p.cover = cover
        least = [p.members_least(v) for p, v in zip(self.pieces, values, strict=True)]
        bound = e.lagrangian.bound(
            e.costs,
            e.constant,
            multipliers,
            np.concatenate(least),
            self.node.lower,
            self.node.upper,
        )
        self.raise_bound(bound, cutoff)
        for p, pi, v, lowest, value in zip(
            self.pieces, own, values, least, w, strict=True
        ):
            violated = np.ones(len(p.family), dtype=bool)
            if choice is not None:
                violated = p.at(pi, choice.x, value) < lowest
                violated |= p.counts > 1
            which = np.flatnonzero(violated[p.member])
            p.add_cuts(which, pi[p.member[which]], v[which])
            on_boxes, _ = p.cover.bounds(pi[p.member])
            boxes = ~improvable(
                on_boxes, lowest[p.member[p.cover.owner]], bound, cutoff
            )
            p.drop(~improvable(v, lowest[p.member], bound, cutoff), boxes)
