"""The coordinator: gives subtrees of a tree to workers and takes back what they found.

There is no barrier.  Whoever is done gets boxes of the least bounds that wait, together
with the best point known by then.  A task's budget is long against its transport and
short against the run, so that workers end together; where few boxes wait it is the
shortest, so that all get some.  Workers are prepared while the tree is still alone, and
once a point is known one of them at a time looks for better ones, or all would look at
the same places.  It takes the share of all workers' time that a tree alone takes of its
own, or points would come after more boxes; what was tried and spent travels with the
task that searches.  The coordinator evaluates again what they find before it counts.  It
keeps the boxes of every task until it comes back: those of a task that is lost wait
again, and they count in the bound all the time.  In which order tasks come back decides what is found first, so neither nodes nor
solutions are the same in every run; the bound is proven in each.
"""

import time
import uuid
from concurrent.futures import CancelledError
from dataclasses import dataclass

import numpy as np

from pyomo_relu.branch.subtrees.task import Budget, NeedsProblem, Subtree, pack
from pyomo_relu.branch.subtrees.trace import TaskRecord, TaskReport
from pyomo_relu.branch.subtrees.workers import Workers
from pyomo_relu.branch.tree.helpers import Alone
from pyomo_relu.common.executor import GRACE
from pyomo_relu.errors import ReLUError
from pyomo_relu.linear.sessions.highs_runs import processor_seconds

#: Processor seconds from the start for which first tasks are expected to follow soon.
_SOON = 2.0

#: Workers are prepared after this share of what the tree does alone, and not more of them:
#: the problem travels to others with their first boxes.
_PREPARED, _MOST_PREPARED = 0.5, 64

#: Seconds after which a coordinator that waits looks up: for progress, limits, Ctrl-C.
_TICK = 0.5


_WRONG = (
    "it returned {}, so nothing of it was used; install the same pyomo_relu everywhere"
)
_OTHER_BOXES = _WRONG.format("boxes that are no parts of those it was given")
_OTHER_POINT = _WRONG.format("a point that is not feasible here, or has another value")


@dataclass(frozen=True)
class Plan:
    """How work is cut into tasks.

    Attributes
    ----------
    ramp_seconds, ramp_boxes : float
        The tree works alone until it has run so long and has so many boxes per worker;
        by default shorter where workers are there and need not be started.
    overhead : float
        A task takes at least so many times as long as its transport.
    seconds : tuple of float
        Least and most processor seconds of a task.
    share : float
        Most seconds of a task as a share of the run so far.
    nodes : float
        Most boxes that a task may bound.
    boxes : int
        Most boxes that a task is given.
    spare : float
        Tasks that wait in the executor, per worker, where boxes are plenty.
    patience : float
        Seconds without any answer after which the coordinator works, too.
    """

    ramp_seconds: float = 0.5
    ramp_boxes: float = 4.0
    overhead: float = 20.0
    seconds: tuple = (0.25, 5.0)
    share: float = 0.02
    nodes: float = np.inf
    boxes: int = 2000
    spare: float = 0.25
    patience: float = 30.0


@dataclass
class _Task:
    """A task under way."""

    number: int
    nodes: object
    began: float
    budget: Budget
    submitted: float
    searches: bool


