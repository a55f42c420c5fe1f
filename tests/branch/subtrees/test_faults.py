"""Workers that die, executors that stop, limits and Ctrl-C: an honest result each time."""

import concurrent.futures
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from pyomo_relu.branch.branch import BranchOptions
from pyomo_relu.branch.subtrees.coordinator import Plan
from pyomo_relu.branch.tree.checkpoint import load_state
from pyomo_relu.errors import SolverError
from tests.branch.subtrees.problems import (
    ALL_BELOW,
    SMALL_TASKS,
    assert_covered,
    assert_honest,
    assert_optimal,
    optimum,
    problem,
)
from tests.branch.subtrees.test_coordinator import run
from tests.paths import ROOT

#: Odd ones on a given pool; the first three always.
RUNS = [pytest.param(i, marks=[pytest.mark.dense] if i > 2 else []) for i in range(20)]


class Killer:
    """Kills one of this process' children now and then, and at least one."""

    def __init__(self, seed, share=0.06):
        self.random, self.share, self.killed = random.Random(seed), share, 0

    def __call__(self, tree):
        children = multiprocessing.active_children()
        due = not self.killed or self.random.random() < self.share
        if tree.helpers.out and children and due:
            os.kill(self.random.choice(children).pid, signal.SIGKILL)
            self.killed += 1


@pytest.mark.parametrize("seed", RUNS)
def test_workers_killed_at_random(seed, tmp_path):
    """Of own pools, which are made again, and of a given one, which cannot be."""
    killer, path = Killer(seed), tmp_path / "state.npz"
    if seed % 2:
        with concurrent.futures.ProcessPoolExecutor(2) as executor:
            result = run(killer, executor=executor, save=path)
    else:
        result = run(killer, threads=2, save=path)
    assert killer.killed
    assert_optimal(result)
    assert result.tasks.lost >= 1
    assert sum(record.lost for record in result.tasks.trace) == result.tasks.lost
    if seed % 2:
        assert "the tree went on in this process" in result.tasks.notes[0]


@pytest.mark.parametrize("seed", [0, 1])
def test_no_box_is_lost_with_a_worker(seed, tmp_path):
    path = tmp_path / "state.npz"
    killer = Killer(seed, 0.2)
    # few boxes: of those that cannot be split any more the bound is all that is known
    options = {**ALL_BELOW, "node_limit": 70, "save": path}
    if seed:
        with concurrent.futures.ProcessPoolExecutor(2) as executor:
            result = run(killer, executor=executor, **options)
    else:
        result = run(killer, threads=2, **options)
    assert killer.killed and result.status == "node limit"
    assert_nothing_is_lost(path)


def assert_nothing_is_lost(path):
    """Every point below the limits is in a box of the saved state."""
    p = problem()
    state = load_state(path, p, BranchOptions(**ALL_BELOW))
    (nodes,) = state.nodes
    whole = nodes[:1]
    whole.lower, whole.upper = p.lower[None], p.upper[None]
    assert_covered(whole, state.limits, nodes)


def test_an_executor_that_stops_accepting(tmp_path):
    executor, path = concurrent.futures.ThreadPoolExecutor(2), tmp_path / "state.npz"

    def shut(tree):
        if tree.helpers.report().tasks >= 3:
            executor.shutdown(wait=False)

    result = run(shut, executor=executor)
    assert_optimal(result)
    assert "took no more tasks: RuntimeError" in result.tasks.notes[0]
    run(executor=executor, **ALL_BELOW, node_limit=150, save=path)
    assert_nothing_is_lost(path)


class Sharing(concurrent.futures.ThreadPoolExecutor):
    """Hands arrays over in shared memory, which cannot be written to."""

    def submit(self, fn, /, *args, **kwargs):
        return super().submit(_frozen, fn, *args)


def _frozen(function, task):
    result = function(replace(task, nodes=_read_only(task.nodes)))
    if hasattr(result, "nodes"):
        result.nodes = _read_only(result.nodes)
    return result


def _read_only(nodes):
    copy = nodes.copy()
    for one in fields(copy):
        getattr(copy, one.name).flags.writeable = False
    return copy


def test_arrays_that_cannot_be_written_to():
    with Sharing(2) as executor:
        result = run(executor=executor, milp_neurons=5)
    assert_optimal(result)
    assert result.tasks.tasks and result.tasks.lost == 0


class Deaf(concurrent.futures.Executor):
    """Takes tasks and never does them."""

    def submit(self, fn, /, *args, **kwargs):
        return concurrent.futures.Future()


def test_an_executor_that_never_answers():
    plan = Plan(ramp_seconds=0.0, ramp_boxes=1.0, boxes=4, patience=0.0)
    result = run(executor=Deaf(), plan=plan)
    assert_optimal(result)
    assert result.tasks.tasks == 0 and result.tasks.lost == 0


class Failing(concurrent.futures.Executor):
    """Every task ends with an error at once."""

    def __init__(self, error):
        self.error = error

    def submit(self, fn, /, *args, **kwargs):
        future = concurrent.futures.Future()
        future.set_exception(self.error)
        return future


@pytest.mark.parametrize(
    "error", [MemoryError(), concurrent.futures.CancelledError(), OSError("gone")]
)
def test_tasks_that_fail_in_any_way(error):
    result = run(executor=Failing(error))
    assert_optimal(result)
    assert result.tasks.tasks == 0 and result.tasks.lost >= 6
    assert type(error).__name__ in result.tasks.notes[0]


