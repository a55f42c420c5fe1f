"""Ranges, lines and propagation of atoms hold at every point of their boxes."""

import numpy as np
import pytest

from pyomo_relu.linear.atoms.atom import OneColumn, Product, Quotient
from pyomo_relu.linear.atoms.intervals import divided, times
from pyomo_relu.linear.atoms.lines import lines_at, shape_range, sloped_lines
from pyomo_relu.linear.atoms.relaxation import AtomRelaxation
from pyomo_relu.linear.atoms.shapes import CONCAVE, CONVEX, SHAPES, Power, XLogX

POINTS = 10_000
BOXES = 40

CASES = [
    *SHAPES.values(),
    XLogX(),
    *map(Power, (2, 3, 4, 5, 0.5, 0.6, 1.5, 2.7, -1, -2, -3, -0.5, -1.3)),
]


def boxes_of(shape, rng):
    """Random boxes within the domain: wide, narrow, single points, at its edges."""
    n = BOXES
    centre = rng.normal(size=n) * np.exp(rng.uniform(-3.0, 2.0, n))
    width = np.exp(rng.uniform(-12.0, 2.0, n)) * (rng.random(n) > 0.1)
    lower, upper = centre - width, centre + width
    lower[:4] = 0.0
    upper[:4] = [1e-8, 0.5, 3.0, 0.0]
    upper[4:7], lower[4:7] = 0.0, [-1e-8, -0.5, -3.0]
    first = shape.domain[0]
    lower, upper = np.maximum(lower, first), np.maximum(upper, first)
    if getattr(shape, "p", 1.0) < 0:
        # no interval around a pole
        keep = (lower > 0) | (upper < 0) | (lower == 0) & (upper > 0)
        lower, upper = lower[keep], upper[keep]
    if shape.name == "log":
        lower, upper = lower[upper > 0], upper[upper > 0]
    return lower, upper


