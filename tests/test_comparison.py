"""What the sets of models share: regrets, checks of answers, tables, by hand."""

import pyomo.environ as pyo
import pytest

from benchmarks.comparison.run import Run, disagreements, row_violation
from benchmarks.comparison.table import families_table, regrets, routes_table
from pyomo_relu import ReLUNetworkBlock
from tests.networks import chain


def outcome(model="m", route="a", seconds=1.0, proven=True, maximise=False, **found):
    status = "optimal" if proven else "maxTimeLimit"
    found = {"bound": 2.0, "value": 2.0, "error": 0.0, "violation": 0.0} | found
    return Run(
        model, "kind", route, seconds, seconds, proven, status, maximise, **found
    )


def test_regret_by_hand():
    runs = [
        outcome("m", "a", 1.0),
        outcome("m", "b", 4.0),
        outcome("n", "a", 30.0, proven=False),
        outcome("n", "b", 9.0),
    ]
    assert regrets(runs) == pytest.approx([1, 4, 30 / 9, 1])
    lines = [line.split() for line in routes_table(runs).splitlines()[2:]]
    assert lines == [
        ["a", "5.48", "2.17", "3.3", "1", "of", "2"],
        ["b", "6.00", "2.50", "4.0", "0", "of", "2"],
    ]


@pytest.mark.parametrize("maximise", [False, True])
def test_a_bound_that_a_point_contradicts(maximise):
    sign = -1 if maximise else 1
    right = outcome(maximise=maximise, bound=sign * 2.0, value=sign * 2.0)
    within = outcome("m", "b", maximise=maximise, bound=sign * 1.9999, value=sign * 2.0)
    loose = outcome(
        "m", "c", proven=False, maximise=maximise, bound=sign * -9.0, value=sign * 7.0
    )
    assert disagreements([right, within, loose]) == []
    wrong = outcome("m", "d", maximise=maximise, bound=sign * 2.1, value=sign * 2.1)
    found = disagreements([right, within, loose, wrong])
    assert len(found) == 2  # the points of two others are better than what d proves
    assert all(text.startswith("m: d proves") for text in found)
    assert disagreements([right, outcome("n", "d", bound=2.1, value=2.1)]) == []


@pytest.mark.parametrize(
    "found, text",
    [
        ({"error": 1e-2}, "networks are violated by 0.01"),
        ({"violation": float("nan")}, "rows are violated by nan"),
        ({"bound": 1.9}, "further apart than the gap"),
        ({"value": None}, "no point or bound"),
    ],
)
def test_complaints(found, text):
    assert outcome().complaints() == []
    (complaint,) = outcome(**found).complaints()
    assert text in complaint


def test_an_optimum_denied():
    denied = Run("m", "kind", "a", 30.0, 1.0, False, "infeasible", False)
    assert denied.complaints() == [
        "m, a: says infeasible, but the model has an optimum"
    ]


@pytest.mark.parametrize("maximise", [False, True])
def test_a_value_on_record(maximise):
    sign = -1 if maximise else 1
    two = {"bound": sign * 2.0, "value": sign * 2.0, "maximise": maximise}
    assert outcome(known=sign * 2.0001, **two).complaints() == []
    (bound,) = outcome(known=sign * 1.9, **two).complaints()
    assert f"proves {sign * 2}, but {sign * 1.9} is known to be the optimum" in bound
    (value,) = outcome(known=sign * 2.1, **two).complaints()
    assert f"has a point of value {sign * 2}, but" in value


def test_the_best_of_families():
    runs = [
        outcome("m", "a", 4.0),
        outcome("m", "b", 1.0),
        outcome("m", "c", 8.0),
        outcome("n", "a", 9.0),
        outcome("n", "b", 30.0, proven=False),
        outcome("n", "c", 2.0),
        outcome("o", "a", 5.0),
        outcome("o", "c", 30.0, proven=False),
    ]
    families = {"ours": ["a", "b"], "theirs": ["c"], "not run": ["d"]}
    lines = [line.split() for line in families_table(runs, families).splitlines()]
    assert lines[0][-2:] == ["ours", "theirs"]
    assert lines[2:] == [
        ["m", "1.00", "b", "8.00", "c"],
        ["n", "9.00", "a", "2.00", "c"],
        ["o", "5.00", "a", "-"],
        ["proven", "3", "of", "3", "2", "of", "3"],
        ["geometric", "mean", "of", "2", "3.00", "4.00"],
    ]
    nothing = families_table([outcome(proven=False)], {"ours": ["a"]})
    assert nothing.splitlines()[-1].split() == ["geometric", "mean", "of", "0", "-"]


def test_nonlinear_rows_are_checked():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1), initialize=0.5)
    m.f = pyo.Var(initialize=100.0)
    m.nn = ReLUNetworkBlock(network=chain([2, 2, 1]), inputs=m.x)
    m.product = pyo.Constraint(expr=m.f * m.x[0] == 49)
    assert row_violation(m) == pytest.approx(1 / 50)
    m.curve = pyo.Constraint(expr=pyo.exp(m.x[0]) <= 1)
    assert row_violation(m) == pytest.approx(1 - 0.5**0.5 / 1.1658, abs=1e-3)
