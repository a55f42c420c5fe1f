"""Bound tightening on executors: same bounds everywhere, dead workers cost a share."""

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from pyomo_relu.bounds.crown.interval import interval_bounds
from pyomo_relu.bounds.obbt.layerwise import lp_obbt
from pyomo_relu.bounds.obbt.milp import milp_obbt
from pyomo_relu.bounds.obbt.options import TighteningOptions
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.executor import run_tasks
from pyomo_relu.errors import SolverError
from tests.bounds import obbt_sessions
from tests.bounds.soundness import assert_sound
from tests.clusters import dask_executor
from tests.paths import ROOT
from tests.random_networks import random_network, sample


def example():
    network = random_network(7, 3, (14, 14), 1, scale=1.6)
    return network, interval_bounds(network, -1.0, 1.0)


def identical(a, b):
    return all(
        np.array_equal(x, y)
        for x, y in zip(a.lower + a.upper, b.lower + b.upper, strict=True)
    )


@pytest.mark.parametrize("method", [lp_obbt, milp_obbt])
def test_same_bounds_whatever_the_workers(method):
    network, start = example()
    masks = [np.arange(layer.size) < 5 for layer in network.layers]
    options = TighteningOptions(chunk_size=2, solver="highs")
    alone, statistics = method(network, start, options, neurons=masks)
    assert statistics.solves > 0
    for executor in (
        ThreadPoolExecutor(2),
        ProcessPoolExecutor(1),
        ProcessPoolExecutor(3),
    ):
        with executor:
            here = replace(options, executor=executor)
            bounds, there = method(network, start, here, neurons=masks)
        assert identical(bounds, alone)
        assert there.solves == statistics.solves and not there.notes


def test_dask_cluster_gives_the_same_bounds():
    network, start = example()
    alone, _ = lp_obbt(network, start, TighteningOptions(chunk_size=5))
    with dask_executor() as (_, executor):
        options = TighteningOptions(chunk_size=5, executor=executor)
        bounds, statistics = lp_obbt(network, start, options)
    assert identical(bounds, alone) and not statistics.notes


MPI_SCRIPT = """
import numpy as np
from mpi4py.futures import MPIPoolExecutor
from pyomo_relu.bounds.obbt.layerwise import lp_obbt
from pyomo_relu.bounds.obbt.options import TighteningOptions
from tests.common.test_executor import example, identical

if __name__ == "__main__":
    network, start = example()
    alone, _ = lp_obbt(network, start, TighteningOptions(chunk_size=5))
    with MPIPoolExecutor() as executor:
        options = TighteningOptions(chunk_size=5, executor=executor)
        bounds, statistics = lp_obbt(network, start, options)
    print("workers agree", identical(bounds, alone), statistics.notes)
"""


#: As root in a container, more processes than cores; other MPIs ignore these.
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
}


@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="no MPI on this machine")
def test_mpi_workers_give_the_same_bounds(tmp_path):
    pytest.importorskip("mpi4py")
    script = tmp_path / "tighten.py"
    script.write_text(MPI_SCRIPT)
    answer = subprocess.run(
        [
            "mpiexec",
            "-n",
            "3",
            sys.executable,
            "-m",
            "mpi4py.futures",
            str(script),
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **OPEN_MPI},
    )
    assert "workers agree True []" in answer.stdout, answer.stderr


@pytest.mark.parametrize("recompute", [True, False])
def test_a_killed_worker_costs_its_share(recompute):
    network, start = example()
    alone, _ = lp_obbt(network, start, TighteningOptions(chunk_size=3))
    with ProcessPoolExecutor(2) as executor:
        bounds, statistics = lp_obbt(
            network,
            start,
            TighteningOptions(
                chunk_size=3,
                executor=executor,
                solver=obbt_sessions.KillsItsWorker,
                recompute_lost=recompute,
            ),
        )
    assert any("dead or failing workers" in note for note in statistics.notes)
    assert_sound(network, bounds, sample(0, start.input_lower, start.input_upper))
    if recompute:
        assert identical(bounds, alone)
    else:
        assert statistics.skipped["worker lost"] > 0
        # The first layer's LPs died with the workers; the output layer's did not.
        assert np.array_equal(bounds.lower[1], start.lower[1])
        assert bounds.mean_width(2) < start.mean_width(2)


def test_a_closed_executor_is_survived():
    network, start = example()
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    bounds, statistics = lp_obbt(network, start, TighteningOptions(executor=executor))
    assert any("main process" in note for note in statistics.notes)
    assert identical(bounds, lp_obbt(network, start)[0])


def test_errors_about_the_problem_come_through():
    with (
        ThreadPoolExecutor(1) as executor,
        pytest.raises(SolverError, match="for everyone"),
    ):
        run_tasks(_refuse, [1, 2], executor)


def _refuse(_):
    raise SolverError("for everyone")


def test_results_keep_the_tasks_order_whatever_ends_first():
    ended = [threading.Event() for _ in range(3)]

    def after_the_next(task):
        if task + 1 < len(ended):
            ended[task + 1].wait()
        ended[task].set()
        return task

    with ThreadPoolExecutor(3) as executor:
        assert run_tasks(after_the_next, [0, 1, 2], executor).results == [0, 1, 2]


def test_no_task_starts_after_the_deadline(clock):
    def work(task):
        clock.advance(0.05)
        return task

    run = run_tasks(work, list(range(100)), deadline=Deadline(0.2))
    assert run.results == [0, 1, 2, 3] + [None] * 96


def test_failed_tasks_are_done_here_or_noted():
    with ProcessPoolExecutor(1) as executor:
        run = run_tasks(_only_in_main, [1, 2], executor)
        assert run.results == [1, 2] and run.lost == [0, 1]
        run = run_tasks(_only_in_main, [1, 2], executor, recompute=False)
        assert run.results == [None, None] and "were not done" in run.notes[0]


def _only_in_main(task):
    import multiprocessing

    if multiprocessing.parent_process() is not None:
        raise MemoryError
    return task