def points_in(lower, upper, rng, n=POINTS // BOXES):
    x = rng.uniform(lower[:, None], upper[:, None], (lower.size, n))
    ends = [lower[:, None], upper[:, None], 0.5 * (lower + upper)[:, None]]
    zero = np.clip(0.0, lower, upper)[:, None]
    return np.concatenate([x, *ends, zero], axis=1).clip(lower[:, None], upper[:, None])


@pytest.mark.parametrize("shape", CASES, ids=lambda s: s.name)
@pytest.mark.parametrize("seed", range(3))
def test_ranges_and_lines_hold(shape, seed):
    rng = np.random.default_rng(seed)
    lower, upper = boxes_of(shape, rng)
    x = points_in(lower, upper, rng)
    with np.errstate(all="ignore"):
        y = shape.value(x)
    defined = ~np.isnan(y)
    low, high = shape_range(shape, lower, upper)
    assert np.all((y >= low[:, None]) | ~defined)
    assert np.all((y <= high[:, None]) | ~defined)
    near = rng.uniform(lower, upper)
    with np.errstate(all="ignore"):
        for lines, sign in zip(
            sloped_lines(shape, lower, upper, [near, upper]), (1.0, -1.0), strict=True
        ):
            assert lines.slope.shape[1] == (shape.below if sign > 0 else shape.above)
            value = lines.slope[:, :, None] * x[:, None] + lines.constant[:, :, None]
            known = np.isfinite(lines.constant)[:, :, None] & np.isfinite(y)[:, None]
            slack = 4e-15 * (np.abs(value) + np.abs(y)[:, None])
            assert np.all((sign * (y[:, None] - value) >= -slack)[known])
    # where all is finite there is a line on both sides, and it is not far off
    ends = np.isfinite(shape.value(np.maximum(lower, 1e-30))) & (lower > 0)
    for lines in sloped_lines(shape, lower[ends], upper[ends]):
        assert np.isfinite(lines.constant).any(axis=1).all()
        spread = np.ptp(shape.value(points_in(lower, upper, rng)[ends]), axis=1)
        assert np.all(lines.error <= 1.01 * spread + 1e-9 * (1.0 + np.abs(high[ends])))


@pytest.mark.parametrize("shape", CASES, ids=lambda s: s.name)
def test_ranges_of_endless_intervals_hold(shape):
    inf, first = np.inf, shape.domain[0]
    ends = [(-inf, inf), (-inf, 2.0), (-inf, -2.0), (-2.0, inf), (2.0, inf)]
    lower, upper = np.maximum(np.array(ends).T, first)
    keep = (lower < upper) | (lower > 0)
    lower, upper = lower[keep], upper[keep]
    low, high = shape_range(shape, lower, upper)
    x = np.concatenate(
        [-np.geomspace(1e-6, 700.0, 400), np.geomspace(1e-6, 700.0, 400)]
    )
    with np.errstate(all="ignore"):
        y = shape.value(x)
    inside = (x >= lower[:, None]) & (x <= upper[:, None]) & ~np.isnan(y)
    assert np.all((y >= low[:, None]) | ~inside)
    assert np.all((y <= high[:, None]) | ~inside)
    near = [np.full(lower.size, at) for at in (3.0, -30.0, 0.1)]
    with np.errstate(invalid="ignore"):
        sides = sloped_lines(shape, lower, upper, near)
    for lines, sign in zip(sides, (1.0, -1.0), strict=True):
        value = lines.slope[:, :, None] * x + lines.constant[:, :, None]
        known = np.isfinite(lines.constant)[:, :, None] & inside[:, None]
        slack = 4e-15 * (np.abs(value) + np.abs(y))
        assert np.all((sign * (y - value) >= -slack)[known])
        # the first point's tangent is among them where the whole interval is convex
        with np.errstate(invalid="ignore"):
            curvature = shape.curvature(lower, upper)
        whole = curvature == (CONVEX if sign > 0 else CONCAVE)
        whole &= (lower <= 3.0) & (upper >= 3.0)
        if getattr(shape, "p", 1.0) < 0:
            whole &= lower > 0  # no pole
        best = (sign * (3.0 * lines.slope + lines.constant)).max(axis=1) * sign
        assert np.allclose(best[whole], shape.value(np.array(3.0)), rtol=1e-12)


@pytest.mark.parametrize("shape", CASES, ids=lambda s: s.name)
def test_lines_touch_ever_closer_on_smaller_boxes(shape):
    """The error falls with the square of the width, by which branching converges."""
    centre, widths = 0.7, np.array([0.4, 0.2, 0.1, 0.05])
    for lines in sloped_lines(shape, centre - widths, centre + widths):
        assert np.all(lines.error[1:] <= 0.35 * lines.error[:-1] + 1e-12)


@pytest.mark.parametrize("shape", CASES, ids=lambda s: s.name)
@pytest.mark.parametrize("seed", range(3))
def test_propagation_keeps_all_points(shape, seed):
    rng = np.random.default_rng(seed)
    lower, upper = boxes_of(shape, rng)
    x = points_in(lower, upper, rng, 50)
    with np.errstate(all="ignore"):
        y = shape.value(x)
    atoms = AtomRelaxation([OneColumn("f", [1], [0], shape=shape)], 2)
    # a box of results around one of the values, which need not contain the others
    y = np.where(np.isfinite(y), y, np.nan)
    with np.errstate(invalid="ignore"):
        w = np.nan_to_num(y[:, 0])
    size = np.abs(w) * rng.uniform(0.0, 1.0, w.size) * (rng.random(w.size) > 0.3)
    box = [np.stack([w - size, lower], 1), np.stack([w + size, upper], 1)]
    given = [end.copy() for end in box]
    empty = atoms.tighten(*box, rounds=3)
    inside = (y >= given[0][:, :1]) & (y <= given[1][:, :1])
    assert not np.any(empty & inside.any(axis=1))
    for value, j in ((y, 0), (x, 1)):
        assert np.all((value >= box[0][:, j, None])[inside])
        assert np.all((value <= box[1][:, j, None])[inside])
    assert np.all(box[0] >= given[0]) and np.all(box[1] <= given[1])


@pytest.mark.parametrize("seed", range(5))
def test_products_and_quotients_hold(seed):
    rng = np.random.default_rng(seed)
    B, factors = 50, [0.5, 8.0, 1.0]
    product = Product("p", [0, 1], [2], np.array(factors[:2]), factors[2])
    quotient = Quotient("q", [3, 1], [4], np.array([2.0, 0.25]), 4.0)
    atoms = AtomRelaxation([product, quotient], 5)
    assert atoms.arguments.tolist() == [0, 1, 4]
    centre = rng.normal(size=(B, 5)) * 3.0
    width = np.exp(rng.uniform(-12.0, 1.0, (B, 5))) * (rng.random((B, 5)) > 0.1)
    lower, upper = centre - width, centre + width
    lower[:10, 0], upper[10:20, 0] = 0.0, 0.0
    lower, upper = np.minimum(lower, upper), np.maximum(lower, upper)
    shift = 0.1 - np.minimum(lower[:, 1], 0.1)
    lower[:, 1] += shift
    upper[:, 1] += shift
    X = rng.uniform(lower[:, None], upper[:, None], (B, 200, 5))
    X[:, :2] = np.stack([lower, upper], axis=1)
    for a in (product, quotient):
        X[:, :, a.outputs] = a.values(X[:, :, a.inputs].reshape(-1, 2)).reshape(
            B, 200, 1
        )
    for j in (2, 4):
        lower[:, j], upper[:, j] = X[:, 0, j] - 1.0, X[:, 0, j] + 1.0
    inside = ((lower[:, None] <= X) & (upper[:, None] >= X)).all(axis=2)
    box = lower.copy(), upper.copy()
    assert not atoms.tighten(*box).any()
    size = 1e-14 * (1.0 + np.abs(X))
    assert np.all((box[0][:, None] - size <= X)[inside])
    assert np.all((box[1][:, None] + size >= X)[inside])
    for k in range(0, B, 10):
        rows = atoms.rows(*(end[k : k + 1] for end in box))
        value = np.zeros((atoms.n_rows, 200))
        np.add.at(value, atoms.row, rows.data[0][:, None] * X[k][:, atoms.column].T)
        slack = 1e-13 * (1.0 + np.abs(value))
        held = (value >= rows.lower[0][:, None] - slack) & (
            value <= rows.upper[0][:, None] + slack
        )
        assert held[:, inside[k]].all()
        assert np.isfinite(np.maximum(rows.lower, -rows.upper)).all()


def test_interval_products_and_quotients():
    inf = np.inf
    cases = [
        ((0.0, 0.0), (-inf, inf), (0.0, 0.0)),
        ((1.0, 2.0), (-3.0, 4.0), (-6.0, 8.0)),
        ((-1.0, 0.0), (0.0, inf), (-inf, 0.0)),
    ]
    for a, b, expected in cases:
        with np.errstate(all="ignore"):
            low, high = times(*(np.array([v]) for v in (*a, *b)))
        assert (low[0], high[0]) == pytest.approx(expected)
    cases = [
        ((1.0, 2.0), (0.0, 4.0), (0.25, inf)),
        ((1.0, 2.0), (-4.0, 0.0), (-inf, -0.25)),
        ((0.0, 2.0), (0.0, 4.0), (-inf, inf)),
        ((1.0, 2.0), (-1.0, 4.0), (-inf, inf)),
        ((-2.0, 1.0), (2.0, inf), (-1.0, 0.5)),
    ]
    for a, b, expected in cases:
        with np.errstate(all="ignore"):
            low, high = divided(*(np.array([v]) for v in (*a, *b)))
        assert (low[0], high[0]) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [Power(3), SHAPES["sin"]], ids=lambda s: s.name)
