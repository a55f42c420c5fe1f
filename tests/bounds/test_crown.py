from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from pyomo_relu.bounds import NeuronBounds, interval_bounds
from pyomo_relu.bounds.crown.crown import (
    crown_batch,
    crown_bounds,
    layer_lines,
    output_lines,
)
from pyomo_relu.bounds.crown.lines import activation_lines
from pyomo_relu.errors import BoundsError
from pyomo_relu.network import INPUT, Layer, Network, Source
from tests.bounds.soundness import (
    assert_sound,
    assert_within,
    shared_box,
    shared_network,
    shared_networks,
)
from tests.random_networks import boxes, networks, random_network, sample
from tests.thinned import examples, thinned


def plain_crown(network, lower, upper):
    """Textbook CROWN-Ada of a ReLU chain, not intersected with interval arithmetic.

    One backward pass per neuron and side, written for clarity: an independent check.
    """
    lowers, uppers = [], []
    for k, layer in enumerate(network.layers):
        both = []
        for sign in (1.0, -1.0):
            values = []
            for i in range(layer.size):
                row = sign * layer.weights[0][i]
                constant = sign * layer.bias[i]
                for j in range(k - 1, -1, -1):
                    lo, hi = lowers[j], uppers[j]
                    for m in range(row.size):
                        if hi[m] <= 0:
                            row[m] = 0.0
                        elif lo[m] < 0:
                            slope = hi[m] / (hi[m] - lo[m])
                            if row[m] >= 0:
                                constant -= row[m] * slope * lo[m]
                                row[m] *= slope
                            else:
                                row[m] *= float(hi[m] > -lo[m])
                    constant += row @ network.layers[j].bias
                    row = row @ network.layers[j].weights[0]
                positive, negative = np.maximum(row, 0.0), np.minimum(row, 0.0)
                values.append(positive @ upper + negative @ lower + constant)
            both.append(sign * np.array(values))
        uppers.append(both[0])
        lowers.append(both[1])
    return lowers, uppers


def widths(bounds):
    return [bounds.mean_width(k) for k in range(len(bounds.lower))]


@settings(max_examples=examples(60, 150), deadline=None)
@given(st.data())
def test_no_pre_activation_outside(data):
    network = data.draw(networks())
    lower, upper = data.draw(boxes(network.n_inputs))
    points = sample(0, lower, upper, 300)
    crown = crown_bounds(network, lower, upper)
    assert_sound(network, crown, points)
    interval = interval_bounds(network, lower, upper)
    for k in range(len(network.layers)):
        assert np.all(crown.lower[k] >= interval.lower[k])
        assert np.all(crown.upper[k] <= interval.upper[k])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_optimised_slopes_are_sound_and_no_wider(data):
    network = data.draw(networks(max_depth=3))
    lower, upper = data.draw(boxes(network.n_inputs))
    points = sample(0, lower, upper, 300)
    assert_sound(network, crown_bounds(network, lower, upper, alpha_steps=4), points)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_lines_hold_at_points(data):
    network = data.draw(networks())
    lower, upper = data.draw(boxes(network.n_inputs))
    k = data.draw(st.integers(0, len(network.layers) - 1))
    lowers, uppers = crown_batch(network, lower[None], upper[None])
    lines = layer_lines(network, k, lower[None], upper[None], lowers, uppers)
    A_low, c_low, A_high, c_high = (a[0] for a in lines)
    X = sample(1, lower, upper, 300)
    v = network.propagate(X)[0][k]
    assert np.all(X @ A_low.T + c_low <= v)
    assert np.all(v <= X @ A_high.T + c_high)


