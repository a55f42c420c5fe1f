"""The check that computed pre-activations lie within bounds; no tests here."""

import numpy as np


def assert_sound(network, bounds, points):
    """Every pre-activation and output at the points lies within the bounds."""
    assert bounds.covers(points.min(axis=0), points.max(axis=0))
    assert_within(network.propagate(points)[0], bounds.lower, bounds.upper)


def assert_within(values, lowers, uppers):
    """``lowers[k] <= values[k] <= uppers[k]``, shapes (N, size) and (size,) or same."""
    assert len(values) == len(lowers) == len(uppers)
    for k, (v, lo, hi) in enumerate(zip(values, lowers, uppers)):
        worst = np.max(np.maximum(lo - v, v - hi), initial=-np.inf)
        assert np.all((v >= lo) & (v <= hi)), f"layer {k}: outside by {worst}"
