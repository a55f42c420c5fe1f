"""Sharing time: who works when, and what becomes of errors, limits and interrupts."""

import threading

import numpy as np
import pytest

from pyomo_relu.branch.branch import BranchOptions
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.linear.embedded import EmbeddedModel
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.sessions.highs_runs import run_on_own_thread
from pyomo_relu.portfolio.findings import Findings
from pyomo_relu.portfolio.sharing import Stopped, Turn, share, worked
from tests.linear.long_lp import long_lp


class Worker:
    """Steps that note in a common list who took them and how many were at work."""

    at_work = 0
    most = 0
    lock = threading.Lock()

    def __init__(self, name, steps, notes):
        self.name, self.steps, self.notes = name, steps, notes
        self.stopped = False

    def __call__(self, turn):
        cls = type(self)
        try:
            for _ in range(self.steps):
                with self.lock:
                    cls.at_work += 1
                    cls.most = max(cls.most, cls.at_work)
                self.notes.append(self.name)
                with self.lock:
                    cls.at_work -= 1
                turn.pause()
        except Stopped:
            self.stopped = True
            raise


def never():
    return False


def test_one_at_a_time_and_all_to_the_end():
    notes = []
    turns = [Turn(name, Worker(name, 50, notes)) for name in "abc"]
    share(turns, Deadline(), never)
    assert sorted(notes) == sorted("abc" * 50)
    assert Worker.most == 1
    assert not any(turn.alive for turn in turns)


def test_a_finished_run_stops_those_that_wait_and_those_that_work():
    notes = []
    workers = [Worker(name, 10**9, notes) for name in "ab"]
    turns = [Turn(w.name, w) for w in workers]
    share(turns, Deadline(), lambda: len(notes) > 100, threads=2)
    assert all(turn.join(60) for turn in turns)
    assert all(w.stopped for w in workers)


def test_without_time_the_first_one_begins():
    notes = []
    turns = [Turn(name, Worker(name, 10**9, notes)) for name in "ab"]
    share(turns, Deadline(0.0), never)
    assert all(turn.join(60) for turn in turns)
    assert set(notes) == {"a"}


def test_one_that_waits_for_its_delay_begins_at_once_if_nobody_else_works():
    notes = []
    turns = [
        Turn("a", Worker("a", 3, notes)),
        Turn("b", Worker("b", 3, notes), 1.0, 1e6),
    ]
    share(turns, Deadline(), never)
    assert notes == ["a"] * 3 + ["b"] * 3


def test_an_error_is_raised_unless_another_route_gets_done():
    def fails(turn):
        raise ZeroDivisionError("this one")

    with pytest.raises(ZeroDivisionError, match="this one"):
        share([Turn("a", fails)], Deadline(), never)
    notes = []
    turns = [Turn("a", fails), Turn("b", Worker("b", 3, notes))]
    share(turns, Deadline(), lambda: len(notes) == 3)
    assert notes == ["b"] * 3


def test_an_interrupt_ends_all_routes():
    notes = []
    workers = [Worker(name, 10**9, notes) for name in "ab"]
    turns = [Turn(w.name, w) for w in workers]

    def watch():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        share(turns, Deadline(), never, watch=watch)
    assert all(turn.join(60) for turn in turns)
    assert workers[0].stopped


class InterruptedWhileAwaited(Turn):
    """The keyboard interrupts whoever waits for it, once."""

    awaited = 0

    def join(self, seconds):
        """Wait as long as it takes."""
        self.awaited += 1
        if self.awaited == 1:
            raise KeyboardInterrupt
        return super().join(None)


def test_an_interrupt_while_a_route_ends_does_not_leave_it_at_work():
    """It is waited for again: what it holds must not change after the call."""
    workers = [Worker(name, 10**9, []) for name in "ab"]
    turns = [InterruptedWhileAwaited(w.name, w) for w in workers]
    with pytest.raises(KeyboardInterrupt):
        share(turns, Deadline(), lambda: turns[1].begun, threads=2)
    assert all(w.stopped for w in workers)
    assert [turn.awaited for turn in turns] == [2, 2]


