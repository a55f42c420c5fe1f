"""How long interval arithmetic, CROWN and input splitting take.

Run with ``pytest tests/benchmarks/test_bounds_speed.py``.  Ratios to interval arithmetic
are measured in the same run and stored as the benchmark's extra information: to this
package's own, and to the textbook's two lines (``W+``, ``W-`` made on the fly).  Limits
are asserted on the fastest round: another process may slow down any other.
"""

import time

import numpy as np
import pytest

from pyomo_relu.bounds import interval_bounds
from pyomo_relu.bounds.crown.crown import crown_batch, crown_bounds
from pyomo_relu.bounds.crown.interval import interval_batch
from pyomo_relu.bounds.crown.splitting import split_bounds
from tests.random_networks import random_network

SHAPES = {"784, 2x256": (784, (256, 256), 10), "10, 3x200": (10, (200,) * 3, 1)}


def network_of(shape):
    n_inputs, widths, n_outputs = SHAPES[shape]
    return random_network(0, n_inputs, widths, n_outputs, scale=1.4)


def fastest(function, rounds=30):
    """Least wall time of a call, in seconds."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times)


def textbook_interval(network, lower, upper):
    for layer in network.layers:
        w = layer.weights[0]
        plus, minus = np.maximum(w, 0.0), np.minimum(w, 0.0)
        lower, upper = (
            plus @ lower + minus @ upper + layer.bias,
            plus @ upper + minus @ lower + layer.bias,
        )
        lower, upper = np.maximum(0.0, lower), np.maximum(0.0, upper)
    return lower, upper


@pytest.mark.parametrize("shape", SHAPES)
def test_interval(benchmark, shape):
    network = network_of(shape)
    benchmark(interval_bounds, network, -1.0, 1.0)
    assert benchmark.stats["min"] < 0.01


@pytest.mark.parametrize("shape", SHAPES)
def test_crown(benchmark, shape):
    network = network_of(shape)
    ones = np.ones(network.n_inputs)
    benchmark(crown_bounds, network, -1.0, 1.0)
    own = fastest(lambda: interval_bounds(network, -1.0, 1.0))
    textbook = fastest(lambda: textbook_interval(network, -ones, ones))
    least = benchmark.stats["min"]
    benchmark.extra_info["times interval_bounds"] = round(least / own, 1)
    benchmark.extra_info["times textbook interval arithmetic"] = round(
        least / textbook, 1
    )
    assert least < 0.03


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_crown_with_optimised_slopes(benchmark, steps):
    network = network_of("10, 3x200")
    bounds = benchmark(crown_bounds, network, -1.0, 1.0, alpha_steps=steps)
    plain = crown_bounds(network, -1.0, 1.0)
    ratio = bounds.mean_width(-1) / plain.mean_width(-1)
    benchmark.extra_info["output width to plain CROWN's"] = round(ratio, 3)
    assert ratio < 1.0


@pytest.mark.parametrize("widths, limit", [((50, 50), 1.0), ((25,) * 5, 3.0)])
def test_crown_over_4096_boxes(benchmark, widths, limit):
    network = random_network(0, 2, widths, 1, scale=1.4)
    lower = np.random.default_rng(0).uniform(-1.0, 1.0, size=(4096, 2))
    upper = lower + 0.1
    benchmark.pedantic(crown_batch, (network, lower, upper), rounds=3, warmup_rounds=1)
    own = fastest(lambda: interval_batch(network, lower, upper), rounds=3)
    least = benchmark.stats["min"]
    benchmark.extra_info["times interval_batch"] = round(least / own, 1)
    assert least < limit


@pytest.mark.parametrize(
    "n_inputs, widths", [(1, (50, 50)), (2, (50,) * 5), (3, (25,) * 3), (3, (50,) * 3)]
)
def test_splitting(benchmark, n_inputs, widths):
    network = random_network(0, n_inputs, widths, 1, scale=1.4)
    result = benchmark.pedantic(
        split_bounds, (network, -1.0, 1.0), rounds=3, warmup_rounds=1
    )
    crown = crown_bounds(network, -1.0, 1.0)
    benchmark.extra_info["cells"] = len(result.cells.lower)
    benchmark.extra_info["output width to CROWN's"] = round(
        result.bounds.mean_width(-1) / crown.mean_width(-1), 4
    )
    assert result.stopped == "tolerance"
    assert benchmark.stats["min"] < 3.0