@pytest.mark.parametrize("path", thinned(shared_networks(), 24))
def test_real_networks_are_sound(path):
    network = shared_network(path)
    low, high = shared_box(path)
    bounds = crown_bounds(network, low, high)
    rng = np.random.default_rng(0)
    # With many inputs each sample brings as many corners as other points.
    for _ in range(4 if network.n_inputs <= 12 else 2):
        points = sample(rng, bounds.input_lower, bounds.input_upper, 10_000)
        assert_sound(network, bounds, points)
    # Small boxes leave the relaxation little width in which to hide.
    size = 1e-3 * (bounds.input_upper - bounds.input_lower)
    lower = rng.uniform(bounds.input_lower, bounds.input_upper - size)
    upper = np.minimum(lower + size, bounds.input_upper)
    bounds = crown_bounds(network, lower, upper, start=bounds)
    assert_sound(network, bounds, sample(rng, lower, upper, 2_000))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_rounding_is_covered_with_784_inputs(scale):
    network = random_network(4, 784, (64, 64, 64), 3, scale=scale)
    rng = np.random.default_rng(1)
    x = rng.normal(size=784)
    for half in (0.0, 1e-12, 1e-3, 1.0):
        lower, upper = x - half, x + half
        bounds = crown_bounds(network, lower, upper)
        assert_sound(network, bounds, sample(rng, lower, upper, 200))
    point = crown_bounds(network, x, x)
    assert_sound(network, point, x[None])
    exact = network.propagate(x)[0]
    for k in range(4):
        assert point.mean_width(k) <= 1e-9 * np.abs(exact[k]).max()


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_exact_arithmetic_lies_within(scale):
    """Not only what float64 evaluates: the real-valued network, at corners and inside."""
    network = random_network(6, 3, (6, 6, 6), 2, scale=scale)
    rng = np.random.default_rng(2)
    x = rng.normal(size=3)
    for half in (0.0, 1e-15, 1e-9, 0.5):
        lower, upper = x - half, x + half
        for bounds in (
            interval_bounds(network, lower, upper),
            crown_bounds(network, lower, upper),
            crown_bounds(network, lower, upper, alpha_steps=2),
        ):
            for point in sample(rng, lower, upper, 6):
                for k, v in enumerate(_exact_pass(network, point)):
                    assert np.all(bounds.lower[k] <= v) and np.all(v <= bounds.upper[k])


def _exact_pass(network, point):
    """Pre-activations of a chain in rational arithmetic."""
    t = [Fraction(float(x)) for x in point]
    for layer in network.layers:
        v = [
            sum(
                (Fraction(float(w)) * s for w, s in zip(row, t, strict=True)),
                Fraction(float(b)),
            )
            for row, b in zip(layer.weights[0], layer.bias, strict=True)
        ]
        yield np.array(v)
        t = [max(Fraction(0), s) for s in v]


@pytest.mark.parametrize(
    "seed, n_inputs, depth, gain, half",
    [(s, n, d, g, h) for s, (n, d, g, h) in enumerate([
        (2, 3, 1.4, 1.0), (5, 2, 1.0, 1.0), (10, 3, 1.4, 0.3), (3, 6, 1.6, 1.0),
        (20, 4, 1.0, 0.05), (1, 3, 2.0, 2.0),
    ])],
)  # fmt: skip
def test_no_wider_than_plain_crown(seed, n_inputs, depth, gain, half):
    network = random_network(seed, n_inputs, (12,) * depth, 2, scale=gain)
    lower, upper = np.full(n_inputs, -half), np.full(n_inputs, half)
    plain_lower, plain_upper = plain_crown(network, lower, upper)
    bounds = crown_bounds(network, lower, upper)
    for k, width in enumerate(widths(bounds)):
        assert width <= np.mean(plain_upper[k] - plain_lower[k]) * (1 + 1e-11)
    # Up to the second layer interval arithmetic changes nothing that CROWN builds on.
    ranges = interval_bounds(network, lower, upper)
    assert np.allclose(bounds.lower[1], np.maximum(plain_lower[1], ranges.lower[1]))
    assert np.allclose(bounds.upper[1], np.minimum(plain_upper[1], ranges.upper[1]))


def test_exact_where_every_neuron_is_stable():
    network = random_network(1, 3, (10, 10), 2)
    lower = np.full(3, 0.3)
    upper = lower + 1e-6
    bounds = crown_bounds(network, lower, upper)
    assert bounds.n_unstable == 0
    C, d = network.linear_piece([p[0] for p in network.activation_pattern(lower)])[-1]
    centre, radius = 0.5 * (lower + upper), 0.5 * (upper - lower)
    assert np.allclose(
        bounds.lower[-1], C @ centre + d - np.abs(C) @ radius, atol=1e-13
    )
    assert np.allclose(
        bounds.upper[-1], C @ centre + d + np.abs(C) @ radius, atol=1e-13
    )


