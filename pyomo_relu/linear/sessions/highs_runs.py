"""One way to make HiGHS objects and to run them: silent, and on threads of their own.

HiGHS keeps one pool of worker threads per thread that calls it.  The first call decides
its size, and a later one that asks for another size is refused.  So nothing here runs
on the caller's thread: the caller's pool, if there is one, stays as it is, none is made
if there is none, and whatever its size, a run of ours has the threads it states.
"""

import contextlib
import os
import queue
import threading
import time

import numpy as np

from pyomo_relu.linear.sessions.session import import_solver

#: HiGHS' rule for parallel rows and columns (1 << 13).  Undoing it prints to stdout
#: whatever ``output_flag`` says, and it compares costs by an absolute tolerance.
_PARALLEL_COLUMNS = 1 << 13

_QUIET = {
    "output_flag": False,
    "presolve_rule_off": _PARALLEL_COLUMNS,
    "parallel": "off",
    "threads": 1,
}

_lock = threading.Lock()
_idle = []

#: Of each thread: whether it is one of those here that are used again.
_here = threading.local()

#: The HiGHS object that a thread, by its identity, is running at present.
_running = {}

#: Seconds between two looks for a run to end after an interrupt: there may be another one
#: after it, or it may not quite have begun.
_AGAIN = 0.05

_greeted = False

#: Of each thread: processor seconds of HiGHS' threads on its behalf.
_on_behalf = threading.local()


def processor_seconds():
    """Processor seconds of this thread and of all that HiGHS has done for it.

    Other threads of the process, an executor's among them, do not count, and neither
    does waiting.

    Returns
    -------
    float
        Since some moment in the past.
    """
    return time.thread_time() + getattr(_on_behalf, "seconds", 0.0)


def make_highs(options, purpose="this"):
    """A silent HiGHS object.

    Parameters
    ----------
    options : dict
        By HiGHS' names; ``threads`` is 1 unless given.
    purpose : str
        What needs HiGHS, for the message if it is missing.

    Raises
    ------
    SolverError
        If highspy is missing.
    """
    highspy = import_solver("highspy", purpose)
    global _greeted
    with _lock:
        silence = contextlib.nullcontext() if _greeted else _without_stdout()
        with silence:
            highs = highspy.Highs()
        _greeted = True
    options = {**_QUIET, **options}
    if options["threads"] != 1:
        options["parallel"] = "on"
    for name, value in options.items():
        highs.setOptionValue(name, value)
    return highs


@contextlib.contextmanager
def _without_stdout():
    """The process's first HiGHS object prints a banner before it takes any option."""
    try:
        kept = os.dup(1)
    except OSError:  # there is no stdout
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def pass_model(highs, model, integer):
    """Give HiGHS a LinearModel without costs, to minimise; its HighsStatus.

    Integer columns are kept integer if ``integer``.
    """
    matrix = model.matrix
    m, n = matrix.shape
    return highs.passModel(
        n,
        m,
        matrix.nnz,
        2,  # row-wise
        1,  # minimise
        0.0,
        np.zeros(n),
        model.lower,
        model.upper,
        model.row_lower,
        model.row_upper,
        matrix.indptr.astype(np.int32)[:-1] if m else np.zeros(0, dtype=np.int32),
        matrix.indices.astype(np.int32),
        matrix.data,
        (model.integer & integer).astype(np.int32),
    )


@contextlib.contextmanager
def as_own_thread(check=None):
    """Call HiGHS on this thread, which is this package's, instead of changing threads.

    A change of threads takes as long as a third of a small LP.

    Parameters
    ----------
    check : callable, optional
        Called before each run on this thread; raises what is to end the thread's work.
    """
    before = getattr(_here, "is_worker", False), getattr(_here, "check", None)
    _here.is_worker, _here.check = True, check
    try:
        yield
    finally:
        _here.is_worker, _here.check = before


def run_on_own_thread(highs, threads=1):
    """``highs.run()`` on a thread whose pool fits; returns its HighsStatus.

    ``threads`` is what the object was made with.

    KeyboardInterrupt ends the run (``end_run``), and is raised once HiGHS has returned:
    it cannot be left running on an object that is freed next.
    """

    def run():
        thread = threading.get_ident()
        _running[thread] = highs
        try:
            return highs.run()
        finally:
            del _running[thread]

    check = getattr(_here, "check", None)
    if check is not None:
        check()
    if threads != 1:
        return _Worker(highs.resetGlobalScheduler).call(run)
    return call_highs(run)


def end_run(thread):
    """Let what HiGHS runs on a thread, if anything, end at its next look at the clock.

    It looks at each iteration, and reads the limit anew each time: so a limit that is
    over ends LPs and MILPs alike.  Callbacks would do the same, but cost each iteration
    as much as a small one takes.

    Parameters
    ----------
    thread : int or None
        Its identity (``threading.get_ident``).

    Returns
    -------
    tuple of (Highs, float) or None
        What was running, and the limit it had.
    """
    highs = _running.get(thread)
    if highs is None:
        return None
    limit = highs.getOptionValue("time_limit")[1]
    highs.setOptionValue("time_limit", 0.0)
    return highs, limit


def call_highs(method):
    """Any method of a HiGHS object that may solve something, on such a thread.

    Or a function that calls several: a change of threads takes as long as a third of a
    small LP.
    """
    if getattr(_here, "is_worker", False):
        return method()
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
    try:
        return worker.call(method)
    finally:
        _idle.append(worker)


class _Worker:
    """A thread that calls HiGHS; for one call only if it must ``reset`` its pool."""

    def __init__(self, reset=None):
        self._reset = reset
        self._tasks, self._results = queue.SimpleQueue(), queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="HiGHS", daemon=True)
        self._thread.start()

    def _work(self):
        _here.is_worker = self._reset is None
        while True:
            method = self._tasks.get()
            began = time.thread_time()
            try:
                result = method(), None
            except BaseException as error:  # noqa: BLE001  (raised by the caller)
                result = None, error
            del method  # or its object lives until the next task
            if self._reset is not None:
                self._reset(True)
            self._results.put((*result, time.thread_time() - began))
            if self._reset is not None:
                return

    def call(self, method):
        self._tasks.put(method)
        interrupted, limits = None, []
        while True:
            try:
                if interrupted is not None:
                    ended = end_run(self._thread.ident)
                    limits += [] if ended is None else [ended]
                every = None if interrupted is None else _AGAIN
                result, error, seconds = self._results.get(timeout=every)
                break
            except queue.Empty:
                continue
            except KeyboardInterrupt as again:
                interrupted = again
        for highs, limit in reversed(limits):  # the first one was the run's own
            highs.setOptionValue("time_limit", limit)
        _on_behalf.seconds = getattr(_on_behalf, "seconds", 0.0) + seconds
        if interrupted is not None or error is not None:
            raise interrupted or error
        return result


# A forked process has none of the threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)
