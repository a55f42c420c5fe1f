"""One clock: limits that are shared, divided, stopped and sent to other processes."""

import pickle
import platform

import pytest

from pyomo_relu.common.deadline import ENDLESS, Deadline
from pyomo_relu.errors import BoundsError


def test_seconds_from_now_on(clock):
    deadline = Deadline(2.0)
    clock.advance(0.5)
    assert (deadline.elapsed(), deadline.left(), deadline.left(1.0)) == (0.5, 1.5, 1.0)
    assert not deadline.passed()
    clock.advance(2.0)
    assert deadline.passed() and deadline.left() == 0.0


def test_without_a_limit(clock):
    clock.advance(1e9)
    assert ENDLESS.endless and not ENDLESS.passed()
    assert ENDLESS.left() is None and ENDLESS.left(3.0) == 3.0
    assert ENDLESS.part(4).endless and ENDLESS.later(1.0).endless
    assert ENDLESS.share(1.0).left() == 1.0


def test_parts_of_a_deadline(clock):
    deadline = Deadline(8.0)
    assert deadline.part(4).left() == 2.0
    assert deadline.share(3.0).left() == 3.0 and deadline.share(9.0).left() == 8.0
    assert deadline.later(1.0).left() == 9.0
    deadline.stop()
    assert deadline.passed() and deadline.part(2).passed()


def test_the_same_moment_in_other_processes(clock, monkeypatch):
    deadline = Deadline(8.0)
    clock.advance(1.0)
    sent, endless = pickle.dumps(deadline), pickle.dumps(ENDLESS)
    clock.advance(2.0)  # waiting for a worker
    assert pickle.loads(sent).left() == 5.0
    # another machine's clock tells nothing about ours
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    assert pickle.loads(sent).left() == 7.0
    assert pickle.loads(endless).endless


def test_less_than_no_time_is_refused():
    with pytest.raises(BoundsError, match="seconds"):
        Deadline(-1.0)


def test_the_time_is_over_early_within_a_block(clock):
    deadline = Deadline(10)
    clock.advance(2)
    with deadline.early(0.5):
        assert deadline.left() == pytest.approx(4)
        clock.advance(5)
        assert deadline.passed()
    assert deadline.left() == pytest.approx(3)
    with deadline.early(0.5):
        deadline.stop()
    assert deadline.passed()
    endless = Deadline()
    with endless.early(0.5):
        assert endless.endless