def findings(**options):
    linear = LinearModel(
        np.ones((1, 2)), [-np.inf], [3.0], [0.0, 0.0], [2.0, 2.0], [False, True]
    )
    model = EmbeddedModel(linear, costs=[-1.0, -1.0])
    return Findings(model, BranchOptions(**options), Deadline())


class Unhurried(Turn):
    """Works for one step whenever it is granted time, which then counts as worked."""

    def grant(self, seconds, changed):
        self.seconds += seconds
        super().grant(0.0, changed)


@pytest.mark.parametrize("soon", [False, True])
def test_who_leads_gets_as_much_as_the_first(soon):
    """By weight 3 : 3 : 1 in place of 3 : 1 : 1; all, once it is about to end."""
    notes = []
    turns = [
        Unhurried(name, Worker(name, 10**9, notes), weight)
        for name, weight in (("a", 3.0), ("b", 1.0), ("c", 1.0))
    ]

    def leader():
        return turns[1], soon and turns[1].begun

    share(turns, Deadline(), lambda: len(notes) >= 70, leader=leader)
    a, b, c = (turn.seconds for turn in turns)
    if soon:
        assert notes.count("b") > 60
    else:
        assert a == pytest.approx(b, rel=0.3) and 2.0 * c < a


def test_points_are_verified_and_integers_rounded():
    found = findings()
    assert not found.offer(np.array([2.0, 2.0]), "one")
    assert found.point is None and found.value == np.inf
    assert found.offer(np.array([1.0, 1.0 + 1e-9]), "one")
    assert found.point.tolist() == [1.0, 1.0] and found.value == -2.0
    assert found.offer(np.array([0.0, 1.0]), "two")
    assert (found.value, found.value_by) == (-2.0, "one")


def test_bounds_only_rise_and_all_is_in_the_history():
    found = findings(mip_gap=0.1)
    found.raise_bound(-5.0, "one")
    found.raise_bound(-6.0, "two")
    assert (found.bound, found.bound_by) == (-5.0, "one")
    found.offer(np.array([2.0, 1.0]), "two")
    assert not found.done
    found.raise_bound(-3.2, "two")
    assert found.done
    seen = [(one.route, one.bound, one.value) for one in found.history]
    expected = [("one", -5.0, np.inf), ("two", -5.0, -3.0), ("two", -3.2, -3.0)]
    assert seen == expected


def test_what_is_concluded_first_stays():
    found = findings()
    found.conclude("infeasible", "one")
    found.conclude("unbounded", "two")
    assert found.done and found.status == "infeasible"


def test_a_route_whose_work_is_done_elsewhere_takes_no_turns():
    notes = []
    workers = [Worker("a", 200, notes), Worker("b", 50, notes), Worker("c", 50, notes)]
    turns = [Turn(w.name, w, elsewhere=w.name == "a") for w in workers]
    share(turns, Deadline(), lambda: not any(t.alive for t in turns))
    assert len(notes) == 300 and all(t.error is None for t in turns)


def test_delays_count_what_the_process_worked():
    """On a busy machine its clock says little; one that waits does not wait forever."""
    assert worked(0.5, 8.0) == 0.5
    assert worked(3.0, 1.0) == 1.0  # several threads at work
    assert 0.0 < worked(0.0, 8.0) < 8.0


def test_a_stopped_route_ends_in_the_midst_of_an_lp():
    """And begins no further one."""
    runs = []

    def work(turn):
        while True:
            runs.append(run_on_own_thread(highs))

    begun = threading.Event()
    with long_lp(begun.set) as (highs, ended):
        turn = Turn("a", work)
        share([turn], Deadline(), begun.is_set)
        assert ended() and len(runs) == 1
    assert not turn.alive and turn.error is None