class Wrong(concurrent.futures.ThreadPoolExecutor):
    """Every third task comes back with something else than parts of its boxes."""

    def __init__(self, how):
        super().__init__(2)
        self.how, self.count = how, 0

    def submit(self, fn, /, *args, **kwargs):
        self.count += 1
        if self.count % 3:
            return super().submit(fn, *args)
        return super().submit(_spoiled, self.how, fn, *args)


def _spoiled(how, function, task):
    result = function(task)
    if not hasattr(result, "nodes") or not len(result.nodes):
        return result
    nodes = result.nodes
    if how == "wider":
        nodes.upper[-1] += 0.5
    elif how == "another":
        nodes.origin[-1] = len(task.nodes)
    elif how == "no number":
        nodes.bound[-1] = float("nan")
    else:
        nodes.lower = nodes.lower[:, :-1]
    return result


@pytest.mark.parametrize("how", ["wider", "another", "no number", "fewer columns"])
def test_boxes_that_were_not_given_away_do_not_come_back(how, tmp_path, caplog):
    path = tmp_path / "state.npz"
    with Wrong(how) as executor:
        result = run(executor=executor, **ALL_BELOW, node_limit=150, save=path)
    assert result.tasks.lost >= 1
    assert "install the same pyomo_relu everywhere" in caplog.text
    assert_honest(result)
    assert_nothing_is_lost(path)


def test_boxes_are_parts_of_those_given_away_after_a_resume_too(tmp_path):
    """Saved boxes that others had given back are given away like any, and nobody's."""
    path = tmp_path / "state.npz"
    options = {**ALL_BELOW, "save": path}
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        first = run(executor=executor, node_limit=60, **options)
    (saved,) = load_state(path, problem(), BranchOptions(**ALL_BELOW)).nodes
    assert first.tasks.tasks and saved.origin.max() > 0
    with Wrong("wider") as executor:
        result = run(
            executor=executor, node_limit=first.nodes + 60, resume=path, **options
        )
    trace = result.tasks.trace
    assert result.tasks.lost >= 1 and result.tasks.tasks >= 1
    assert trace[0].after == (0,)
    assert all(n < record.number for record in trace for n in record.after)
    assert_honest(result)
    assert_nothing_is_lost(path)


class Boasting(concurrent.futures.ThreadPoolExecutor):
    """Every task comes back with a point that is better than any."""

    def __init__(self, how):
        super().__init__(2)
        self.how = how

    def submit(self, fn, /, *args, **kwargs):
        return super().submit(_boasted, self.how, fn, *args)


def _boasted(how, function, task):
    result = function(task)
    if not hasattr(result, "full"):
        return result
    full = task.full if result.full is None else result.full
    result.value, result.full = optimum() - 1.0, np.array(full)
    if how == "infeasible":
        result.full[0] += 1e3
        result.full[problem().columns] = -2.0
        result.full[-1] = result.value
    elif how == "none":
        result.full = None
    elif how == "fewer columns":
        result.full = result.full[:-1]
    return result


@pytest.mark.parametrize(
    "how",
    [
        "other value",
        "infeasible",
        pytest.param("none", marks=pytest.mark.dense),
        pytest.param("fewer columns", marks=pytest.mark.dense),
    ],
)
def test_points_that_come_back_are_evaluated_again(how, caplog):
    """Else whatever is above a value that nothing has would be dropped."""
    with Boasting(how) as executor:
        result = run(executor=executor)
    assert_optimal(result)
    assert result.tasks.tasks == 0 and result.tasks.lost >= 6
    assert "a point that is not feasible here, or has another value" in caplog.text


def test_errors_about_the_problem_come_through():
    with pytest.raises(SolverError, match="for everyone"):
        run(executor=Failing(SolverError("for everyone")))


UNGUARDED = """
import threading
from pyomo_relu.branch.branch import BranchOptions, branch
from tests.branch.subtrees.problems import OPTIONS, SMALL_TASKS, problem

threading.Thread(target=threading.Event().wait, daemon=True).start()  # so no fork
result = branch(problem(), BranchOptions(**OPTIONS, plan=SMALL_TASKS, threads=2))
print("ended", result.status)
"""


@pytest.mark.dense
def test_a_script_without_a_guard_is_solved_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    answer = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert answer.stdout.count("ended optimal") == 1, answer.stderr
    assert 'put what it does below `if __name__ == "__main__":`' in answer.stderr


@pytest.mark.parametrize("how", ["time", "Ctrl-C", "worker"])
def test_an_end_while_tasks_are_out(how, tmp_path):
    path = tmp_path / "state.npz"

    def end(tree):
        if tree.helpers.report().tasks < 3 or not tree.helpers.out:
            return
        if how == "time":
            tree.deadline.stop()
        elif how == "Ctrl-C":
            raise KeyboardInterrupt

    class Interrupted(concurrent.futures.ThreadPoolExecutor):
        """The keyboard interrupts the fifth task, as in a process group."""

        count = 0

        def submit(self, fn, /, *args, **kwargs):
            self.count += 1
            if how == "worker" and self.count == 5:
                return super().submit(_interrupted, fn, *args)
            return super().submit(fn, *args, **kwargs)

    with Interrupted(2) as executor:
        result = run(end, executor=executor, save=path, **ALL_BELOW)
    expected = "time limit" if how == "time" else "interrupted"
    assert result.status == expected
    assert_honest(result)
    assert result.open > 0
    assert_nothing_is_lost(path)


def _interrupted(function, task):
    result = function(task)
    result.interrupted = True
    return result


def test_no_time_at_all():
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        result = run(executor=executor, time_limit=0.0, plan=SMALL_TASKS)
    assert result.status == "time limit" and result.tasks.tasks == 0
    assert_honest(result)
