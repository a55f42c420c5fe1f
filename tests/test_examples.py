"""The examples run as a reader would run them and say what they promise."""

import os
import re
import subprocess
import sys

import pytest

from tests.paths import ROOT, SHARED_MODELS, needs_shared_models

RUNS = [
    ("quickstart.py", [], "output by onnxruntime there"),
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
    ("ensemble.py", [], "optimum (optimal)"),
    ("optimal_control.py", [], "under the true law"),
    ("reactor_recycle.py", ["--plot", "profit.png"], "proven: no profit above 26.3"),
]


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


@pytest.mark.parametrize("name, arguments, text", RUNS, ids=[r[0] for r in RUNS])
def test_example(name, arguments, text, tmp_path):
    if arguments:
        pytest.importorskip("matplotlib")
    assert text in run_example(name, arguments, tmp_path)
    for option in arguments:
        if "." in option:
            assert (tmp_path / option).stat().st_size > 3000


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
