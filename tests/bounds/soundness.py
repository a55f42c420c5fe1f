"""Checks that pre-activations lie within bounds, on real networks too; no tests here."""

import functools
import json

import numpy as np

from pyomo_relu.network import load_onnx
from tests.paths import SHARED_MODELS


def assert_sound(network, bounds, points):
    """Every pre-activation and output at the points lies within the bounds."""
    assert bounds.covers(points.min(axis=0), points.max(axis=0))
    assert_within(network.propagate(points)[0], bounds.lower, bounds.upper)


def assert_within(values, lowers, uppers):
    """``lowers[k] <= values[k] <= uppers[k]``, shapes (N, size) and (size,) or same."""
    assert len(values) == len(lowers) == len(uppers)
    for k, (v, lo, hi) in enumerate(zip(values, lowers, uppers, strict=True)):
        if not (np.all(v >= lo) and np.all(v <= hi)):
            worst = np.max(np.maximum(lo - v, v - hi))
            raise AssertionError(f"layer {k}: a value lies outside by {worst}")


def shared_networks():
    """Paths of the real networks, relative to their folder; none where it is absent."""
    if SHARED_MODELS is None:
        return []
    found = (str(p.relative_to(SHARED_MODELS)) for p in SHARED_MODELS.rglob("*.onnx"))
    return sorted(set(found) - set(shared_answers()["refuse"]))


@functools.cache
def shared_network(path):
    """The network of one of those files."""
    return load_onnx(SHARED_MODELS / path)


@functools.cache
def shared_answers():
    """What is known about the real networks."""
    return json.loads((SHARED_MODELS / "ANSWERS.json").read_text())


def shared_box(path):
    """A box on which the real network's optimum is known, or [-1, 1]^n."""
    for known in shared_answers()["optimum"]:
        if known["file"] == path and np.size(known["box"]) == 2:
            return tuple(known["box"])
    return -1.0, 1.0
