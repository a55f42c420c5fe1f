"""The benchmark of scenarios: its models are what they say, and its command runs."""

import numpy as np
import pyomo.environ as pyo
import pytest

from benchmarks.scenarios import command
from benchmarks.scenarios.models import investment, random_network, units


def test_the_investment_is_the_mean_over_a_grid_of_scenarios():
    network = random_network(4, (6,))
    m = investment(9, network)
    assert len(m.nn) == 9
    m.x[1].value, m.x[2].value = 1.0, 2.0
    m.nn.initialize()
    grid = np.array([[a, b] for a in (5, 10, 15) for b in (5, 10, 15)], dtype=float)
    points = np.hstack([np.tile([1.0, 2.0], (9, 1)), grid])
    assert pyo.value(m.total) == pytest.approx(-9.5 + network.forward(points).mean())


def test_units_share_a_network_and_a_row():
    m = units(5, (4,))
    assert len({id(b.network) for b in m.nn.values()}) == 1
    assert m.resource.body is not None and len(m.nn) == 5


def test_the_command_prints_a_row_for_a_model(capsys):
    assert command.main(["--scenarios", "4"]) == 0
    text = capsys.readouterr().out
    assert "4 scenarios" in text and "peak GB" in text