def test_optimised_slopes_tighten():
    network = random_network(11, 3, (20, 20, 20), 1, scale=1.4)
    plain = crown_bounds(network, -1.0, 1.0)
    better = crown_bounds(network, -1.0, 1.0, alpha_steps=10)
    assert better.mean_width(-1) < 0.8 * plain.mean_width(-1)
    assert all(np.array(widths(better)) <= np.array(widths(plain)) * (1 + 1e-12))


def test_shapes_without_shared_weights_agree_with_dense_ones():
    """A sparse network too large to be made dense takes the sparse path."""
    rng = np.random.default_rng(3)
    band = sparse.diags_array(
        rng.normal(size=(3, 300)), offsets=[-1, 0, 1], shape=(300, 300), format="csr"
    )
    other = sparse.random_array((300, 300), density=0.01, rng=rng, format="csr")
    out = sparse.random_array((3, 300), density=0.3, rng=rng, format="csr")

    def network(as_matrix):
        layers = [
            Layer([Source(INPUT)], [as_matrix(band)], np.full(300, 0.1)),
            Layer(
                [Source(0), Source(INPUT)],
                [as_matrix(other), as_matrix(band)],
                np.zeros(300),
                "clipped",
                np.full(300, 1.0),
            ),
            Layer(
                [Source(1), Source(0, False)],
                [as_matrix(band), as_matrix(other)],
                np.full(300, -0.1),
            ),
            Layer([Source(2)], [as_matrix(out)], np.zeros(3), "identity"),
        ]
        return Network(layers, [("x", (300,))], [("y", (3,))])

    thin, full = network(lambda w: w), network(lambda w: w.toarray())
    box = np.full(300, -1.0), np.full(300, 0.5)
    a, b = crown_bounds(thin, *box), crown_bounds(full, *box)
    for k in range(4):
        assert np.allclose(a.lower[k], b.lower[k], atol=1e-10)
        assert np.allclose(a.upper[k], b.upper[k], atol=1e-10)
    assert_sound(thin, a, sample(rng, *box, 2000))
    lowers, uppers = crown_batch(thin, *(np.stack([x, x]) for x in box))
    A, c, _, _ = output_lines(thin, *(np.stack([x, x]) for x in box), lowers, uppers)
    assert A.shape == (2, 3, 300) and c.shape == (2, 3)
    alpha = crown_bounds(thin, *box, alpha_steps=2)
    assert_sound(thin, alpha, sample(rng, *box, 500))


@pytest.mark.parametrize("shape", [{"pre": True, "clipped": True}, {"residual": True}])
def test_batch_equals_single_boxes(shape):
    network = random_network(9, 3, (9, 8, 7), 2, **shape)
    rng = np.random.default_rng(1)
    lower = rng.normal(size=(40, 3))
    upper = lower + rng.uniform(size=(40, 3))
    lowers, uppers = crown_batch(network, lower, upper)
    for i in range(0, 40, 7):
        box = lower[i : i + 1], upper[i : i + 1]
        one_lowers, one_uppers = crown_batch(network, *box)
        single = crown_bounds(network, lower[i], upper[i])
        for k in range(len(network.layers)):
            assert np.allclose(one_lowers[k][0], lowers[k][i], rtol=1e-10, atol=1e-10)
            assert np.allclose(one_uppers[k][0], uppers[k][i], rtol=1e-10, atol=1e-10)
            assert np.all(single.lower[k] >= one_lowers[k][0] - 1e-10)
            assert np.all(single.upper[k] <= one_uppers[k][0] + 1e-10)
    X = rng.uniform(lower, upper)
    assert_within(network.propagate(X)[0], lowers, uppers)


def test_unstable_only_leaves_outputs_sound_and_nearly_as_tight():
    network = random_network(9, 2, (20, 20), 2)
    rng = np.random.default_rng(1)
    lower = rng.uniform(-1, 1, size=(30, 2))
    upper = lower + 0.05
    all_rows = crown_batch(network, lower, upper)
    some = crown_batch(network, lower, upper, unstable_only=True)
    X = rng.uniform(lower, upper)
    assert_within(network.propagate(X)[0], *some)
    assert np.all(some[0][-1] <= all_rows[0][-1] + 1e-9)
    assert np.mean(some[1][-1] - some[0][-1]) <= 1.05 * np.mean(
        all_rows[1][-1] - all_rows[0][-1]
    )


