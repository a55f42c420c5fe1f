"""Running pure tasks on any ``concurrent.futures.Executor``, or here without one.

A task is a picklable module-level function of one picklable argument.  Results come
back in the order of the tasks, so what is made of them does not depend on the number
of workers.  A worker that dies costs its tasks, not the run.
"""

import concurrent.futures
import logging
import multiprocessing
import threading
from dataclasses import dataclass, field

from pyomo_relu.common.deadline import ENDLESS
from pyomo_relu.errors import ReLUError

logger = logging.getLogger("pyomo.relu.bounds")

#: Seconds beyond the deadline that running tasks get to hand in what they have.
GRACE = 2.0


@dataclass
class TaskRun:
    """Results of ``run_tasks``; None where a task was not done.

    Parameters
    ----------
    results : list
    interrupted : bool
        Stopped by the keyboard.
    lost : list of int
        Tasks whose worker died or raised, also those done here afterwards.
    notes : list of str
        What was not done as planned, and why.
    executor_broken : bool
        The executor takes no more tasks.
    """

    results: list
    interrupted: bool = False
    lost: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    executor_broken: bool = False


def run_tasks(
    function, tasks, executor=None, deadline=ENDLESS, recompute=True, done=None
):
    """Run ``function`` on each task.

    Parameters
    ----------
    function : callable
        Module-level function of one argument.
    tasks : sequence
    executor : concurrent.futures.Executor, optional
        Threads, processes, ``mpi4py.futures.MPIPoolExecutor``, Dask's
        ``Client.get_executor()``.  It is used and left open.
    deadline : Deadline, optional
        After it no task is started here.
    recompute : bool
        Whether tasks of dead workers are done in this process.
    done : callable, optional
        Called with the number of finished tasks.

    Returns
    -------
    TaskRun

    Raises
    ------
    ReLUError
        If a task raised one: it is about the problem, not about the worker.
    """
    run = TaskRun([None] * len(tasks))
    if executor is None:
        return _run_here(function, tasks, range(len(tasks)), run, deadline, done)
    _run_there(function, tasks, executor, run, deadline, done)
    run.lost.sort()  # workers fail in any order; the record is the same every time
    missing = [i for i in run.lost if run.results[i] is None]
    if missing and recompute and not run.interrupted:
        run.notes.append(
            f"{len(missing)} tasks of dead or failing workers were done in the main "
            "process"
        )
        _run_here(function, tasks, missing, run, deadline, done)
    elif missing:
        run.notes.append(
            f"{len(missing)} tasks of dead or failing workers were not done; their "
            "neurons keep the bounds they had"
        )
    return run


def start_method():
    """How new processes begin: as gdp.mbigm would choose."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return "spawn"
    return "fork" if threading.active_count() == 1 else "forkserver"


def _run_here(function, tasks, which, run, deadline, done):
    finished = sum(result is not None for result in run.results)
    try:
        for i in which:
            if deadline.passed():
                break
            run.results[i] = function(tasks[i])
            finished += 1
            if done is not None:
                done(finished)
            if getattr(run.results[i], "interrupted", False):
                run.interrupted = True
                break
    except KeyboardInterrupt:
        run.interrupted = True
    return run


def _run_there(function, tasks, executor, run, deadline, done):
    futures, end = {}, deadline.later(GRACE)
    try:
        for i, task in enumerate(tasks):
            try:
                futures[executor.submit(function, task)] = i
            except (RuntimeError, concurrent.futures.BrokenExecutor) as error:
                _lose(run, i, error)
        pending = set(futures)
        while pending:
            ready, pending = concurrent.futures.wait(
                pending, end.left(), concurrent.futures.FIRST_COMPLETED
            )
            if not ready:
                break
            for future in ready:
                _collect(run, futures[future], future)
            if done is not None:
                done(len(tasks) - len(pending))
    except KeyboardInterrupt:
        run.interrupted = True
        for future, i in futures.items():
            if future.done() and run.results[i] is None and not future.cancelled():
                _collect(run, i, future)
    finally:
        for future in futures:
            future.cancel()
    if any(getattr(result, "interrupted", False) for result in run.results):
        run.interrupted = True


def _collect(run, i, future):
    try:
        run.results[i] = future.result()
    except (ReLUError, KeyboardInterrupt):
        raise
    except concurrent.futures.CancelledError as error:
        _lose(run, i, error)
    except Exception as error:  # noqa: BLE001  (a worker may die in any way)
        _lose(run, i, error)


def _lose(run, i, error):
    if not run.lost:
        logger.warning("a worker failed: %s: %s", type(error).__name__, error)
    if isinstance(error, (concurrent.futures.BrokenExecutor, RuntimeError)):
        run.executor_broken = True
    run.lost.append(i)
