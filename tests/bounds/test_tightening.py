"""The progressive run and the whole-model scope: sound, tight, robust."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from pyomo_relu.bounds.crown.interval import interval_bounds
from pyomo_relu.bounds.methods import METHODS
from pyomo_relu.bounds.model_tightening import tighten_model
from pyomo_relu.bounds.tightening import tighten
from pyomo_relu.errors import (
    BoundsError,
    InfeasibleError,
)
from pyomo_relu.linear.embedded import EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.network import load_onnx
from pyomo_relu.network.fixed_inputs import fix_inputs
from tests.bounds import obbt_sessions
from tests.bounds.soundness import assert_sound, assert_within, shared_answers
from tests.bounds.test_interval import sums_of_one_sign
from tests.paths import SHARED_MODELS, needs_shared_models
from tests.random_networks import boxes, networks, random_network, sample
from tests.thinned import thinned

INF = np.inf


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_sound_and_never_looser_than_interval_arithmetic(data):
    network = data.draw(networks())
    lower, upper = data.draw(boxes(network.n_inputs))
    bounds, _ = tighten(network, lower, upper, max_cells=64)
    start = interval_bounds(network, lower, upper)
    assert_sound(network, bounds, sample(0, lower, upper, 2000))
    for k in range(len(network.layers)):
        assert np.all(bounds.lower[k] >= start.lower[k])
        assert np.all(bounds.upper[k] <= start.upper[k])


@pytest.mark.parametrize("n_inputs", [1, 2, 3])
def test_few_inputs_come_within_five_per_cent_of_the_range(n_inputs):
    network = random_network(n_inputs, n_inputs, (20, 20), 1, scale=1.4)
    bounds, _ = tighten(network, -1.0, 1.0)
    values = network.propagate(
        sample(0, bounds.input_lower, bounds.input_upper, 200000)
    )[0]
    for k, v in enumerate(values):
        attained = np.mean(v.max(axis=0) - v.min(axis=0))
        # What 2e5 points attain is itself up to a few per cent short in 3-D.
        assert bounds.mean_width(k) <= (1.05 + 0.02 * (n_inputs == 3)) * attained


def test_fixed_inputs_do_not_count():
    network = random_network(3, 20, (9, 8))
    lower, upper = -np.ones(20), np.ones(20)
    fixed = np.setdiff1d(np.arange(20), [4, 11])
    lower[fixed] = upper[fixed] = np.linspace(-1, 1, fixed.size)
    mine, _ = tighten(network, lower, upper, methods=("interval", "crown", "split"))
    values = dict(zip(fixed.tolist(), lower[fixed].tolist(), strict=True))
    part = fix_inputs(network, values)
    other, _ = tighten(part, -1.0, 1.0, methods=("interval", "crown", "split"))
    assert mine.n_varying == part.n_inputs == 2
    assert any((source == "split").any() for source in mine.source)
    assert_sound(network, mine, sample(0, lower, upper))
    for k in range(len(network.layers)):
        assert np.all(
            mine.upper[k] - mine.lower[k] <= 1.05 * (other.upper[k] - other.lower[k])
        )


def test_each_method_only_tightens():
    network = random_network(5, 4, (12, 12), 2, scale=1.5)
    widths, sources = [], set()
    for methods in (
        ["interval"],
        ["crown"],
        ["crown", "lp"],
        ["crown", "lp", "milp"],
        ["crown", "split", "lp"],
    ):
        bounds, statistics = tighten(network, -1.0, 1.0, methods=methods)
        widths.append(bounds.mean_width(2))
        sources |= set(bounds.source[2])
        assert [row.method for row in statistics.layers[:3]] == ["interval"] * 3
    assert widths[0] > widths[1] > widths[2] > widths[3]
    assert widths[4] < widths[2]
    assert {"crown", "lp", "milp", "split"} <= sources


def test_start_bounds_are_used_and_checked():
    network = random_network(5, 4, (12, 12), 2, scale=1.5)
    start, _ = tighten(network, -1.0, 1.0)
    bounds, _ = tighten(network, -1.0, 1.0, methods=["interval"], start=start)
    assert bounds.mean_width(2) == start.mean_width(2)
    with pytest.raises(BoundsError, match="proven on a smaller input box"):
        tighten(network, -2.0, 1.0, start=start)
    with pytest.raises(BoundsError, match="unknown bound methods.*'magic'"):
        tighten(network, -1.0, 1.0, methods=["magic"])


def test_time_limit_and_interrupt_keep_what_is_proven():
    network = random_network(5, 14, (20, 20, 20), 2, scale=1.5)
    crown, _ = tighten(network, -1.0, 1.0, methods=["crown"])
    bounds, statistics = tighten(network, -1.0, 1.0, time_limit=0.0)
    assert statistics.time_limit_reached and "'lp' was not started" in str(statistics)
    assert bounds.mean_width(3) == crown.mean_width(3)
    bounds, statistics = tighten(network, -1.0, 1.0, solver=obbt_sessions.PressesCtrlC)
    assert statistics.interrupted
    assert bounds.mean_width(1) < crown.mean_width(1)


# -- scope "model" -----------------------------------------------------------------


def chained(seed=0):
    """x in a polytope without bounds; y = first(x), z = second(y); y0 + y1 <= 0.3."""
    first = random_network(seed, 3, (8, 8), 2, scale=1.5)
    second = random_network(seed + 1, 2, (6,), 1, scale=1.5)
    rows = np.array(
        [
            [1.0, 1.0, 1.0, 0, 0, 0],
            [1.0, -1.0, 0, 0, 0, 0],
            [-1.0, -1.0, 0, 0, 0, 0],
            [-1.0, 1.0, 0, 0, 0, 0],
            [0, 0, -1.0, 0, 0, 0],
            [0, 0, 0, 1.0, 1.0, 0],
        ]
    )
    free = np.full(6, INF)
    model = LinearModel(
        sparse.csr_array(rows),
        np.full(6, -INF),
        np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.3]),
        -free,
        free,
    )
    embedded = [
        EmbeddedNetwork(second, [3, 4], [5], "second"),
        EmbeddedNetwork(first, [0, 1, 2], [3, 4], "first"),
    ]
    return model, embedded, rows


def feasible_points(model, embedded, rows):
    X = np.random.default_rng(0).uniform(-3.0, 3.0, (200000, 3))
    Y = embedded[1].network.forward(X)
    Z = embedded[0].network.forward(Y)
    points = np.hstack([X, Y, Z])
    points = points[np.all(points @ rows.T <= model.row_upper, axis=1)]
    assert len(points) > 500
    return points


def test_constraints_imply_input_bounds_and_links_carry_them():
    model, embedded, rows = chained()
    result = tighten_model(model, embedded)
    points = feasible_points(model, embedded, rows)
    assert result.unbounded == []
    assert np.all(points >= result.lower) and np.all(points <= result.upper)
    assert result.lower[:2] == pytest.approx([-1.0, -1.0])
    for net, bounds in zip(embedded, result.networks, strict=True):
        values = net.network.propagate(points[:, net.inputs])[0]
        assert_within(values, bounds.lower, bounds.upper)
        box, _ = tighten(
            net.network, bounds.input_lower, bounds.input_upper, methods=["crown", "lp"]
        )
        assert bounds.mean_width(0) < box.mean_width(0)
    assert "model" in result.networks[0].source[0]
    assert "second:0" in str(result.statistics)


def test_output_bounds_and_cutoff_tighten_inputs():
    model, embedded, rows = chained()
    loose = tighten_model(model, embedded)
    points = feasible_points(model, embedded, rows)
    value = np.quantile(points[:, 5], 0.05)
    tight = tighten_model(model, embedded, cutoff=([5], [1.0], value))
    good = points[points[:, 5] <= value]
    assert np.all(good >= tight.lower) and np.all(good <= tight.upper)
    assert tight.upper[5] <= value + 1e-9
    widths = (tight.upper - tight.lower) / (loose.upper - loose.lower)
    assert np.all(widths[:5] <= 1.0 + 1e-9) and widths[:5].min() < 0.99


def test_infeasible_model_is_an_error_naming_the_network():
    model, embedded, _ = chained()
    worst = tighten_model(model, embedded).lower[5]
    with pytest.raises(InfeasibleError):
        tighten_model(model, embedded, cutoff=([5], [1.0], worst - 1.0))
    # Only the LP sees this one: no single row contradicts the box.
    first = embedded[1].network
    rng = np.random.default_rng(0)
    peak = first.forward(rng.uniform(-1, 1, (20000, 3))).max(axis=0)
    rows = sparse.csr_array([[0, 0, 0, 1.0, 0], [0, 0, 0, 0, 1.0]])
    box = LinearModel(
        rows, peak + 5.0, [INF] * 2, [-1, -1, -1, -INF, -INF], [1, 1, 1, INF, INF]
    )
    with pytest.raises(InfeasibleError, match="surrogate|column"):
        tighten_model(box, [EmbeddedNetwork(first, [0, 1, 2], [3, 4], "surrogate")])


def test_inputs_that_nothing_confines_are_reported():
    model, embedded, _ = chained()
    upper = model.row_upper.copy()
    upper[0] = INF
    result = tighten_model(model.replace(row_upper=upper), embedded)
    assert result.unbounded == [0, 1, 2, 3, 4]
    assert result.networks == [None, None]
    assert "first: no bounds, because nothing confines column 0, column 1" in str(
        result.statistics
    )


def test_integer_inputs_are_relaxed_and_rounded():
    network = random_network(0, 2, (5,), 1)
    model = LinearModel(
        sparse.csr_array([[1.0, 0.0, 0.0]]),
        [-INF],
        [2.7],
        [0.2, 0.0, -INF],
        [9.0, 1.0, INF],
        [True, False, False],
    )
    result = tighten_model(model, [EmbeddedNetwork(network, [0, 1], [2])])
    assert (result.lower[0], result.upper[0]) == (1.0, 2.0)


@pytest.mark.parametrize(
    "session", [obbt_sessions.NoisyDuals, obbt_sessions.Liar, obbt_sessions.TimesOut]
)
def test_lying_solvers_make_no_model_bound_unsound(session):
    model, embedded, rows = chained()
    honest = tighten_model(model, embedded)
    box = model.replace(
        lower=np.append(honest.lower[:3], [-INF] * 3),
        upper=np.append(honest.upper[:3], [INF] * 3),
    )
    result = tighten_model(box, embedded, solver=session)
    points = feasible_points(model, embedded, rows)
    assert np.all(points >= result.lower) and np.all(points <= result.upper)
    for net, bounds in zip(embedded, result.networks, strict=True):
        values = net.network.propagate(points[:, net.inputs])[0]
        assert_within(values, bounds.lower, bounds.upper)


def test_model_scope_stops_in_time_and_on_interrupt(clock):
    model, embedded, _ = chained()
    slow = obbt_sessions.slow(clock)
    result = tighten_model(model, embedded, time_limit=0.5, solver=slow)
    assert result.statistics.time_limit_reached and clock.now < 0.5 + 2 * 0.05
    result = tighten_model(
        model.replace(lower=np.full(6, -2.0), upper=np.full(6, 20.0)),
        embedded,
        solver=obbt_sessions.PressesCtrlC,
    )
    assert result.statistics.interrupted
    assert all(bounds is not None for bounds in result.networks)


def test_column_out_of_range_is_named():
    model, embedded, _ = chained()
    wrong = EmbeddedNetwork(embedded[1].network, [0, 1, 99], [3, 4], "first")
    with pytest.raises(BoundsError, match="first: column 99 is not among"):
        tighten_model(model, [wrong])


def shortened(path):
    return path.stem[:24]


def shared_networks():
    if SHARED_MODELS is None:
        return []
    return sorted(
        p
        for f in ("small", "vnnlib")
        for p in (SHARED_MODELS / f).glob("*.onnx")
        if str(p.relative_to(SHARED_MODELS)) not in shared_answers()["refuse"]
    )


@needs_shared_models
@pytest.mark.parametrize("path", thinned(shared_networks(), 14), ids=shortened)
def test_real_networks_stay_within_their_bounds(path):
    network = load_onnx(path)
    bounds, _ = tighten(network, -0.4, 0.4, time_limit=1.5, stop_at_sign=True)
    n = min(30000, 1200000 // network.n_inputs)
    points = sample(0, bounds.input_lower, bounds.input_upper, n)
    for part in np.array_split(points, 3):
        assert_sound(network, bounds, part)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_the_sign_of_sums_of_one_sign(method):
    for seed in (0, 1):  # without and with leaky ReLUs
        network, signs = sums_of_one_sign(seed, False, seed == 1)
        bounds, _ = tighten(network, -1.0, 1.0, methods=[method])
        above = signs[:, 0] > 0
        assert (bounds.lower[1][above] >= 0).all()
        assert (bounds.upper[1][~above] <= 0).all()
        assert (bounds.lower[2] >= 0).all() and bounds.stable(1).all()
