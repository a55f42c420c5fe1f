"""Subproblems in batches: the same proofs on any executor, and with workers that die."""

import contextlib
import logging
import os
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest

from pyomo_relu.branch.branch import BranchOptions
from pyomo_relu.branch.statuses import OPTIMAL
from pyomo_relu.common.deadline import ENDLESS, Deadline
from pyomo_relu.decompose.decompose import decompose
from pyomo_relu.decompose.subproblems.family import families
from pyomo_relu.decompose.subproblems.parts import take_apart
from pyomo_relu.decompose.subproblems.pricing import Pricing
from tests.decompose.models import many


def prepared(model, seed=0):
    """Families of a model, their first covers, and some multipliers."""
    rng = np.random.default_rng(seed)
    split = take_apart(model)
    groups = families(split.parts, split.linear.integer)
    covers, duals = [], []
    for f in groups:
        box = f.columns[:, : f.n]
        low, high = model.linear.lower[box], model.linear.upper[box]
        covers.append(f.begin(low, high, rng))
        duals.append(rng.normal(size=f.columns.shape))
    return groups, covers, duals


def test_networks_of_one_architecture_are_one_family():
    (same,), (other,) = (prepared(many(0, 5, identical=i))[0] for i in (True, False))
    assert same.networks.stack.alone and not other.networks.stack.alone
    assert len(same) == len(other) == 5
    model, second = many(0, 5), many(1, 4, widths=(4, 3))
    functions = [*model.functions[:3], *second.functions[3:], model.functions[4]]
    sizes = [len(f) for f in prepared(replace(model, functions=functions))[0]]
    assert sizes == [4, 1]


@pytest.mark.parametrize("identical", [True, False])
def test_batches_prove_what_one_does(identical):
    model = many(1, 70, identical=identical)
    with ThreadPoolExecutor(2) as executor:
        for used in (None, executor):
            groups, covers, duals = prepared(model)
            pricing = Pricing(used)
            before = [f.owner.size for f in groups]
            covers, values = pricing.prove(groups, covers, duals, 1e-2, ENDLESS)
            assert len(pricing.rounds) == 1
            if used is not None:
                assert 2 <= len(pricing.rounds[0].batches) <= 64
            missing, rng = 0.0, np.random.default_rng(1)
            for f, cover, least, pi, first in zip(
                groups, covers, values, duals, before, strict=True
            ):
                assert len(least) == len(f) and np.isfinite(least).all()
                known, _ = f.least(pi)
                missing += (known - least).sum()
                for k in range(len(f)):
                    X = rng.uniform(-1, 1, (200, 2))
                    V = f.networks.graph(np.full(200, k), X)
                    assert least[k] <= (V @ pi[k]).min() + 1e-9
                    assert cover.contains(np.full(200, k), X).all()
                # what was found lies on the graph of its member's network
                new, k = f.points[first:], f.owner[first:]
                assert np.allclose(f.networks.forward(k, new[:, :2]), new[:, 2:])
            # the points that are kept are nearly the best ones that were seen
            assert missing <= 2 * 70 * 1e-2


def test_without_time_boxes_prove_what_they_do():
    groups, covers, duals = prepared(many(2, 8))
    with ThreadPoolExecutor(2) as executor:
        same, values = Pricing(executor).prove(groups, covers, duals, 1e-6, Deadline(0))
    for cover, now, least, pi in zip(covers, same, values, duals, strict=True):
        assert len(now) == len(cover)
        assert least == pytest.approx(cover.least(cover.bounds(pi)[0], len(least)))


def test_processes_and_threads_find_the_same_optimum():
    model = many(3, 9, periods=3)
    expected = decompose(model)
    assert expected.status == OPTIMAL
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        found = decompose(model, BranchOptions(executor=executor))
    for other in (found, decompose(model, BranchOptions(threads=2))):
        assert other.status == OPTIMAL
        assert other.value == pytest.approx(expected.value, rel=2e-4)
        assert other.bound <= expected.value


def test_workers_that_die_cost_nothing_proven(caplog):
    model = many(4, 9, periods=3)
    expected = decompose(model)
    seen = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:

        def kill(run):
            seen.append((run.bound, run.incumbent.value))
            for process in list((executor._processes or {}).values()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)

        executor.submit(abs, -1).result()
        with caplog.at_level(logging.WARNING, logger="pyomo.relu"):
            found = decompose(model, BranchOptions(executor=executor), kill)
    assert "the executor takes no more tasks" in caplog.text
    assert found.status == OPTIMAL
    assert found.value == pytest.approx(expected.value, rel=2e-4)
    assert all(bound <= expected.value + 1e-9 for bound, _ in seen)
