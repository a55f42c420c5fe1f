"""Nonlinear flowsheets beside the checkout: proven, with the values that are known."""

import importlib.util

import pyomo.environ as pyo
import pytest

from tests.paths import ROOT

FOLDERS = [p / "shared" / "flowsheets" for p in ROOT.parents]
FOLDER = next((p for p in FOLDERS if (p / "models.py").is_file()), None)

pytestmark = pytest.mark.skipif(FOLDER is None, reason="the flowsheets are not here")


def flowsheet(name):
    spec = importlib.util.spec_from_file_location("flowsheets", FOLDER / "models.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MODELS[name]()[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reformer_bilinear", 31.7167),
        ("reformer_exp", 16.68815),
        ("cstr", 25.1762),
        pytest.param("mixing_2x25", -6.652711, marks=pytest.mark.dense),
        pytest.param("mixing_3x25", -6.570419, marks=pytest.mark.dense),
        pytest.param("mixing_5x25", -6.66056, marks=pytest.mark.dense),
    ],
)
def test_proven_with_the_known_value(name, value):
    m = flowsheet(name)
    results = pyo.SolverFactory("relu.branch").solve(m)
    pyo.assert_optimal_termination(results)
    ends = results.problem.lower_bound, results.problem.upper_bound
    assert ends[0] - 1e-4 <= value <= ends[1] + 1e-4
    assert pyo.value(next(m.component_data_objects(pyo.Objective))) == pytest.approx(
        value, rel=2e-4
    )
    for row in m.component_data_objects(pyo.Constraint, active=True):
        body = pyo.value(row.body)
        slack = 1e-5 * (1.0 + abs(body))
        assert row.lower is None or body >= pyo.value(row.lower) - slack, row.name
        assert row.upper is None or body <= pyo.value(row.upper) + slack, row.name
