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

#: The HiGHS object that a thread, by its identity, is running at present, or None.
_running = {}

#: Seconds between two looks for a run to end after an interrupt: there may be another one
#: after it, or it may not quite have begun.
_AGAIN = 0.05

#: Seconds between two looks for an interrupt: one that comes in the moment in which the
#: waiting begins does not end it.
_LOOK = 0.2

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
        outer = _running.get(thread)  # a MILP's callback may solve LPs
        _running[thread] = highs
        try:
            return highs.run()
        finally:
            _running[thread] = outer

    check = getattr(_here, "check", None)
    if check is not None:
        check()
    if threads != 1:
        return _Worker(highs.resetGlobalScheduler).call(run)
    return call_highs(run)


def end_run(thread, limits=None):
    """Let what HiGHS runs on a thread, if anything, end at its next look at the clock.

    It looks at each iteration, and reads the limit anew each time: so a limit that is
    over ends LPs and MILPs alike.  Callbacks would do the same, but cost each iteration
    as much as a small one takes.

    Parameters
    ----------
    thread : int or None
        Its identity (``threading.get_ident``).
    limits : dict, optional
        Gets what is running, and the limit it had, unless it is in there already.
    """
    highs = _running.get(thread)
    if highs is None:
        return
    if limits is not None and id(highs) not in limits:
        limits[id(highs)] = highs, highs.getOptionValue("time_limit")[1]
    highs.setOptionValue("time_limit", 0.0)


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


class _Task:
    """A call of HiGHS; what came of it stays here, however often its waiter is interrupted.

    A queue would lose what it hands over in the moment of an interrupt, and an Event
    keeps its lock where two come at once.
    """

    def __init__(self, method):
        self.method, self.over = method, False
        self._at_work = threading.Lock()
        self._at_work.acquire()
        self.result, self.error, self.seconds = None, None, 0.0

    def run(self):
        """Call it on this thread."""
        began = time.thread_time()
        try:
            self.result = self.method()
        except BaseException as error:  # noqa: BLE001  (raised by the caller)
            self.error = error
        self.method = None  # or its object lives until the next task
        self.seconds = time.thread_time() - began

    def end(self):
        """Let the waiter go on."""
        self.over = True
        self._at_work.release()

    def wait(self, seconds):
        """Until it is over, or for so many seconds."""
        self._at_work.acquire(timeout=seconds)


class _Worker:
    """A thread that calls HiGHS; for one call only if it must ``reset`` its pool."""

    def __init__(self, reset=None):
        self._reset = reset
        self._tasks = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="HiGHS", daemon=True)
        self._thread.start()

    def _work(self):
        _here.is_worker = self._reset is None
        while True:
            task = self._tasks.get()
            if task.over:
                continue
            task.run()
            if self._reset is not None:
                self._reset(True)
            task.end()
            del task
            if self._reset is not None:
                return

    def call(self, method):
        task, limits, given, interrupts = _Task(method), {}, [], []
        while not task.over:
            try:
                while not task.over:
                    self._wait(task, limits, given, interrupts)
            except KeyboardInterrupt as error:  # one while another was being noted
                interrupts.append(error)
        for highs, limit in limits.values():
            highs.setOptionValue("time_limit", limit)
        _on_behalf.seconds = getattr(_on_behalf, "seconds", 0.0) + task.seconds
        if interrupts or task.error is not None:
            raise (interrupts or [task.error])[0]
        return task.result

    def _wait(self, task, limits, given, interrupts):
        """Until a task is over or an interrupt comes; once there was one, a while."""
        try:
            if not given:  # an interrupt may leave it given, or given twice
                self._tasks.put(task)
                given.append(task)
            if interrupts:
                end_run(self._thread.ident, limits)
            task.wait(_AGAIN if interrupts else _LOOK)
        except KeyboardInterrupt as error:
            interrupts.append(error)


# A forked process has none of the threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)
