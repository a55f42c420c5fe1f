"""What more workers would gain, from the record of one run on Dask.

    python -m benchmarks.coupled.efficiency --networks 1000 --rows resource --limit 120

The run's rounds of pricing are replayed: what the main process did between and within
rounds stays as it was, a round's batches go in their order to whichever worker is free
first, and the round ends with the last one.  Transport takes what the main process spent
on it; workers are as fast as those of the run.  Efficiency is the gain over one worker
divided by the number of workers.
"""

import argparse
import heapq
import time

from benchmarks.coupled.models import ROWS, Size


def replayed(rounds, workers):
    """Seconds that a recorded run would take with so many workers.

    Parameters
    ----------
    rounds : sequence of Round
    workers : int
    """
    total = 0.0
    for one in rounds:
        free = [0.0] * workers
        for seconds in one.batches:
            heapq.heappush(free, heapq.heappop(free) + seconds)
        total += one.since + one.here + max(free)
    return total


def efficiency(rounds, workers):
    """The share of so many workers' time that would be of use."""
    return replayed(rounds, 1) / (workers * replayed(rounds, workers))


def recorded(size, limit, workers=2):
    """Solve a model on Dask on this machine; the result, its rounds, its seconds."""
    from dask.distributed import Client, LocalCluster

    from benchmarks.coupled.routes import GAP
    from pyomo_relu.branch.branch import BranchOptions
    from pyomo_relu.branch.interface.read import read_model
    from pyomo_relu.decompose.decompose import decompose

    model = read_model(ROWS[size.rows](size), "relu.decompose").problem.original
    seen = []

    def note(run):
        pricing = getattr(getattr(run, "evaluator", None), "pricing", None)
        seen[:] = [] if pricing is None else [pricing]

    cluster = LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
    )
    with cluster, Client(cluster) as client:
        options = BranchOptions(
            time_limit=limit, mip_gap=GAP, executor=client.get_executor()
        )
        began = time.perf_counter()
        result = decompose(model, options, note)
        seconds = time.perf_counter() - began
    return result, seen[0].rounds if seen else [], seconds


def main():
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--rows", choices=ROWS, default="resource")
    parser.add_argument("--identical", action="store_true")
    parser.add_argument("--limit", type=float, default=240.0)
    options = parser.parse_args()
    size = Size(options.networks, options.rows, options.identical)
    result, rounds, seconds = recorded(size, options.limit)
    gap = 100 * (result.value - result.bound) / abs(result.value)
    print(f"{size.name}: {result.status}, gap {gap:.3f} % in {seconds:.1f} s")
    for workers in (1, 2, 4, 8, 16):
        print(
            f"{workers:>3} workers: {replayed(rounds, workers):.1f} s, "
            f"efficiency {100 * efficiency(rounds, workers):.0f} %"
        )


if __name__ == "__main__":
    main()
