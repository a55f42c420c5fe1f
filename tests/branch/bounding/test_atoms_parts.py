"""Narrowed roots keep all points, rows of boxes hold."""

import numpy as np
import pytest

from pyomo_relu.branch.bounding.narrowing import narrowed
from pyomo_relu.branch.bounding.relaxation import Relaxation
from pyomo_relu.branch.boxes import Nodes
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.common.deadline import Deadline
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
