"""Points near mixtures, and merged covers."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from pyomo_relu.branch.branch import OPTIMAL, BranchOptions
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.decompose.branching import choose_split
from pyomo_relu.decompose.decompose import decompose
from pyomo_relu.decompose.tree import Decomposition
from pyomo_relu.linear.embedded import FEASIBILITY, EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from tests.decompose.models import coupled
from tests.random_networks import random_network


def chain(stages):
    """Stage k reads state k and control k and leaves state k + 1."""
    network = random_network(4, 2, (8, 6), 1, scale=1.6)
    low = [0.2, *[-np.inf] * stages, *[-1.0] * stages, *[0.0] * stages, 0.0]
    high = [0.2, *[np.inf] * stages, *[1.0] * stages, *[1.0] * stages, 9.0]
    n, rows = len(low), []
    for k in range(stages):
        for sign in (1.0, -1.0):  # effort_k >= |control_k|
            row = np.zeros(n)
            row[1 + 2 * stages + k], row[1 + stages + k] = 1.0, sign
            rows.append(row)
    for sign in (1.0, -1.0):  # miss >= |last state - 0.5|
        row = np.zeros(n)
        row[-1], row[stages] = 1.0, sign
        rows.append(row)
    lower = [0.0] * 2 * stages + [0.5, -0.5]
    linear = LinearModel(
        sparse.csr_array(np.array(rows)), lower, [np.inf] * len(rows), low, high
    )
    functions = [
        EmbeddedNetwork(network, [k, 1 + stages + k], [k + 1]) for k in range(stages)
    ]
    costs = np.zeros(n)
    costs[1 + 2 * stages :] = 0.1
    costs[-1] = 5.0
    return EmbeddedModel(linear, functions, costs)


def run_of(model):
    run = Decomposition(model.in_unit_range(), BranchOptions(), Deadline(None))
    run.prepare()
    return run


def test_points_near_the_first_mixture():
    model = chain(5)
    best = decompose(model)
    assert best.status == OPTIMAL
    run = run_of(model)
    _, _, node = run._heap[0]
    done = run.evaluator.evaluate(node, np.inf, 1e-4)
    assert run.incumbent.full is None
    run.points.look(done.node, done.mixture, 1e-4)
    full = run.incumbent.full
    assert full is not None
    assert run.model.violation(full) <= FEASIBILITY
    assert run.incumbent.value >= best.bound - 1e-9
    assert run.incumbent.value <= best.value + 0.5 * abs(best.value)


@pytest.mark.parametrize("seed", [0, 1, 2, 5])
def test_a_dive_settles_integers(seed):
    run = run_of(coupled(seed))
    _, _, node = run._heap[0]
    done = run.evaluator.evaluate(node, np.inf, 1e-4)
    run.points.look(done.node, done.mixture, 1e-4)
    full = run.incumbent.full
    assert full is not None
    integer = run.model.linear.integer
    assert np.array_equal(full[integer], np.round(full[integer]))


def test_without_memory_covers_are_merged():
    model = coupled(2)
    expected = decompose(model)
    args = model.in_unit_range(), BranchOptions(), Deadline(None)
    run = Decomposition(*args, most_boxes=5)
    assert run.run() == expected.status == OPTIMAL
    value = model.objective(run.incumbent.full * model.units.columns)
    assert value == pytest.approx(expected.value, rel=2e-4)


@pytest.mark.parametrize("seed", [0, 2])
def test_nodes_too_small_to_be_split_go_to_branching(seed):
    run = run_of(coupled(seed))
    _, _, node = run._heap[0]
    point = replace(node, lower=node.lower, upper=node.lower)
    whole, widths = run.split.linear.integer, node.upper - node.lower
    assert choose_split(point, None, run.families, None, whole, widths) is None
    assert choose_split(node, None, run.families, None, whole, widths) is not None
    bound = run._by_branching(node)
    best = run.incumbent
    assert run.model.violation(best.full) <= FEASIBILITY
    assert 0 <= best.value - bound <= 1.01e-4 * abs(best.value)
