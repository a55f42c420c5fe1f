"""When a tree looks for points by itself: integer values, dives, rounds of search."""

import copy
from dataclasses import dataclass

import numpy as np

from pyomo_relu.branch.points.assignment import Assignments, Tried
from pyomo_relu.branch.points.budget import Budget
from pyomo_relu.branch.points.dive import Dive
from pyomo_relu.branch.points.rounds import SEARCHING, SearchRounds

#: Boxes after which a tree is none of those that end at once.
_EASY = 30

#: Share of the time that may go into trying values of integer columns.
_ASSIGNING = 0.15

#: Open nodes whose integer values are tried after a batch.
_ASSIGNED = 8

#: Share of the time that may go into diving.
_DIVING = 0.1

#: Where atoms are and a point is known already, no dive begins unless its share of the
#: time covers so many boxes evaluated alone.  Measured on a reactor, two plants and a
#: mixing problem: dives took 14 to 55% of their seconds; the one model of 17 to which a
#: dive gave a better point gets it from the starts that are left, too.
_DIVED = 50

#: With atoms a tree of at most so many boxes had better begin anew, its whole box
#: narrowed again, where a new point closed so much of the gap, relative to what is left.
#: Measured on mixing problems of four inputs, a third to all of the boxes of going on.
_ANEW, _MUCH = 200, 0.05

#: Seconds after which search goes on although something feasible is known.
_PATIENCE = 5.0


@dataclass(frozen=True)
class Searched:
    """What the searches of a run have spent, and what they have tried.

    Attributes
    ----------
    diving, assigning : Budget
    rounds : tuple of float
        Seconds of the next round, and of all before.
    tried : Tried
    """

    diving: Budget
    assigning: Budget
    rounds: tuple
    tried: Tried


class Searches:
    """The searches of one tree, each within its share of the tree's time.

    Parameters
    ----------
    tree : Tree
    """

    def __init__(self, tree):
        self._tree = tree
        self._diving, self._assigning = Budget(_DIVING), Budget(_ASSIGNING)
        seed = tree.options.seed
        self._rounds = SearchRounds(tree.incumbent, seed)
        self._assignments = Assignments(tree.problem, tree.incumbent, seed)

    @property
    def state(self):
        """A ``Searched`` from which another tree of the same problem can go on."""
        return Searched(
            copy.copy(self._diving),
            copy.copy(self._assigning),
            self._rounds.spent,
            self._assignments.tried,
        )

    def go_on(self, searched):
        """Go on where others have come to; they are not changed by it."""
        self._diving = copy.copy(searched.diving)
        self._assigning = copy.copy(searched.assigning)
        self._rounds.spent = searched.rounds
        self._assignments.tried = searched.tried

    def run(self, most=np.inf):
        """Whatever is due now.

        Parameters
        ----------
        most : float
            Seconds for each kind of search but a dive, once a feasible point is known.

        Returns
        -------
        bool
            Whether a point was found early that is so much better that the tree had
            better begin anew.
        """
        tree, before = self._tree, self._tree.cutoff
        known = np.isfinite(tree.incumbent.value)
        # what is found before boxes are split may let a tree of atoms begin anew
        if tree.helpers.search_instead and (known or not tree.problem.atoms):
            return False  # workers will, beside each other
        few = tree.nodes <= _ANEW
        if tree.nodes > _EASY:
            tree.incumbent.try_left_over(tree.deadline.left())
        self._assign(tree, most)
        self._dive(tree)
        self._search(tree, most)
        if not (tree.problem.atoms and few and len(tree.open)):
            return False
        closed, left = before - tree.cutoff, tree.cutoff - tree.bound
        return bool(closed > _MUCH * left > 0.0)

    def _assign(self, tree, most):
        """Integer values near the best point's and of the best nodes, then LPs."""
        if not self._assignments.useful or not len(tree.open):
            return
        seconds = self._assigning.seconds(tree.worked)
        if np.isfinite(tree.incumbent.value):
            seconds = min(most, seconds)
        if seconds <= 0 or tree.deadline.passed():
            return
        points = tree.open.best(_ASSIGNED).minimiser
        clock = tree.deadline.share(seconds)
        self._assigning.run(lambda: self._assignments.work(points, clock))

    def _dive(self, tree):
        """Dive from the best node, often while nothing feasible is known."""
        least = 0.0
        if tree.problem.is_box or not len(tree.open):
            return
        if not np.isfinite(tree.incumbent.value):
            self._diving.renew()
        elif tree.problem.atoms:
            least = _DIVED * tree.of_a_box
        if self._diving.seconds(tree.worked) <= least:
            return
        node = tree.open.best(1)
        dive = Dive(tree.relaxation, tree.incumbent, tree.deadline)
        self._diving.run(lambda: dive.run(node, tree.cutoff))

    def _search(self, tree, most):
        """Rounds of search: many until something feasible is known, few after that."""
        known = np.isfinite(tree.incumbent.value)
        share = SEARCHING / 6.0 if known else SEARCHING
        if tree.problem.is_box or tree.deadline.passed() or not len(tree.open):
            return
        if known and tree.worked < _PATIENCE:
            return
        if self._rounds.due(share, tree.worked):
            self._rounds.run(tree.deadline.share(most) if known else tree.deadline)
