"""The command line: seconds and memory of building, bounding and solving, as a table."""

import argparse
import multiprocessing
import resource
import sys
import time

import pyomo.environ as pyo

from benchmarks.comparison.report import write_json
from benchmarks.scenarios.models import investment, neur2sp_network, units
from pyomo_relu.common.table import format_table

_COLUMNS = ("model", "neurons", "build", "bounds", "solve", "value", "gap", "peak GB")


def main(arguments=None):
    """Run the models asked for, each in a process of its own; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenarios")
    parser.add_argument("--scenarios", type=int, nargs="*", default=[121, 441, 1681])
    parser.add_argument("--units", type=int, nargs="*", default=[])
    parser.add_argument("--widths", type=int, nargs="*", default=[500, 500])
    parser.add_argument("--solver", default="relu.branch")
    parser.add_argument("--bounds", action="store_true", help="apply relu.bounds, too")
    parser.add_argument("--limit", type=float, default=120.0)
    parser.add_argument("--json", help="all rows, with machine, versions and command")
    given = parser.parse_args(arguments)
    if given.scenarios and neur2sp_network() is None:
        print("Neur2SP's networks are not here: a random one of the same size.")
    tasks = [("scenarios", n) for n in given.scenarios]
    tasks += [("units", n) for n in given.units]
    rows = []
    for task in tasks:
        rows.append(_in_a_process(task, given))
        pairs = zip(_COLUMNS, rows[-1], strict=True)
        # large ones take minutes, and whoever ends the run keeps those before
        print("; ".join(map(" ".join, pairs)), file=sys.stderr, flush=True)
    print(format_table(_COLUMNS, rows))
    print("CPU seconds; peak memory of the process, Python and Pyomo included")
    if given.json:
        runs = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
        write_json(given.json, "scenarios", runs, given.limit)
    return 0


def _in_a_process(task, given):
    """Run one model in a fresh process, whose peak memory is then its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_run, (task, vars(given)))


def _run(task, given):
    kind, count = task
    clock = time.process_time()
    of_kind = {"scenarios": investment, "units": lambda n: units(n, given["widths"])}
    model = of_kind[kind](count)
    built = time.process_time()
    if given["bounds"]:
        pyo.TransformationFactory("relu.bounds").apply_to(model)
    bounded = time.process_time()
    solver = pyo.SolverFactory(given["solver"])
    results = solver.solve(model, time_limit=given["limit"], load_solutions=True)
    solved = time.process_time()
    low, high = results.problem.lower_bound, results.problem.upper_bound
    neurons = sum(b.network.n_neurons for b in model.nn.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds = (built - clock, bounded - built, solved - bounded)
    return (
        f"{count} {kind}",
        f"{neurons}",
        *(f"{s:.2f}" for s in seconds),
        f"{high:.4f}",
        f"{(high - low) / max(abs(high), 1e-10):.1e}",
        f"{peak:.2f}",
    )
