"""Boxes with few unstable neurons: those that go to a MILP instead of being split."""

import numpy as np

from pyomo_relu.branch.bounding.leaves import solve_leaf
from pyomo_relu.branch.boxes import Nodes
from pyomo_relu.branch.tree.handover import ROOT_LIMITS, Handover
from pyomo_relu.linear.sessions.highs_runs import processor_seconds

#: Seconds and nodes of a MILP below the root, and of one for a box that cannot be split.
_LIMITS, _LAST = (1.0, 500), (10.0, 10**6)


class SmallBoxes:
    """The MILPs of one tree.

    Parameters
    ----------
    tree : Tree

    Attributes
    ----------
    handover : Handover
        What decides; measured while running.
    """

    def __init__(self, tree):
        self._tree = tree
        # a MILP knows nothing of atoms, and lists all neurons
        self._possible = not (tree.problem.atoms or tree.problem.is_large)
        most = tree.options.milp_neurons if self._possible else 0
        self.handover = Handover(most)

    def among(self, batch):
        """Which boxes are small at present, bool (N,)."""
        tree = self._tree
        if tree.nodes == 1 and tree.options.root_milp:
            return batch.unstable <= self.handover.at_root(tree.problem.n_inputs)
        return batch.unstable <= self.handover.neurons

    def solve(self, batch, small):
        """MILPs for some of the small boxes; returns those left to be split."""
        tree = self._tree
        settled, root = np.zeros(len(batch), dtype=bool), tree.nodes == 1
        still_open = tree.open.counted + int(batch.counted.sum())
        for i in np.flatnonzero(small):
            # fewer may go after one that did not end within its limits
            fewer = not root and batch.unstable[i] > self.handover.neurons
            if tree.deadline.passed() or fewer:
                continue
            if not self.handover.prefers_milp(batch.counted[i], still_open, root):
                batch.counted[i] = True
                continue
            if batch.bound[i] >= tree.cutoff:
                tree.limits.close(batch.bound[i])
                settled[i] = True
                continue
            started = processor_seconds()
            limits = ROOT_LIMITS if root else _LIMITS
            answer = self._milp(batch.lower[i], batch.upper[i], *limits)
            self.handover.book_milp(processor_seconds() - started, answer.finished)
            batch.bound[i] = max(batch.bound[i], answer.bound)
            # a solution of the MILP may be no point of the model, to its tolerance
            if answer.finished and tree.reaches_cutoff(answer.bound):
                tree.limits.close(answer.bound)
                settled[i] = True
        return batch[~settled]

    def leave(self, nodes):
        """Boxes that cannot be split: one last try, then they limit the bound."""
        tree = self._tree
        for lower, upper, bound in zip(
            nodes.lower, nodes.upper, nodes.bound, strict=True
        ):
            if not tree.deadline.passed() and self._possible:
                bound = max(bound, self._milp(lower, upper, *_LAST).bound)
            elif not tree.deadline.passed() and tree.problem.is_large:
                bound = max(bound, self._bound_again(lower, upper))
            tree.limits.leave(bound)

    def _bound_again(self, lower, upper):
        """A box's bound where columns that are not split have their first ends.

        Shrunk by the cutoff, these may have left an LP so little room that it is found
        infeasible without a proof.
        """
        tree = self._tree
        kept, (first_lower, first_upper) = tree.relaxation.splittable, tree.ends
        lower = np.where(kept, lower, first_lower)
        upper = np.where(kept, upper, first_upper)
        node = Nodes.root(lower, upper, tree.relaxation.n_rows)
        done = tree.relaxation.evaluate(node, np.inf, tree.deadline)
        tree.nodes += done.evaluated
        tree.candidates(done)
        return done.nodes.bound.min(initial=done.closed)

    def _milp(self, lower, upper, seconds, mip_nodes):
        tree = self._tree
        tree.milps += 1
        cutoff = tree.limits.shrink_to(tree.cutoff)
        answer = solve_leaf(
            tree.problem,
            tree.relaxation.bounder,
            lower,
            upper,
            cutoff,
            0.1 * tree.tolerance,
            tree.deadline.left(seconds),
            mip_nodes,
        )
        answer.bound = min(answer.bound, cutoff)
        if answer.point is not None:
            tree.try_point(answer.point)
        return answer
