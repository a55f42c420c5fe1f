"""Problems of some dozen boxes, and what holds for every unfinished search of them."""

from functools import cache

import numpy as np
import pyomo.environ as pyo

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.branch.branch import BranchOptions, branch
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.branch.subtrees.coordinator import Plan
from tests.random_networks import random_network

#: No MILPs, which would leave nothing to be branched on.
OPTIONS = {"milp_neurons": 0}

#: Boxes count down to five above the best point, so that none of the many there may be
#: lost: with the usual gaps nothing is left to be lost once the optimum is found.
ALL_BELOW = {**OPTIONS, "abs_gap": -5.0, "mip_gap": -10.0}

#: Tasks of few boxes from the first box on, whatever the speed.
SMALL_TASKS = Plan(ramp_seconds=0.0, ramp_boxes=1.0, nodes=24, boxes=4, patience=1e3)

#: Of a cutoff, relative, that values at points are compared with.
_ROUNDING = 1e-9


def model(seed=8, n=3):
    """A random network of some depth over a box, with a row through all columns."""
    m = pyo.ConcreteModel(name="random")
    m.x = pyo.Var(range(n), bounds=(-2, 2))
    m.nn = ReLUNetworkBlock(
        network=random_network(seed, n, (10, 10), 1, scale=2.0), inputs=m.x
    )
    m.row = pyo.Constraint(expr=sum(m.x.values()) + m.nn.outputs[0] >= -1)
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    return m


@cache
def problem(seed=8, n=3):
    """That model as a BranchProblem."""
    return read_model(model(seed, n)).problem


@cache
def optimum(seed=8, n=3):
    """Its optimum to 1e-6 by one process."""
    options = BranchOptions(**OPTIONS, mip_gap=1e-6)
    result = branch(problem(seed, n), options)
    assert result.status == "optimal"
    return result.value


@cache
def values(seed=8, n=3):
    """Random feasible points (N, n) and their objectives, best ones among them."""
    p = problem(seed, n)
    rng = np.random.default_rng(seed)
    points = rng.uniform(p.lower, p.upper, (10_000, p.n_columns))
    best = branch(p, BranchOptions(**OPTIONS)).full[p.columns]
    near = best + rng.normal(size=(2000, p.n_columns)) * 0.05
    points = np.clip(np.concatenate([points, near, best[None]]), p.lower, p.upper)
    full = p.complete(points)
    feasible = p.original.violation(full) <= 0.0
    return points[feasible], p.original.objective(full[feasible])


def assert_covered(given, limits, nodes, seed=8, n=3):
    """No point of ``given`` below the limits is outside ``nodes``, nor below its box."""
    points, objective = values(seed, n)
    inside = in_boxes(points, given).any(axis=1)
    below = objective < limits.least - _ROUNDING * (1.0 + abs(objective))
    wanted = inside & below
    assert wanted.sum() > 20
    boxes = in_boxes(points[wanted], nodes)
    assert boxes.any(axis=1).all()
    over = objective[wanted][:, None] - nodes.bound + _ROUNDING
    assert (over[boxes] >= 0).all()


def in_boxes(points, nodes):
    """Which points are in which boxes, bool (N, B)."""
    above = points[:, None] >= nodes.lower - 1e-12
    return (above & (points[:, None] <= nodes.upper + 1e-12)).all(axis=2)


def assert_honest(result, seed=8, n=3):
    """Bound and value of any result are on their sides of the optimum."""
    best = optimum(seed, n)
    margin = 1e-6 * abs(best)
    assert result.bound <= best + margin and result.value >= best - margin
    if result.full is not None:
        original = problem(seed, n).original
        assert original.violation(result.full[None])[0] <= 1e-6
        assert original.objective(result.full) == result.value


def assert_optimal(result, seed=8, n=3):
    """The optimum, proven to the default gap."""
    assert_honest(result, seed, n)
    assert result.status == "optimal"
    assert result.gap <= 1.001e-4
    best = optimum(seed, n)
    assert abs(result.value - best) <= 1.01e-4 * abs(best)
