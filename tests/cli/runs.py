"""Running the command line in this process and in one of its own; no test logic here."""

import json
import subprocess
import sys

from pyomo_relu.cli.main import main
from tests.paths import ROOT

SMALL = "example:peaks_2x10_seed0"


def command(capsys, *words):
    """Run in this process: exit code, stdout, stderr."""
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def as_data(capsys, *words):
    """Run with ``--json``: exit code and what was printed."""
    code, out, _ = command(capsys, *words, "--json")
    return code, json.loads(out)


def process(folder, *words, **variables):
    """Run ``python -m pyomo_relu`` in a folder, with more environment variables."""
    return subprocess.run(
        [sys.executable, "-m", "pyomo_relu", *map(str, words)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "MPLBACKEND": "agg", **variables},
        stdin=subprocess.DEVNULL,
        check=False,
    )
