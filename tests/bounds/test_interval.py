import itertools
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu.bounds import interval_bounds
from pyomo_relu.bounds.crown.interval import interval_batch
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.rounding import gamma, slack
from pyomo_relu.network import INPUT, Layer, Network, Source
from tests.bounds.soundness import (
    assert_sound,
    assert_within,
    shared_box,
    shared_network,
    shared_networks,
)
from tests.random_networks import boxes, networks, random_network, sample
from tests.thinned import examples


def one_activation(w_pre, w_post, weight=((1.0,),), ceiling=None):
    """y = w_pre v + w_post relu(v), v = weight x, one input."""
    weight = np.asarray(weight)
    activation = "relu" if ceiling is None else "clipped"
    first = Layer(
        [Source(INPUT)], [weight], np.zeros(len(weight)), activation, ceiling, "first"
    )
    out = Layer(
        [Source(0, False), Source(0)],
        [np.atleast_2d(w_pre), np.atleast_2d(w_post)],
        np.zeros(len(np.atleast_2d(w_pre))),
        "identity",
    )
    return Network(
        [first, out], [("x", (weight.shape[1],))], [("y", (out.size,))], "pair"
    )


def output_range(network, lower, upper):
    bounds = interval_bounds(network, lower, upper)
    return bounds.lower[-1], bounds.upper[-1]


@settings(max_examples=examples(60, 150), deadline=None)
@given(st.data())
def test_no_pre_activation_outside(data):
    network = data.draw(networks())
    lower, upper = data.draw(boxes(network.n_inputs))
    bounds = interval_bounds(network, lower, upper)
    assert_sound(network, bounds, sample(0, lower, upper, 300))


@pytest.mark.parametrize("path", shared_networks())
def test_real_networks_are_sound(path):
    network = shared_network(path)
    low, high = shared_box(path)
    bounds = interval_bounds(network, low, high)
    points = sample(1, bounds.input_lower, bounds.input_upper, 5_000)
    assert_sound(network, bounds, points)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_rounding_is_covered_with_784_inputs(scale):
    network = random_network(2, 784, (64, 64), 3, scale=scale)
    rng = np.random.default_rng(0)
    for centre in (rng.normal(size=784), rng.normal(size=784) * 1e3):
        # Point boxes leave the forward pass's own rounding nowhere to hide.
        bounds = interval_bounds(network, centre, centre)
        assert_sound(network, bounds, centre[None])
        batch = np.tile(centre, (7, 1))
        assert_sound(network, bounds, batch)
        for lo, hi in zip(bounds.lower[0:1], bounds.upper[0:1], strict=True):
            size = np.abs(network.layers[0].weights[0]) @ np.abs(centre)
            assert np.all(hi - lo <= 2 * slack(784 + 24) * (size + 1.0 * scale))
        ends = centre - 1e-9, centre + 1e-9
        assert_sound(network, interval_bounds(network, *ends), sample(1, *ends, 200))


def test_slack_stays_tiny():
    assert slack(784) < 4e-13
    assert slack(10) < 1e-14
    assert slack(5) > 2 * gamma(5)


def test_first_layer_is_exact_to_rounding():
    network = random_network(3, 3, (20,), 1)
    w = network.layers[0].weights[0]
    lower, upper = np.array([-1.0, 0.5, 2.0]), np.array([1.0, 0.75, 3.0])
    bounds = interval_bounds(network, lower, upper)
    for i in range(20):
        corners = [
            sum(
                (
                    Fraction(float(a)) * Fraction(float(x))
                    for a, x in zip(w[i], corner, strict=True)
                ),
                Fraction(float(network.layers[0].bias[i])),
            )
            for corner in itertools.product(*zip(lower, upper, strict=True))
        ]
        lo, hi = bounds.lower[0][i], bounds.upper[0][i]
        assert lo <= min(corners) and max(corners) <= hi
        assert lo == pytest.approx(float(min(corners)), rel=1e-13, abs=1e-12)
        assert hi == pytest.approx(float(max(corners)), rel=1e-13, abs=1e-12)


@pytest.mark.parametrize(
    "w_pre, w_post, low, high",
    [
        (0.1, 0.9, -0.1, 3.0),  # leaky ReLU on [-1, 3]
        (-1.0, 2.0, 0.0, 3.0),  # |v|
        (1.0, -1.0, -1.0, 0.0),  # min(v, 0)
        (1.0, -2.0, -3.0, 0.0),  # -|v|
        (-0.5, 1.5, 0.0, 3.0),  # PReLU with a negative slope
        (-0.5, -0.5, -3.0, 0.5),
    ],
)
def test_pairs_of_pre_and_post_lose_nothing(w_pre, w_post, low, high):
    lo, hi = output_range(one_activation(w_pre, w_post), -1.0, 3.0)
    assert (lo[0], hi[0]) == pytest.approx((low, high), abs=1e-12)
    # Where the sign is fixed the map is affine.
    slope = w_pre + w_post
    lo, hi = output_range(one_activation(w_pre, w_post), 1.0, 3.0)
    assert (lo[0], hi[0]) == pytest.approx(sorted((slope, 3 * slope)), abs=1e-12)
    lo, hi = output_range(one_activation(w_pre, w_post), -3.0, -1.0)
    assert (lo[0], hi[0]) == pytest.approx(sorted((-w_pre, -3 * w_pre)), abs=1e-12)


