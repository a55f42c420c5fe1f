import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu.bounds.box_bounds import BoundsOfBoxes
from pyomo_relu.bounds.crown.crown import crown_bounds
from pyomo_relu.bounds.crown.splitting import split_bounds, split_several
from pyomo_relu.common.deadline import ENDLESS
from pyomo_relu.errors import BoundsError
from pyomo_relu.network import Network, load_onnx
from tests.bounds.soundness import assert_sound
from tests.paths import SHARED_MODELS, needs_shared_models
from tests.random_networks import boxes, networks, random_network, sample


def excess(result, k):
    """Width of layer k's bounds over the width attained at points, minus 1."""
    width = result.bounds.upper[k] - result.bounds.lower[k]
    attained = result.attained_upper[k] - result.attained_lower[k]
    return np.max(width / attained) - 1.0


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_pre_activation_outside(data):
    network = data.draw(networks(max_inputs=6))
    lower, upper = data.draw(boxes(network.n_inputs))
    neurons = data.draw(st.sampled_from(["all", "unstable", "outputs"]))
    result = split_bounds(network, lower, upper, max_cells=60, neurons=neurons)
    assert_sound(network, result.bounds, sample(0, lower, upper, 500))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_cells_cover_the_box_and_their_bounds_hold(data):
    network = data.draw(networks(max_inputs=3))
    lower, upper = data.draw(boxes(network.n_inputs))
    result = split_bounds(network, lower, upper, max_cells=40)
    cells = result.cells
    X = sample(1, lower, upper, 200)
    values = network.propagate(X)[0]
    inside = np.all(
        (cells.lower[None] <= X[:, None]) & (X[:, None] <= cells.upper[None]), axis=2
    )
    assert inside.any(axis=1).all()
    point, cell = np.nonzero(inside)
    for k, v in enumerate(values):
        assert np.all(v[point] >= cells.lowers[k][cell])
        assert np.all(v[point] <= cells.uppers[k][cell])
    volume = np.prod(upper - lower)
    assert np.prod(cells.upper - cells.lower, axis=1).sum() == pytest.approx(volume)


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_boxes_of_one_network_together_get_what_each_gets_alone(data):
    network = data.draw(networks(max_inputs=3, max_depth=3))
    pairs = [data.draw(boxes(network.n_inputs)) for _ in range(4)]
    cells = data.draw(st.sampled_from([1, 9, 40]))
    bases = [crown_bounds(network, *pair) for pair in pairs]
    together = split_several(BoundsOfBoxes.of(bases), cells, ENDLESS).records()
    for pair, base, result in zip(pairs, bases, together, strict=True):
        alone = split_bounds(network, *pair, max_cells=cells).bounds
        sides = zip(
            (*result.lower, *result.upper), (*alone.lower, *alone.upper), strict=True
        )
        for one, other in sides:
            size = 1.0 + np.abs(other).max()
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * size)
        for k, low in enumerate(base.lower):
            assert (result.lower[k] >= low).all()
        assert_sound(network, result, sample(0, *pair, 200))


