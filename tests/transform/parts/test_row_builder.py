"""What a formulation of the user's may get wrong in its rows is refused by row."""

import math

import pyomo.environ as pyo
import pytest

from pyomo_relu.errors import TransformationError
from pyomo_relu.transform import NetworkFormulation
from tests.search.models import surrogate


def same_key(rows, k, i, x):
    rows.add_row("mine", [1.0], [x], 0.0)


def no_side(rows, k, i, x):
    rows.add_row((k, i, "mine"), [1.0], [x])


def not_finite(rows, k, i, x):
    rows.add_row((k, i, "mine"), [math.nan], [x], 0.0)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (same_key, "row 'mine' was added before; give each a key of its own"),
        (no_side, r"row \(0, \d+, 'mine'\) has no side; give lower="),
        (not_finite, r"row \(0, \d+, 'mine'\) has coefficients that are not finite"),
    ],
)
def test_wrong_rows_are_refused_and_leave_the_model(write, message):
    class Mine(NetworkFormulation):
        NAME = "relu.mine"

        def _encode_neuron(self, rows, k, i, config):
            write(rows, k, i, rows.columns.post[k][i])

    m = surrogate("peaks_2x10_seed0")
    before = [c.name for c in m.component_data_objects(pyo.Constraint, active=True)]
    with pytest.raises(TransformationError, match=message):
        Mine().apply_to(m)
    rows = m.component_data_objects(pyo.Constraint, active=True)
    assert [c.name for c in rows] == before


def test_a_formulation_without_rows_says_what_to_define():
    with pytest.raises(NotImplementedError, match="Define _encode_neuron"):
        NetworkFormulation().apply_to(surrogate("peaks_2x10_seed0"))
