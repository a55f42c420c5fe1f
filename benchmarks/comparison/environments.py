"""Other packages' routes in environments of their own, made by pip on first use."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.comparison.run import Run

ROOT = Path(__file__).resolve().parents[2]

#: Where environments are made.
FOLDER = ROOT / ".venv-benchmarks"

#: Route -> what pip installs beside this package.
NEEDS = {
    "gurobi-ml": ["gurobi-machinelearning", "torch"],
    "omlt+HiGHS": ["omlt"],
    "pyscipopt-ml": ["pyscipopt-ml", "pyscipopt", "torch"],
}

#: Seconds beyond its limit after which a run is ended from outside.
_GRACE = 60.0


def interpreter(route, report=print):
    """The Python that runs a route; its environment is made if it is not there.

    Parameters
    ----------
    route : str
    report : callable
        Told what is being installed.

    Returns
    -------
    str or None
        None if the environment cannot be made; ``report`` is told why.
    """
    if route not in NEEDS:
        return sys.executable
    folder = FOLDER / route.replace("+", "_")
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    done = folder / "installed"
    if not done.is_file():
        report(f"installing {', '.join(NEEDS[route])} into {folder}")
        venv.create(folder, with_pip=True, clear=True)
        package = ["-e", f"{ROOT}[test]"]
        install = [str(python), "-m", "pip", "install", "-q", *package, *NEEDS[route]]
        told = subprocess.run(install, capture_output=True, text=True)
        if told.returncode:
            last = told.stderr.strip().splitlines()[-1:]
            report(f"{route} is left out: pip says {' '.join(last)}")
            return None
        done.touch()
    return str(python)


def versions(python):
    """{package: version} of what matters in an environment."""
    told = subprocess.run(
        [python, "-m", "benchmarks.comparison.report"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return json.loads(told.stdout) if not told.returncode else {}


def run_there(python, set_name, model, route, limit):
    """A Run by another Python.

    Parameters
    ----------
    python : str
        From ``interpreter``.
    set_name, model, route : str
    limit : float
        Seconds.
    """
    arguments = [set_name, model, route, str(limit)]
    one_thread = {f"{n}_NUM_THREADS": "1" for n in ("OMP", "OPENBLAS", "MKL")}
    try:
        told = subprocess.run(
            [python, "-m", "benchmarks.comparison.worker", *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, **one_thread},
            timeout=3 * limit + _GRACE,
        )
        last = told.stdout.strip().splitlines()[-1:]
        if not told.returncode and last:
            return Run(**json.loads(last[0]))
        errors = told.stderr.strip().splitlines()[-1:]
        status = f"error: {' '.join(errors)[:80]}"
    except subprocess.TimeoutExpired:
        status = "does not end"
    return Run(model, "", route, limit, limit, False, status, False)