@needs_shared_models
def test_published_exact_ranges():
    """reluMIP's peaks network on [-3, 3]^2, exact ranges by MILP."""
    folder = SHARED_MODELS / "small"
    network = load_onnx(folder / "reluMIP_peaks_3x10.onnx")
    result = split_bounds(network, -3.0, 3.0)
    with open(folder / "reluMIP_peaks_3x10_bounds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 30
    for row in rows:
        k, i = int(row["layer"]), int(row["neuron"])
        low, high = float(row["exact_mip_lb"]), float(row["exact_mip_ub"])
        lower, upper = result.bounds.lower[k][i], result.bounds.upper[k][i]
        assert lower <= low + 1e-6 and upper >= high - 1e-6
        assert upper - lower <= 1.05 * (high - low) + 1e-9


@pytest.mark.parametrize(
    "n_inputs, widths",
    [(1, (50, 50)), (2, (25,) * 3), (2, (25,) * 5), (3, (25,) * 3), (3, (50, 50))],
)
def test_few_inputs_come_within_five_percent(n_inputs, widths):
    network = random_network(n_inputs, n_inputs, widths, 1, scale=1.4)
    result = split_bounds(network, -1.0, 1.0)
    assert result.stopped == "tolerance"
    for k in range(len(network.layers)):
        assert excess(result, k) <= 0.05
    crown = crown_bounds(network, -1.0, 1.0)
    assert result.bounds.mean_width(-1) < 0.5 * crown.mean_width(-1)
    assert "split" in result.bounds.source[-1]
    assert_sound(network, result.bounds, sample(0, *_box(result), 5000))


def _box(result):
    return result.bounds.input_lower, result.bounds.input_upper


def test_driven_by_outputs_costs_fewer_cells():
    network = random_network(0, 2, (25,) * 4, 1, scale=1.4)
    everything = split_bounds(network, -1.0, 1.0)
    outputs = split_bounds(network, -1.0, 1.0, neurons="outputs")
    assert outputs.stopped == "tolerance"
    assert excess(outputs, -1) <= 0.05
    assert len(outputs.cells.lower) < len(everything.cells.lower)


def test_unstable_neurons_are_decided_where_stable_ones_are_left_alone():
    network = random_network(1, 2, (25, 25), 1, scale=1.0)
    crown = crown_bounds(network, -0.3, 0.3)
    result = split_bounds(network, -0.3, 0.3, neurons="unstable")
    assert result.bounds.n_unstable <= crown.n_unstable
    for k in range(2):
        undecided = result.bounds.unstable(k)
        # No point decides against what the bounds leave open.
        crossed = (result.attained_lower[k] < 0) & (result.attained_upper[k] > 0)
        assert np.all(crossed[undecided])


def test_budgets_are_kept():
    network = random_network(0, 3, (40,) * 4, 1, scale=1.6)
    few = split_bounds(network, -1.0, 1.0, max_cells=17)
    assert few.stopped == "cells" and len(few.cells.lower) == 17
    one = split_bounds(network, -1.0, 1.0, max_cells=1)
    crown = crown_bounds(network, -1.0, 1.0)
    assert len(one.cells.lower) == 1
    for k in range(len(network.layers)):
        assert np.array_equal(one.bounds.upper[k], crown.upper[k])
    none = split_bounds(network, -1.0, 1.0, time_limit=0.0)
    assert none.stopped == "time"
    assert few.bounds.mean_width(-1) < crown.mean_width(-1)


def test_deterministic():
    network = random_network(0, 2, (20, 20), 1, scale=1.4)
    a, b = (split_bounds(network, -1.0, 1.0) for _ in range(2))
    assert np.array_equal(a.cells.lower, b.cells.lower)
    for k in range(3):
        assert np.array_equal(a.bounds.lower[k], b.bounds.lower[k])


def test_start_is_kept():
    network = random_network(0, 2, (20, 20), 1, scale=1.4)
    tight = split_bounds(network, -1.0, 1.0).bounds
    again = split_bounds(network, -1.0, 1.0, max_cells=2, start=tight).bounds
    for k in range(3):
        assert np.array_equal(again.lower[k], tight.lower[k])
        assert np.array_equal(again.source[k], tight.source[k])


def test_flat_and_indivisible_boxes_end():
    network = random_network(0, 2, (20, 20), 1)
    flat = split_bounds(network, [0.5, -1.0], [0.5, 1.0])
    assert np.all(flat.cells.lower[:, 0] == 0.5)
    point = split_bounds(network, [0.5, 0.25], [0.5, 0.25])
    assert len(point.cells.lower) == 1
    tiny = split_bounds(network, 1.0, np.nextafter(1.0, 2.0))
    assert_sound(network, tiny.bounds, sample(0, *_box(tiny), 50))


def test_absolute_value_is_found_exactly():
    network = Network.sequential(
        [[[1.0], [-1.0]], [[1.0, 1.0]]], [np.zeros(2), np.zeros(1)]
    )
    bounds = split_bounds(network, -1.0, 1.0).bounds
    assert bounds.lower[-1][0] == pytest.approx(0.0, abs=1e-12)
    assert bounds.upper[-1][0] == pytest.approx(1.0)


def test_bad_options_are_refused():
    network = random_network(0, 2, (4,), 1)
    with pytest.raises(BoundsError, match="driven by 'all' neurons"):
        split_bounds(network, -1.0, 1.0, neurons="some")
    with pytest.raises(BoundsError, match="max_cells=0"):
        split_bounds(network, -1.0, 1.0, max_cells=0)
    with pytest.raises(BoundsError, match="tolerance=-1"):
        split_bounds(network, -1.0, 1.0, tolerance=-1)
    with pytest.raises(BoundsError, match="input 0 has bounds"):
        split_bounds(network, -np.inf, 1.0)
