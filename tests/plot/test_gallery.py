"""The script that draws the documentation's pictures runs, and draws the same twice."""

import subprocess
import sys

import pytest

from tests.paths import ROOT

pytest.importorskip("matplotlib")

SCRIPT = ROOT / "docs" / "make_pictures.py"


def draw(folder, *names):
    only = ["--only", *names] if names else []
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "--folder", str(folder), *only],
        capture_output=True,
        text=True,
        cwd=folder.parent,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def test_some_pictures_from_any_folder(tmp_path):
    drawn = draw(tmp_path / "new", "neuron_big_m", "regions_one_input")
    assert sorted(drawn) == ["neuron_big_m.png", "regions_one_input.png"]


@pytest.mark.dense
def test_all_pictures_are_the_same_every_time(tmp_path):
    first, second = draw(tmp_path / "first"), draw(tmp_path / "second")
    assert first == second
    there = {path.name for path in (ROOT / "docs" / "pictures").glob("*.png")}
    assert there == set(first)
