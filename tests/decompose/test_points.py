"""Points near mixtures, and merged covers."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from pyomo_relu.branch.branch import BranchOptions
from pyomo_relu.branch.points.rounds import SearchRounds
from pyomo_relu.branch.problem.units import Progress
from pyomo_relu.branch.statuses import OPTIMAL
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.decompose.decompose import decompose
from pyomo_relu.decompose.nodes.branching import choose_split
from pyomo_relu.decompose.tree import Decomposition
from pyomo_relu.linear.embedded import FEASIBILITY, EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from tests.decompose.models import coupled, many
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


def test_pauses_are_no_time_of_the_run():
    """Shares of the time are of the seconds that the run had the processor for."""
    run = run_of(coupled(1))
    before = run.seconds
    told = Progress(run, coupled(1).units)
    told.paused += 1000.0
    assert told.paused == run.paused == 1000.0
    assert run.seconds < before - 900
    assert run.points._elapsed() < before - 900


def test_rounds_of_search_keep_to_their_share():
    rounds = SearchRounds(run_of(coupled(1)).incumbent, 0)
    assert rounds.due(0.3, 0.0)
    rounds.run(Deadline(0.1))
    assert not rounds.due(0.0, 1e9)
    assert rounds.due(0.3, 1e9)


def test_dives_cut_several_of_many_parts_at_once():
    """Of many parts the worst quarter is cut at a time; what they end in is feasible."""
    model = many(1, 60, periods=30, widths=(8,))
    run = run_of(model)
    _, _, node = run._heap[0]
    done = run.evaluator.evaluate(node, np.inf, 1e-4)
    points, x = run.points, done.mixture.x
    x[: node.lower.size][run.model.linear.integer] = 1.0  # none is fractional
    errors = points._errors(done.mixture)
    assert sum(map(len, errors)) >= 8
    box = done.node.lower, done.node.upper
    several, *one = points._cuts(done.mixture, errors, *box, 0.0)
    assert len(one) == 2
    changed = [
        int(((low > box[0]) | (high < box[1])).sum()) for low, high in (several, *one)
    ]
    assert changed[0] > 1 and changed[1:] == [1, 1]
    run.points.look(done.node, done.mixture, 1e-4)
    assert run.model.violation(run.incumbent.full) <= FEASIBILITY
