"""What is proven on the way: lines of covers, subproblems, multipliers, shrinking."""

import itertools

import numpy as np
import pytest
from scipy import sparse

from pyomo_relu.branch.branch import BranchOptions
from pyomo_relu.common.deadline import ENDLESS, Deadline
from pyomo_relu.decompose.decompose import decompose
from pyomo_relu.decompose.nodes.lagrangian import Lagrangian, improvable
from pyomo_relu.decompose.subproblems.cover import Cover
from pyomo_relu.decompose.subproblems.family import families
from pyomo_relu.decompose.subproblems.networks import MemberNetworks
from pyomo_relu.decompose.subproblems.parts import take_apart
from pyomo_relu.decompose.subproblems.pricing import Pricing
from pyomo_relu.decompose.subproblems.root import root_box
from pyomo_relu.decompose.tree import Decomposition
from pyomo_relu.errors import BoundsError, InfeasibleError
from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.network.stack import NetworkStack, architecture
from tests.decompose.models import coupled
from tests.random_networks import alike, random_network

SEEDS = range(12)


def two_members(rng, n=2, m=2, **kinds):
    """A family of two parts with boxes of their own, and its first cover.

    Half of them have two networks of one architecture.
    """
    network = random_network(rng, n, (6, 5), m, scale=1.5, **kinds)
    both = [network, network]
    if architecture(network) != network and rng.random() < 0.5:
        both = alike(network, rng, 2)
    d = n + m
    parts = take_apart(
        EmbeddedModel(
            LinearModel(
                sparse.csr_array((0, 2 * d)),
                [],
                [],
                [-np.inf] * 2 * d,
                [np.inf] * 2 * d,
            ),
            [
                EmbeddedNetwork(both[k], k * d + np.arange(n), k * d + n + np.arange(m))
                for k in (0, 1)
            ],
        )
    ).parts
    (family,) = families(parts, np.zeros(2 * d, dtype=bool))
    lower = rng.uniform(-2, 0, (2, n))
    upper = lower + rng.uniform(0.2, 3, (2, n))
    return family, family.begin(lower, upper, rng), lower, upper


def prove(family, cover, costs, tolerance, deadline=ENDLESS):
    """The cover and the least values afterwards; the family has the points."""
    pricing = Pricing()
    (cover,), (least,) = pricing.prove([family], [cover], [costs], tolerance, deadline)
    return cover, least


def graph(family, rng, lower, upper, k, N=2000):
    X = rng.uniform(lower[k], upper[k], (N, lower.shape[1]))
    return family.networks.graph(np.full(N, k), X)


@pytest.mark.parametrize("seed", SEEDS)
def test_subproblems_are_proven_and_as_close_as_asked(seed):
    rng = np.random.default_rng(seed)
    n = 1 + seed % 3
    family, cover, lower, upper = two_members(rng, n, clipped=seed % 2 == 1, pre=True)
    for _ in range(4):
        costs = rng.normal(size=family.columns.shape) * (rng.random(n + 2) < 0.8)
        cover, least = prove(family, cover, costs, 1e-2)
        best, _ = family.least(costs)
        for k in (0, 1):
            values = graph(family, rng, lower, upper, k) @ costs[k]
            assert least[k] <= values.min() + 1e-9
        assert (best - least).sum() <= 2 * 1e-2 + 1e-9
    # the boxes still cover everything
    for k in (0, 1):
        X = graph(family, rng, lower, upper, k)[:, :n]
        assert cover.contains(np.full(len(X), k), X).all()


def test_a_proof_without_time_is_still_one():
    rng = np.random.default_rng(1)
    family, cover, lower, upper = two_members(rng)
    costs = rng.normal(size=family.columns.shape)
    same, least = prove(family, cover, costs, 1e-6, Deadline(0))
    assert len(same) == len(cover)
    for k in (0, 1):
        assert least[k] <= (graph(family, rng, lower, upper, k) @ costs[k]).min()


@pytest.mark.parametrize("seed", SEEDS)
def test_covers_within_boxes_keep_all_points_there(seed):
    rng = np.random.default_rng(seed)
    family, cover, lower, upper = two_members(rng)
    costs = rng.normal(size=family.columns.shape)
    cover, _ = prove(family, cover, costs, 1e-1)
    low, high = cover.hull(2)
    assert (low[:, :2] <= lower).all() and (high[:, :2] >= upper).all()
    inner_low = low + rng.uniform(0, 0.4, low.shape) * (high - low)
    inner_high = high - rng.uniform(0, 0.4, low.shape) * (high - low)
    inner = cover.within(family.networks, inner_low, inner_high)
    least, most = inner.ranges()
    for k in (0, 1):
        V = graph(family, rng, lower, upper, k)
        V = V[((inner_low[k] <= V) & (inner_high[k] >= V)).all(axis=1)]
        assert inner.contains(np.full(len(V), k), V[:, :2]).all()
        for v in V[:50]:
            mine = inner.owner == k
            x = v[:2]
            at = ((inner.lower <= x) & (x <= inner.upper)).all(axis=1) & mine
            assert (least[at] <= v[2:]).all() and (v[2:] <= most[at]).all()


