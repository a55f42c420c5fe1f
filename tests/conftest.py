"""What all test files share: dense runs, and time that passes where a test lets it."""

import time

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--dense", action="store_true", help="run every case of the slow kinds, too"
    )


def pytest_collection_modifyitems(config, items):
    if config.getoption("--dense"):
        return
    left_out = [item for item in items if item.get_closest_marker("dense")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("dense")]


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
