"""The benchmarks' command: sets, what other packages answer, profiles, what is written."""

import importlib
import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from benchmarks import command as everything
from benchmarks.comparison.command import main as compare
from benchmarks.comparison.environments import interpreter, run_there, versions
from benchmarks.comparison.profile import draw_profile, profile, profile_table
from benchmarks.comparison.report import machine
from benchmarks.comparison.summary import summary
from benchmarks.comparison.table import control
from benchmarks.other_packages.routes import OTHERS
from benchmarks.regret.models import MODELS
from benchmarks.sets import QUESTIONS, SETS, model_set, question
from benchmarks.surrogatelib import models as surrogatelib
from benchmarks.verification.command import SHARED
from pyomo_relu.branch.interface.read import read_model
from tests.paths import ROOT
from tests.test_comparison import outcome


@pytest.mark.parametrize("name", SETS)
def test_sets(name):
    models = model_set(name)
    assert models.name == name
    assert set(models.default) <= set(models.routes)
    assert set(models.default_models or models.models) <= set(models.models)
    if models.models:
        assert models.warm_up in models.models
        built = models.models[models.warm_up]()
        assert read_model(built).problem.original.functions
    assert (ROOT / "benchmarks" / name / "__main__.py").is_file()


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_take_what_all_sets_take(name, capsys):
    with pytest.raises(SystemExit) as end:
        question(name)(["--help"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert "--limit" in told and "--json" in told
    assert (ROOT / "benchmarks" / name / "__main__.py").is_file()


def test_verdicts_are_written(tmp_path):
    if not (SHARED / "acasxu").is_dir():
        pytest.skip("no folder of VNN-COMP beside the checkout")
    file = tmp_path / "verification.json"
    arguments = ["--set", "acasxu", "--every", "1000", "--json", str(file)]
    assert question("verification")(arguments) == 0
    (run,) = json.loads(file.read_text())["runs"]
    assert run["verdict"] == run["published"]


def test_recipe_of_surrogatelib():
    X, values = surrogatelib.quadratics(5, 42)
    assert X.shape == (2500, 5) and np.abs(X).max() <= 10
    networks, median = surrogatelib.trained(5, 3, 16, 42)
    assert median == np.median(values[1])
    for network, y in zip(networks, values, strict=True):
        assert [layer.size for layer in network.layers] == [16, 16, 16, 1]
        assert np.corrcoef(network.forward(X)[:, 0], y)[0, 1] > 0.9
    assert len(surrogatelib.DEFAULT) == 12 and len(surrogatelib.MODELS) == 36


@pytest.mark.parametrize("route", OTHERS)
def test_other_packages_find_our_optimum(route):
    other = OTHERS[route]
    for module in other.modules:
        pytest.importorskip(module)
    arguments = ["--only", "single_3", "--routes", "relu", route, "--silent"]
    assert compare(model_set("regret"), [*arguments, "--limit", "60"]) == 0
    status, bound, loaded = other.run(MODELS["integers_3"](), 0.05)
    assert status in ("maxTimeLimit", "optimal") or not loaded
    assert bound is None or bound >= 118.16


@pytest.mark.parametrize("route", OTHERS)
def test_other_packages_read_chains_of_dense_layers_only(route):
    nonlinear = model_set("nonlinear").models["acquisition_2"]()
    assert OTHERS[route].run(nonlinear, 1.0) == ("not read", None, False)


def test_summary_says_where_we_lose():
    runs = [
        outcome("won", "relu", 1.0),
        outcome("won", "relu.branch", 2.0),
        outcome("lost", "relu", 4.0),
        outcome("lost", "gurobi-ml", 2.0),
        outcome("open", "relu", 30.0, proven=False),
        outcome("open", "gurobi-ml", 30.0, proven=False),
        outcome("lost", "relu again", 1.0),
    ]
    document = {
        "set": "regret",
        "command": "python -m benchmarks.regret",
        "date": "2026-01-02T03:04:05",
        "limit": 30.0,
        "machine": machine(),
        "versions": {"pyomo": "6"},
        "environments": {"gurobi-ml": {"pyomo": "5", "gurobipy": "13"}},
        "runs": [asdict(one) for one in runs],
    }
    page = summary(document)
    assert "| `relu` | 2 of 3 | 4.93 | 1.33 | 2.0 |" in page
    assert "Where we lose: 1 of 3 models." in page
    assert "| lost | 4.00 | `gurobi-ml` | 2.00 | 2.0 |" in page
    assert "Proven by no route: open." in page
    assert "pyomo 6" in page and "gurobipy 13" in page


def test_profile_by_hand(tmp_path):
    runs = [
        outcome("m", "a", 1.0),
        outcome("m", "b", 4.0),
        outcome("n", "a", 30.0, proven=False),
        outcome("n", "b", 9.0),
    ]
    factors, n_models = profile(runs)
    assert n_models == 2
    assert factors["a"].tolist() == [1.0] and factors["b"].tolist() == [1.0, 4.0]
    lines = [line.split() for line in profile_table(runs).splitlines()[2:]]
    assert lines == [
        ["a", "50", "50", "50", "50", "50", "50"],
        ["b", "50", "50", "50", "100", "100", "100"],
    ]
    pytest.importorskip("matplotlib").use("Agg")
    draw_profile(runs, tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_control_by_hand():
    runs = [outcome("m", "a", 1.0), outcome("m", "a again", 2.0)]
    assert control(runs) == (
        "Noise: a against itself, geometric mean of the ratios 2.00; a ratio is off by "
        "2.00 times (median), 2.00 at most."
    )


def test_command_over_sets_writes_results(tmp_path, capsys):
    arguments = ["--set", "regret", "--routes", "relu", "--limit", "0.001", "--silent"]
    # the limit is too short for a proof: what is written counts here
    assert everything.main([*arguments, "--control", "--results", str(tmp_path)]) == 0
    document = json.loads((tmp_path / "regret.json").read_text())
    assert document["threads"] == 1 and document["limit"] == 0.001
    assert document["versions"]["pyomo_relu"] and document["machine"]["cores"]
    assert {one["model"] for one in document["runs"]} == set(MODELS)
    assert {one["route"] for one in document["runs"]} == {"relu", "relu again"}
    assert (tmp_path / "regret.png").is_file()
    assert "models: 20" in (tmp_path / "README.md").read_text()
    assert "Noise: relu against itself" in capsys.readouterr().out


def test_help_names_the_sets():
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert told.returncode == 0 and all(name in told.stdout for name in SETS)


def test_a_run_in_another_process():
    assert interpreter("relu") == sys.executable
    one = run_there(sys.executable, "regret", "single_3", "relu", 30.0)
    assert one.proven and one.complaints() == []
    wrong = run_there(sys.executable, "regret", "single_3", "no such route", 30.0)
    assert not wrong.proven and wrong.status.startswith("error: KeyError")
    assert versions(sys.executable)["pyomo"]


def test_commands_are_where_the_sets_say():
    for name, constant in SETS.items():
        assert hasattr(importlib.import_module(f"benchmarks.{name}.command"), constant)
