"""A cluster on this machine, where Dask is installed; the test is skipped elsewhere."""

import contextlib

import pytest


@contextlib.contextmanager
def dask_executor(workers=2):
    """The client of a Dask cluster of one thread each, and its executor."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client, client.get_executor()
