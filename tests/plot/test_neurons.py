"""One neuron's relaxation is what the big-M rows leave of it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu import plot
from pyomo_relu.bounds import crown_bounds, interval_bounds
from pyomo_relu.bounds.relaxation.bigm_rows import add_big_m
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.plot.neurons import hull
from tests.networks import chain
from tests.plot.pictures import curve, legend, rendered

INTERVALS = [
    (-2.0, 3.0, math.inf),
    (-2.0, 5.0, 3.0),
    (-2.0, 1.0, 3.0),
    (1.0, 5.0, 3.0),
]


def vertical_range(corners, v):
    """Least and greatest x of a convex polygon at v."""
    found = []
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        low, high = sorted((a[0], b[0]))
        if low - 1e-12 <= v <= high + 1e-12:
            share = 0.0 if a[0] == b[0] else (v - a[0]) / (b[0] - a[0])
            found.append(a[1] + share * (b[1] - a[1]))
            found += [a[1], b[1]] if a[0] == b[0] else []
    return min(found), max(found)


@pytest.mark.parametrize("lower, upper, ceiling", INTERVALS)
def test_hull_is_the_relaxation_of_the_big_m_rows(lower, upper, ceiling):
    builder = ModelBuilder()
    v = builder.add_columns(np.array([lower]), np.array([upper]))
    top = min(upper, ceiling)
    x = builder.add_columns(np.array([max(lower, 0.0)]), np.array([top]))
    ends = (np.array([end]) for end in (lower, upper, ceiling))
    add_big_m(builder, [(v, 1.0)], x, *ends)
    corners = hull(lower, upper, ceiling)
    with HighsSession(builder.build()) as session:
        for at in np.linspace(lower, upper, 9):
            session.set_bounds(v, np.array([at]), np.array([at]))
            ranges = [
                sign * session.minimize(x, np.array([sign])).objective
                for sign in (1.0, -1.0)
            ]
            assert vertical_range(corners, at) == pytest.approx(ranges, abs=1e-7)


@settings(max_examples=50, deadline=None)
@given(
    st.floats(-1e3, 1e3),
    st.floats(0, 1e3),
    st.one_of(st.just(math.inf), st.floats(0.1, 1e3)),
)
def test_hull_is_convex_and_contains_the_graph(lower, width, ceiling):
    corners = hull(lower, lower + width, ceiling)
    sides = np.roll(corners, -1, axis=0) - corners
    turns = (
        sides[:, 0] * np.roll(sides, -1, 0)[:, 1]
        - sides[:, 1] * np.roll(sides, -1, 0)[:, 0]
    )
    scale = 1e-9 * (1 + np.abs(corners).max() ** 2)
    assert (turns >= -scale).all()
    for at in np.linspace(lower, lower + width, 7):
        low, high = vertical_range(corners, at)
        x = min(max(0.0, at), ceiling)
        assert low - 1e-6 <= x <= high + 1e-6


@pytest.mark.parametrize("lower, upper, ceiling", INTERVALS)
def test_picture_of_a_relaxation(lower, upper, ceiling):
    top = None if math.isinf(ceiling) else ceiling
    ax = rendered(plot.relaxation(lower, upper, top, label="hull"))
    (patch,) = ax.patches
    assert np.allclose(patch.get_xy()[:-1], hull(lower, upper, ceiling))
    v, x = curve(ax, "neuron")
    assert (v[0], v[-1]) == (lower, upper)
    assert np.allclose(x, np.clip(v, 0, ceiling))
    assert legend(ax) == ["hull", "neuron"]
    assert {t.get_text() for t in ax.texts} == {f"L =\n{lower:g}", f"U =\n{upper:g}"}


def test_picture_of_a_networks_neuron_by_method():
    network = chain([2, 5, 5, 1], seed=2)
    box = [-1.0, -1.0], [1.0, 1.0]
    records = {
        "interval": interval_bounds(network, *box),
        "CROWN": crown_bounds(network, *box),
    }
    ax = rendered(plot.neuron(records, 1, 3))
    polygons = {patch.get_label(): patch.get_xy() for patch in ax.patches}
    for method, record in records.items():
        (label,) = [label for label in polygons if label.startswith(f"{method}:")]
        v = polygons[label][:, 0]
        assert (v.min(), v.max()) == (record.lower[1][3], record.upper[1][3])
    assert len(legend(ax)) == 3


def test_refusals():
    with pytest.raises(BoundsError, match="no finite interval"):
        plot.relaxation(-math.inf, 1)
    with pytest.raises(BoundsError, match="no finite interval"):
        plot.relaxation(2, 1)
    with pytest.raises(BoundsError, match="ceiling must be positive"):
        plot.relaxation(-1, 1, 0)
    with pytest.raises(BoundsError, match="lower must be a number"):
        plot.relaxation("a", 1)
    bounds = interval_bounds(chain([2, 3, 1]), [-1, -1], [1, 1])
    for layer, neuron in ((1, 0), (0, 3)):
        with pytest.raises(BoundsError, match=r"no neuron .* have \[3\] neurons"):
            plot.neuron(bounds, layer, neuron)


def test_two_relaxations_on_one_axes_differ_and_the_neuron_is_named_once():
    ax = plot.relaxation(-2, 4, label="narrow")
    rendered(plot.relaxation(-6, 12, ax=ax, label="wide"))
    assert sorted(ax.get_legend_handles_labels()[1]) == ["narrow", "neuron", "wide"]
    assert ax.patches[0].get_edgecolor() != ax.patches[1].get_edgecolor()


@pytest.mark.parametrize(
    "ends", [(0.0, 0.0), (2.0, 2.0), (-3.0, -1.0), (-1.0, np.nextafter(-1.0, 0.0))]
)
def test_a_neuron_without_a_range_is_seen(ends):
    ax = plot.relaxation(*ends)
    v, x = curve(ax, "neuron")
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert right - left >= 0.9 and top - bottom >= 0.9  # not a view of rounding errors
    assert left < v.min() and v.max() < right and bottom < x.min() and x.max() < top
    (line,) = [entry for entry in ax.get_lines() if entry.get_label() == "neuron"]
    assert np.ptp(v) > 0.5 or line.get_marker() == "o"
    rendered(ax)


@pytest.mark.parametrize("ends", [(-2, 3), (-0.1, 5), (-5, 0.1), (-3, -1), (1, 3)])
def test_names_of_the_bounds_and_the_legend_do_not_cover_the_neuron(ends):
    ax = plot.relaxation(*ends)
    ax.figure.draw_without_rendering()
    v = np.linspace(*ends, 500)
    drawn = ax.transData.transform(np.column_stack([v, np.maximum(v, 0)]))
    shown = [*ax.texts, ax.get_legend()]
    for box in (part.get_window_extent() for part in shown):
        assert not box.count_contains(drawn)
    rendered(ax)