def test_pairs_are_exact_per_neuron_in_sums():
    rng = np.random.default_rng(5)
    w_pre, w_post = rng.normal(size=(2, 3, 4))
    network = one_activation(w_pre, w_post, np.eye(4))
    lower, upper = np.array([-1.0, -2.0, 0.5, -3.0]), np.array([2.0, 1.0, 4.0, -1.0])
    lo, hi = output_range(network, lower, upper)
    ends = np.stack([lower, np.clip(0.0, lower, upper), upper])
    terms = w_pre[:, None] * ends + w_post[:, None] * np.maximum(0.0, ends)
    assert np.allclose(lo, terms.min(axis=1).sum(axis=1), atol=1e-13)
    assert np.allclose(hi, terms.max(axis=1).sum(axis=1), atol=1e-13)


def test_ceilings_bound_the_next_layer():
    network = Network.sequential(
        [np.full((2, 1), 100.0), np.ones((1, 2))], [np.zeros(2), np.zeros(1)], [1.5]
    )
    bounds = interval_bounds(network, -1.0, 1.0)
    assert bounds.upper[0] == pytest.approx([100.0, 100.0])
    assert (bounds.lower[1][0], bounds.upper[1][0]) == pytest.approx((0.0, 3.0))


def test_clipped_pair_is_sound():
    network = one_activation(-1.0, 3.0, ceiling=[0.5])
    bounds = interval_bounds(network, -2.0, 2.0)
    assert_sound(network, bounds, sample(0, bounds.input_lower, bounds.input_upper))


def test_batch_equals_single_boxes():
    network = random_network(7, 4, (9, 8, 7), 2, residual=True, pre=True, clipped=True)
    rng = np.random.default_rng(1)
    lower = rng.normal(size=(6, 4))
    upper = lower + rng.uniform(size=(6, 4))
    lowers, uppers = interval_batch(network, lower, upper)
    for i in range(6):
        one = interval_bounds(network, lower[i], upper[i])
        assert_within([a[None] for a in one.lower], *_around(lowers, i))
        assert_within([a[None] for a in one.upper], *_around(uppers, i))


def _around(arrays, i):
    pad = [1e-12 * (1.0 + np.abs(a[i])) for a in arrays]
    return [a[i] - p for a, p in zip(arrays, pad, strict=True)], [
        a[i] + p for a, p in zip(arrays, pad, strict=True)
    ]


def test_subnormal_weights_are_covered():
    network = Network.sequential(
        [np.full((1, 2), 5e-324), np.full((1, 1), 0.5)], [np.zeros(1), np.zeros(1)]
    )
    bounds = interval_bounds(network, -0.7, 0.7)
    assert bounds.lower[0][0] < 0 < bounds.upper[0][0]
    assert_sound(network, bounds, sample(0, bounds.input_lower, bounds.input_upper))


def sums_of_one_sign(seed, sparse_weights, pairs):
    """relu(x), sums of it, of -|v| and of leaky ones; every later sum is of one sign."""
    rng = np.random.default_rng(seed)
    first = Layer(
        [Source(INPUT)], [rng.normal(size=(6, 2)) / 3], rng.normal(size=6), "relu"
    )
    weights = rng.random((5, 6)) * (rng.random((5, 6)) < 0.6) / 3
    weights[-1] = 0.0
    signs = np.where(np.arange(5) % 2, -1.0, 1.0)[:, None]
    posts, pres = signs * weights, -signs * weights * rng.random((5, 6)) / 3
    sources, given = [Source(0)], [posts]
    if pairs:  # w max(0, v) - u v with w > u, both of the row's sign
        sources, given = [Source(0, False), Source(0)], [pres, posts]
    if sparse_weights:
        given = [scipy.sparse.csr_array(w) for w in given]
    bias = signs[:, 0] * np.maximum(0.0, rng.normal(size=5).round())
    second = Layer(sources, given, bias, "relu")
    last = Layer([Source(1)], [rng.random((2, 5)) / 3], np.zeros(2), "identity")
    return Network([first, second, last], [("x", (2,))], [("y", (2,))], "sums"), signs


