"""Works off a study's cases on any executor, and resumes; what a case does is elsewhere.

A training comes before the solves on its networks.  Only this process writes: workers
are pure functions that get and return plain data.
"""

import concurrent.futures
import contextlib
import importlib
import logging
import multiprocessing
import time
from collections import deque
from dataclasses import dataclass

from pyomo_relu.common.progress import counting_bar
from pyomo_relu.study.run.cases import run_case

logger = logging.getLogger("pyomo.relu.study")


@dataclass
class RunSummary:
    """How a run ended.

    Attributes
    ----------
    done, failed : int
        Cases that this run finished; ``failed`` ones recorded an error.
    skipped : int
        Cases whose records were there already.
    left : int
        Cases not done: the run was stopped, or their training failed.
    stopped : str or None
        Why the run ended early.
    """

    done: int = 0
    failed: int = 0
    skipped: int = 0
    left: int = 0
    stopped: str | None = None

    def __str__(self):
        text = (
            f"{self.done} cases done ({self.failed} failed), {self.skipped} were there "
            f"already, {self.left} left"
        )
        return text if self.stopped is None else f"{text}: {self.stopped}"


class WorkerLost(Exception):
    """An executor gave no answer to a case; cases themselves never raise."""

    def __init__(self, error):
        super().__init__(f"{type(error).__name__}: {error}")


class HereExecutor(concurrent.futures.Executor):
    """Runs each task at once in this process."""

    def submit(self, fn, /, *args, **kwargs):
        """Run now; the future is done when this returns."""
        future = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  (it belongs to the future)
            future.set_exception(error)
        return future


@contextlib.contextmanager
def make_executor(workers=1, factory=None):
    """The executor that a command line asks for.

    Parameters
    ----------
    workers : int
        1 runs everything in this process; more start that many processes.
    factory : str, optional
        "package.module:callable" that returns a ``concurrent.futures.Executor``, such
        as "mpi4py.futures:MPIPoolExecutor", or a function of your own that returns
        Dask's ``Client(...).get_executor()``.

    Yields
    ------
    concurrent.futures.Executor
    """
    if factory is not None:
        module, _, name = factory.partition(":")
        if not name:
            raise ValueError(
                f"executor '{factory}': write it as 'package.module:callable', for "
                "example 'mpi4py.futures:MPIPoolExecutor'."
            )
        executor = getattr(importlib.import_module(module), name)()
    elif workers == 1:
        executor = HereExecutor()
    else:
        # torch and solvers have threads: processes must not be forked from this one
        context = multiprocessing.get_context("spawn")
        executor = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context)
    with executor:
        yield executor


def run_study(
    config,
    folder,
    executor=None,
    *,
    in_flight=1,
    minutes=None,
    cases=None,
    retry=False,
    bar=False,
):
    """Run what of a configuration has no record yet.

    Parameters
    ----------
    config : Config
    folder : RunFolder
    executor : concurrent.futures.Executor, optional
        Default: this process.
    in_flight : int
        Cases handed to the executor at a time.
    minutes : float, optional
        Start no case after that long; run again to go on.
    cases : int, optional
        Start no more than so many; run again to go on.
    retry : bool
        Run cases again whose record is an error.
    bar : bool
        Show a progress bar with the time left.

    Returns
    -------
    RunSummary
    """
    executor = HereExecutor() if executor is None else executor
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    run = _Run(config, folder, retry, deadline, cases)
    with counting_bar(bar, None, "case", config.n_cases) as tick:
        run.tick = tick
        try:
            run.work(executor, in_flight)
        except KeyboardInterrupt:
            run.summary.stopped = "interrupted; run again to go on"
        except WorkerLost as error:
            run.summary.stopped = f"a worker died ({error}); run again to go on"
    summary = run.summary
    summary.left = config.n_cases - summary.done - summary.skipped
    return summary


class _Run:
    def __init__(self, config, folder, retry, deadline, cases):
        self.folder, self.summary, self.tick = folder, RunSummary(), None
        folder.repair()
        self.known = {r["id"]: r for r in folder.load()}
        if retry:
            self.known = {k: r for k, r in self.known.items() if r["error"] is None}
        self.ready = deque(config.cases)
        self.deadline, self.to_start = deadline, cases

    def work(self, executor, in_flight):
        running = {}
        try:
            while self.ready or running:
                while self.ready and len(running) < in_flight:
                    self._start(executor, running)
                if not running:
                    continue
                done, _ = concurrent.futures.wait(
                    running, return_when=concurrent.futures.FIRST_COMPLETED
                )
                for future in done:
                    answer = _answer(future)
                    self._finish(*running.pop(future), answer)
        finally:
            self._wind_up(running)

    def _wind_up(self, running):
        """Keep what is done, whatever became of the others, and start no more."""
        self.ready.clear()
        for future, (task, rest) in running.items():
            future.cancel()
            if future.done() and not future.cancelled():
                with contextlib.suppress(WorkerLost):
                    self._finish(task, rest, _answer(future))

    def _may_start(self):
        """Whether a case without a record may be started; others are still counted."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.summary.stopped = "time is over; run again to go on"
            return False
        if self.to_start is not None:
            if self.to_start <= 0:
                self.summary.stopped = (
                    "no more cases were asked for; run again to go on"
                )
                return False
            self.to_start -= 1
        return True

    def _start(self, executor, running):
        """Hand over the next case; one that has a record is only counted."""
        task, rest = self.ready.popleft()
        record = self.known.get(task.id)
        if task.to_dict()["kind"] == "solve":
            if record is not None:
                self._skip()
            elif self._may_start():
                running[_submit(executor, task.to_dict(), rest)] = task, None
            return
        networks = None
        if record is not None and record["error"] is None:
            networks = self.folder.load_networks(record)
        if networks is not None or (record is not None and record["error"]):
            self._skip()
            self._release(rest, networks)
            return
        if self._may_start():
            running[_submit(executor, task.to_dict())] = task, rest

    def _finish(self, task, solves, answer):
        record, networks = answer
        if networks:
            record["files"] = self.folder.save_networks(task.id, networks)
        self.folder.append(record)
        self.summary.done += 1
        if record["error"] is not None:
            self.summary.failed += 1
            logger.warning("%s %s: %s", record["kind"], record["id"], record["error"])
        self.tick()
        if solves is not None:
            self._release(solves, networks)

    def _release(self, solves, networks):
        """Put the solves of a training in front, once its networks are there."""
        if networks:
            self.ready.extendleft((solve, networks) for solve in reversed(solves))

    def _skip(self):
        self.summary.skipped += 1
        self.tick()


def _submit(executor, *arguments):
    try:
        return executor.submit(run_case, *arguments)
    except (RuntimeError, OSError) as error:  # broken pools, closed clients
        raise WorkerLost(error) from error


def _answer(future):
    """What a case returned; executors tell of dead workers in many ways."""
    try:
        error = future.exception()
    except Exception as problem:
        raise WorkerLost(problem) from problem
    if error is not None:  # also a KeyboardInterrupt, which was the worker's
        raise WorkerLost(error) from error
    return future.result()
