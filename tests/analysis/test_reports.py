"""Stability shares and big-M statistics against figures worked out by hand."""

import json

import numpy as np
import pytest

from pyomo_relu.analysis import big_m_statistics, stability
from pyomo_relu.bounds import NeuronBounds
from pyomo_relu.bounds.crown.interval import interval_bounds
from pyomo_relu.errors import BoundsError
from pyomo_relu.network import Network
from tests.analysis.networks import chain

NETWORK = Network.sequential(
    [np.ones((4, 1)), np.ones((2, 4)), np.ones((1, 2))],
    [np.zeros(4), np.zeros(2), np.zeros(1)],
    [2.0, None],
)


def record(first, second):
    """Bounds of the two hidden layers, as lists of (L, U)."""
    lower, upper = zip(
        *(zip(*layer, strict=True) for layer in (first, second, [(-9, 9)])),
        strict=False,
    )
    return NeuronBounds(NETWORK, lower, upper, "given", [-1.0], [1.0])


LOOSE = record([(-1, 3), (-3, 0), (0, 2), (-1, 1)], [(-4, 8), (-6, 2)])
TIGHT = record([(-1, 3), (-3, -1), (0, 1), (2, 3)], [(0, 8), (-2, 2)])


def test_neurons_are_counted_by_state():
    report = stability({"interval": LOOSE, "lp": TIGHT})
    first, second = report.layers["interval"]
    assert (first.active, first.inactive, first.at_ceiling) == (1, 1, 0)
    assert (first.stable, first.unstable, second.stable) == (2, 2, 0)
    first, second = report.layers["lp"]
    assert (first.active, first.inactive, first.at_ceiling) == (1, 1, 1)
    assert (second.active, second.unstable) == (1, 1)
    assert report.share("interval") == pytest.approx(2 / 6)
    assert report.share("lp") == pytest.approx(4 / 6)


def test_big_m_is_the_larger_end_of_unstable_neurons():
    report = big_m_statistics({"interval": LOOSE, "lp": TIGHT})
    first, second = report.layers["interval"]
    assert (first.unstable, first.mean, first.max) == (2, 2.0, 3.0)
    assert first.mean_width == pytest.approx((4 + 3 + 2 + 2) / 4)
    assert (second.mean, second.max, second.mean_width) == (7.0, 8.0, 10.0)
    assert report.growth("interval") == pytest.approx(10 / 2.75)
    assert report.layers["lp"][1].mean == 2.0


def test_a_layer_without_unstable_neurons_has_no_big_m():
    stable = record([(1, 2)] * 4, [(4, 8), (0, 0)])
    layers = big_m_statistics({"lp": stable}).layers["lp"]
    assert layers[0].mean is None and layers[0].max is None
    assert stability({"lp": stable}).share("lp") == 1.0
    assert "-" in str(big_m_statistics({"lp": stable}))


def test_growth_needs_two_layers_with_a_width():
    single = chain([2, 3, 1])
    bounds = interval_bounds(single, np.zeros(2), np.ones(2))
    assert big_m_statistics({"interval": bounds}).growth("interval") is None


@pytest.mark.parametrize("report", [stability, big_m_statistics])
def test_reports_print_and_serialise(report):
    result = report({"interval": LOOSE, "lp": TIGHT})
    lines = str(result).splitlines()
    assert lines[0].startswith("bounds  ") and any("lp" in line for line in lines)
    assert list(json.loads(json.dumps(result.to_dict()))) == ["interval", "lp"]


@pytest.mark.parametrize("report", [stability, big_m_statistics])
def test_records_must_match(report):
    other = chain([1, 4, 2, 1])
    foreign = interval_bounds(other, -np.ones(1), np.ones(1))
    with pytest.raises(BoundsError, match="'x' belong to"):
        report({"interval": LOOSE, "x": foreign})
    wide = interval_bounds(NETWORK, -2 * np.ones(1), 2 * np.ones(1))
    with pytest.raises(BoundsError, match="different input boxes"):
        report({"interval": LOOSE, "wide": wide})
    with pytest.raises(BoundsError, match="no bounds given"):
        report({})
