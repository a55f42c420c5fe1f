"""LP-based bound tightening: sound, equal to LPs from scratch, robust."""

import csv
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu.bounds.crown.interval import interval_bounds
from pyomo_relu.bounds.obbt.layerwise import lp_obbt
from pyomo_relu.bounds.obbt.options import TighteningOptions
from pyomo_relu.bounds.statistics import FILTERED, SIGN_KNOWN
from pyomo_relu.errors import BoundsError, InfeasibleError, SolverError
from pyomo_relu.network import Network
from tests.bounds import obbt_sessions
from tests.bounds.soundness import assert_sound
from tests.paths import SHARED_MODELS, needs_shared_models
from tests.random_networks import boxes, networks, random_network, sample


def example(widths=(12, 12, 12), n_inputs=3, seed=0, **options):
    network = random_network(seed, n_inputs, widths, 2, scale=1.6, **options)
    return network, interval_bounds(network, -1.0, 1.0)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_pre_activation_leaves_its_bounds(data):
    network = data.draw(networks())
    lower, upper = data.draw(boxes(network.n_inputs))
    start = interval_bounds(network, lower, upper)
    bounds, _ = lp_obbt(
        network,
        start,
        TighteningOptions(
            stop_at_sign=data.draw(st.booleans()),
            aggressive_filter=data.draw(st.booleans()),
        ),
    )
    assert_sound(network, bounds, sample(0, lower, upper, 2000))
    for k in range(len(network.layers)):
        assert np.all(bounds.lower[k] >= start.lower[k])
        assert np.all(bounds.upper[k] <= start.upper[k])


@pytest.mark.parametrize("solver", ["highs", "gurobi"])
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"residual": True, "sparse_weights": True},
        {"pre": True},
        {"clipped": True},
        {"pre": True, "clipped": True, "residual": True},
    ],
    ids=str,
)
def test_incremental_lps_equal_lps_from_scratch(shape, solver):
    network, start = example((6, 6, 6), seed=4, **shape)
    bounds, statistics = lp_obbt(network, start, TighteningOptions(solver=solver))
    assert statistics.solves > 20 and not statistics.failures
    for k in range(len(network.layers)):
        for i in range(network.layers[k].size):
            if k < 3 and start.stable(k)[i]:
                continue
            low, high = obbt_sessions.linprog_range(network, bounds, k, i)
            width = 1.0 + start.upper[k][i] - start.lower[k][i]
            assert bounds.lower[k][i] == pytest.approx(
                max(low, start.lower[k][i]), abs=2e-7 * width
            )
            assert bounds.upper[k][i] == pytest.approx(
                min(high, start.upper[k][i]), abs=2e-7 * width
            )


