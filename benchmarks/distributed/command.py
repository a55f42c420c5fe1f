"""The command line: measure one process and several, record tasks, simulate more."""

import argparse
import contextlib
import time
from concurrent.futures import ProcessPoolExecutor
from math import inf
from pathlib import Path

from benchmarks.distributed.models import MODELS
from benchmarks.distributed.simulate import TRANSPORT, simulate
from pyomo_relu.branch.branch import BranchOptions, branch
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.branch.subtrees.coordinator import Plan
from pyomo_relu.branch.subtrees.trace import TaskReport


def main(arguments=None):
    """Run what the command line says; 0 if it could."""
    options = _parser().parse_args(arguments)
    if options.command == "simulate":
        report = TaskReport.read(options.trace)
        if options.before is not None:
            report.before = options.before
        if options.handling is not None:
            report.during = options.handling * (len(report.trace) - report.lost)
        print_simulations(report, options.workers, options.transport, options.serial)
    elif options.command == "record":
        record(options)
    else:
        measure(options)
    return 0


def _parser():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("measure", "record"):
        command = commands.add_parser(name)
        command.add_argument("--model", choices=list(MODELS), default="ackley")
        command.add_argument("--processes", type=int, default=2)
        command.add_argument("--on", choices=["processes", "dask"], default="dask")
        command.add_argument(
            "--trim",
            action="store_true",
            help="leave Dask's MALLOC_TRIM_THRESHOLD_ as it is: measures its price",
        )
        command.add_argument(
            "--profile",
            action="store_true",
            help="leave Dask's profiler of its workers on: measures its price",
        )
        command.add_argument("--limit", type=float, help="seconds for each run")
    command.add_argument("--workers", type=int, default=16)
    command.add_argument(
        "--seconds", type=float, default=0.4, help="processor seconds per task"
    )
    command.add_argument("--nodes", type=float, default=inf, help="boxes per task")
    command.add_argument("--trace", type=Path, default=Path("trace.json"))
    command = commands.add_parser("simulate")
    command.add_argument("trace", type=Path)
    command.add_argument("--workers", type=int, nargs="+", default=[2, 4, 8, 16])
    command.add_argument(
        "--serial", type=float, help="CPU seconds of one process alone"
    )
    command.add_argument("--transport", type=float, default=TRANSPORT, help="seconds")
    for name, what in (("before", "before the first task"), ("handling", "per task")):
        command.add_argument(
            f"--{name}",
            type=float,
            help=f"the coordinator's CPU seconds {what}, instead of those recorded",
        )
    return parser


@contextlib.contextmanager
def pool(options):
    """The executor: processes, or a Dask cluster over the loopback device."""
    if options.on == "processes":
        with ProcessPoolExecutor(options.processes) as executor:
            yield executor
        return
    import dask
    from distributed import Client, LocalCluster

    if not options.trim:
        trim = "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"
        dask.config.set({trim: None})
    dask.config.set({"distributed.worker.profile.enabled": options.profile})
    cluster = LocalCluster(
        options.processes,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
    )
    with cluster, Client(cluster) as client:
        yield client.get_executor()


def measure(options):
    """One process, then several; seconds of both."""
    problem = read_model(MODELS[options.model]()).problem
    runs = []
    began = time.process_time()
    runs.append(
        ("one process", branch(problem, BranchOptions(time_limit=options.limit)))
    )
    cpu = [time.process_time() - began]
    with pool(options) as executor:
        more = BranchOptions(time_limit=options.limit, executor=executor)
        began = time.process_time()
        result = branch(problem, more)
        cpu.append(time.process_time() - began)
    cpu[1] += sum(record.cpu for record in result.tasks.trace)
    runs.append((f"{options.processes} by {options.on}", result))
    for (name, result), seconds in zip(runs, cpu, strict=True):
        print(
            f"{name:<18} {result.status:<12} {result.value:.8g} >= {result.bound:.8g}  "
            f"{result.nodes:>8} boxes {result.seconds:8.2f} s {seconds:8.2f} s CPU"
        )
    first, second = (result.seconds for _, result in runs)
    print(f"{first / second:.2f} times faster; {runs[1][1].tasks.done}")


def record(options):
    """Record the tasks as they are for so many workers, whoever does them."""
    problem = read_model(MODELS[options.model]()).problem
    plan = Plan(seconds=(options.seconds, options.seconds), nodes=options.nodes)
    more = {"threads": options.workers, "plan": plan, "time_limit": options.limit}
    with pool(options) as executor:
        result = branch(problem, BranchOptions(executor=executor, **more))
    result.tasks.write(options.trace)
    print(f"{result.status}: {result.nodes} boxes, {result.tasks.done}")
    if result.open:
        print(f"not in it: what {result.open} open boxes would have taken; see --limit")
    print_simulations(result.tasks, [2, 4, 8, 16])


def print_simulations(report, workers, transport=TRANSPORT, serial=None):
    """A table of what is simulated."""
    print(f"{'workers':>8} {'seconds':>9} {'efficiency':>11} {'exact':>11}")
    for count in workers:
        outcome = simulate(report, count, transport)
        exact = simulate(report, count, transport, exact=True)
        shares = (100 * one.efficiency(serial) for one in (outcome, exact))
        shares = " ".join(f"{share:>10.1f}%" for share in shares)
        print(f"{count:>8} {outcome.seconds:>9.2f} {shares}")
