"""The best point of the regions of all parts, compared with the one of a joint network."""

import numpy as np
import pytest

from pyomo_relu.branch.points.region import RegionLP
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.decompose.nodes.regions import Regions
from pyomo_relu.decompose.subproblems.family import families
from pyomo_relu.decompose.subproblems.parts import take_apart
from pyomo_relu.linear.embedded import FEASIBILITY
from tests.decompose.models import many


@pytest.mark.parametrize("seed", range(6))
def test_same_value_as_of_the_joint_network(seed):
    model = many(seed, 4, periods=2, identical=seed % 2 == 1).in_unit_range()
    split, rng = take_apart(model), np.random.default_rng(seed)
    problem, low, high = build_problem(model), model.linear.lower, model.linear.upper
    parts = families(split.parts, model.linear.integer)
    # outputs have no ends of their own
    low = np.where(np.isfinite(low), low, -1e3)
    high = np.where(np.isfinite(high), high, 1e3)
    regions = Regions(split.linear, split.costs, parts, low, high)
    solved = 0
    for _ in range(10):
        x = model.complete(rng.uniform(low, high))
        found = regions.best(x)
        expected = RegionLP(problem).solve(x[problem.columns])
        assert (found is None) == (expected is None)
        if found is None:
            continue
        solved += 1
        assert model.violation(model.complete(found[None]))[0] <= FEASIBILITY
        there = problem.complete(expected[None])
        assert model.objective(found) == pytest.approx(model.objective(there)[0])
    assert solved
