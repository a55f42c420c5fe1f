"""A subtree as a task: pure, picklable, and worked on by the ordinary tree.

The problem does not travel with every task.  The first tasks carry it; a worker keeps
what it made of it, under the run's key, and answers ``NeedsProblem`` to a task without
one if it has none (a worker that was started later, say), which is then sent again with
it.  So nothing is asked of an executor but ``submit``.  A task without boxes prepares
its worker and does nothing else.
"""

import multiprocessing.connection
import os
import pickle
import platform
import signal
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace

import numpy as np

from pyomo_relu.branch.boxes import Nodes
from pyomo_relu.branch.points.searches import Searched
from pyomo_relu.branch.statuses import INTERRUPTED
from pyomo_relu.branch.tree.limits import Limits
from pyomo_relu.branch.tree.tree import Tree
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.linear.sessions.highs_runs import processor_seconds

#: Runs whose problem a worker's thread keeps.
_KEPT = 2

_kept = threading.local()

#: Set in workers of a pool of our own: an event that ends all tasks early.
_stop = None


@dataclass(frozen=True)
class Budget:
    """What a task may take: it ends after the batch that exceeds one of these.

    Attributes
    ----------
    seconds : float
        Processor seconds: on a busy machine a task is as much work as on an idle one.
    nodes : float
        Boxes bounded.
    """

    seconds: float
    nodes: float = np.inf


@dataclass(frozen=True)
class Subtree:
    """A list of boxes to be branched on.

    Attributes
    ----------
    key : str
        Of the run.
    number : int
        Of the task; no two of a run are the same, however similar they are.
    problem : bytes or None
        The pickled ``(problem, options, handover)``, or None if the worker should have
        it.
    nodes : Nodes
        The boxes.
    value : float
        Objective of ``full``, infinite without one.
    full : numpy.ndarray, shape (n_columns,), or None
        The best point known, which the cutoff is made of.
    deadline : Deadline
        Of the whole run.
    budget : Budget
    visited : bool
        Whether the boxes that were bounded are to be returned.
    searched : Searched or None
        What was searched for so far, if this task is to go on with that; None for no
        points beyond those of relaxations.
    worked : float
        Seconds of work in the run so far, of which the searches take their share.
    """

    key: str
    number: int
    problem: bytes | None
    nodes: Nodes
    value: float
    full: np.ndarray | None
    deadline: Deadline
    budget: Budget
    visited: bool = False
    searched: Searched | None = None
    worked: float = 0.0


@dataclass
class SubtreeResult:
    """What a task found.

    Attributes
    ----------
    nodes : Nodes
        The boxes that are open still; ``origin`` says which given ones they are parts of.
    limits : Limits
        Of what is no longer open.
    value : float
    full : numpy.ndarray or None
        The best point, where it is better than the one given.
    evaluated, milps : int
        Boxes bounded and handed to a MILP.
    seconds, cpu : float
        Wall and processor time of the work, without transport and without what other
        threads of the process did.
    worker : str
        Machine, process and thread.
    visited : list of (lower, upper)
    interrupted : bool
        By the keyboard.
    searched : Searched or None
        As in the task, from which it went on.
    """

    nodes: Nodes
    limits: Limits
    value: float
    full: np.ndarray | None
    evaluated: int
    milps: int
    seconds: float
    cpu: float
    worker: str
    visited: list = field(default_factory=list)
    interrupted: bool = False
    searched: Searched | None = None


class NeedsProblem:
    """The answer of a worker that has no problem under the task's key."""


def pack(problem, options, handover):
    """What ``Subtree.problem`` holds: workers begin nothing and save nothing."""
    options = replace(
        options,
        time_limit=None,
        executor=None,
        threads=1,
        start=None,
        save=None,
        resume=None,
        plan=None,
        node_limit=np.inf,
    )
    return pickle.dumps((problem, options, handover), pickle.HIGHEST_PROTOCOL)


def work_on(task):
    """Branch on a subtree until its budget is spent; a task for any executor.

    Parameters
    ----------
    task : Subtree

    Returns
    -------
    SubtreeResult or NeedsProblem
    """
    began, cpu = time.perf_counter(), processor_seconds()
    tree = _tree(task)
    if tree is None:
        return NeedsProblem()
    visited = []
    tree.visited = (lambda *box: visited.append(box)) if task.visited else None
    # the given ones may be others', and in memory that cannot be written to
    nodes = task.nodes.copy()
    nodes.origin = np.arange(len(nodes))
    tree.take_up(nodes, task.value, task.full)
    tree.deadline = task.deadline
    # shares of time are those of the work of all
    tree.paused = task.deadline.elapsed() - task.worked
    budget, searches = task.budget, task.searched is not None
    if searches:
        tree.searches.go_on(task.searched)

    def spent():
        stopped = _stop is not None and _stop.is_set()
        used = processor_seconds() - cpu
        return used >= budget.seconds or tree.nodes >= budget.nodes or stopped

    status = tree.run_subtree(spent, budget.seconds if searches else 0.0)
    seconds = time.perf_counter() - began
    better = tree.incumbent.value < task.value
    return SubtreeResult(
        tree.open.nodes,
        tree.limits,
        tree.incumbent.value if better else np.inf,
        tree.incumbent.full if better else None,
        tree.nodes,
        tree.milps,
        seconds,
        processor_seconds() - cpu,
        f"{platform.node()}/{os.getpid()}/{threading.get_ident()}",
        visited,
        status == INTERRUPTED,
        tree.searches.state if searches else None,
    )


def _tree(task):
    """This thread's tree of the task's run, or None if it needs the problem.

    What it keeps saves work and changes no bound.
    """
    if not hasattr(_kept, "trees"):
        _kept.trees = OrderedDict()
    trees = _kept.trees
    if task.key not in trees:
        if task.problem is None:
            return None
        problem, options, handover = pickle.loads(task.problem)
        # or all workers would look for points at the same places
        options = replace(options, seed=options.seed + task.number)
        tree = Tree(problem, options, task.deadline)
        tree.small_boxes.handover = handover
        # solvers are loaded and their sessions opened by the first box
        started = processor_seconds()
        tree.relaxation.evaluate(tree.relaxation.root(), np.inf, task.deadline)
        tree.of_a_box = processor_seconds() - started
        trees[task.key] = tree
        while len(trees) > _KEPT:
            trees.popitem(last=False)
    trees.move_to_end(task.key)
    return trees[task.key]


def prepare_worker(stop):
    """Initialise a process of a pool of our own.

    Ctrl-C is its coordinator's business, and it does not outlive its coordinator.

    Parameters
    ----------
    stop : multiprocessing.Event
        Ends all tasks after their present batch.
    """
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
