"""Networks of one architecture together: what each of them computes by itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu.network import Network
from pyomo_relu.network.pieces import region_rows
from pyomo_relu.network.stack import NetworkStack, architecture, stacked
from tests.random_networks import alike, networks, random_network

QUICK = settings(max_examples=25, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)


def stack_of(network, rng):
    """Some networks, their stack, and points of them."""
    every = [network]
    if architecture(network) != network:
        every = alike(network, rng, 4)
    which = rng.integers(len(every), size=60)
    # most points are one network's
    which[rng.random(60) < 0.5] = 0
    X = rng.uniform(-1, 1, (60, network.n_inputs))
    return every, NetworkStack(every), which, X


@QUICK
@given(networks(max_inputs=3), SEEDS)
def test_values_are_those_of_each_network(network, seed):
    every, stack, which, X = stack_of(network, np.random.default_rng(seed))
    expected = [every[w].forward(x) for w, x in zip(which, X, strict=True)]
    np.testing.assert_allclose(stack.forward(which, X), expected, atol=1e-9)
    assert stack.forward(which[:0], X[:0]).shape == (0, network.n_outputs)
    if not stack.alone:
        some = np.array([2, 0])
        one = stack[some].forward(np.array([0, 1, 0]), X[:3])
        np.testing.assert_allclose(
            one, [every[w].forward(x) for w, x in zip((2, 0, 2), X, strict=False)]
        )


@QUICK
@given(networks(max_inputs=3), SEEDS)
def test_regions_are_those_of_each_network(network, seed):
    every, stack, which, X = stack_of(network, np.random.default_rng(seed))
    found = stack.regions(which, X)
    for i, (w, x) in enumerate(zip(which, X, strict=True)):
        expected, some = region_rows(every[w], x), np.abs(found.rows[i]).max(axis=1) > 0
        for name in ("rows", "lower", "upper"):
            np.testing.assert_allclose(
                getattr(found, name)[i][some], getattr(expected, name), atol=1e-7
            )
        np.testing.assert_allclose(found.C[i], expected.C, atol=1e-9)
        np.testing.assert_allclose(found.d[i], expected.d, atol=1e-9)
        assert (found.lower[i][~some] == -np.inf).all()


def test_what_is_put_together():
    rng = np.random.default_rng(0)
    first, second = random_network(rng, 2, (4, 3)), random_network(rng, 2, (4, 4))
    others = alike(first, rng, 3)
    leaky, thin = (
        random_network(1, 2, (6, 6), **{kind: True})
        for kind in ("pre", "sparse_weights")
    )
    wide = random_network(rng, 2, (120, 120))
    clipped = [
        Network(
            [
                first.layers[0].replace(activation="clipped", ceiling=ceiling),
                *first.layers[1:],
            ],
            first.inputs,
            first.outputs,
        )
        for ceiling in (1.0, 2.0)
    ]
    found = stacked(
        [first, second, others[1], first, others[2], leaky, thin, leaky, wide, *clipped]
    )
    groups = [(members.tolist(), which.tolist()) for _, members, which in found]
    assert groups[:2] == [([0, 2, 3, 4], [0, 1, 0, 2]), ([1], [0])]
    assert groups[2:5] == [([5, 7], [0, 0]), ([6], [0]), ([8], [0])]
    assert [stack.alone for stack, *_ in found[:5]] == [False, True, True, True, True]
    assert len(groups) == 7  # ceilings differ


@pytest.mark.parametrize("counts", [(1, 1), (50, 1, 1), (7, 0, 3)])
def test_points_of_one_network_are_padded_with_others(counts):
    rng = np.random.default_rng(0)
    every = alike(random_network(rng, 2, (5,)), rng, len(counts))
    which = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    X = rng.uniform(size=(which.size, 2))
    expected = [every[w].forward(x) for w, x in zip(which, X, strict=True)]
    np.testing.assert_allclose(NetworkStack(every).forward(which, X), expected)
