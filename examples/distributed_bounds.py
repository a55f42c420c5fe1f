"""Bound tightening on local processes, a Dask cluster or MPI ranks: the same bounds.

    python examples/distributed_bounds.py                        # two local processes
    python examples/distributed_bounds.py --dask                 # a Dask cluster here
    mpiexec -n 3 python -m mpi4py.futures examples/distributed_bounds.py --mpi

Any ``concurrent.futures.Executor`` goes into ``executor=``.  Workers need pyomo_relu
installed and nothing else: networks travel with the tasks.
"""

import argparse
import contextlib
import time
from concurrent.futures import ProcessPoolExecutor

import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock, example_network

ONNX_FILE = example_network("ackley5_3x50")


def build():
    """A network of five inputs; splitting alone leaves work for LPs."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(5), bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=ONNX_FILE, inputs=m.x)
    return m


@contextlib.contextmanager
def pool(arguments):
    """The executor that the command line asks for."""
    if arguments.dask:
        from distributed import Client, LocalCluster

        cluster = LocalCluster(2, threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster) as client:
            yield client.get_executor()
    elif arguments.mpi:
        from mpi4py.futures import MPIPoolExecutor

        with MPIPoolExecutor() as executor:
            yield executor
    else:
        with ProcessPoolExecutor(2) as executor:
            yield executor


def main():
    """Tighten with an executor and without one, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dask", action="store_true", help="on a local Dask cluster")
    parser.add_argument("--mpi", action="store_true", help="on MPI ranks")
    arguments = parser.parse_args()
    found = {}
    with pool(arguments) as executor:
        for name, where in (("alone", None), ("executor", executor)):
            m = build()
            start = time.perf_counter()
            pyo.TransformationFactory("relu.obbt").apply_to(
                m, methods=["interval", "crown", "lp"], executor=where
            )
            found[name] = m.nn.neuron_bounds()
            print(f"{name:<9} {time.perf_counter() - start:6.2f} s  {found[name]}")
    same = all(
        (a == b).all()
        for a, b in zip(found["alone"].lower, found["executor"].lower, strict=True)
    )
    print("the same bounds" if same else "the bounds differ: please report this")


if __name__ == "__main__":
    main()
