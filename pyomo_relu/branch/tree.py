"""The tree of a branch and bound: which boxes are worked on, pruned and handed over."""

import concurrent.futures
import time

import numpy as np

from pyomo_relu.branch.bounding.leaves import solve_leaf
from pyomo_relu.branch.bounding.narrowing import narrowed, refuse_endless
from pyomo_relu.branch.bounding.relaxation import Relaxation, evaluate_part
from pyomo_relu.branch.boxes import OpenNodes
from pyomo_relu.branch.handover import ROOT_LIMITS, Handover
from pyomo_relu.branch.points.incumbent import REPAIRS, Incumbent
from pyomo_relu.branch.points.searches import Searches
from pyomo_relu.common.executor import run_tasks
from pyomo_relu.errors import InfeasibleError

OPTIMAL = "optimal"
INFEASIBLE = "infeasible"
UNBOUNDED = "unbounded"
TIME_LIMIT = "time limit"
INTERRUPTED = "interrupted"
STALLED = "stalled"
POINT_REACHED = "stop_at is reached"
BOUND_REACHED = "prove_above is proven"

#: Seconds that one batch should take: short against a time limit, long against Python.
_BATCH_SECONDS = 0.4

#: Most seconds for finding ends of columns without any.
_CONFINING = 10.0

#: A bound this much below the cutoff, relative, counts as having reached it: MILPs rest
#: on tolerances.
_REACHED = 1e-8


