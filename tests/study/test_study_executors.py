"""The study on processes, Dask and MPI: the same records, and dead workers cost little."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

pytest.importorskip("torch")

from pyomo_relu.study.run.config import parse_config
from pyomo_relu.study.run.records import RunFolder
from pyomo_relu.study.run.runner import make_executor, run_study
from tests.clusters import dask_executor
from tests.common.test_executor import OPEN_MPI
from tests.paths import ROOT

#: Wall clock, and what depends on it.
TIMES = ("seconds", "preprocessing_steps", "work", "files", "case_cpu_seconds")


def data(seeds=2, epochs=2):
    return {
        "training_defaults": {"samples": 400, "epochs": epochs, "batch": 64},
        "indicators": {"bounds": ["interval", "lp"]},
        "grids": [{"problem": "peaks", "hidden": [[4, 4]], "seed": list(range(seeds))}],
    }


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Records of the grid as this process makes them."""
    folder = RunFolder(tmp_path_factory.mktemp("here"))
    assert run_study(parse_config(data(), "small"), folder).failed == 0
    return solves(folder)


def solves(folder):
    """Figures of all solves without those of time; networks' names are in the ids."""
    return {
        r["id"]: {k: v for k, v in r.items() if not any(t in k for t in TIMES)}
        for r in folder.load()
        if r["kind"] == "solve"
    }


def dask_factory():
    """What a user writes for --executor: threads of this process."""
    import distributed

    client = distributed.Client(
        processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None
    )
    return client.get_executor()


@pytest.mark.dense  # its workers are those of the tests on dead ones
def test_dask_cluster_gives_the_same_records(here, tmp_path):
    folder = RunFolder(tmp_path)
    with dask_executor() as (_, executor):
        summary = run_study(
            parse_config(data(), "small"), folder, executor, in_flight=4
        )
    assert (summary.failed, summary.left, summary.stopped) == (0, 0, None)
    assert solves(folder) == here


def test_dask_by_name_gives_the_same_records(here, tmp_path):
    distributed = pytest.importorskip("distributed")
    factory = f"{__name__}:dask_factory"
    folder = RunFolder(tmp_path)
    with make_executor(factory=factory) as executor:
        summary = run_study(parse_config(data(), "small"), folder, executor)
    distributed.default_client().close()
    assert (summary.failed, summary.left) == (0, 0)
    assert solves(folder) == here


@pytest.mark.dense  # bounds and trees run on MPI by default; this is one more executor
@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="no MPI on this machine")
def test_mpi_gives_the_same_records(here, tmp_path):
    pytest.importorskip("mpi4py")
    pytest.importorskip("matplotlib")
    (tmp_path / "small.json").write_text(json.dumps(data()))
    study = (
        f"-m mpi4py.futures -m pyomo_relu study {tmp_path / 'small.json'} --workers 2"
    )
    options = ["--silent", "--executor", "mpi4py.futures:MPIPoolExecutor"]
    options += ["--folder", str(tmp_path / "run")]
    answer = subprocess.run(
        ["mpiexec", "-n", "3", sys.executable, *study.split(), *options],
        capture_output=True,
        check=False,
        text=True,
        timeout=180,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", **OPEN_MPI},
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert solves(RunFolder(tmp_path / "run")) == here


# -- dead workers ----------------------------------------------------------------------


def kill_after_first_record(folder, pids):
    """A thread that kills the workers once one case is written."""

    def work():
        deadline = time.monotonic() + 120
        while not (folder.file.exists() and folder.file.read_bytes().count(b"\n")):
            if time.monotonic() > deadline:
                return
            time.sleep(0.005)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def check_stopped_and_resumed(config, folder, summary):
    assert "a worker died" in summary.stopped and "run again" in summary.stopped
    kept = folder.load()
    assert 1 <= len(kept) == summary.done < config.n_cases
    assert summary.left == config.n_cases - summary.done
    again = run_study(config, folder)
    assert again.skipped == len(kept) and (again.failed, again.left) == (0, 0)
    records = folder.load()
    assert records[: len(kept)] == kept
    assert len({r["id"] for r in records}) == len(records) == config.n_cases


def test_a_dead_process_stops_the_run_and_the_next_goes_on(tmp_path):
    config, folder = parse_config(data(6, 20), "small"), RunFolder(tmp_path)
    with ProcessPoolExecutor(1) as executor:
        pid = executor.submit(os.getpid).result()
        killer = kill_after_first_record(folder, [pid])
        summary = run_study(config, folder, executor, in_flight=3)
        killer.join()
    check_stopped_and_resumed(config, folder, summary)


@pytest.mark.parametrize(
    "failures",
    [0, 5],
    ids=["given up", "run again by Dask"],
)
@pytest.mark.dense  # a process that dies is above; Dask's tell of it in their own way
def test_dead_dask_workers(failures, tmp_path):
    dask = pytest.importorskip("dask")
    config, folder = parse_config(data(4, 20), "small"), RunFolder(tmp_path)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": failures}),
        dask_executor(workers=1) as (client, executor),
    ):
        pids = client.run(os.getpid).values()
        killer = kill_after_first_record(folder, pids)
        summary = run_study(config, folder, executor, in_flight=2)
        killer.join()
    if failures == 0:
        check_stopped_and_resumed(config, folder, summary)
    else:
        assert (summary.stopped, summary.failed, summary.left) == (None, 0, 0)
        assert len({r["id"] for r in folder.load()}) == config.n_cases


def test_a_closed_executor_is_no_traceback(tmp_path):
    config, executor = parse_config(data(), "small"), ProcessPoolExecutor(1)
    executor.shutdown()
    summary = run_study(config, RunFolder(tmp_path), executor)
    assert summary.done == 0 and summary.left == config.n_cases
    assert "a worker died" in summary.stopped
