"""Subtrees on executors: the same optimum everywhere, and a record of who did what."""

import itertools
import os
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pyomo.environ as pyo
import pytest

from pyomo_relu.branch.branch import BranchOptions, branch
from pyomo_relu.branch.subtrees.coordinator import Coordinator, Plan
from pyomo_relu.branch.subtrees.trace import TaskReport
from pyomo_relu.branch.subtrees.workers import n_workers
from pyomo_relu.branch.tree.tree import Tree
from pyomo_relu.common.deadline import Deadline
from tests.branch.subtrees.problems import (
    ALL_BELOW,
    OPTIONS,
    SMALL_TASKS,
    assert_honest,
    assert_optimal,
    model,
    optimum,
    problem,
)
from tests.clusters import dask_executor
from tests.common.test_executor import OPEN_MPI
from tests.paths import ROOT


def run(progress=None, **options):
    """Branch by small tasks."""
    options = {**OPTIONS, "plan": SMALL_TASKS, **options}
    return branch(problem(), BranchOptions(**options), progress)


@pytest.mark.parametrize("kind", ["threads", "processes", "own processes"])
def test_the_same_optimum_by_many_tasks(kind):
    if kind == "own processes":
        result = run(threads=2)
    else:
        pool = ThreadPoolExecutor if kind == "threads" else ProcessPoolExecutor
        with pool(2) as executor:
            result = run(executor=executor)
            # it is left open
            assert executor.submit(abs, -1).result() == 1
    assert_optimal(result)
    report = result.tasks
    assert report.tasks >= 5 and report.workers == 2
    assert report.lost == 0 and not report.notes
    trace = report.trace
    assert result.nodes >= sum(record.evaluated for record in trace)
    assert len({record.number for record in trace}) == len(trace)
    for record in trace:
        assert 0.0 <= record.start <= record.end and record.worker
        assert record.boxes >= 1 and all(n < record.number for n in record.after)


class Noting(ThreadPoolExecutor):
    """Keeps the tasks that it is given."""

    def __init__(self):
        super().__init__(2)
        self.tasks = []

    def submit(self, fn, /, *args, **kwargs):
        (task,) = args
        self.tasks.append(task)
        return super().submit(fn, task)


def test_workers_are_prepared_and_one_at_a_time_searches():
    with Noting() as executor:
        result = run(executor=executor)
    assert_optimal(result)
    first, tasks = executor.tasks[:2], executor.tasks[2:]
    assert all(task.problem is not None and not len(task.nodes) for task in first)
    assert all(task.problem is None and len(task.nodes) for task in tasks)
    known = [task for task in tasks if task.full is not None]
    searching = [task for task in known if task.searched is not None]
    assert 0 < len(searching) < len(known)
    # each goes on where the one before has come to, and takes a share of all work
    spent = [-task.searched.diving.seconds(0.0) for task in searching]
    assert spent == sorted(spent) and spent[-1] > spent[0]
    worked = [task.worked for task in searching]
    assert worked == sorted(worked)
    assert len(result.tasks.trace) == len(tasks)


def test_the_last_boxes_are_given_away_too():
    with ThreadPoolExecutor(4) as executor:
        coordinator = Coordinator(executor, plan=Plan(ramp_seconds=0.0))
        options = BranchOptions(**OPTIONS)
        tree = Tree(problem(), options, Deadline(), helpers=coordinator)
        tree._begin()
        tree.batch()
        assert len(tree.open) == 2 and not coordinator.take(tree)
        coordinator._number = 1  # as if some had been given away
        assert coordinator.take(tree)


def test_fewer_boxes_than_workers_are_worked_on_here():
    with ThreadPoolExecutor(2) as executor:
        result = run(executor=executor, threads=10_000)
    assert_optimal(result)
    assert result.tasks.workers == 10_000 and result.tasks.tasks == 0


def test_a_node_limit_stops_tasks_too():
    with ThreadPoolExecutor(2) as executor:
        result = run(executor=executor, node_limit=60)
    assert result.status == "node limit"
    assert 60 <= result.nodes < 200 and result.open > 0
    assert_honest(result)


