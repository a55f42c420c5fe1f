"""Lines of many networks of one architecture: those that each network has by itself."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyomo_relu.branch.bounding.lines.lines import LineBounder
from pyomo_relu.branch.bounding.lines.stacked_lines import StackedLineBounder
from pyomo_relu.network.stack import NetworkStack, architecture
from tests.random_networks import alike, networks, random_network

SEEDS = st.integers(0, 2**32 - 1)


def members(network, rng, count):
    """Networks, and boxes of them in any order."""
    every = alike(network, rng, 4)
    which = rng.integers(4, size=count)
    lower = rng.uniform(-1, 0.5, (count, network.n_inputs))
    width = rng.uniform(0, 1.5, lower.shape) * (rng.random(lower.shape) < 0.9)
    return every, which, lower, lower + width


@settings(max_examples=25, deadline=None)
@given(networks(max_inputs=3, max_depth=3), SEEDS, st.booleans())
def test_lines_hold_at_a_thousand_points(network, seed, flipped):
    assume(architecture(network) != network)
    rng = np.random.default_rng(seed)
    every, which, lower, upper = members(network, rng, 8)
    lines = StackedLineBounder(NetworkStack(every), flipped).lines_of(
        which, lower, upper
    )
    for b, w in enumerate(which):
        X = rng.uniform(lower[b], upper[b], (1000, network.n_inputs))
        X[:20] = np.where(rng.random(X[:20].shape) < 0.5, lower[b], upper[b])
        pre, _ = every[w].propagate(X)
        for part in (lines, *lines.further):
            assert (X @ part.low[b].T + part.low_const[b] <= pre[-1]).all()
            assert (X @ part.high[b].T + part.high_const[b] >= pre[-1]).all()
        for v, low, high in zip(pre, *lines.hidden, strict=False):
            assert (low[b] <= v).all() and (v <= high[b]).all()


def test_lines_are_those_of_each_network():
    """Of two layers: of more, what is stable in one box is bounded for another one."""
    rng = np.random.default_rng(0)
    for kinds in ({}, {"residual": True}, {"clipped": True}):
        network = random_network(rng, 2, (7, 6), 2, scale=1.5, **kinds)
        every, which, lower, upper = members(network, rng, 300)
        bounder = StackedLineBounder(NetworkStack(every), flipped=True)
        found = bounder.lines_of(which, lower, upper)
        alone = [LineBounder(one, flipped=True) for one in every]
        for b in range(0, 300, 7):
            box = lower[b : b + 1], upper[b : b + 1]
            expected = alone[which[b]].lines(*box)
            for name in ("low", "low_const", "high", "high_const", "errors"):
                np.testing.assert_allclose(
                    getattr(found, name)[b],
                    getattr(expected, name)[0],
                    rtol=1e-7,
                    atol=1e-9,
                )
            assert found.unstable[b] == expected.unstable[0]
