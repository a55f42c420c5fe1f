"""The coupled models: what is in them, their command, and replayed rounds by hand."""

import numpy as np
import pyomo.environ as pyo
import pytest

from benchmarks.coupled import command
from benchmarks.coupled.efficiency import efficiency, replayed
from benchmarks.coupled.models import ROWS, Size
from benchmarks.coupled.networks import trained, varied
from pyomo_relu.decompose.subproblems.pricing import Round
from pyomo_relu.model.blocks import network_blocks


@pytest.mark.parametrize(
    "rows, count", [("resource", 5), ("storage", 26), ("peaks", 24)]
)
@pytest.mark.parametrize("identical", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_model(rows, count, identical, whole):
    size = Size(count, rows, identical, whole)
    model = ROWS[rows](size)
    blocks = network_blocks(model, None, "test")
    assert len(blocks) == count
    assert len({block.network for block in blocks}) == (1 if identical else count)
    assert all(None not in v.bounds for b in blocks for v in b.input_vars())
    integers = [v for v in model.component_data_objects(pyo.Var) if v.is_integer()]
    assert len(integers) == (0 if not whole else 3 if rows == "resource" else 24)
    own = list(
        model.component_data_objects(pyo.Constraint, active=True, descend_into=False)
    )
    assert len(own) == (1 if rows == "resource" else 25)
    assert size.name.startswith(f"{rows}_{count}")


def test_every_hour_has_a_plant():
    with pytest.raises(ValueError, match="23 networks leave hours without one"):
        ROWS["storage"](Size(23, "storage"))


def test_varied_networks_are_alike_and_not_equal():
    plant = trained("chiller")
    X = np.random.default_rng(0).uniform(plant.lower, plant.upper, (500, 2))
    before = plant.network.forward(X)
    one, same, other = (varied(plant, seed).network for seed in (1, 1, 2))
    assert one == same and one != other
    off = np.abs(one.forward(X) - before).mean() / np.ptp(before)
    assert 1e-3 < off < 0.3


def test_replayed_rounds_by_hand():
    rounds = [Round(1.0, 0.5, [2.0, 2.0, 4.0]), Round(0.5, 0.0, [3.0])]
    assert replayed(rounds, 1) == 1.5 + 8 + 0.5 + 3
    assert replayed(rounds, 2) == 1.5 + 6 + 0.5 + 3  # in order: 2 | 2, then 4
    assert replayed(rounds, 8) == 1.5 + 4 + 0.5 + 3
    assert efficiency(rounds, 2) == 13 / (2 * 11)


def test_the_command(capsys):
    arguments = ["--networks", "4", "--rows", "resource", "--columns", "whole"]
    arguments += ["--kinds", "identical", "--limit", "5", "--silent"]
    assert command.main([*arguments, "--routes", "relu.decompose", "relu.cells"]) == 0
    printed = capsys.readouterr().out
    assert "resource_4_identical_whole  relu.decompose" in printed
    assert "gap %" in printed
