"""Narrowed roots keep all points, rows of boxes hold, successive LPs end feasible."""

import numpy as np
import pytest

from pyomo_relu.branch.bounding.narrowing import narrowed
from pyomo_relu.branch.bounding.relaxation import Relaxation
from pyomo_relu.branch.boxes import Nodes
from pyomo_relu.branch.joint import build_problem
from pyomo_relu.branch.points.successive import SuccessiveLPs
from pyomo_relu.branch.read import read_model
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.linear.rounding import FEASIBILITY
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


def test_successive_lps_end_feasible_and_go_down():
    problem = read_model(flowsheet((1.0, 1.0, 1.0))).problem
    problem = build_problem(problem.original.in_unit_range())
    solver = SuccessiveLPs(problem)
    rng = np.random.default_rng(0)
    found = []
    low = np.where(np.isfinite(problem.lower), problem.lower, -1.0)
    high = np.where(np.isfinite(problem.upper), problem.upper, 1.0)
    for start in rng.uniform(low, high, (8, low.size)):
        point = solver.improve(start, Deadline())
        if point is None:
            continue
        full = problem.complete(point[None])
        assert problem.original.violation(full)[0] <= FEASIBILITY
        found.append(float(problem.original.objective(full)[0]))
    assert len(found) >= 6
    best = min(found)
    assert sum(value <= best + 0.2 * (1.0 + abs(best)) for value in found) >= 2


def test_successive_lps_give_up_where_there_is_nothing():
    m = flowsheet((1.0, 1.0, 1.0))
    m.limit.set_value(m.limit.body <= 0.01)
    m.more = type(m.limit)(expr=m.u[0] * m.u[1] >= 2.0)
    problem = read_model(m).problem
    solver = SuccessiveLPs(problem)
    assert solver.improve(np.zeros(problem.n_columns), Deadline()) is None
