"""The coordinator played on recorded tasks: what can be said of it by hand."""

import pytest

from benchmarks.distributed.command import main
from benchmarks.distributed.models import MODELS
from benchmarks.distributed.simulate import simulate
from pyomo_relu.branch.subtrees.trace import TaskRecord, TaskReport, joined


def report(*tasks, before=0.0, during=0.0):
    """Tasks as (seconds, numbers of those that they come after)."""
    trace = [
        TaskRecord(i, 0.0, 1.0, "w", seconds, seconds, 10, 1, 1, after)
        for i, (seconds, after) in enumerate(tasks, 1)
    ]
    return TaskReport(2, len(trace), 0, before, during, [], trace)


ALIKE = [(1.0, (0,))] * 8
CHAIN = [(1.0, (i,)) for i in range(8)]


@pytest.mark.parametrize("workers, seconds", [(1, 8), (2, 4), (3, 3), (8, 1), (16, 1)])
def test_tasks_that_wait_for_nobody(workers, seconds):
    outcome = simulate(report(*ALIKE), workers, 0.0)
    assert outcome.seconds == seconds and outcome.work == 8
    assert outcome.efficiency() == pytest.approx(8 / (workers * seconds))
    assert outcome.efficiency(4.0) == pytest.approx(4 / (workers * seconds))


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_tasks_of_which_each_waits_for_the_one_before(workers):
    outcome = simulate(report(*CHAIN, before=2.0), workers, 0.25, exact=True)
    assert outcome.seconds == pytest.approx(2.0 + 8 * 1.25)
    assert outcome.work == 10


def test_the_coordinator_does_one_thing_at_a_time():
    outcome = simulate(report(*ALIKE, during=4.0), 8, 0.0)
    assert outcome.seconds == pytest.approx(8 * 0.5 + 1.0)


def test_a_task_waits_for_all_that_gave_it_boxes():
    tasks = [(1.0, (0,)), (3.0, (0,)), (1.0, (1, 2)), (1.0, (1,))]
    assert simulate(report(*tasks), 2, 0.0, exact=True).seconds == 4.0


def test_or_for_as_many_boxes_whoever_gave_them():
    tasks = [(1.0, (0,)), (3.0, (0,)), (1.0, (1, 2)), (1.0, (1,))]
    # the third begins with the box of the first, the fourth with that of the third
    assert simulate(report(*tasks), 2, 0.0).seconds == 3.0
    # one box to begin with, and each task gives one back
    assert simulate(report(*CHAIN), 8, 0.0).seconds == 8.0


def test_lost_tasks_are_not_waited_for():
    lost = TaskRecord(9, 0.0, 1.0, "", 0.0, 0.0, 0, 1, 0, (0,), True)
    one = report(*ALIKE)
    one.trace.append(lost)
    assert simulate(one, 8, 0.0).seconds == 1.0


def test_reports_in_a_row():
    both = joined([report(*ALIKE, before=1.0), report(*CHAIN, during=2.0)])
    assert (both.tasks, both.before, both.during) == (16, 1.0, 2.0)
    assert joined([]) is None


def test_the_command_on_a_written_trace(tmp_path, capsys):
    path = tmp_path / "trace.json"
    report(*ALIKE).write(path)
    assert TaskReport.read(path) == report(*ALIKE)
    assert main(["simulate", str(path), "--workers", "8", "--transport", "0"]) == 0
    assert "100.0%" in capsys.readouterr().out
    assert "ackley" in MODELS
