"""History of a run, and a study's accuracy against effort: the drawn data."""

import csv
import math

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock, plot
from pyomo_relu.errors import ModelError
from pyomo_relu.search import find_point
from tests.networks import chain
from tests.paths import ROOT
from tests.plot.pictures import curve, legend, rendered

SOLVES = ROOT / "examples" / "study" / "results" / "solves.csv"


def model(sense=pyo.minimize):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=chain([2, 8, 8, 1], seed=3), inputs=m.x)
    m.cost = pyo.Objective(expr=m.nn.outputs[0], sense=sense)
    return m


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_history_draws_what_the_results_hold(sense):
    results = pyo.SolverFactory("relu.branch").solve(model(sense))
    ax = rendered(plot.history(results))
    seconds, bound, value = np.array(results.history).T
    x, y = curve(ax, "proven bound")
    assert np.array_equal(x, seconds) and np.array_equal(y, bound)
    at, best = curve(ax, "best value")
    finite = np.isfinite(value)
    assert np.array_equal(best[finite], value[finite]) and np.array_equal(at, seconds)
    assert np.isnan(best[~finite]).all()
    sign = 1 if sense == pyo.minimize else -1
    assert (sign * (best - y) >= -1e-6)[finite].all()
    assert "seconds" in ax.get_xlabel() and legend(ax) == ["best value", "proven bound"]


def test_history_of_a_search_has_no_bound():
    found = find_point(model(), time_limit=None, max_rounds=1)
    ax = rendered(plot.history(found))
    x, y = curve(ax, "best value")
    assert y[-1] == found.objective and x[-1] == found.seconds
    assert legend(ax) == ["best value"]


def test_history_of_entries_with_nothing_finite_yet():
    entries = [(0.0, -math.inf, math.inf), (1.0, -3.0, math.inf), (2.0, -2.0, -1.0)]
    ax = rendered(plot.history(entries))
    assert np.isnan(curve(ax, "proven bound")[1][0])
    assert curve(ax, "best value")[1][-1] == -1.0


@pytest.mark.parametrize("given", [None, [], 3, [(1, 2)], [("a", 1, 2)]])
def test_what_holds_no_history_is_refused(given):
    with pytest.raises(ModelError, match="holds no history"):
        plot.history(given)


def test_accuracy_against_effort_of_the_study():
    where = {"problem": "peaks", "bounds": "lp", "formulation": "relu.bigm"}
    where["solver"] = "gurobi"
    ax = rendered(plot.accuracy_against_effort(SOLVES, where=where))
    with SOLVES.open(newline="") as stream:
        rows = [r for r in csv.DictReader(stream) if where.items() <= r.items()]
    wanted = {}
    for r in rows:
        key = r["family"], r["training"], r["hidden"]
        wanted.setdefault(key, []).append((float(r["nrmse"]), float(r["work"])))
    for family in {key[0] for key in wanted}:
        x, y = curve(ax, family.replace("_", " "))
        runs = [np.array(v) for key, v in wanted.items() if key[0] == family]
        assert np.allclose(sorted(x), sorted(run[:, 0].mean() for run in runs))
        means = [np.exp(np.log(np.maximum(run[:, 1], 1e-3)).mean()) for run in runs]
        assert np.allclose(sorted(y), sorted(means))
    assert ax.get_ylabel() == "Gurobi work units" and ax.get_xscale() == "log"


def test_groups_keep_their_colours():
    rows = [
        {"family": name, "training": name, "hidden": "5", "nrmse": 0.1, "work": 1.0}
        for name in ("b", "a")
    ]
    first = plot.accuracy_against_effort(rows, order=["a", "b"])
    second = plot.accuracy_against_effort(rows[:1], order=["a", "b"])
    colours = [
        {line.get_label(): line.get_color() for line in ax.get_lines()}
        for ax in (rendered(first), rendered(second))
    ]
    assert colours[0]["b"] == colours[1]["b"] != colours[0]["a"]
    assert legend(first) == ["a", "b"]


def test_wrong_tables_are_refused(tmp_path):
    rows = [{"family": "a", "training": "a", "hidden": "5", "nrmse": "x", "work": "1"}]
    with pytest.raises(ModelError, match="no column 'wrk'. Did you mean 'work'"):
        plot.accuracy_against_effort(rows, effort="wrk")
    with pytest.raises(ModelError, match="'nrmse' holds 'x', which is no number"):
        plot.accuracy_against_effort(rows)
    with pytest.raises(ModelError, match="no row is left"):
        plot.accuracy_against_effort(rows, where={"family": "b"})
    with pytest.raises(ModelError, match="cannot read"):
        plot.accuracy_against_effort(tmp_path / "none.csv")
    with pytest.raises(ModelError, match=r"where must be a Mapping"):
        plot.accuracy_against_effort(rows, where=7)
    with pytest.raises(ModelError, match="There are none"):
        plot.accuracy_against_effort([])


@pytest.mark.parametrize(
    "entries, text",
    [
        ([(0.1, np.inf, np.inf)], "infeasible"),
        ([(0.1, -np.inf, -np.inf)], "infeasible"),
        ([(0.1, -np.inf, np.inf), (0.2, -np.inf, np.inf)], "no point and no bound yet"),
    ],
)
def test_a_run_that_found_nothing_says_so(entries, text):
    ax = rendered(plot.history(entries))
    assert ax.get_legend() is None and not ax.get_lines()
    (shown,) = ax.texts
    assert shown.get_text().startswith(text)


def test_one_point_has_a_range_around_it(recwarn):
    rows = [{"family": "a", "training": 1, "hidden": 2, "nrmse": 0.1, "work": 10.0}]
    ax = plot.accuracy_against_effort(rows)
    assert ax.get_xlim() == pytest.approx((0.01, 1.0))
    assert ax.get_ylim() == pytest.approx((1.0, 100.0))
    rendered(ax)
    assert not recwarn.list
