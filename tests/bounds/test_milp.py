"""MILP-based bound tightening: exact with a full window, sound with any."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu.bounds.crown.interval import interval_bounds
from pyomo_relu.bounds.obbt.layerwise import lp_obbt
from pyomo_relu.bounds.obbt.milp import milp_obbt
from pyomo_relu.bounds.obbt.options import TighteningOptions
from pyomo_relu.errors import BoundsError
from tests.bounds import obbt_sessions
from tests.bounds.soundness import assert_sound
from tests.bounds.test_obbt import peaks, worst_difference
from tests.paths import needs_shared_models
from tests.random_networks import boxes, networks, random_network, sample


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_pre_activation_leaves_its_bounds(data):
    network = data.draw(networks(max_depth=3, max_width=6))
    lower, upper = data.draw(boxes(network.n_inputs))
    start, _ = lp_obbt(network, interval_bounds(network, lower, upper))
    bounds, _ = milp_obbt(
        network,
        start,
        TighteningOptions(
            window=data.draw(st.integers(1, 3)),
            solver=data.draw(st.sampled_from(["highs", "gurobi"])),
            stop_at_sign=data.draw(st.booleans()),
        ),
    )
    assert_sound(network, bounds, sample(0, lower, upper, 2000))


@needs_shared_models
@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_exact_ranges_are_reproduced(solver):
    network, rows = peaks()
    start, _ = lp_obbt(network, interval_bounds(network, -3.0, 3.0))
    bounds, statistics = milp_obbt(network, start, TighteningOptions(solver=solver))
    assert worst_difference(bounds, rows, "exact_mip") < 1e-6
    assert not statistics.failures


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"residual": True},
        {"pre": True},
        {"clipped": True},
        {"pre": True, "clipped": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("solver", ["highs", "gurobi"])
def test_full_window_is_exact_on_every_kind_of_network(shape, solver):
    network = random_network(8, 1, (5, 5, 5), 1, scale=2.0, **shape)
    start = interval_bounds(network, -2.0, 2.0)
    bounds, _ = milp_obbt(network, start, TighteningOptions(solver=solver))
    values = network.propagate(np.linspace(-2.0, 2.0, 400001)[:, None])[0]
    for k in range(4):
        open_ = np.ones(values[k].shape[1], dtype=bool)
        if k < 3:
            open_ = bounds.unstable(k)
        # The finest sample comes within step times slope of the true range.
        assert np.all(values[k].min(0) >= bounds.lower[k])
        assert np.all(values[k].max(0) <= bounds.upper[k])
        assert bounds.lower[k][open_] == pytest.approx(
            values[k].min(0)[open_], abs=1e-3
        )
        assert bounds.upper[k][open_] == pytest.approx(
            values[k].max(0)[open_], abs=1e-3
        )


def test_wider_windows_are_tighter():
    network = random_network(3, 3, (8, 8, 8), 1, scale=1.6)
    start = interval_bounds(network, -1.0, 1.0)
    widths = [
        milp_obbt(network, start, TighteningOptions(window=h, solver="gurobi"))[
            0
        ].mean_width(3)
        for h in (1, 2, 3)
    ]
    assert widths[0] > widths[1] > widths[2]
    with pytest.raises(BoundsError, match="at least one layer"):
        milp_obbt(network, start, TighteningOptions(window=0))


def test_a_wrong_dual_bound_is_caught():
    network = random_network(3, 3, (8, 8), 1, scale=1.6)
    start = interval_bounds(network, -1.0, 1.0)
    bounds, statistics = milp_obbt(
        network, start, TighteningOptions(solver=obbt_sessions.WrongDualBound)
    )
    assert statistics.failures["contradicted"] == statistics.solves > 0
    assert_sound(network, bounds, sample(0, start.input_lower, start.input_upper))


def test_unfinished_solves_give_their_dual_bounds():
    network = random_network(5, 5, (25, 25, 25), 1, scale=1.6)
    start, _ = lp_obbt(network, interval_bounds(network, -1.0, 1.0))
    masks = [np.zeros(lay.size, dtype=bool) for lay in network.layers]
    masks[-1][:] = True
    bounds, statistics = milp_obbt(
        network,
        start,
        TighteningOptions(solver=obbt_sessions.EndsAtTheRoot),
        neurons=masks,
    )
    assert statistics.failures == {"time limit": 2}
    assert bounds.mean_width(3) < start.mean_width(3)
    assert_sound(network, bounds, sample(0, start.input_lower, start.input_upper))


def test_auto_falls_back_to_highs_with_one_log_line(caplog):
    network = random_network(0, 2, (1100, 1), 1, scale=1.0)
    start = interval_bounds(network, -0.001, 0.001)
    masks = [np.arange(lay.size) < 1 for lay in network.layers]
    with caplog.at_level("INFO", logger="pyomo.relu.bounds"):
        _, statistics = milp_obbt(
            network, start, TighteningOptions(solve_limit=0.2), neurons=masks
        )
    assert statistics.solves > 0
    lines = [r for r in caplog.records if "using HiGHS" in r.getMessage()]
    assert len(lines) <= 1
