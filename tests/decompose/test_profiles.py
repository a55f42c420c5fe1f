"""Profiles of parts: where they bend, their slopes, and corners of lines below them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu.branch.branch import BranchOptions
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.decompose.pieces.profiles import breaks, hull, profiles, slopes
from pyomo_relu.decompose.pieces.rows import envelope
from pyomo_relu.decompose.subproblems.networks import MemberNetworks
from pyomo_relu.decompose.subproblems.settled import settled
from pyomo_relu.decompose.tree import Decomposition
from pyomo_relu.network.stack import NetworkStack
from tests.decompose.models import many
from tests.random_networks import random_network

seeds = st.integers(0, 10**6)


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_corners_join_to_what_no_line_allows_to_be_exceeded(seed):
    rng = np.random.default_rng(seed)
    count, scale = int(rng.integers(1, 8)), 10.0 ** rng.integers(-6, 7)
    slope = rng.normal(size=count) * scale
    if count > 2:
        slope[1] = slope[0]  # parallel ones
    level = rng.normal(size=count) * scale
    low = float(rng.uniform(-3, 1))
    high = low + float(rng.choice([0.0, 1e-9, 2.5]))
    corners = envelope(slope, level, low, high)
    assert corners[0, 0] == low and corners[-1, 0] == high
    assert (np.diff(corners[:, 0]) >= 0).all()
    x = np.concatenate([corners[:, 0], np.linspace(low, high, 200)])
    largest = (level[:, None] + slope[:, None] * x).max(axis=0)
    joined = np.interp(x, corners[:, 0], corners[:, 1])
    size = scale * 10
    # interpolation itself is rounded
    assert (joined <= largest + 1e-15 * size).all()
    assert (joined >= largest - 1e-12 * size).all()


@given(seeds, st.floats(0.001, 0.5))
@settings(max_examples=30, deadline=None)
def test_a_profile_is_convex_between_its_breaks(seed, most):
    rng = np.random.default_rng(seed)
    x = np.linspace(-1, 2, 129)
    values = np.sin(rng.uniform(1, 8) * x) + np.abs(x - rng.uniform(-1, 2))
    ends = [x[0], *breaks(x, values, most), x[-1]]
    for low, high in itertools.pairwise(ends):
        some = (x >= low) & (x <= high)
        corners = hull(x[some], values[some])
        below = np.interp(x[some], x[some][corners], values[some][corners])
        assert (below <= values[some] + 1e-12).all()
        short = some.sum() < 6  # pieces have a least width
        assert short or (values[some] - below).max() <= most + 1e-12
        lines = slopes(x[some], values[some], 0.1 * most)
        level = (values[some][:, None] - lines * x[some][:, None]).min(axis=0)
        lower = (level + lines * x[some][:, None]).max(axis=1)
        assert (lower <= below + 1e-12).all()
        assert (below - lower).max() <= 0.1 * most + 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_settled_inputs_are_as_good_as_those_of_a_grid(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng, 2, (8, 6), 1, scale=1.5)
    low, high = np.array([-1.0, -2.0]), np.array([1.0, 2.0])
    price = np.array([0.0, rng.normal(), rng.normal()])
    one = np.zeros(1, dtype=int)
    networks = MemberNetworks(NetworkStack([network]), one)
    whole = np.zeros((1, 2), dtype=bool)
    found = profiles(networks, one, one, low[None], high[None], whole, price[None])
    V, values = (a[0] for a in found)
    X = np.stack(np.meshgrid(V[:, 0], np.linspace(-2, 2, 401), indexing="ij"), -1)
    dense = (
        X[..., 1] * price[1]
        + network.forward(X.reshape(-1, 2)).reshape(129, 401) * (price[2])
    )
    np.testing.assert_allclose(V[:, 2:], network.forward(V[:, :2]), atol=1e-12)
    # a basin narrower than the first look may be missed, but hardly ever
    assert np.mean(values <= dense.min(axis=1) + 1e-3 * np.ptp(dense)) > 0.95


def test_settled_whole_inputs_are_whole():
    rng = np.random.default_rng(0)
    network = random_network(rng, 3, (6,), 1, scale=1.5)
    low, high = np.array([-3.0, -1.0, 0.0]), np.array([3.0, 1.0, 1.0])
    X = np.tile([0.0, 0.0, 0.25], (5, 1))
    free, whole = np.array([True, True, False]), np.array([True, False, False])
    networks = MemberNetworks(NetworkStack([network]), np.zeros(5, dtype=int))
    each = (np.tile(a, (5, 1)) for a in (free, low, high, whole, rng.normal(size=4)))
    V = settled(networks, np.arange(5), X, *each)
    assert (V[:, 0] == np.round(V[:, 0])).all() and (V[:, 2] == 0.25).all()
    assert (V[:, :2] >= low[:2]).all() and (V[:, :2] <= high[:2]).all()
    np.testing.assert_allclose(V[:, 3:], network.forward(V[:, :3]), atol=1e-12)


def test_points_settle_what_nothing_else_reads():
    """Each network's second input is its own, the first one is in a row."""
    model = many(3, 6, periods=2).in_unit_range()
    run = Decomposition(model, BranchOptions(), Deadline(None))
    run.prepare()
    for linked in run.evaluator.linked:
        assert (linked == [True, False, False]).all()
    done = run.evaluator.evaluate(run._heap[0][2], np.inf, 1e-4)
    x = done.mixture.x[: model.n_columns]
    _, by_family = run.master.split(done.mixture.duals)
    better = run.points._settled(x, by_family)
    moved = np.flatnonzero(better != x)
    # the others and the outputs; these follow
    assert 1 in moved % 3 and 0 not in moved % 3 and moved.max() < 18
    V = np.stack([x, better])[:, : model.n_columns]
    values = model.objective(model.complete(V))
    assert values[1] <= values[0] + 1e-9