class Coordinator(Alone):
    """Who gives subtrees to workers; see ``Alone`` for what the tree asks of it.

    Parameters
    ----------
    executor : concurrent.futures.Executor or None
        None for local processes.
    count : int or None
        Tasks at the same time; by default what the executor says.
    plan : Plan, optional
    """

    def __init__(self, executor, count=None, plan=None):
        self.plan = plan or Plan(ramp_seconds=0.5 if executor is None else 0.25)
        self.workers = Workers(executor, count)
        self.trace, self._began, self._first = [], processor_seconds(), None
        self._key, self._packed, self._sent = uuid.uuid4().hex, None, 0
        self._under_way, self._number = {}, 0
        self._transport, self._rate, self._heard = None, None, 0.0
        self._known, self._preparing = set(), []

    @property
    def search_instead(self):
        """See Alone.search_instead: all wait for the first tasks, or for a few boxes."""
        soon = processor_seconds() - self._began <= _SOON
        return self.workers.usable and (self._number > 0 or soon)

    @property
    def out(self):
        """The boxes that workers have."""
        return [task.nodes for task in list(self._under_way.values())]

    def report(self):
        """See Alone.report."""
        done = len(self.trace) - self.workers.lost
        workers, now = self.workers, processor_seconds()
        return TaskReport(
            workers.count,
            done,
            workers.lost,
            (now if self._first is None else self._first) - self._began,
            0.0 if self._first is None else now - self._first,
            workers.notes,
            self.trace,
        )

    # -- what the tree asks --------------------------------------------------------

    def take(self, tree):
        """See Alone.take."""
        if self._under_way:
            return True
        plan, begun = self.plan, self._number > 0
        # a tree alone would do the last boxes, and search in the share of all workers
        least = 2 if begun else plan.ramp_boxes * self.workers.count
        enough = len(tree.open) >= least
        ready = begun or tree.seconds >= plan.ramp_seconds
        takes = self.workers.usable and enough and ready
        if not takes:
            self._heard = time.perf_counter()
            self._prepare(tree)
        return takes

    def step(self, tree):
        """See Alone.step."""
        self._hand_out(tree)
        if not self._under_way:
            return
        silent = time.perf_counter() - self._heard >= self.plan.patience
        seconds = 0.0 if silent else tree.deadline.left(_TICK)
        began = tree.seconds
        done = self.workers.done(list(self._under_way), seconds)
        tree.helped += tree.seconds - began
        for future in done:
            self._collect(tree, future)
        if done:
            self._heard = time.perf_counter()
        elif silent:
            self._work_too(tree)

    def prune(self, cutoff):
        """See Alone.prune: what workers find there is of no interest."""
        least = np.inf
        for future, task in list(self._under_way.items()):
            if task.nodes.bound.min() >= cutoff:
                least = min(least, float(task.nodes.bound.min()))
                future.cancel()
                del self._under_way[future]
        return least

    def finish(self, tree):
        """See Alone.finish."""
        self.workers.stop()
        for future in list(self._under_way):
            if future.cancel():
                self._back(tree, future)
        end = time.perf_counter() + GRACE
        while self._under_way and time.perf_counter() < end:
            left = end - time.perf_counter()
            for future in self.workers.done(list(self._under_way), max(0.0, left)):
                self._collect(tree, future)
        for future in list(self._under_way):
            self._back(tree, future)

    def close(self):
        """See Alone.close."""
        for future in [*self._under_way, *self._preparing]:
            future.cancel()
        self.workers.close()

    # -- giving --------------------------------------------------------------------

    def _prepare(self, tree):
        """Let workers begin with the problem while the first boxes are split."""
        plan, count = self.plan, self.workers.count
        soon = tree.seconds >= _PREPARED * plan.ramp_seconds
        soon &= len(tree.open) >= _PREPARED * plan.ramp_boxes
        if self._sent or not (soon and self.workers.usable):
            return
        self._pack(tree)
        nothing = tree.open.best(0)
        while self._sent < min(count, _MOST_PREPARED) and self.workers.usable:
            subtree = self._subtree(tree, nothing, Budget(0.0), self._packed, False)
            future = self.workers.submit(subtree)
            self._sent += 1
            if future is not None:
                self._preparing.append(future)

    def _hand_out(self, tree):
        count, waiting = self.workers.count, len(tree.open)
        plenty = waiting >= 4 * self.plan.ramp_boxes * count
        slots = count + (int(np.ceil(self.plan.spare * count)) if plenty else 0)
        free = min(slots - len(self._under_way), waiting)
        if free <= 0 or not self.workers.usable:
            return
        budget = self._budget(tree, plenty)
        # half stays for those who come next, where all but the first ones are at work
        few = self._under_way and not plenty
        share = waiting // (2 * count if few else count)
        each = max(1, min(share, self._most(budget)))
        with tree.moving(tree.open.bound):
            batch = tree.open.pop(free * each)
            batch = batch[np.argsort(batch.bound, kind="stable")]
            for i in range(free):
                self._submit(tree, batch[i::free], budget)

    def _budget(self, tree, plenty):
        least, most = self.plan.seconds
        least = min(most, max(least, self.plan.overhead * (self._transport or 0.0)))
        seconds = float(np.clip(self.plan.share * tree.seconds, least, most))
        left = tree.options.node_limit - tree.nodes
        nodes = max(1.0, min(self.plan.nodes, left))
        return Budget(seconds if plenty else least, nodes)

    def _most(self, budget):
        """Boxes that a task can just split once within its budget."""
        if self._rate is None:
            return self.plan.boxes
        able = min(budget.seconds * self._rate, budget.nodes) / 2
        return int(np.clip(able, 1, self.plan.boxes))

    def _pack(self, tree):
        if self._packed is None:
            self._packed = pack(tree.problem, tree.options, tree.small_boxes.handover)

    def _submit(self, tree, nodes, budget, problem=None):
        """Give boxes away; they wait again if nobody takes them."""
        self._pack(tree)
        if self._first is None:
            self._first = processor_seconds()
        if self._sent < self.workers.count:
            problem = self._packed
        self._sent += problem is not None
        self._number += 1
        searches = not (
            np.isfinite(tree.incumbent.value)
            and any(task.searches for task in self._under_way.values())
        )
        began = tree.deadline.elapsed()
        future = self.workers.submit(
            self._subtree(tree, nodes, budget, problem, searches)
        )
        if future is None:
            tree.open.add(nodes)
            return
        self._under_way[future] = _Task(
            self._number, nodes, began, budget, time.perf_counter(), searches
        )

    def _subtree(self, tree, nodes, budget, problem, searches):
        best = tree.incumbent
        return Subtree(
            self._key,
            self._number,
            problem,
            nodes,
            best.value,
            best.full,
            tree.deadline,
            budget,
            tree.visited is not None,
            tree.searches.state if searches else None,
            tree.worked,
        )

    # -- taking back ---------------------------------------------------------------

    def _collect(self, tree, future):
        task = self._under_way[future]
        try:
            answer = future.result(timeout=0)
        except (ReLUError, KeyboardInterrupt):
            raise  # it is about the problem, not about the worker
        except (Exception, CancelledError) as error:  # noqa: BLE001  (of any kind)
            self._lose(tree, future, error)
            return
        unknown = isinstance(answer, NeedsProblem)
        if not unknown:
            wrong = self._wrong(tree, task, answer)
            if wrong is not None:
                self._lose(tree, future, RuntimeError(wrong))
                return
        self.workers.succeeded()
        with tree.moving(float(task.nodes.bound.min())):
            del self._under_way[future]
            if unknown:
                self._submit(tree, task.nodes, task.budget, self._packed)
                return
            if answer.interrupted:
                raise KeyboardInterrupt
            self._take(tree, task, answer)

    @staticmethod
    def _wrong(tree, task, answer):
        """What an answer cannot be used for; if nothing, its point is taken."""
        if not answer.nodes.are_parts_of(task.nodes):
            return _OTHER_BOXES
        if not tree.incumbent.confirm(answer.value, answer.full):
            return _OTHER_POINT
        return None

    def _lose(self, tree, future, error):
        """Book a task that failed, and let its boxes wait again."""
        self.workers.failed(error)
        self._record(tree, self._under_way[future], None)
        self._back(tree, future)

    def _take(self, tree, task, answer):
        """Book what a task found."""
        self._record(tree, task, answer)
        # executors with shared memory return arrays that cannot be written to
        answer.nodes.origin = np.full(len(answer.nodes), task.number)
        tree.limits.merge(answer.limits)
        tree.open.add(answer.nodes)
        tree.nodes += answer.evaluated
        tree.milps += answer.milps
        tree.of_helpers += answer.cpu
        if answer.searched is not None:
            tree.searches.go_on(answer.searched)
        for box in answer.visited:
            tree.visited(*box)
        took = max(0.0, time.perf_counter() - task.submitted - answer.seconds)
        # of the least: others have waited for a worker, or for one to begin
        if answer.worker in self._known:
            self._transport = min(took, self._transport or took)
        self._known.add(answer.worker)
        if answer.cpu > 0:
            rate = answer.evaluated / answer.cpu
            self._rate = rate if self._rate is None else 0.8 * self._rate + 0.2 * rate

    def _back(self, tree, future):
        """Let the boxes of a task wait again as they were."""
        task = self._under_way[future]
        with tree.moving(float(task.nodes.bound.min())):
            del self._under_way[future]
            tree.open.add(task.nodes)

    def _work_too(self, tree):
        """Nobody answers: work on what waits, or on what the eldest task was given."""
        if not len(tree.open):
            eldest = min(self._under_way, key=lambda f: self._under_way[f].number)
            eldest.cancel()
            self._back(tree, eldest)
        tree.batch()

    def _record(self, tree, task, answer):
        end = tree.deadline.elapsed()
        self.trace.append(
            TaskRecord.of(task.number, task.began, end, task.nodes, answer)
        )