def exact_pass(network, x):
    """Pre-activations of all layers at x, as fractions."""
    pre, at = [], [Fraction(float(v)) for v in x]
    for layer in network.layers:
        v = [Fraction(float(b)) for b in layer.bias]
        for (source, post), w in zip(layer.sources, layer.weights, strict=True):
            given = at if source == INPUT else pre[source]
            if post and source != INPUT:
                given = [max(t, Fraction(0)) for t in given]
            w = w.toarray() if scipy.sparse.issparse(w) else w
            for i, row in enumerate(w):
                v[i] += sum(
                    Fraction(float(a)) * t for a, t in zip(row, given, strict=True)
                )
        pre.append(v)
    return pre


@settings(max_examples=examples(25, 100), deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_sums_of_one_sign_keep_it_whatever_is_rounded(seed, sparse_weights, pairs):
    network, signs = sums_of_one_sign(seed, sparse_weights, pairs)
    rng = np.random.default_rng(seed + 1)
    centre = rng.normal(size=2)
    lower, upper = centre - rng.random(2) * 2, centre + rng.random(2) * 2
    bounds = interval_bounds(network, lower, upper)
    above = signs[:, 0] > 0
    assert (bounds.lower[1][above] >= 0).all() and (bounds.upper[1][~above] <= 0).all()
    if network.layers[1].bias[-1] == 0:  # a row without a term
        assert bounds.lower[1][-1] == bounds.upper[1][-1] == 0
    assert (bounds.lower[2] >= 0).all()
    points = sample(seed, lower, upper, 200)
    assert_sound(network, bounds, points)
    for x in points[:8]:
        for k, values in enumerate(exact_pass(network, x)):
            for v, lo, hi in zip(values, bounds.lower[k], bounds.upper[k], strict=True):
                assert Fraction(float(lo)) <= v <= Fraction(float(hi))


def test_terms_that_nearly_cancel_are_not_taken_to_be_of_one_sign():
    # exact: 2**-53 max(0, v), while evaluation may round below zero
    network = one_activation(-1.0, 1.0 + 2.0**-52)
    lo, hi = output_range(network, -1.0, 3.0)
    assert -1e-12 < lo[0] < 0 < hi[0]


def test_a_term_of_the_other_sign_keeps_its_rounding():
    two = one_activation([0.0, 0.0], [1.0, -1e-300], np.eye(2))
    lo, _ = output_range(two, [-1.0, -1.0], [1.0, 1.0])
    assert lo[0] < -1e-300


def test_overflow_gives_infinite_bounds():
    network = random_network(0, 2, (4, 4), 1, scale=1e200)
    bounds = interval_bounds(network, -1.0, 1.0)
    assert np.all(np.isfinite(bounds.upper[0]))
    assert bounds.lower[-1][0] == -np.inf
    assert bounds.upper[-1][0] == np.inf


def test_infinite_box_names_the_input():
    network = random_network(0, 3, (4,), 1)
    with pytest.raises(BoundsError, match=r"input 1 has bounds \[-inf, 1.0\].*finite"):
        interval_bounds(network, [0.0, -np.inf, 0.0], [1.0, 1.0, 1.0])
    with pytest.raises(BoundsError, match="input 2 has bounds"):
        interval_bounds(network, [0.0, 0.0, np.nan], [1.0, 1.0, 1.0])


def test_reversed_box_names_the_input():
    network = random_network(0, 3, (4,), 1)
    with pytest.raises(BoundsError, match=r"input 2 has bounds \[2.0, 1.0\].*exceeds"):
        interval_bounds(network, [0.0, 0.0, 2.0], [1.0, 1.0, 1.0])
    with pytest.raises(BoundsError, match="input 0 in box 1 has bounds"):
        interval_batch(network, [[0.0] * 3, [2.0] * 3], [[1.0] * 3] * 2)


def test_inputs_are_named_by_their_index():
    out = Layer([Source(INPUT)], [np.ones((1, 4))], np.zeros(1), "identity")
    network = Network([out], [("image", (2, 2))], [("y", (1,))])
    with pytest.raises(BoundsError, match=r"input \(1, 0\) has bounds"):
        interval_bounds(network, 0.0, [1.0, 1.0, np.inf, 1.0])


def test_wrong_shapes_are_refused():
    network = random_network(0, 3, (4,), 1)
    with pytest.raises(BoundsError, match=r"shape \(3,\), one per input"):
        interval_bounds(network, [0.0, 0.0], 1.0)
    with pytest.raises(BoundsError, match=r"shape \(2,\)\. Give all lower ends first"):
        interval_bounds(network, (-1.0, 1.0), (-1.0, 1.0))  # a pair per input
    with pytest.raises(BoundsError, match=r"shape \(B, 3\)"):
        interval_batch(network, np.zeros((2, 4)), np.ones((2, 4)))
