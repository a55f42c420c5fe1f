"""The executor that subtrees run on: a given one, or a pool of local processes.

A given executor is used as it is and left open; once it takes no more tasks the tree
goes on in this process.  A pool of our own is made again when a worker's death has
broken it.
"""

import concurrent.futures
import logging
import multiprocessing

from pyomo_relu.branch.subtrees.task import prepare_worker, work_on
from pyomo_relu.common.executor import start_method
from pyomo_relu.errors import SolverError

logger = logging.getLogger("pyomo.relu")

#: Tasks lost in a row, per worker, after which an executor is given up.
_LOST_IN_A_ROW = 3

#: Workers of an executor that does not say how many it has.
_UNKNOWN = 2


class Workers:
    """Runs subtrees and counts what is lost.

    Parameters
    ----------
    executor : concurrent.futures.Executor or None
        None for local processes.
    count : int or None
        How many tasks at the same time; by default what the executor says.

    Attributes
    ----------
    count : int
    usable : bool
        False once no more tasks are taken.
    lost : int
        Tasks whose worker died or failed.
    notes : list of str
        What did not go as planned.
    """

    def __init__(self, executor, count=None):
        self._given, self._pool, self._stop = executor, None, None
        self.count = count or n_workers(executor)
        self.usable, self.lost, self.notes = True, 0, []
        self._in_a_row = 0

    def submit(self, task):
        """Its future, or None if there is nobody to take it."""
        while self.usable:
            executor = self._given or self._local()
            try:
                return executor.submit(work_on, task)
            except Exception as error:  # noqa: BLE001  (executors refuse in any way)
                self._refused(error)
        return None

    def done(self, futures, seconds):
        """Wait until one is done, or so long; those that are done."""
        return concurrent.futures.wait(
            futures, seconds, concurrent.futures.FIRST_COMPLETED
        ).done

    def succeeded(self):
        """A task came back."""
        self._in_a_row = 0

    def failed(self, error):
        """A task was lost."""
        if not self.lost:
            logger.warning(f"a worker failed: {type(error).__name__}: {error}")
        self.lost += 1
        self._in_a_row += 1
        if self._in_a_row >= _LOST_IN_A_ROW * max(2, self.count):
            self._give_up(error)

    def stop(self):
        """Let tasks of our own workers end after their present batch."""
        if self._stop is not None:
            self._stop.set()

    def close(self):
        """End our own pool; nobody is waited for."""
        self.stop()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = None

    def _local(self):
        if self._pool is None:
            method = start_method()
            context = multiprocessing.get_context(method)
            if method == "forkserver":  # imported once, for all workers
                context.set_forkserver_preload(["__main__", prepare_worker.__module__])
            self._stop = context.Event()
            self._pool = concurrent.futures.ProcessPoolExecutor(
                self.count, context, prepare_worker, (self._stop,)
            )
        return self._pool

    def _refused(self, error):
        broken = isinstance(error, concurrent.futures.BrokenExecutor)
        # what multiprocessing itself looks at when it refuses to start processes
        reads = getattr(multiprocessing.current_process(), "_inheriting", False)
        if self._given is None and reads:
            # a worker that reads an unguarded script would solve it all over again
            raise SolverError(
                "relu.branch: threads= starts processes, and each reads the script that "
                'is run; put what it does below `if __name__ == "__main__":`.'
            ) from error
        if self._given is None and broken:
            self.close()  # and made again for the next task
        else:
            self._give_up(error)

    def _give_up(self, error):
        self.usable = False
        self.notes.append(
            "the tree went on in this process, since the executor took no more tasks: "
            f"{type(error).__name__}: {error}"
        )
        logger.warning(self.notes[-1])


def n_workers(executor):
    """How many workers an executor says it has; 2 if it does not say.

    Parameters
    ----------
    executor : concurrent.futures.Executor or None

    Returns
    -------
    int
    """
    # of concurrent.futures, executorlib and mpi4py.futures
    for name in ("_max_workers", "max_workers", "num_workers"):
        count = getattr(executor, name, None)
        if isinstance(count, int) and count > 0:
            return count
    threads = getattr(getattr(executor, "_client", None), "nthreads", None)
    count = sum(threads().values()) if callable(threads) else 0  # of Dask
    return count or _UNKNOWN