def test_halves_leave_out_what_is_not_whole():
    rng = np.random.default_rng(0)
    stack = NetworkStack([random_network(rng, 2, (6,), 1)])
    networks = MemberNetworks(stack, np.zeros(1, dtype=int))
    box = np.array([[0.0, -1.0]]), np.array([[5.0, 1.0]])
    cover = Cover.of_boxes(networks, [0], *box)
    integer = np.array([[True, False]])
    seen = cover
    for _ in range(9):
        halves, stuck = seen.halves(networks, integer, np.ones((1, 3)))
        seen = Cover.joined([seen[stuck], halves])
    assert (seen.lower[:, 0] == np.round(seen.lower[:, 0])).all()
    x = np.stack(np.meshgrid(np.arange(6), np.linspace(-1, 1, 50)), -1).reshape(-1, 2)
    assert seen.contains(np.zeros(len(x), dtype=int), x).all()
    point = Cover.of_boxes(networks, [0], box[0], box[0])
    halves, stuck = point.halves(networks, integer, np.ones((1, 3)))
    assert halves is None and stuck.all()


@pytest.mark.parametrize("seed", SEEDS)
def test_any_multipliers_prove_a_bound(seed):
    """Below the objective of every point that rows, bounds and networks admit."""
    rng = np.random.default_rng(seed)
    model = coupled(seed)
    split = take_apart(model)
    try:
        lower, upper = root_box(split, ENDLESS)
    except InfeasibleError:
        return
    if (lower > upper).any():
        return
    groups = families(split.parts, split.linear.integer)
    links = np.concatenate([f.columns.ravel() for f in groups])
    lagrangian = Lagrangian(split.linear, links)
    points = rng.uniform(lower, upper, (20000, lower.size))
    whole = split.linear.integer
    points[:, whole] = np.round(points[:, whole])
    n = model.n_columns
    points[:, :n] = model.complete(points[:, :n])
    full = points[model.violation(points[:, :n]) <= 0.0, :n] if n else points[:0]
    values = model.objective(full)
    m = split.linear.n_rows
    for scale in (0.0, 0.3, 3.0):
        duals = scale * rng.normal(size=m + links.size)
        at, least = m, []
        for f in groups:
            pi = duals[at : at + f.columns.size].reshape(f.columns.shape)
            at += f.columns.size
            low, high = lower[f.columns], upper[f.columns]
            cover = f.begin(low[:, : f.n], high[:, : f.n], rng)
            least.append(prove(f, cover, pi, 0.1)[1])
        bound = lagrangian.bound(
            split.costs, split.constant, duals, np.concatenate(least), lower, upper
        )
        assert np.isfinite(bound)
        if len(values):
            assert bound <= values.min() + 1e-9
            inner_low, inner_high = lower.copy(), upper.copy()
            cutoff = values.min() + 0.5 * (values.max() - values.min())
            lagrangian.shrink(split.costs, duals, bound, cutoff, inner_low, inner_high)
            better = full[values < cutoff]
            assert (better >= inner_low[:n] - 1e-12).all()
            assert (better <= inner_high[:n] + 1e-12).all()


def test_values_without_end():
    lagrangian = Lagrangian(
        LinearModel(sparse.csr_array((0, 1)), [], [], [0.0], [1.0]), np.array([0])
    )
    args = np.ones(1), 0.0, np.zeros(1)
    box = np.zeros(1), np.ones(1)
    assert lagrangian.bound(*args, np.array([np.inf]), *box) == np.inf
    assert lagrangian.bound(*args, np.array([-np.inf]), *box) == -np.inf


def test_improvable_boxes():
    bounds, values = np.array([1.0, 2.0, 3.0]), np.full(3, 1.0)
    assert improvable(bounds, values, 5.0, 6.5).tolist() == [True, True, False]
    assert improvable(bounds, values, -np.inf, 6.5).all()
    assert improvable(bounds, values, 5.0, np.inf).all()


def test_refused_models():
    ends = [-np.inf, 0.0], [np.inf, 1.0]
    network = random_network(0, 1, (3,), 1)
    linear = LinearModel(
        sparse.csr_array((0, 2)), [], [], *ends, names=("flow", "made")
    )
    model = EmbeddedModel(linear, [EmbeddedNetwork(network, [0], [1])])
    with pytest.raises(BoundsError, match=r"network input 'flow' has the bounds"):
        root_box(take_apart(model), ENDLESS)

    class Product:
        name, inputs, outputs = "product", np.array([0]), np.array([1])

    with pytest.raises(BoundsError, match="'product' is not a network"):
        decompose(EmbeddedModel(linear, [Product()]))
    with pytest.raises(BoundsError, match="no network to be taken apart"):
        decompose(EmbeddedModel(linear))


def test_inputs_bounded_by_rows_or_other_networks():
    rows = sparse.csr_array(np.array([[1.0, 1, 0], [1, -1, 0]]))
    network = random_network(0, 2, (3,), 1)
    linear = LinearModel(
        rows, [-1, -1], [1, 1], [-np.inf] * 3, [np.inf] * 3, names=("a", "b", "y")
    )
    model = EmbeddedModel(linear, [EmbeddedNetwork(network, [0, 1], [2])])
    lower, upper = root_box(take_apart(model), ENDLESS)
    assert np.isfinite(lower).all() and np.isfinite(upper).all()
    assert upper[:2] == pytest.approx([1, 1])


def test_bounds_rise_and_stay_below_the_optimum():
    model = coupled(2)
    seen = []
    run = Decomposition(
        model.in_unit_range(),
        BranchOptions(),
        Deadline(None),
        lambda r: seen.append((r.bound, r.incumbent.value, r.nodes)),
    )
    run.run()
    bounds = [b for b, _, _ in seen]
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(bounds))
    assert all(b <= run.incumbent.value for b in bounds)
    assert [n for _, _, n in seen] == sorted(n for _, _, n in seen)
