"""Lines below combinations of outputs: sound at any slopes, tight at the best ones."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu.bounds.crown.backward import BackwardPass, BoxState
from pyomo_relu.bounds.crown.combined import CombinedLines
from tests.random_networks import boxes, networks, random_network, sample


def combined(network, lower, upper):
    """CombinedLines of some boxes, hidden layers bounded by interval arithmetic."""
    kernel = BackwardPass(network)
    state = BoxState(kernel, lower, upper)
    for _ in network.layers[:-1]:
        state.append(*state.interval())
    return CombinedLines(kernel, state)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_lines_lie_below_at_any_slopes(data):
    network = data.draw(networks(max_inputs=3))
    if BackwardPass(network).sparse:
        network = random_network(0, 3, (5, 4), 2, clipped=True)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    ends = [data.draw(boxes(network.n_inputs)) for _ in range(2)]
    lower, upper = (np.stack(side) for side in zip(*ends, strict=True))
    lines = combined(network, lower, upper)
    weights = rng.normal(size=(2, network.n_outputs)) * 10.0 ** rng.integers(-3, 4)
    slopes = {j: rng.uniform(-0.5, 1.5, a.shape) for j, a in lines.free.items()}
    A, c = lines.below(weights, lines.clipped(slopes))
    for box in range(2):
        points = sample(rng, lower[box], upper[box], 300)
        values = network.forward(points)
        assert (np.abs(values) <= lines.magnitudes[box]).all()
        assert (points @ A[box] + c[box] <= values @ weights[box]).all()


def test_gradients_are_derivatives():
    network = random_network(3, 3, (6, 5), 2)
    lower, upper = -np.ones((1, 3)), np.ones((1, 3))
    lines, trace = combined(network, lower, upper), []
    weights, slopes = np.array([[1.0, -0.7]]), lines.start()
    slopes = {j: np.full_like(a, 0.45) for j, a in slopes.items()}

    def value(weights, slopes, trace=None):
        A, c = lines.below(weights, slopes, trace)
        return (A * np.where(A > 0, lower, upper)).sum() + c[0]

    A, _ = lines.below(weights, slopes, trace)
    x = np.where(A > 0, lower, upper)
    gradient, outputs = lines.gradient(slopes, trace, x)
    step, at = 1e-6, value(weights, slopes)
    for j, g in gradient.items():
        for i in np.flatnonzero(lines.free[j][0]):
            moved = {k: a.copy() for k, a in slopes.items()}
            moved[j][0, i] += step
            assert np.isclose((value(weights, moved) - at) / step, g[0, i], atol=1e-5)
    for k in range(2):
        moved = weights.copy()
        moved[0, k] += step
        rise = (value(moved, slopes) - at) / step
        assert np.isclose(rise, outputs[0, k], atol=1e-5)
