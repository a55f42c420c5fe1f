"""Narrowed roots keep all points, rows of boxes hold, columns are tried out."""

import numpy as np
import pytest

from pyomo_relu.branch.bounding.narrowing import narrowed
from pyomo_relu.branch.bounding.relaxation import EASY, Relaxation
from pyomo_relu.branch.boxes import Nodes
from pyomo_relu.branch.joint import build_problem
from pyomo_relu.branch.read import read_model
from pyomo_relu.common.deadline import Deadline
from tests.branch.test_atoms import flowsheet
from tests.branch.test_atoms_truth import Case


def feasible_points(seed):
    """A problem in unit range and points of its columns that it permits."""
    case = Case(seed, defined=False)
    given = read_model(case.model()).problem
    problem = build_problem(given.original.in_unit_range())
    if not problem.atoms:
        return None, None
    low, high = problem.lower, problem.upper
    ended = np.isfinite(low) & np.isfinite(high)
    rng = np.random.default_rng(seed)
    points = np.zeros((4000, low.size))
    points[:, ended] = rng.uniform(low[ended], high[ended], (4000, ended.sum()))
    points[:, problem.integer] = np.round(points[:, problem.integer])
    points = np.clip(points, low, high)
    full = problem.complete(points)
    keep = problem.original.violation(full) == 0.0
    return problem, full[keep]


@pytest.mark.parametrize("seed", range(12))
def test_a_narrowed_root_keeps_what_is_better_than_the_cutoff(seed):
    problem, full = feasible_points(seed)
    if problem is None or not len(full):
        return
    values = problem.original.objective(full)
    for cutoff in (np.inf, float(np.quantile(values, 0.3))):
        root = narrowed(Relaxation(problem), cutoff, Deadline(5.0))
        good = full[values < cutoff][:, problem.columns]
        slack = 1e-9 * (1.0 + np.abs(good))
        assert np.all(good >= root.lower - slack) and np.all(good <= root.upper + slack)


@pytest.mark.parametrize("seed", range(12))
def test_bounds_of_boxes_hold_at_their_points(seed):
    """Boxes split anywhere: no point is lost, no bound is above a point's value."""
    problem, full = feasible_points(seed)
    if problem is None or not len(full):
        return
    rng = np.random.default_rng(seed)
    relaxation = Relaxation(problem)
    nodes = narrowed(relaxation, np.inf, Deadline(5.0))
    points, values = full[:, problem.columns], problem.original.objective(full)
    for _ in range(6):
        done = relaxation.evaluate(nodes, np.inf)
        nodes = done.nodes
        slack = 1e-9 * (1.0 + np.abs(points[:, None]))
        inside = (points[:, None] >= nodes.lower - slack) & (
            points[:, None] <= nodes.upper + slack
        )
        inside = inside.all(axis=2)
        assert inside.any(axis=1).all()
        size = 1e-9 * (1.0 + np.abs(values[:, None]))
        assert np.all((nodes.bound <= values[:, None] + size) | ~inside)
        width = nodes.upper - nodes.lower
        columns = np.flatnonzero(relaxation.splittable)
        nodes.column = columns[rng.integers(0, columns.size, len(nodes))]
        k = np.arange(len(nodes))
        nodes.point = (
            nodes.lower[k, nodes.column] + width[k, nodes.column] * rng.random()
        )
        whole = problem.integer[nodes.column]
        nodes.point = np.where(whole, np.floor(nodes.point), nodes.point)
        nodes = nodes.split(problem.integer)
        nodes = nodes[(nodes.lower <= nodes.upper).all(axis=1)]
    assert isinstance(nodes, Nodes)


def test_the_first_boxes_are_split_where_both_halves_gain_most():
    """What trials promise is what a relaxation that tries nothing finds of the halves."""
    given = read_model(flowsheet((1.0, 1.0, 1.0))).problem
    problem = build_problem(given.original.in_unit_range())
    root = narrowed(Relaxation(problem), np.inf, Deadline(5.0))
    relaxation = Relaxation(problem)
    first, found = relaxation._evaluate(root, np.inf, Deadline())
    branching = relaxation._branching
    branching.choose(first.nodes, *found, first.points)
    halves, whose = branching.trials(first.nodes, *found, first.points)
    n = whose.size
    assert n > 1 and len(halves) == 2 * n
    bounds = np.array(
        [
            relaxation._evaluate(halves[[k]], np.inf, Deadline())[0].nodes.bound[0]
            for k in range(2 * n)
        ]
    )
    product = (bounds - halves.parent).clip(1e-9).reshape(2, n).prod(axis=0)
    relaxation = Relaxation(problem)
    assert relaxation.evaluate(root, np.inf).evaluated == 1  # the tree may end at once
    relaxation.evaluate(root[np.zeros(EASY, dtype=int)], np.inf)
    relaxation.forget()
    done = relaxation.evaluate(root, np.inf)
    assert done.evaluated == 1 + 2 * n
    assert done.nodes.column[0] == halves.column[product.argmax()]
    # once columns have been split often enough, nothing is tried
    branching._splits += 100
    assert branching.trials(first.nodes, *found, first.points)[1].size == 0


def test_of_equal_trials_the_first_counts():
    given = read_model(flowsheet((1.0, 1.0, 1.0))).problem
    relaxation = Relaxation(build_problem(given.original.in_unit_range()))
    done = relaxation.evaluate(relaxation.root(), np.inf)
    two = done.nodes[[0, 0]]
    whose, columns = np.array([0, 0, 0, 1, 1]), np.array([4, 2, 1, 2, 3])
    halves = two[np.tile(whose, 2)]
    halves.column, halves.parent = np.tile(columns, 2), np.zeros(10)
    bounds = np.array([1.0, 2, 1, 0, np.inf, 1, 2, 4, 3, -np.inf])
    relaxation._branching.take_best(two, halves, whose, bounds)
    assert two.column.tolist() == [2, 3]
