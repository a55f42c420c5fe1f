"""One model, proven by local processes, a Dask cluster or MPI ranks: the same optimum.

    python examples/cluster.py                          # two processes of this machine
    python examples/cluster.py --on dask                # a Dask cluster of this machine
    python examples/cluster.py --on dask --address tcp://scheduler:8786
    mpiexec -n 3 python -m mpi4py.futures examples/cluster.py --on mpi

Workers need pyomo_relu installed and nothing else: subtrees travel as tasks, the problem
once to each worker.  With --save FILE the search can be killed at any time, and goes on
from there with the same command.  docs/distributed.md has Slurm and Ray.
"""

import argparse
import contextlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock, example_network


def build(plants=3):
    """Plants, each a network of two set points, that share what they may use in all."""
    m = pyo.ConcreteModel(name="plants")
    m.plants = pyo.RangeSet(plants)
    m.x = pyo.Var(m.plants, [0, 1], bounds=(-1, 1))
    network = example_network("peaks_2x25")

    @m.Block(m.plants)
    def plant(b, i):
        b.nn = ReLUNetworkBlock(network=network, inputs=[m.x[i, 0], m.x[i, 1]])

    m.share = pyo.Constraint(expr=sum(m.x.values()) == 0.5)
    m.cost = pyo.Objective(expr=sum(m.plant[i].nn.outputs[0] for i in m.plants))
    return m


@contextlib.contextmanager
def pool(arguments):
    """The executor that the command line asks for."""
    if arguments.on == "dask":
        import dask
        from distributed import Client, LocalCluster

        # or its workers return every array's memory at once, and boxes cost half as
        # much again; docs/distributed.md has more
        trim = "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"
        dask.config.set({trim: None})
        with contextlib.ExitStack() as stack:
            where = arguments.address
            if where is None:
                cluster = LocalCluster(
                    arguments.workers, threads_per_worker=1, dashboard_address=None
                )
                where = stack.enter_context(cluster)
            yield stack.enter_context(Client(where)).get_executor()
    elif arguments.on == "mpi":
        from mpi4py.futures import MPIPoolExecutor

        with MPIPoolExecutor() as executor:
            yield executor
    else:
        with ProcessPoolExecutor(arguments.workers) as executor:
            yield executor


def main():
    """Solve on an executor, and say who did what."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--on", choices=["processes", "dask", "mpi"], default="processes"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes here")
    parser.add_argument("--address", help="of a Dask scheduler")
    parser.add_argument("--plants", type=int, default=3)
    parser.add_argument("--save", type=Path, help="file of the state (.npz)")
    arguments = parser.parse_args()
    options = {"tee": True}
    if arguments.save is not None:
        options["save"] = arguments.save
        if arguments.save.exists():
            options["resume"] = arguments.save
    m = build(arguments.plants)
    with pool(arguments) as executor:
        solver = pyo.SolverFactory("relu.branch")
        results = solver.solve(m, executor=executor, **options)
    pyo.assert_optimal_termination(results)
    for i in m.plants:
        point = ", ".join(f"{m.x[i, j].value:+.4f}" for j in (0, 1))
        print(f"plant {i}: ({point}) costs {pyo.value(m.plant[i].nn.outputs[0]):.4f}")
    print(
        f"proven by {results.solver.tasks} tasks on {results.solver.workers} workers, "
        f"{results.solver.lost_tasks} lost: {pyo.value(m.cost):.6f} >= "
        f"{results.problem.lower_bound:.6f}"
    )


if __name__ == "__main__":
    main()
