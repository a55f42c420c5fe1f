"""The tree of a branch and bound: which boxes are worked on, pruned and handed over."""

import contextlib
from dataclasses import replace

import numpy as np

from pyomo_relu.branch import statuses
from pyomo_relu.branch.bounding.narrowing import narrowed, refuse_endless
from pyomo_relu.branch.bounding.relaxation import Relaxation
from pyomo_relu.branch.boxes import Nodes, OpenNodes
from pyomo_relu.branch.points.incumbent import REPAIRS, Incumbent
from pyomo_relu.branch.points.searches import Searches
from pyomo_relu.branch.tree.checkpoint import NO_CHECKPOINT, State
from pyomo_relu.branch.tree.helpers import ALONE
from pyomo_relu.branch.tree.limits import Limits
from pyomo_relu.branch.tree.small_boxes import SmallBoxes
from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.sessions.highs_runs import processor_seconds

#: Processor seconds of a batch: short against a time limit, long against Python.
_BATCH_SECONDS = 0.4

#: Most seconds for finding ends of columns without any.
_CONFINING = 10.0

#: A bound this much below the cutoff, relative, reaches it: MILPs rest on tolerances.
_REACHED = 1e-8


class Tree:
    """State of one run, or of the work on a subtree; see ``branch.branch``.

    Parameters
    ----------
    problem : BranchProblem
        With finite bounds on x.
    options : BranchOptions
    deadline : Deadline
        Of the whole run.
    progress, visited : callable, optional
    helpers : Alone, optional
        Who works on boxes besides the tree.
    checkpoint : Checkpoint, optional
        What saves the state now and then.

    Attributes
    ----------
    incumbent : Incumbent
    open : OpenNodes
        Those that wait here; ``helpers.out`` has others.
    nodes, milps : int
    paused, helped, of_helpers, of_a_box : float
        Seconds in which others were at work, or its helpers; theirs; for the whole box.
    searches : Searches
    """

    def __init__(
        self,
        problem,
        options,
        deadline,
        progress=None,
        visited=None,
        helpers=ALONE,
        checkpoint=NO_CHECKPOINT,
    ):
        self.problem = problem
        self.options, self.deadline = options, deadline
        self.progress, self.visited = progress, visited
        self.helpers, self.checkpoint = helpers, checkpoint
        self.incumbent = Incumbent(problem)
        self.relaxation = Relaxation(problem)
        self.open = OpenNodes(self.relaxation.root())
        self.nodes = self.milps = 0
        self.paused = self.helped = self.of_helpers = self.of_a_box = 0.0
        self.limits = Limits()
        self._at_work, self._proven = np.inf, -np.inf
        self._per_batch = 8
        self.searches = Searches(self)
        self.small_boxes = SmallBoxes(self)
        self._unconfined = bool(self.relaxation.endless.any())
        self._begun, self._repairs = False, True
        self.ends = problem.lower, problem.upper

    # -- what is proven ------------------------------------------------------------

    @property
    def tolerance(self):
        """Absolute gap at which the incumbent counts as optimal."""
        return self.options.tolerance(self.incumbent.value)

    @property
    def cutoff(self):
        """Boxes whose bound reaches this are dropped."""
        return min(self.incumbent.value - self.tolerance, self.options.prove_above)

    @property
    def _wide(self):
        """Whether the gap is wider than the objective: the cutoff is then no bound."""
        return self.tolerance > max(1.0, abs(self.incumbent.value))

    @property
    def bound(self):
        """Proven lower bound of the objective."""
        least = min(
            self.limits.least,
            self._at_work,
            self.open.bound,
            self.helpers.bound,
            self.incumbent.value,
        )
        return max(least, self._proven)

    @property
    def n_open(self):
        """Boxes that wait or are being worked on."""
        return len(self.open) + sum(map(len, self.helpers.out))

    @property
    def seconds(self):
        """Seconds since the start, without those for which it paused."""
        return self.deadline.elapsed() - self.paused

    @property
    def worked(self):
        """Seconds of work so far, that of helpers among them."""
        return self.seconds - self.helped + self.of_helpers

    def learn(self, full, bound):
        """What others found meanwhile: a point, shape (n_columns,), or None; a bound."""
        self._proven = max(self._proven, bound)
        if full is not None:
            self.incumbent.offer(full[None, self.problem.columns])

    # -- the state as a whole ------------------------------------------------------

    def state(self):
        """A ``State`` from which the run could go on; later work does not change it."""
        return State(
            [self.open.nodes[:], *(nodes[:] for nodes in self.helpers.out)],
            replace(self.limits),
            self._proven,
            self.incumbent.value,
            self.incumbent.full,
            self.nodes,
            self.milps,
        )

    def restore(self, state):
        """Go on from a ``State`` of the same problem instead of beginning."""
        nodes = Nodes.joined(state.nodes)
        nodes.origin = np.zeros(len(nodes), dtype=int)  # it has other tasks
        # a root that was tightened better meanwhile is what the relaxation is made for
        nodes.lower = np.maximum(nodes.lower, self.problem.lower)
        nodes.upper = np.minimum(nodes.upper, self.problem.upper)
        if nodes.duals.shape[1] != self.relaxation.n_rows:
            nodes.duals = np.zeros((len(nodes), self.relaxation.n_rows))
        self.take_up(nodes, np.inf, None)
        if state.full is not None:
            self.incumbent.offer(state.full[None, self.problem.columns])
        self.limits, self._proven = replace(state.limits), state.proven
        self.nodes, self.milps = state.evaluated, state.milps
        self._begun = True

    def take_up(self, nodes, value, full):
        """Have these boxes and nothing else to do; ``full`` is a point known before."""
        self.open, self.nodes, self.milps = OpenNodes(nodes), 0, 0
        self.limits, self._at_work, self._proven = Limits(), np.inf, -np.inf
        self.incumbent.adopt(value, full)

    @contextlib.contextmanager
    def moving(self, bound):
        """While boxes of this bound are in no list: an interrupt loses no bound."""
        self._at_work = bound
        yield
        self._at_work = np.inf

    # -- the run -------------------------------------------------------------------

    def run(self):
        """Work until a status is reached; returns it."""
        try:
            return self._run()
        except KeyboardInterrupt:
            return statuses.INTERRUPTED
        finally:
            self.helpers.close()
            self.checkpoint.write()

    def run_subtree(self, spent, search=np.inf):
        """Work on what was taken up until ``spent()``; None, or INTERRUPTED.

        Searches come first, of so many seconds at a time: short tasks have one batch.
        Without any points are those of relaxations, once one is known.
        """
        self._repairs = search > 0
        try:
            while len(self.open):
                if search > 0:
                    self.searches.run(search)
                    self._prune()
                self.batch()
                self._confine()
                self._prune()
                if spent() or self.deadline.passed() or self._decided():
                    break
        except KeyboardInterrupt:
            return statuses.INTERRUPTED
        return None

    def _begin(self):
        """Points, and the whole box bounded; UNBOUNDED where it has no bound."""
        self._repair(self.incumbent.begin(self.options.seed, self.options.start))
        if not np.isfinite(self.incumbent.value):
            self.incumbent.try_left_over(self.deadline.left())
        if self.problem.atoms:
            self._narrow()
        self._confine()
        return self._root() if len(self.open) else None

    def _run(self):
        if not self._begun and self._begin() == statuses.UNBOUNDED:
            return statuses.UNBOUNDED
        while True:
            self._confine()
            self._prune()
            if self._search() == statuses.UNBOUNDED:
                return statuses.UNBOUNDED
            if self.progress is not None:
                self.progress(self)
            self._prune()
            self.checkpoint.note(self)
            if (decided := self._decided()) is not None:
                return decided
            if not self.n_open:
                return self._conclusion()
            ended = self._ended()
            if ended is not None and not self.helpers.out:
                return ended
            if ended is not None:
                self.helpers.finish(self)
            elif self.helpers.take(self):
                self.helpers.step(self)
            else:
                self.batch()

    def _search(self):
        """Points; the whole box again where that promises much, UNBOUNDED as ``_root``."""
        if self.helpers.out or not self.searches.run():
            return None
        self._proven = self.bound
        self.relaxation.forget()
        self._narrow()
        return self._root() if len(self.open) else None

    def _ended(self):
        """The limit that was reached, or None."""
        if self.deadline.passed():
            return statuses.TIME_LIMIT
        return statuses.NODE_LIMIT if self.nodes >= self.options.node_limit else None

    def batch(self):
        """Work on some boxes of least bound."""
        with self.moving(self.open.bound):
            self._work(self.open.pop(self._per_batch))

    def _root(self):
        """Bound the whole box, whatever the time and the gap."""
        cutoff = self.incumbent.value if self._wide else self.cutoff
        self.limits.shrink_to(cutoff)
        self._at_work = -np.inf
        started = processor_seconds()
        done = self.relaxation.evaluate(self.open.pop(1), cutoff)
        self.of_a_box = processor_seconds() - started
        bounded = np.isfinite(cutoff) and np.isfinite(done.nodes.bound).all()
        if done.unbounded and not bounded:
            return statuses.UNBOUNDED
        self._take(done)
        self._at_work = np.inf
        return None

    def _prune(self):
        """Drop open nodes that are of no interest; an interrupt loses no bound."""
        if self._wide:
            self._proven = max(self._proven, self.bound)
        cutoff = self.cutoff
        with self.moving(min(self.open.bound, self.helpers.bound)):
            pruned = min(self.open.prune(cutoff), self.helpers.prune(cutoff))
            if np.isfinite(pruned):
                self.limits.close(min(pruned, cutoff))

    def _confine(self):
        """Ends for columns without any, once points of interest have a cutoff."""
        cutoff = self.cutoff
        if not (self._unconfined and np.isfinite(cutoff)):
            return
        self._unconfined = False
        self.limits.shrink_to(cutoff)
        deadline, full = self.deadline.share(_CONFINING), self.incumbent.full
        point = None if full is None else full[self.problem.columns]
        try:
            self.ends = self.relaxation.confined(cutoff, deadline, point)
            self.open.confine(*self.ends)
        except InfeasibleError:
            self.open = OpenNodes(self.relaxation.root()[:0])

    def _narrow(self):
        """LPs for the ends of what atoms read, before the first box is split."""
        deadline = self.deadline.share(_CONFINING)
        root = narrowed(self.relaxation, self.limits.shrink_to(self.cutoff), deadline)
        self.open = OpenNodes(root)
        self._unconfined = not np.isfinite(root.upper - root.lower).all()
        self._confine()
        refuse_endless(self.relaxation, self.open.best(1))

    def _decided(self):
        """The status if ``stop_at`` or ``prove_above`` is reached, else None."""
        return self.options.decision(self.bound, self.incumbent.value)

    def _conclusion(self):
        if self.cutoff == self.options.prove_above < np.inf:
            # by a rounding below it: neither proven nor optimal
            return statuses.STALLED
        if not self.reaches_cutoff(min(self.limits.unresolved, self.limits.closed)):
            return statuses.STALLED
        known = np.isfinite(self.incumbent.value)
        return statuses.OPTIMAL if known else statuses.INFEASIBLE

    def reaches_cutoff(self, bound):
        """Whether nothing in a box of this bound is of interest."""
        room = _REACHED * (1.0 + abs(self.cutoff)) if np.isfinite(self.cutoff) else 0.0
        return bound >= self.cutoff - room

    def _work(self, batch):
        """Solve the small ones by MILPs, split and bound the others."""
        small = self.small_boxes.among(batch)
        if small.any():
            batch = self.small_boxes.solve(batch, small)
        stuck = batch.column < 0
        if stuck.any():
            self.small_boxes.leave(batch[stuck])
            batch = batch[~stuck]
        if not len(batch):
            return
        # by the wall clock batches would shrink on a busy machine
        started = processor_seconds()
        cutoff = self.limits.shrink_to(self.cutoff)
        halves = batch.split(self.problem.integer)
        self._take(self.relaxation.evaluate(halves, cutoff, self.deadline))
        seconds = processor_seconds() - started
        counted = 2 * int(batch.counted.sum())
        self.small_boxes.handover.book_boxes(seconds, 2 * len(batch), counted)
        self._adapt(seconds)

    def _adapt(self, seconds):
        """Batches that take about as long as they should."""
        if seconds < 0.5 * _BATCH_SECONDS:
            self._per_batch = min(self.options.batch, 2 * self._per_batch)
        elif seconds > 2 * _BATCH_SECONDS:
            self._per_batch = max(1, self._per_batch // 2)

    def _take(self, done):
        """Book what evaluating some boxes gave."""
        self.nodes += done.evaluated
        self.limits.close(done.closed)
        if self.visited is not None:
            self.visited(done.nodes.lower, done.nodes.upper)
        self.candidates(done)
        self.open.add(done.nodes)

    # -- incumbents ----------------------------------------------------------------

    def candidates(self, done):
        """Minimisers of relaxations as incumbents."""
        if not len(done.nodes):
            return
        before = self.incumbent.value
        feasible, _ = self.incumbent.offer(done.points)
        if self.incumbent.value < before:
            self.incumbent.walk(self.incumbent.full[self.problem.columns])
        known = np.isfinite(self.incumbent.value)
        if self.problem.is_box or feasible.all() or (known and not self._repairs):
            return
        count = 1 if known else REPAIRS
        points, bounds = done.points[~feasible], done.nodes.bound[~feasible]
        self._repair(self.incumbent.starts(points, bounds, count))

    def try_point(self, point):
        """Take a point, or one of its linear region, as an incumbent."""
        feasible, _ = self.incumbent.offer(point[None])
        if not feasible[0]:
            self._repair([point])

    def _repair(self, points):
        for point in points:
            if self.deadline.passed():
                break
            if self.incumbent.improve(point, self.deadline.left()):
                self.incumbent.walk(self.incumbent.full[self.problem.columns])
