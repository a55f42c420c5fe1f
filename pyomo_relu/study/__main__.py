"""Command line of the study: ``python -m pyomo_relu study``."""

import argparse
import json
import logging
import platform
import sys
import time
from importlib import metadata
from pathlib import Path

from pyomo_relu.linear.sessions.choice import PACKAGES as SOLVER_PACKAGES
from pyomo_relu.study.report.report import write_report
from pyomo_relu.study.run.config import ConfigError, load_config
from pyomo_relu.study.run.records import RunFolder
from pyomo_relu.study.run.runner import make_executor, run_study
from pyomo_relu.study.run.tables import COLUMNS, Tables

RUNS = Path("study_runs")
#: Versions of these are recorded, and those of the MILP solvers.
PACKAGES = ("pyomo", "numpy", "torch", "onnx")


def main(arguments=None):
    """Run or resume a grid, then write its tables and report; 0 if all went well."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    name = "quick" if options.quick else options.config
    try:
        config = load_config(name)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    path = options.folder or RUNS / config.name
    if options.report_only and _has_only_tables(path):
        return _report(path)
    folder = RunFolder(path)
    if not options.report_only:
        _write_environment(folder, config)
        in_flight = 1
        if options.executor is not None or options.workers > 1:
            in_flight = 2 * options.workers
        with make_executor(options.workers, options.executor) as executor:
            summary = run_study(
                config,
                folder,
                executor,
                in_flight=in_flight,
                minutes=options.minutes,
                cases=options.cases,
                retry=options.retry,
                bar=not options.silent,
            )
        print(f"{summary}.")
    # a folder may hold cases that the grid no longer has
    ids = config.ids
    records = [record for record in folder.load() if record["id"] in ids]
    tables = Tables.from_records(records)
    if not tables.networks:
        print(
            "error: no training has finished, so there is no report.", file=sys.stderr
        )
        return 1
    tables.write(folder.path)
    _report(folder.path)
    return 0 if options.report_only or not (summary.failed or summary.left) else 1


def _has_only_tables(path):
    """True for a folder of CSV files without the records that they came from."""
    tables = all((path / f"{name}.csv").exists() for name in COLUMNS)
    return tables and not (path / "records.jsonl").exists()


def _report(path):
    write_report(path)
    print(f"Report: {path / 'report.html'}")
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m pyomo_relu study",
        description="Train, encode, solve and compare; resumes where it stopped.",
    )
    parser.add_argument(
        "config",
        nargs="?",
        default="quick",
        help="a JSON file, or a grid of the study: tiny, quick, middle, full (default "
        "quick)",
    )
    parser.add_argument("--quick", action="store_true", help="the grid 'quick'")
    parser.add_argument(
        "--folder", type=Path, help=f"of results (default {RUNS}/NAME OF THE GRID)"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument(
        "--executor",
        metavar="MODULE:CALLABLE",
        help="makes a concurrent.futures.Executor (MPI, Dask, ...); --workers then says "
        "how many workers it has: twice as many cases are handed to it at a time",
    )
    parser.add_argument("--minutes", type=float, help="start no case after that long")
    parser.add_argument("--cases", type=int, help="start no more than so many")
    parser.add_argument("--retry", action="store_true", help="run failed cases again")
    parser.add_argument(
        "--report-only",
        action="store_true",
        help="only write tables and report; of a folder without records from its CSV "
        "files",
    )
    parser.add_argument("--silent", action="store_true", help="no progress bar")
    return parser


def _write_environment(folder, config):
    versions = {}
    for package in (*PACKAGES, *SOLVER_PACKAGES.values()):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    environment = {
        "grid": f"{config.name} ({config.comment})" if config.comment else config.name,
        "started": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": ", ".join(f"{k} {v}" for k, v in versions.items()),
    }
    path = folder.path / "environment.json"
    path.write_text(json.dumps(environment, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