def test_start_is_used_and_recorded():
    network = random_network(2, 2, (10, 10), 1, scale=1.4)
    crown = crown_bounds(network, -1.0, 1.0)
    assert "crown" in crown.source[1] and set(crown.source[0]) == {"interval"}
    tight = [
        0.5 * (lo + hi) for lo, hi in zip(crown.lower[:1], crown.upper[:1], strict=True)
    ]
    given_bounds = NeuronBounds(
        network,
        [tight[0] - 0.1, *crown.lower[1:]],
        [tight[0] + 0.1, *crown.upper[1:]],
        "given",
        crown.input_lower,
        crown.input_upper,
    )
    after = crown_bounds(network, -1.0, 1.0, start=given_bounds)
    assert np.array_equal(after.lower[0], given_bounds.lower[0])
    assert set(after.source[0]) == {"given"}
    assert after.mean_width(-1) < 0.7 * crown.mean_width(-1)


def test_start_per_box_is_never_loosened():
    network = random_network(2, 2, (10, 10), 1, scale=1.4)
    rng = np.random.default_rng(0)
    lower = rng.uniform(-1, 0, size=(5, 2))
    upper = lower + 1.0
    first = crown_batch(network, lower, upper)
    second = crown_batch(network, lower, lower + 0.5, first)
    for k in range(3):
        assert np.all(second[0][k] >= first[0][k])
        assert np.all(second[1][k] <= first[1][k])


def test_start_must_hold_on_the_box_and_network():
    network = random_network(2, 2, (10, 10), 1)
    small = crown_bounds(network, -0.5, 0.5)
    with pytest.raises(BoundsError, match="does not contain the given one"):
        crown_bounds(network, -1.0, 1.0, start=small)
    other = random_network(3, 2, (10, 10), 1)
    with pytest.raises(BoundsError, match="belong to the network"):
        crown_bounds(other, -0.5, 0.5, start=small)


def test_overflow_gives_no_unproven_bound():
    network = random_network(0, 2, (4, 4), 1, scale=1e160)
    bounds = crown_bounds(network, -1.0, 1.0)
    assert bounds.lower[-1][0] == -np.inf
    assert bounds.upper[-1][0] == np.inf


def test_constant_layers_and_inputs_unread():
    constant = Layer([], [], [1.0, -1.0], name="constant")
    out = Layer([Source(0)], [np.ones((1, 2))], [0.5], "identity")
    network = Network([constant, out], [("x", (2,))], [("y", (1,))])
    bounds = crown_bounds(network, -1.0, 1.0)
    assert (bounds.lower[1][0], bounds.upper[1][0]) == pytest.approx((1.5, 1.5))
    A, c, _, _ = output_lines(
        network, [[-1.0, -1.0]], [[1.0, 1.0]], [a[None] for a in bounds.lower],
        [a[None] for a in bounds.upper],
    )  # fmt: skip
    assert A.shape == (1, 1, 2) and not A.any()
    assert c[0, 0] == pytest.approx(1.5)


@settings(max_examples=examples(80, 200), deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2), min_size=1, max_size=5),
    st.one_of(st.none(), st.floats(1e-6, 1e6)),
)
def test_activation_lines_hold(ends, ceiling):
    lower, upper = np.array([sorted(pair) for pair in ends]).T[:, None]
    n = lower.shape[1]
    layer = Layer(
        [Source(INPUT)],
        [np.ones((n, 1))],
        np.zeros(n),
        "relu" if ceiling is None else "clipped",
        ceiling,
    )
    lines = activation_lines(layer, lower, upper)
    # Piecewise linear functions: exact arithmetic at the knots settles it.
    for i in range(n):
        low_slope, low_const, high_slope, high_const, free = (
            Fraction(float(a[0, i])) for a in lines
        )
        assert all(0 <= slope <= 1 for slope in (low_slope, high_slope, free))
        lo, hi = Fraction(float(lower[0, i])), Fraction(float(upper[0, i]))
        top = hi if ceiling is None else Fraction(ceiling)
        for v in (lo, hi, *(min(max(knot, lo), hi) for knot in (Fraction(0), top))):
            x = max(Fraction(0), v if ceiling is None else min(v, top))
            assert low_slope * v + low_const <= x <= high_slope * v + high_const
            assert free == 0 or free * v <= x