class Tree:
    """State of one run; see ``branch.branch``.

    Parameters
    ----------
    problem : BranchProblem
        With finite bounds on x.
    options : BranchOptions
    deadline : Deadline
        Of the whole run.
    progress, visited : callable, optional

    Attributes
    ----------
    incumbent : Incumbent
    open : OpenNodes
    nodes, milps : int
    paused : float
        Seconds of the run in which others were at work.
    """

    def __init__(self, problem, options, deadline, progress=None, visited=None):
        self.problem = problem
        self.options = options
        self.deadline = deadline
        self.progress = progress
        self.visited = visited
        self.incumbent = Incumbent(problem)
        self.relaxation = Relaxation(problem)
        self.open = OpenNodes(self.relaxation.root())
        self.nodes = self.milps = 0
        self.paused = 0.0
        self._closed = np.inf
        self._unresolved = np.inf
        self._at_work = np.inf
        self._shrunk_to = np.inf
        self._proven = -np.inf
        self._per_batch = 8
        self._searches = Searches(self)
        # a MILP knows nothing of atoms
        self._handover = Handover(0 if problem.atoms else options.milp_neurons)
        self._unconfined = bool(self.relaxation.endless.any())

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
            self._closed,
            self._unresolved,
            self._at_work,
            self._shrunk_to,
            self.open.bound,
            self.incumbent.value,
        )
        return max(least, self._proven)

    @property
    def seconds(self):
        """Seconds since the start, without those for which it paused."""
        return self.deadline.elapsed() - self.paused

    def learn(self, full, bound):
        """What others found meanwhile.

        Parameters
        ----------
        full : numpy.ndarray, shape (n_columns,), or None
        bound : float
        """
        self._proven = max(self._proven, bound)
        if full is not None:
            self.incumbent.offer(full[None, self.problem.columns])

    # -- the run -------------------------------------------------------------------

    def run(self):
        """Work until a status is reached; returns it."""
        pool = None
        try:
            if self.options.executor is None and self.options.threads > 1:
                pool = concurrent.futures.ThreadPoolExecutor(self.options.threads)
            return self._run(self.options.executor or pool)
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            if pool is not None:
                pool.shutdown(cancel_futures=True)

    def _run(self, executor):
        self._repair(self.incumbent.begin(self.options.seed, self.options.start))
        if self.problem.atoms:
            self._narrow()
        self._confine()
        if len(self.open) and self._root() == UNBOUNDED:
            return UNBOUNDED
        while True:
            self._confine()
            self._prune()
            self._searches.run()
            if self.progress is not None:
                self.progress(self)
            self._prune()
            if (decided := self._decided()) is not None:
                return decided
            if not len(self.open):
                return self._conclusion()
            if self.deadline.passed():
                return TIME_LIMIT
            self._at_work = self.open.bound
            self._work(self.open.pop(self._per_batch), executor)
            self._at_work = np.inf

    def _root(self):
        """Bound the whole box, whatever the time and the gap."""
        cutoff = self._cut_at(self.incumbent.value if self._wide else self.cutoff)
        self._at_work = -np.inf
        done = self.relaxation.evaluate(self.open.pop(1), cutoff)
        if done.unbounded and not (
            np.isfinite(cutoff) and np.isfinite(done.nodes.bound).all()
        ):
            return UNBOUNDED
        self._take(done)
        self._at_work = np.inf
        return None

    def _prune(self):
        """Drop open nodes that are of no interest; an interrupt loses no bound."""
        if self._wide:
            self._proven = max(self._proven, self.bound)
        self._at_work, cutoff = self.open.bound, self.cutoff
        pruned = self.open.prune(cutoff)
        if np.isfinite(pruned):
            self._closed = min(self._closed, pruned, cutoff)
        self._at_work = np.inf

    def _cut_at(self, cutoff):
        """``cutoff``, noted: below it boxes may be shrunk, so it is a bound too."""
        self._shrunk_to = min(self._shrunk_to, cutoff)
        return cutoff

    def _confine(self):
        """Ends for columns without any, once points of interest have a cutoff."""
        cutoff = self.cutoff
        if not (self._unconfined and np.isfinite(cutoff)):
            return
        self._unconfined = False
        self._cut_at(cutoff)
        deadline = self.deadline.share(_CONFINING)
        try:
            self.open.confine(*self.relaxation.confined(cutoff, deadline))
        except InfeasibleError:
            self.open = OpenNodes(self.relaxation.root()[:0])

    def _narrow(self):
        """LPs for the ends of what atoms read, before the first box is split."""
        deadline = self.deadline.share(_CONFINING)
        root = narrowed(self.relaxation, self._cut_at(self.cutoff), deadline)
        self.open = OpenNodes(root)
        self._unconfined = not np.isfinite(root.upper - root.lower).all()
        self._confine()
        refuse_endless(self.relaxation, self.open.best(1))

    def _decided(self):
        """The status if ``stop_at`` or ``prove_above`` is reached, else None."""
        if self.incumbent.value <= self.options.stop_at:
            return POINT_REACHED
        reached = self.bound >= self.options.prove_above < np.inf
        return BOUND_REACHED if reached else None

    def _conclusion(self):
        if self.cutoff == self.options.prove_above < np.inf:
            return STALLED  # by a rounding below it: neither proven nor optimal
        if not self._reaches_cutoff(min(self._unresolved, self._closed)):
            return STALLED
        if np.isfinite(self.incumbent.value):
            return OPTIMAL
        return INFEASIBLE

    def _reaches_cutoff(self, bound):
        """Whether nothing in a box of this bound is of interest."""
        cutoff = self.cutoff
        if not np.isfinite(cutoff):
            return bound >= cutoff
        return bound >= cutoff - _REACHED * (1.0 + abs(cutoff))

    def _work(self, batch, executor):
        """Solve the small ones by MILPs, split and bound the others."""
        if self.nodes == 1 and self.options.root_milp:
            small = batch.unstable <= self._handover.at_root(self.problem.n_inputs)
        else:
            small = batch.unstable <= self._handover.neurons
        if small.any():
            batch = self._leaves(batch, np.flatnonzero(small))
        stuck = batch.column < 0
        if stuck.any():
            self._unresolve(batch[stuck])
            batch = batch[~stuck]
        if not len(batch):
            return
        started = time.perf_counter()
        parts = self.options.threads
        if self.options.executor is not None and parts == 1:
            parts = getattr(executor, "_max_workers", None) or 2
        cutoff = self._cut_at(self.cutoff)
        chunks = [batch[i::parts] for i in range(min(parts, len(batch)))]
        split = [c.split(self.problem.integer) for c in chunks]
        tasks = [(self.relaxation, s, cutoff, self.deadline) for s in split]
        run = run_tasks(evaluate_part, tasks, executor if len(tasks) > 1 else None)
        for chunk, done in zip(chunks, run.results, strict=True):
            if done is None:
                self.open.add(chunk)
            else:
                self._take(done)
        if run.interrupted:
            raise KeyboardInterrupt
        seconds = time.perf_counter() - started
        counted = 2 * int(batch.counted.sum())
        self._handover.book_boxes(seconds, 2 * len(batch), counted)
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
        self._closed = min(self._closed, done.closed)
        if self.visited is not None:
            self.visited(done.nodes.lower, done.nodes.upper)
        self._candidates(done)
        self.open.add(done.nodes)

    def _unresolve(self, nodes):
        """Boxes that cannot be split: one last try, then they limit the bound."""
        for lower, upper, bound in zip(
            nodes.lower, nodes.upper, nodes.bound, strict=True
        ):
            if not self.deadline.passed() and not self.problem.atoms:
                bound = max(bound, self._leaf(lower, upper, 10.0, 10**6).bound)
            self._unresolved = min(self._unresolved, bound)

    # -- incumbents ----------------------------------------------------------------

    def _candidates(self, done):
        """Minimisers of relaxations as incumbents."""
        if not len(done.nodes):
            return
        before = self.incumbent.value
        feasible, _ = self.incumbent.offer(done.points)
        if self.incumbent.value < before:
            self.incumbent.walk(self.incumbent.full[self.problem.columns])
        if not self.problem.is_box and not feasible.all():
            promising = np.flatnonzero(~feasible)
            order = np.argsort(done.nodes.bound[promising])
            count = REPAIRS if not np.isfinite(self.incumbent.value) else 1
            self._repair(done.points[promising[order[:count]]])

    def _repair(self, points):
        for point in points:
            if self.deadline.passed():
                break
            if self.incumbent.improve(point, self.deadline.left()):
                self.incumbent.walk(self.incumbent.full[self.problem.columns])

    # -- leaves --------------------------------------------------------------------

    def _leaves(self, batch, small):
        """MILPs for some of the small boxes; returns those left to be split."""
        settled, root = np.zeros(len(batch), dtype=bool), self.nodes == 1
        still_open = self.open.counted + int(batch.counted.sum())
        for i in small:
            # fewer may go after one that did not end within its limits
            fewer = not root and batch.unstable[i] > self._handover.neurons
            if self.deadline.passed() or fewer:
                continue
            if not self._handover.prefers_milp(batch.counted[i], still_open, root):
                batch.counted[i] = True
                continue
            if batch.bound[i] >= self.cutoff:
                self._closed = min(self._closed, batch.bound[i])
                settled[i] = True
                continue
            started = time.perf_counter()
            limits = ROOT_LIMITS if root else (1.0, 500)
            answer = self._leaf(batch.lower[i], batch.upper[i], *limits)
            self._handover.book_milp(time.perf_counter() - started, answer.finished)
            batch.bound[i] = max(batch.bound[i], answer.bound)
            # a solution of the MILP may be no point of the model, to its tolerance
            if answer.finished and self._reaches_cutoff(answer.bound):
                self._closed = min(self._closed, answer.bound)
                settled[i] = True
        return batch[~settled]

    def _leaf(self, lower, upper, seconds, mip_nodes):
        self.milps += 1
        cutoff = self._cut_at(self.cutoff)
        answer = solve_leaf(
            self.problem,
            self.relaxation.bounder,
            lower,
            upper,
            cutoff,
            0.1 * self.tolerance,
            self.deadline.left(seconds),
            mip_nodes,
        )
        answer.bound = min(answer.bound, cutoff)
        if answer.point is not None:
            feasible, _ = self.incumbent.offer(answer.point[None])
            if not feasible[0]:
                self._repair([answer.point])
        return answer
