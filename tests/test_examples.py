"""The examples run as a reader would run them and say what they promise."""

import os
import re
import subprocess
import sys

import pytest

from tests.paths import ROOT

RUNS = [
    ("quickstart.py", [], "output by onnxruntime there"),
    ("flowsheet.py", [], "pre-heater"),
    ("time_indexed.py", [], "total cost"),
    ("bound_tightening.py", ["--plot", "bounds.png"], "exact (MILP)"),
    ("global_optimum.py", [], "proven"),
    ("distributed_bounds.py", [], "the same bounds"),
]


@pytest.mark.parametrize("name, arguments, text", RUNS, ids=[r[0] for r in RUNS])
def test_example(name, arguments, text, tmp_path):
    if arguments:
        pytest.importorskip("matplotlib")
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert text in run.stdout
    for option in arguments[1:]:
        assert (tmp_path / option).stat().st_size > 10_000


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
