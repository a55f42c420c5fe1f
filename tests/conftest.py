"""What all test files share: dense runs, and time that passes where a test lets it."""

import time

import pytest

from tests import thinned


def pytest_addoption(parser):
    parser.addoption(
        "--dense", action="store_true", help="run every case of the slow kinds, too"
    )


def pytest_configure(config):
    thinned.DENSE = config.getoption("--dense")


@pytest.hookimpl(trylast=True)  # what -k chooses is thinned, not the other way round
def pytest_collection_modifyitems(config, items):
    if config.getoption("--dense"):
        return
    kept = [item for item in items if not item.get_closest_marker("dense")]
    crossed = {}
    for item in kept:
        if item.get_closest_marker("covering"):
            crossed.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left_out = {item for item in items if item.get_closest_marker("dense")}
    for each in crossed.values():
        (times,) = each[0].get_closest_marker("covering").args
        # a value is the same object in all the cases that it is crossed into
        cases = [tuple(map(id, item.callspec.params.values())) for item in each]
        chosen = thinned.covering(cases, times)
        left_out.update(item for i, item in enumerate(each) if i not in chosen)
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


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
