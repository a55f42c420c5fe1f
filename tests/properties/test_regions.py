"""Verdicts where parts of the box get smaller networks of their own."""

import itertools

import numpy as np

from pyomo_relu.bounds.crown.crown import crown_bounds
from pyomo_relu.properties import parse_vnnlib
from pyomo_relu.properties.rows import composition_error, row_network
from pyomo_relu.properties.splitting import Splitting
from tests.random_networks import twins

NETWORK = twins(1, depth=4, pairs=16)
LOWER, UPPER = np.full(2, -1.0), np.ones(2)


def splitting(shift):
    """Open boxes of the property that the output is at most ``shift``."""
    shift = f"{shift:.12f}" if shift >= 0 else f"(- {-shift:.12f})"
    prop = parse_vnnlib(
        "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
        f"(assert (and (<= -1 X_0 1) (<= -1 X_1 1) (<= Y_0 {shift})))"
    )
    bounds = crown_bounds(NETWORK, LOWER, UPPER)
    allowance = composition_error(
        NETWORK, prop, LOWER, UPPER, bounds.lower, bounds.upper
    )
    rows = row_network(NETWORK, prop)
    return Splitting(rows, prop, allowance, lambda X: False), rows


def ends():
    """Least and greatest value on a grid."""
    axis = np.linspace(-1, 1, 201)
    values = NETWORK.forward(np.array(list(itertools.product(axis, axis))))
    return values.min(), values.max()


def bounders(open_boxes):
    return {id(region.bounder): region.bounder for region in open_boxes._open[4]}


def test_what_is_not_there_is_refuted_with_smaller_networks():
    least, most = ends()
    boxes, rows = splitting(least - 0.006 * (most - least))
    (root,) = boxes._open[4]
    while len(boxes) and boxes.nodes < 3000:
        boxes.work()
    assert not len(boxes) and not boxes.stuck
    assert 0 <= boxes.bound <= 0.007 * (most - least)
    assert root.bounder.network.n_neurons < rows.n_neurons / 3


def test_what_is_there_is_never_refuted():
    boxes, rows = splitting(ends()[0] + 1e-9)
    while len(boxes) and boxes.nodes < 250:
        boxes.work()
    assert len(boxes) or boxes.stuck
    found = bounders(boxes).values()
    assert min(b.network.n_neurons for b in found) < rows.n_neurons / 3
    assert boxes.bound <= 0
