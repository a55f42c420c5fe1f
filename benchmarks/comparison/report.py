"""What a comparison leaves: runs with machine, date, versions and command, as JSON."""

import datetime
import importlib.metadata
import json
import os
import platform
import sys

#: Distributions whose versions matter.
_PACKAGES = (
    *("pyomo_relu", "pyomo", "numpy", "scipy", "highspy", "gurobipy", "pyscipopt"),
    *("gurobi-machinelearning", "omlt", "pyscipopt-ml", "torch", "scikit-learn"),
)


def packages():
    """{package: version} of what is installed here."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine():
    """What the runs ran on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = (line for line in file if line.startswith("model name"))
            return next(names, ":").partition(":")[2].strip() or platform.processor()
    except OSError:
        return platform.processor()


def write_json(path, name, runs, limit, environments=None):
    """Everything that a reader needs to judge the runs.

    Parameters
    ----------
    path : str or Path
    name : str
        The set's.
    runs : list of dict
        One of each run.
    limit : float or None
        Seconds; None if each run has its own.
    environments : dict of str -> dict of str -> str, optional
        Versions by route, of routes with an environment of their own.
    """
    document = {
        "set": name,
        "date": datetime.datetime.now().isoformat(timespec="seconds"),
        "command": " ".join(["python -m", f"benchmarks.{name}", *sys.argv[1:]]),
        "machine": machine(),
        "versions": packages(),
        "environments": environments or {},
        "limit": limit,
        "threads": 1,
        "runs": runs,
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)


if __name__ == "__main__":
    print(json.dumps(packages()))
