"""Bounds raised by slopes and multipliers together: proven, no weaker, worth it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linprog

from pyomo_relu.branch.bounding import leaves
from pyomo_relu.branch.bounding.raising.ascent import Ascent
from pyomo_relu.branch.bounding.raising.worth import Worth
from pyomo_relu.branch.bounding.relaxation import Relaxation
from pyomo_relu.branch.branch import BranchOptions
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.branch.statuses import OPTIMAL
from pyomo_relu.branch.tree.tree import Tree
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from tests.branch.bounding.test_bounding import (
    function_values,
    points_of,
    random_problem,
)
from tests.random_networks import random_network

SEEDS = st.integers(0, 2**32 - 1)


def level_problem(seed, n=4, widths=(6, 6)):
    """One network minimised where another one has a value that it takes."""
    first, second = (random_network(seed + k, n, widths, 1) for k in range(2))
    rng = np.random.default_rng(seed)
    level = second.forward(rng.uniform(-1, 1, (1, n)))[0, 0]
    linear = LinearModel(
        sparse.csr_array(np.zeros((0, n + 2))),
        np.zeros(0),
        np.zeros(0),
        np.append(-np.ones(n), [-np.inf, level]),
        np.append(np.ones(n), [np.inf, level]),
    )
    functions = [
        EmbeddedNetwork(first, range(n), [n]),
        EmbeddedNetwork(second, range(n), [n + 1]),
    ]
    costs = np.zeros(n + 2)
    costs[n] = 1.0
    return build_problem(EmbeddedModel(linear, functions, costs))


def parts_of(relaxation, count):
    """Boxes of the problem's, halved at their middles along random inputs."""
    nodes, p, rng = relaxation.root(), relaxation.problem, np.random.default_rng(0)
    for _ in range(count):
        nodes.column = rng.integers(0, p.n_inputs, len(nodes))
        rows = np.arange(len(nodes))
        nodes.point = 0.5 * (nodes.lower + nodes.upper)[rows, nodes.column]
        nodes = nodes.split(p.integer)
    return nodes


def raised(problem, nodes, cutoff, duals=None):
    """The nodes with bounds by an Ascent alone, and their first bounds."""
    relaxation = Relaxation(problem)
    rows = relaxation.function_rows
    ascent = Ascent(problem, rows, relaxation.bounder)
    n, before = problem.n_inputs, nodes[:]
    lines = relaxation.bounder.lines(nodes.lower[:, :n], nodes.upper[:, :n])
    every, constants = rows.rows(lines, nodes.lower, nodes.upper, cutoff)
    lps, costs = rows.lp_rows(every, relaxation.atom_rows(nodes)), rows.costs(every)
    box = nodes.lower, nodes.upper
    before.bound = lps.dual_bounds(costs, constants, nodes.duals, *box)
    after = before.copy()
    ascent.improve(after, lines.hidden, lps, costs, cutoff)
    return before, after


@settings(max_examples=12, deadline=None)
@given(SEEDS)
def test_bounds_hold_and_no_better_point_is_lost(seed):
    problem = random_problem(seed, clipped=True)
    rng = np.random.default_rng(seed)
    nodes = parts_of(Relaxation(problem), 2)
    nodes.duals = rng.normal(size=nodes.duals.shape)
    points = points_of(problem, rng, 4000)
    values = function_values(problem, points)
    plain = (problem.plain @ points.T).T
    feasible = (values[:, 1:] >= problem.function_lower).all(axis=1)
    feasible &= (values[:, 1:] <= problem.function_upper).all(axis=1)
    feasible &= (plain >= problem.plain_lower).all(axis=1)
    feasible &= (plain <= problem.plain_upper).all(axis=1)
    points, values = points[feasible], values[feasible, 0]
    cutoff = float(np.median(values)) if values.size else 0.0
    before, after = raised(problem, nodes, cutoff)
    assert (after.bound >= before.bound).all()
    for box in range(len(nodes)):
        inside = (points >= before.lower[box]) & (points <= before.upper[box])
        inside = inside.all(axis=1)
        assert (values[inside] >= after.bound[box]).all()
        kept = (points >= after.lower[box]) & (points <= after.upper[box])
        assert kept[inside & (values < cutoff)].all()


def test_bounds_come_close_to_the_triangles():
    problem = level_problem(5)
    nodes = parts_of(Relaxation(problem), 2)
    nodes.duals[:] = 0.0
    relaxation = Relaxation(problem)
    best = triangles(problem, relaxation.bounder, nodes)
    # with a cutoff just above, every box has hope and makes all steps
    for at, bound in enumerate(best):
        before, after = raised(problem, nodes[at : at + 1], bound + 1e-3)
        assert after.bound[0] <= bound + 1e-9
        assert after.bound[0] >= bound - 0.5 * (bound - before.bound[0])


def triangles(problem, bounder, nodes):
    """Of each box the optimum where unstable neurons are triangles, by scipy."""
    found = []
    for lower, upper in zip(nodes.lower, nodes.upper, strict=True):
        lines = bounder.lines(lower[None], upper[None])
        hidden = [[a[0] for a in side] for side in lines.hidden]
        leaf = leaves._LeafModel(problem, lower, upper, hidden)
        m = leaf.linear(np.inf)
        A, low, high = m.matrix.toarray(), m.row_lower, m.row_upper
        rows = np.concatenate([A[np.isfinite(high)], -A[np.isfinite(low)]])
        sides = np.concatenate([high[np.isfinite(high)], -low[np.isfinite(low)]])
        ends = np.stack([m.lower, m.upper], axis=1)
        answer = linprog(leaf.costs, rows, sides, bounds=ends)
        found.append(answer.fun + leaf.constant if answer.status == 0 else np.inf)
    return np.array(found)[np.isfinite(found)]


@pytest.mark.parametrize("seed", [1])
def test_a_tree_ends_at_the_same_optimum(seed):
    values, boxes = [], []
    for on in (False, True):
        options = BranchOptions(milp_neurons=0, root_milp=False)
        tree = Tree(level_problem(seed, widths=(8, 8)), options, Deadline(None))
        tree.relaxation.raising.worth.on = on
        assert tree.run() == OPTIMAL
        assert tree.bound >= tree.incumbent.value - 2 * tree.tolerance
        values.append(tree.incumbent.value)
        boxes.append(tree.nodes)
    assert values[0] == pytest.approx(values[1], abs=1e-3)
    assert boxes[1] <= boxes[0]


def test_raising_is_kept_where_it_saves_boxes():
    worth = Worth()
    assert not worth.wanted(100)
    for _ in range(4):
        worth.book_batch(1.0, 100)
        worth.book_splits(np.full(100, 1.0))
    assert worth.wanted(100) and not worth.wanted(20)
    # two splits' worth for the time of five boxes: six are saved
    worth.book_raising(5.0, np.full(100, 2.0))
    assert worth.on and worth.wanted(20)


def test_trials_that_do_not_pay_become_rare():
    worth, trials = Worth(), []
    for batch in range(200):
        worth.book_batch(1.0, 100)
        worth.book_splits(np.full(100, 1.0))
        if worth.wanted(100):
            trials.append(batch)
            worth.book_raising(2.0, np.full(100, 0.5))
            assert not worth.on
    assert 3 <= len(trials) <= 6
    waits = np.diff(trials)
    assert (waits[1:] >= 1.9 * waits[:-1]).all()