def peaks():
    from pyomo_relu.network import load_onnx

    folder = SHARED_MODELS / "small"
    with open(folder / "reluMIP_peaks_3x10_bounds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return load_onnx(folder / "reluMIP_peaks_3x10.onnx"), rows


def worst_difference(bounds, rows, what):
    return max(
        max(
            abs(
                bounds.lower[int(r["layer"])][int(r["neuron"])] - float(r[what + "_lb"])
            ),
            abs(
                bounds.upper[int(r["layer"])][int(r["neuron"])] - float(r[what + "_ub"])
            ),
        )
        for r in rows
    )


@needs_shared_models
def test_published_bounds_are_reproduced():
    network, rows = peaks()
    bounds, _ = lp_obbt(network, interval_bounds(network, -3.0, 3.0))
    assert worst_difference(bounds, rows, "published") < 1e-6


@pytest.mark.parametrize(
    "session",
    [
        obbt_sessions.NoisyDuals,
        obbt_sessions.GarbageDuals,
        obbt_sessions.Liar,
        obbt_sessions.TimesOut,
    ],
)
def test_no_lie_of_a_solver_makes_a_bound_unsound(session):
    network, start = example(seed=1)
    bounds, statistics = lp_obbt(network, start, TighteningOptions(solver=session))
    assert_sound(
        network, bounds, sample(0, start.input_lower, start.input_upper, 20000)
    )
    honest, _ = lp_obbt(network, start)
    for k in range(4):
        # A lying solver can never prove more than the relaxation on its bounds allows.
        assert np.all(bounds.lower[k] <= honest.lower[k] + 1e-7)
        assert np.all(bounds.upper[k] >= honest.upper[k] - 1e-7)
    if session in (obbt_sessions.Liar, obbt_sessions.TimesOut):
        assert statistics.failures


def test_slightly_wrong_duals_still_prove_something():
    network, start = example(seed=1)
    bounds, _ = lp_obbt(
        network, start, TighteningOptions(solver=obbt_sessions.NoisyDuals)
    )
    assert bounds.mean_width(3) < 0.9 * start.mean_width(3)


def test_filtered_bounds_need_no_lp():
    # The second layer is x0 - x1 on [0, 1]^2 through active neurons: one LP's point
    # attains the interval bound, and equal rows share it.
    network = Network.sequential(
        [np.eye(2), np.tile([[1.0, -1.0]], (6, 1)), np.ones((1, 6))],
        [np.zeros(2), np.zeros(6), np.zeros(1)],
    )
    start = interval_bounds(network, 0.0, 1.0)
    bounds, statistics = lp_obbt(network, start)
    row = statistics.layers[1]
    assert row.solves == 2 and row.skipped[FILTERED] == 10
    assert bounds.lower[1] == pytest.approx(np.full(6, -1.0))


def test_second_direction_is_skipped_once_the_sign_is_known():
    network, start = example((10, 10, 10), seed=2)
    network = Network(
        [
            (
                type(lay)(lay.sources, lay.weights, lay.bias + 1.2, lay.activation)
                if k == 1
                else lay
            )
            for k, lay in enumerate(network.layers)
        ],
        network.inputs,
        network.outputs,
    )
    start = interval_bounds(network, -1.0, 1.0)
    full, all_solves = lp_obbt(network, start)
    bounds, statistics = lp_obbt(network, start, TighteningOptions(stop_at_sign=True))
    assert statistics.skipped[SIGN_KNOWN] > 0
    assert statistics.solves < all_solves.solves
    assert [tuple(bounds.stable(k)) for k in (0, 1)] == [
        tuple(full.stable(k)) for k in (0, 1)
    ]


def test_only_the_neurons_asked_for():
    network, start = example()
    masks = [np.zeros(lay.size, dtype=bool) for lay in network.layers]
    masks[2][3] = True
    bounds, statistics = lp_obbt(network, start, neurons=masks)
    assert statistics.solves == 2
    changed = (bounds.lower[2] > start.lower[2]) | (bounds.upper[2] < start.upper[2])
    assert changed[3] and changed.sum() == 1
    assert bounds.source[2][3] == "lp" and bounds.source[2][4] == "interval"
    with pytest.raises(BoundsError, match="one boolean array per layer"):
        lp_obbt(network, start, neurons=masks[:-1])


def test_time_limit_keeps_what_is_proven(clock):
    network, start = example((20, 20, 20))
    bounds, statistics = lp_obbt(
        network,
        start,
        TighteningOptions(solver=obbt_sessions.slow(clock)),
        time_limit=1.0,
    )
    assert clock.now < 1.0 + 2 * 0.05
    assert statistics.time_limit_reached
    assert statistics.skipped["time limit"] > 0
    assert 18 <= statistics.solves <= 21
    assert any(np.any(a > b) for a, b in zip(bounds.lower, start.lower, strict=True))
    assert_sound(network, bounds, sample(0, start.input_lower, start.input_upper))


def test_keyboard_interrupt_keeps_what_is_proven():
    network, start = example((20, 20))
    bounds, statistics = lp_obbt(
        network, start, TighteningOptions(solver=obbt_sessions.PressesCtrlC)
    )
    assert statistics.interrupted and statistics.skipped["interrupted"] > 0
    assert "interrupted" in str(statistics)
    tighter = (bounds.lower[1] > start.lower[1]) | (bounds.upper[1] < start.upper[1])
    assert tighter.any()
    assert_sound(network, bounds, sample(0, start.input_lower, start.input_upper))


def test_contradictory_start_bounds_are_proven_infeasible():
    network, start = example((6, 6), seed=3)
    lower = [a.copy() for a in start.lower]
    lower[0][:] = start.upper[0] - 1e-3
    wrong = type(start)(network, lower, start.upper, "given", -np.ones(3), np.ones(3))
    with pytest.raises(InfeasibleError, match="contradict each other"):
        lp_obbt(network, wrong)


def test_bad_input_is_named():
    network, start = example((4, 4))
    other, _ = example((4, 5))
    with pytest.raises(BoundsError, match="compute bounds of this network first"):
        lp_obbt(other, start)
    with pytest.raises(SolverError, match="unknown solver 'cplex'"):
        lp_obbt(network, start, TighteningOptions(solver="cplex"))
    with pytest.raises(SolverError, match="chunk_size must be at least 1"):
        lp_obbt(network, start, TighteningOptions(chunk_size=0))
    infinite = type(start)(
        network, start.lower, start.upper, "given", [-np.inf, -1, -1], np.ones(3)
    )
    with pytest.raises(BoundsError, match="input 0 has no finite bounds"):
        lp_obbt(network, infinite)
    lower = [start.lower[0], np.full(4, -np.inf), start.lower[2]]
    infinite = type(start)(
        network, lower, start.upper, "given", -np.ones(3), np.ones(3)
    )
    with pytest.raises(BoundsError, match="layer 1 .* has infinite bounds"):
        lp_obbt(network, infinite)


def test_gurobi_licence_too_small_is_an_error_if_asked_for():
    rng = np.random.default_rng(0)
    network = Network.sequential(
        [rng.normal(size=(1100, 2)), rng.normal(size=(2, 1100))],
        [np.zeros(1100), np.zeros(2)],
    )
    start = interval_bounds(network, -1.0, 1.0)
    with pytest.raises(SolverError, match="licence is too small.*2000"):
        lp_obbt(network, start, TighteningOptions(solver="gurobi"))
    _, statistics = lp_obbt(network, start)
    assert statistics.solves == 4 and not statistics.failures


def test_progress_and_statistics():
    network, start = example()
    calls = []
    _, statistics = lp_obbt(
        network,
        start,
        TighteningOptions(chunk_size=5, progress=lambda *event: calls.append(event)),
    )
    assert ("lp", 1, 4, 4) in calls
    table = str(statistics)
    assert "mean width" in table and f"{statistics.solves} solves" in table
    row = statistics.to_dict()["layers"][2]
    assert row["width_after"] < row["width_before"] and row["tightened"] > 0


def test_the_callers_highs_keeps_its_choice_of_threads():
    import highspy

    network, start = example((6, 6))
    lp_obbt(network, start)
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 2)
    highs.addVar(0.0, 1.0)
    assert highs.run() == highspy.HighsStatus.kOk


def test_options_are_one_frozen_value():
    options = TighteningOptions(solver="highs", window=2)
    assert options == replace(TighteningOptions(window=2), solver="highs")
    assert hash(options) == hash(replace(options))
    with pytest.raises(FrozenInstanceError):
        options.window = 3
    with pytest.raises(BoundsError, match="at least one layer"):
        replace(options, window=0)