def test_rows_without_a_finite_box_say_nothing_where_no_line_holds(shape):
    atoms = AtomRelaxation([OneColumn("f", [0], [1], shape=shape)], 2)
    rows = atoms.rows(np.array([[-np.inf, 0.0]]), np.array([[np.inf, 4.0]]))
    assert not rows.data.any()
    assert np.isneginf(rows.lower).all() and np.isposinf(rows.upper).all()
    assert np.isinf(rows.errors).all()


@pytest.mark.parametrize("shape", CASES, ids=lambda s: s.name)
@pytest.mark.parametrize("seed", range(2))
def test_lines_at_points_hold_and_are_as_good_there(shape, seed):
    rng = np.random.default_rng(seed)
    lower, upper = boxes_of(shape, rng)
    x = points_in(lower, upper, rng)
    with np.errstate(all="ignore"):
        y = shape.value(x)
    touched = x[:, :1]
    sides = lines_at(shape, lower, upper, touched[:, 0])
    every = sloped_lines(shape, lower, upper, [touched[:, 0]])
    chords = sloped_lines(shape, lower, upper)
    for sign, (slope, constant), best, chord in zip(
        (1.0, -1.0), sides, every, chords, strict=True
    ):
        known = np.isfinite(slope) & np.isfinite(constant)
        with np.errstate(invalid="ignore"):
            lines = slope[:, :, None] * x[:, None, :] + constant[:, :, None]
        keeps = np.where(known[:, :, None], sign * (y[:, None] - lines) >= 0, True)
        assert (keeps | np.isnan(y)[:, None]).all()

        def at_x(slope, constant, sign=sign):
            with np.errstate(invalid="ignore"):
                values = sign * (slope * touched + constant)
            return np.where(np.isfinite(values), values, -np.inf).max(axis=1)

        new = np.maximum(at_x(slope, constant), at_x(chord.slope, chord.constant))
        old = at_x(best.slope, best.constant)
        finite = np.isfinite(old)
        assert (new >= old - 1e-9 * (1.0 + np.abs(old)))[finite].all()