def test_boxes_that_workers_bounded_are_shown():
    seen = []
    with ThreadPoolExecutor(2) as executor:
        options = BranchOptions(**OPTIONS, plan=SMALL_TASKS, executor=executor)
        result = branch(problem(), options, None, lambda lo, hi: seen.append(len(lo)))
    assert result.tasks.tasks and sum(seen) > 0.3 * result.nodes


def test_the_bound_never_falls_and_counts_what_is_out():
    bounds, boxes = [], []

    def progress(tree):
        bounds.append(tree.bound)
        boxes.append((tree.n_open, len(tree.open)))

    with ThreadPoolExecutor(2) as executor:
        result = run(progress, executor=executor, **{**ALL_BELOW, "node_limit": 300})
    assert any(every > here for every, here in boxes)
    assert all(b >= a for a, b in itertools.pairwise(bounds))
    assert bounds[-1] <= result.bound <= optimum() + 1e-6


def test_what_an_executor_says_of_its_workers():
    class Silent:
        pass

    class Client:
        def nthreads(self):
            return {"a": 3, "b": 4}

    with ThreadPoolExecutor(5) as executor:
        assert n_workers(executor) == 5
    silent = Silent()
    assert n_workers(silent) == n_workers(None) == 2
    silent._client = Client()
    assert n_workers(silent) == 7
    silent.num_workers = 9
    assert n_workers(silent) == 9


# -- what users see --------------------------------------------------------------------


def test_results_name_tasks_and_the_trace_is_written(tmp_path, capsys):
    m, trace = model(), tmp_path / "trace.json"
    solver = pyo.SolverFactory("relu.branch")
    with ThreadPoolExecutor(2) as executor:
        results = solver.solve(m, executor=executor, tee=True, trace=trace)
    pyo.assert_optimal_termination(results)
    assert pyo.value(m.obj) == pytest.approx(optimum(), rel=2e-4)
    assert results.solver.workers == 2 and results.solver.lost_tasks == 0
    assert f"{results.solver.tasks} task" in results.solver.message
    assert list(results.solver.notes) == []
    report = TaskReport.read(trace)
    assert report.tasks == results.solver.tasks == len(report.trace)
    assert "status: optimal" in capsys.readouterr().out


def test_without_workers_nothing_is_said_of_tasks():
    results = pyo.SolverFactory("relu.branch").solve(model(), node_limit=30)
    assert "tasks" not in results.solver and "task" not in results.solver.message
    ended = results.solver.termination_condition
    assert ended == pyo.TerminationCondition.maxEvaluations
    assert results.problem.lower_bound <= optimum() + 1e-6


def test_the_portfolio_hands_the_executor_on():
    m = model()
    with ThreadPoolExecutor(2) as executor:
        results = pyo.SolverFactory("relu").solve(m, executor=executor)
    pyo.assert_optimal_termination(results)
    assert pyo.value(m.obj) == pytest.approx(optimum(), rel=2e-4)
    assert results.solver.workers == 2


# -- clusters --------------------------------------------------------------------------


def test_dask_finds_the_same_optimum():
    with dask_executor() as (_, executor):
        result = run(executor=executor)
    assert_optimal(result)
    assert result.tasks.workers == 2 and result.tasks.tasks >= 5
    assert len({record.worker for record in result.tasks.trace}) == 2


MPI_SCRIPT = """
from mpi4py.futures import MPIPoolExecutor
from tests.branch.subtrees.problems import assert_optimal
from tests.branch.subtrees.test_coordinator import run

if __name__ == "__main__":
    with MPIPoolExecutor() as executor:
        result = run(executor=executor)
    assert_optimal(result)
    print("optimal on", result.tasks.workers, result.tasks.lost)
"""


@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="no MPI on this machine")
def test_mpi_ranks_find_the_same_optimum(tmp_path):
    pytest.importorskip("mpi4py")
    script = tmp_path / "branch.py"
    script.write_text(MPI_SCRIPT)
    command = ["mpiexec", "-n", "3", sys.executable, "-m", "mpi4py.futures"]
    answer = subprocess.run(
        [*command, str(script)],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **OPEN_MPI},
    )
    assert "optimal on 2 0" in answer.stdout, answer.stderr
