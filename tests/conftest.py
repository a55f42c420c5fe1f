"""What several test files share: time that passes only where a test lets it."""

import time

import pytest


class SimulatedClock:
    """Stands in for the clocks of ``time``; every reading may cost some seconds."""

    def __init__(self):
        self.now = self.step = 0.0

    def read(self):
        self.now += self.step
        return self.now

    def advance(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    """Time limits end after the same work on every machine, however busy it is."""
    simulated = SimulatedClock()
    for name in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, simulated.read)
    return simulated
