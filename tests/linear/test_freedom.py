"""Inputs that can be chosen: equations and functions give the others."""

import numpy as np
import pytest
from scipy import sparse

from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.freedom import free_inputs
from pyomo_relu.linear.model import LinearModel
from tests.random_networks import random_network


def loop(steps, controlled, sides=0.0):
    """States of two numbers; each next one is a row of the last and of the answer.

    Columns of a step: two states, the network's answer, a control of one's own.
    """
    network = random_network(steps, 2, (3,), 1)
    functions = [
        EmbeddedNetwork(network, [4 * t, 4 * t + 1], [4 * t + 2]) for t in range(steps)
    ]
    rows = np.zeros((2 * (steps - 1), 4 * steps))
    for t in range(steps - 1):
        for i in range(2):
            row = rows[2 * t + i]
            row[4 * t + i], row[4 * t + 2], row[4 * t + 4 + i] = 0.9, 0.1, -1.0
            row[4 * t + 3] = 0.5 if controlled else 0.0
    n = 4 * steps
    below = np.full(len(rows), -sides)
    linear = LinearModel(
        sparse.csr_array(rows),
        below,
        np.full(len(rows), sides),
        -np.ones(n),
        np.ones(n),
    )
    return EmbeddedModel(linear, functions, np.ones(n))


@pytest.mark.parametrize("steps", [2, 5])
def test_a_closed_loop_is_free_in_its_first_state_alone(steps):
    assert free_inputs(loop(steps, controlled=False)) == 2
    # inequalities give nothing, nor do equations in which a control is free too
    assert free_inputs(loop(steps, controlled=False, sides=0.1)) == 2 * steps
    model = loop(steps, controlled=True)
    # one more per step: with one state the control is known, and the other state with it
    assert free_inputs(model) == 2 + (steps - 1)
    linear = model.linear
    first = np.isin(np.arange(linear.n_columns), [0, 1])
    fixed = linear.replace(upper=np.where(first, linear.lower, linear.upper))
    assert free_inputs(EmbeddedModel(fixed, model.functions, model.costs)) == steps - 1


def test_networks_in_a_circle_and_without_rows():
    network = random_network(1, 1, (3,), 1)
    linear = LinearModel(
        sparse.csr_array((0, 3)), [], [], -np.ones(3), np.ones(3), np.zeros(3, bool)
    )
    chain = [EmbeddedNetwork(network, [i], [i + 1]) for i in range(2)]
    assert free_inputs(EmbeddedModel(linear, chain, np.ones(3))) == 1
    row = linear.replace(
        matrix=sparse.csr_array([[1.0, 0.0, -1.0]]),
        row_lower=np.zeros(1),
        row_upper=np.zeros(1),
    )
    assert free_inputs(EmbeddedModel(row, chain, np.ones(3))) == 1
