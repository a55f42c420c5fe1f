"""Rounds of refinement within a share of a run's time, and the MILP of each followed."""

from pyomo_relu.decompose.pieces.disjunction import padded
from pyomo_relu.decompose.pieces.refinement import Refinement
from pyomo_relu.linear.sessions.watcher import Watcher

#: Share of the time for refinement; the rest is the tree's.
_SHARE = 0.8

#: Seconds that the tree has to itself: it closes easy models sooner than one MILP ends.
_TREE_FIRST = 2.0

#: Seconds of a MILP: a share of those so far, and the least.
_MILP, _LEAST_SECONDS = 3.0, 20.0


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
        self._begun, self._spent = False, 0.0

    @property
    def bound(self):
        """Proven, of all points of the model."""
        return self.refinement.bound

    def due(self, elapsed):
        """Whether a round is worth its time now, ``elapsed`` seconds after the start."""
        late = elapsed >= _TREE_FIRST
        return late and not self.refinement.stuck and self._spent <= _SHARE * elapsed

    def run(self, tree):
        """One round, and points near what it found.

        Parameters
        ----------
        tree : Decomposition
        """
        started, r = tree.seconds, self.refinement
        if not self._begun:
            self._begun = True
            r.begin(tree.cutoff, tree.accuracy)
            tree.look_up()
        if not tree.deadline.passed() and r.bound < tree.cutoff:
            most = max(_LEAST_SECONDS, _MILP * tree.seconds)
            follower = Follower(tree, r, most)
            left = tree.deadline.left()
            node, mixture = r.round(tree.cutoff, tree.accuracy, left, follower)
            if mixture is not None:
                tree.points.look(node, mixture, tree.accuracy, new=True)
        self._spent += tree.seconds - started


class Follower(Watcher):
    """Follows a MILP over pieces: points near what it finds, its end, and the clock.

    Parameters
    ----------
    tree : Decomposition
    refinement : Refinement
    seconds : float
        After which the MILP is ended.
    """

    def __init__(self, tree, refinement, seconds):
        self._tree, self._refinement = tree, refinement
        self._end = tree.seconds + seconds

    def step(self, bound):
        """See Watcher.step; ends what is proven by a point found meanwhile."""
        tree, r = self._tree, self._refinement
        r.raise_bound(padded(bound, r.constant), tree.cutoff)
        tree.look_up()
        return r.bound >= tree.cutoff or tree.seconds >= self._end

    def found(self, point):
        """See Watcher.found."""
        r = self._refinement
        self._tree.points.choose(point[: r.n_columns], r.node.duals)
