"""Curves as MILP rows: the curve itself, the hull without integrality, few points."""

import numpy as np
import pytest

from pyomo_relu.bounds.relaxation.curve_rows import (
    add_curve,
    increments,
    without_straight_points,
)
from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.solve import solve_linear


def random_curve(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 8))
    points = np.cumsum(rng.uniform(0.1, 1.0, n)) - 1.0
    return points, rng.normal(size=n), rng


def model_of(points, values):
    builder = ModelBuilder()
    x, y = builder.add_columns([-10.0, -10.0], [10.0, 10.0])
    d, z = add_curve(builder, x, y, points, values)
    return builder.build(), d, z


def least(model, direction, integer):
    costs = np.zeros(model.n_columns)
    costs[:2] = direction
    return solve_linear(model, costs, integer=integer).objective


@pytest.mark.parametrize("seed", range(20))
def test_minima_are_those_of_the_curve_with_and_without_integrality(seed):
    points, values, rng = random_curve(seed)
    model, _, _ = model_of(points, values)
    for _ in range(4):
        direction = rng.normal(size=2)
        expected = (direction[0] * points + direction[1] * values).min()
        for integer in (False, True):
            assert least(model, direction, integer) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("seed", range(20))
def test_at_a_point_only_the_curves_value_is_left(seed):
    points, values, rng = random_curve(seed)
    model, d, z = model_of(points, values)
    x = float(rng.uniform(points[0], points[-1]))
    lower, upper = model.lower.copy(), model.upper.copy()
    lower[0] = upper[0] = x
    at = model.replace(lower=lower, upper=upper)
    expected = np.interp(x, points, values)
    for sign in (1.0, -1.0):
        found = least(at, [0.0, sign], True) * sign
        assert found == pytest.approx(expected, abs=1e-6)
    full = np.zeros(model.n_columns)
    full[0], full[1] = x, expected
    full[d], full[z] = increments(x, points)
    rows = model.matrix @ full
    assert np.all(rows >= model.row_lower - 1e-9)
    assert np.all(rows <= model.row_upper + 1e-9)


def test_straight_points_are_left_out():
    points = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    values = np.array([0.0, 1.0, 2.0, 2.0, 2.0, 0.0])
    kept, at = without_straight_points(points, values, 1e-9)
    assert kept.tolist() == [0.0, 2.0, 4.0, 5.0]
    assert at.tolist() == [0.0, 2.0, 2.0, 0.0]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_left_out_is_within_the_tolerance(seed):
    points, values, _ = random_curve(seed)
    fine = np.sort(np.concatenate([points, np.linspace(points[0], points[-1], 40)]))
    fine = np.unique(fine)
    curve = np.interp(fine, points, values)
    kept, at = without_straight_points(fine, curve, 1e-7)
    assert kept.size <= points.size + 1
    assert np.interp(fine, kept, at) == pytest.approx(curve, abs=1e-7)
