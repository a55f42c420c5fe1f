"""The examples run as a reader would run them and say what they promise."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from pyomo_relu import load_onnx
from tests.paths import ROOT, SHARED_MODELS, needs_shared_models

RUNS = [
    # README's first command, which CI runs
    pytest.param(
        "quickstart.py", [], "output by onnxruntime there", marks=pytest.mark.dense
    ),
    ("flowsheet.py", [], "pre-heater"),
    ("time_indexed.py", [], "total cost"),
    ("bound_tightening.py", ["--plot", "bounds.png"], "exact (MILP)"),
    ("global_optimum.py", [], "proven"),
    ("distributed_bounds.py", [], "the same bounds"),
    (
        "cluster.py",
        ["--plants", "2", "--save", "plants.npz"],
        "workers, 0 lost: -2.015",
    ),
    # the tests of the study run these two, on smaller models
    pytest.param("ensemble.py", [], "optimum (optimal)", marks=pytest.mark.dense),
    pytest.param(
        "optimal_control.py", [], "under the true law", marks=pytest.mark.dense
    ),
    ("reactor_recycle.py", [], "proven: no profit above 26.3"),
    pytest.param(
        *("reactor_recycle.py", ["--plot", "profit.png"], "proven: no profit above"),
        marks=pytest.mark.dense,
    ),
]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
#: Imports that an example may need beyond the package.
NEEDS = {"quickstart_train.py": "torch"}


def run_example(name, arguments, folder):
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


@pytest.mark.parametrize("name, arguments, text", RUNS)
def test_example(name, arguments, text, tmp_path):
    if arguments:
        pytest.importorskip("matplotlib")
    assert text in run_example(name, arguments, tmp_path)
    written = [option for option in arguments if "." in option]
    for option in written:
        assert (tmp_path / option).stat().st_size > 3000
    assert sorted(path.name for path in tmp_path.iterdir()) == written


#: Runs each of its arguments as a script with ``--help``; in one process, since nearly
#: all of the time would go into importing the same packages.
HELP = """
import runpy, sys
names = sys.argv[1:]
for name in names:
    sys.argv = [name, "--help"]
    print("===", name, flush=True)
    try:
        runpy.run_path(name, run_name="__main__")
    except SystemExit as end:
        assert end.code == 0, name
    else:
        raise AssertionError(f"{name} did not end")
"""


def test_help_from_anywhere_writes_nothing(tmp_path):
    """Each is found by its path alone: no example imports another."""
    names = [n for n in EXAMPLES if n not in NEEDS or find_spec(NEEDS[n])]
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "pyomo_relu").symlink_to(ROOT / "pyomo_relu")
    run = subprocess.run(
        [sys.executable, "-c", HELP, *(str(ROOT / "examples" / n) for n in names)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    told = run.stdout.split("=== ")[1:]
    assert len(told) == len(names) > 10
    for name, text in zip(names, told, strict=True):
        assert "usage:" in text, name
    assert list(tmp_path.iterdir()) == [tmp_path / "installed"]


def test_training_writes_where_it_is_told(tmp_path):
    pytest.importorskip("torch")
    text = run_example(
        "quickstart_train.py", ["--output", "peaks.onnx", "--epochs", "1"], tmp_path
    )
    assert "wrote peaks.onnx" in text
    assert load_onnx(tmp_path / "peaks.onnx").n_neurons == 40
    assert [path.name for path in tmp_path.iterdir()] == ["peaks.onnx"]


@needs_shared_models
def test_oil_wells_by_branching(tmp_path):
    field = ["--folder", str(SHARED_MODELS / "oilwell"), "--nets", "shallow"]
    wells = ["--wells", "2", "6", "7", "8", "--lines", "flowline_b"]
    text = run_example(
        "oil_wells.py", [*field, *wells, "--solver", "relu.branch"], tmp_path
    )
    total = float(re.search(r"total oil ([0-9.]+)", text).group(1))
    assert total == pytest.approx(0.8370836964, rel=2e-4)


def test_the_code_in_the_readme_runs():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(blocks) >= 2
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert "status: optimal" in run.stdout
