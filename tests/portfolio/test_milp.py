"""Models as MILPs: every feasible point is one of theirs, and the best is the best."""

import numpy as np
import pytest
from scipy import sparse

from pyomo_relu.common.deadline import ENDLESS, Deadline
from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.solve import solve_linear
from pyomo_relu.portfolio.milp import Encoded
from tests.networks import dying_network
from tests.random_networks import random_network

BIG = 10.0


def linear_of(lower, upper, integer, rows=()):
    """Rows are (dict column -> coefficient, lower, upper)."""
    matrix = np.zeros((len(rows), len(lower)))
    for i, (terms, _, _) in enumerate(rows):
        matrix[i, list(terms)] = list(terms.values())
    sides = [np.array([float(row[k]) for row in rows]) for k in (1, 2)]
    integer = np.isin(np.arange(len(lower)), integer)
    return LinearModel(sparse.csr_array(matrix), *sides, lower, upper, integer)


def commitment(networks, demand, costs, n_inputs=1):
    """Units side by side: q <= x, p >= y where on, q = p = 0 is possible where off."""
    size, rows, functions = n_inputs + 4, [], []
    for k, network in enumerate(networks):
        x = np.arange(n_inputs) + k * size
        y, q, p, on = np.arange(n_inputs, size) + k * size
        rows += [
            ({q: 1, on: -1.0}, -np.inf, 0),
            ({q: 1, x[0]: -1, on: BIG}, -np.inf, BIG),
            ({q: 1, x[0]: -1, on: -BIG}, -BIG, np.inf),
            ({p: 1, y: -1, on: -BIG}, -BIG, np.inf),
        ]
        functions.append(EmbeddedNetwork(network, x, [y]))
    n, K = size * len(networks), len(networks)
    rows.append(({k * size + n_inputs + 1: 1 for k in range(K)}, demand, np.inf))
    lower = np.tile([*[0.2] * n_inputs, -BIG, 0, 0, 0], K)
    upper = np.tile([*[1.0] * n_inputs, BIG, 1, BIG, 1], K)
    linear = linear_of(lower, upper, np.arange(size - 1, n, size), rows)
    return EmbeddedModel(linear, functions, np.tile([*[0] * (n_inputs + 2), *costs], K))


def assert_holds(encoded, points):
    """All columns of these points, completed, are within bounds and rows."""
    linear = encoded.linear
    for point in points:
        full = encoded.complete(point)
        assert np.all(full[: point.size] == pytest.approx(point, abs=1e-8))
        values = linear.matrix @ full
        assert np.all(values >= linear.row_lower - 1e-8)
        assert np.all(values <= linear.row_upper + 1e-8)


def best_of(model, encoded):
    """The MILP's optimum, reached by a feasible point of the model."""
    answer = solve_linear(encoded.linear, encoded.costs, mip_gap=0.0)
    point = model.finished(encoded.settled(answer.primal))
    assert point is not None
    assert model.objective(point) == pytest.approx(answer.objective, abs=1e-5)
    return answer.objective


@pytest.mark.parametrize("seed", range(6))
def test_commitment_of_two_units(seed):
    """Against a grid; curves pushed down, and binaries that switch them off."""
    rng = np.random.default_rng(seed)
    networks = [random_network(rng, 1, (8, 6), 1, scale=2.0) for _ in range(2)]
    x = np.linspace(0.2, 1.0, 401)
    ys = [f.forward(x[:, None])[:, 0] for f in networks]
    start, demand = rng.uniform(0.0, 0.3), rng.uniform(0.3, 1.2)
    model = commitment(networks, demand, (1.0, start))
    cost = [np.maximum(y, 0.0) + start for y in ys]
    both = cost[0][:, None] + cost[1][None]
    grid = both[x[:, None] + x[None] >= demand].min()
    for one in cost:
        grid = min(grid, one[x >= demand].min(initial=np.inf))
    encoded = Encoded(model)
    found = best_of(model, encoded)
    slope = max(np.abs(np.diff(y)).max() for y in ys)
    assert grid - 4 * slope - 1e-6 <= found <= grid + 1e-6
    points = np.zeros((40, 10))
    for point in points:
        for k in range(2):
            on, at = rng.integers(2), rng.uniform(0.2, 1.0)
            y = networks[k].forward([[at]])[0, 0]
            p = max(y, 0.0) if on else rng.choice([0.0, 1.0])
            point[5 * k : 5 * k + 5] = at, y, at * on, p, on
    points = points[points[:, 2] + points[:, 7] >= demand]
    assert_holds(encoded, points)


@pytest.mark.parametrize("seed", range(4))
def test_networks_of_several_inputs_are_switched(seed):
    rng = np.random.default_rng(seed)
    networks = [random_network(rng, 2, (5,), 1) for _ in range(2)]
    model = commitment(networks, 0.1, (1.0, 0.1), 2)
    encoded = Encoded(model)
    points = np.zeros((60, 12))
    for point in points:
        for k in range(2):
            on, at = rng.integers(2), rng.uniform(0.2, 1.0, 2)
            y = networks[k].forward(at[None])[0, 0]
            p = max(y, 0.0) if on else rng.choice([0.0, 1.0])
            point[6 * k : 6 * k + 6] = *at, y, at[0] * on, p, on
    points = points[points[:, 3] + points[:, 9] >= 0.1]
    assert_holds(encoded, points)
    assert best_of(model, encoded) <= model.objective(points).min() + 1e-6


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_curve_that_is_pushed_needs_few_binaries(seed, sign):
    """min or max of y + slope x: binaries only where the curve is not convex."""
    network = random_network(seed, 1, (8, 8), 1, scale=2.0)
    rng = np.random.default_rng(seed)
    linear = linear_of([-1.0, -BIG], [1.0, BIG], [])
    slope = rng.normal()
    functions = [EmbeddedNetwork(network, [0], [1])]
    model = EmbeddedModel(linear, functions, [slope, sign])
    encoded = Encoded(model)
    row = linear_of([-1.0, -BIG], [1.0, BIG], [], [({1: 1.0}, -BIG, BIG)])
    bound = Encoded(EmbeddedModel(row, functions, [slope, sign]))
    few, all_ = encoded.linear.integer.sum(), bound.linear.integer.sum()
    flipped = Encoded(EmbeddedModel(linear, functions, [slope, -sign]))
    assert few + flipped.linear.integer.sum() == all_
    assert 0 < few < all_
    x = np.linspace(-1, 1, 2001)
    values = sign * network.forward(x[:, None])[:, 0] + slope * x
    step = np.abs(np.diff(values)).max()
    for one in (encoded, bound):
        found = best_of(model, one)
        assert values.min() - step <= found <= values.min() + 1e-6


def test_curves_that_matter_from_both_sides_keep_their_binaries():
    network = random_network(1, 1, (8, 8), 1, scale=2.0)
    functions = [EmbeddedNetwork(network, [0], [1])]
    ends = [-1.0, -BIG, -BIG], [1.0, BIG, BIG]
    costs = [0.0, 1.0, 0.0]

    def binaries(linear, functions=functions):
        found = Encoded(EmbeddedModel(linear, functions, costs)).linear
        return int(found.integer.sum())

    few = binaries(linear_of(*ends, []))
    all_ = binaries(linear_of(*ends, [], [({1: 1}, -BIG, BIG)]))
    assert few < all_
    assert binaries(linear_of(*ends, [], [({1: 1, 2: 1}, -np.inf, BIG)])) == few
    assert binaries(linear_of(*ends, [], [({1: 1, 2: 1}, -BIG, np.inf)])) == all_
    assert binaries(linear_of(*ends, [], [({1: -1, 2: 1}, -BIG, np.inf)])) == few
    # column 2 follows, if its own bounds let it
    assert binaries(linear_of(*ends, [], [({1: 1, 2: 1}, 0, 0)])) == few
    assert binaries(linear_of(*ends, [], [({1: 1, 2: 0.1}, 0, 0)])) == few
    assert binaries(linear_of(*ends, [], [({1: 1, 2: 0.01}, 0, 0)])) == all_
    # a bound that the curve's lowest values do not keep
    low = network.forward(np.linspace(-1, 1, 500)[:, None]).min() + 0.1
    tighter = [-1.0, low, -BIG], [1.0, BIG, BIG]
    assert binaries(linear_of(*tighter, [])) == all_
    # two functions of one output, or one that reads the other's
    twice = [*functions, EmbeddedNetwork(network, [2], [1])]
    read = [*functions, EmbeddedNetwork(network, [1], [2])]
    boxed = [-1.0, -BIG, -1.0], [1.0, BIG, 1.0]
    assert binaries(linear_of(*boxed, []), twice) == 2 * all_
    assert binaries(linear_of(*boxed, []), read) >= all_


@pytest.mark.parametrize("seed", range(8))
def test_neurons_that_are_pushed_need_no_binaries(seed):
    """min or max of an output; a row that holds it from both sides takes them back."""
    options = [{}, {"pre": True}, {"residual": True}, {"clipped": True}][seed % 4]
    network = random_network(seed, 3, (7, 6), 2, scale=2.0, **options)
    rng, far, binaries = np.random.default_rng(seed), 1e3, []
    ends = [[-1.0] * 3 + [-far] * 2, [1.0] * 3 + [far] * 2]
    functions = [EmbeddedNetwork(network, [0, 1, 2], [3, 4])]
    held = [({3: 1.0}, -far, far), ({4: 1.0}, -far, far)]
    for sign in (1.0, -1.0):
        costs = np.array([*rng.normal(size=3), sign, 0.0])
        # of an output that matters from both sides all neurons matter
        few, every, one = (
            Encoded(EmbeddedModel(linear_of(*ends, [], rows), functions, costs))
            for rows in ((), held, held[1:])
        )
        binaries.append([e.linear.integer.sum() for e in (few, every, one)])
        found = best_of(few.model, few)
        assert found == pytest.approx(best_of(every.model, every), abs=1e-5)
        points = np.pad(rng.uniform(-1, 1, (50, 3)), ((0, 0), (0, 2)))
        assert_holds(few, few.model.complete(points))
    few, every, one = np.sum(binaries, axis=0)
    assert few < every == one


def test_no_column_of_a_neuron_is_narrower_than_solvers_resolve():
    """HiGHS takes them for fixed: with weights of 1e-9 it then finds no input at all."""
    rng = np.random.default_rng(3)
    network = dying_network(rng)
    linear = linear_of(
        [-1.0] * 3 + [-BIG], [1.0] * 3 + [BIG], [], [({3: 1}, -BIG, BIG)]
    )
    model = EmbeddedModel(
        linear, [EmbeddedNetwork(network, [0, 1, 2], [3])], np.ones(4)
    )
    found = Encoded(model).linear
    width = found.upper - found.lower
    assert np.all((width == 0) | (width >= 1e-6))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_column_that_is_defined_by_outputs_follows_them(seed, sign):
    """t = y_1 + y_2 + x_1 is minimised, or -t maximised, instead of the sum itself."""
    networks = [random_network(seed + k, 1, (8, 8), 1, scale=2.0) for k in range(2)]
    functions = [EmbeddedNetwork(f, [k], [2 + k]) for k, f in enumerate(networks)]
    link = {0: 1.0, 1: 1.0}, -np.inf, 0.3

    def encoded(row, low=-np.inf, more=()):
        lower, upper = [-1.0, -1.0, -BIG, -BIG, low], [1.0, 1.0, BIG, BIG, np.inf]
        if sign < 0:
            lower[4], upper[4] = -upper[4], -lower[4]
        linear = linear_of(lower, upper, [], [row, link, *more])
        model = EmbeddedModel(linear, functions, [0, 0, 0, 0, sign])
        return model, Encoded(model)

    defined = {0: 1.0, 2: 1.0, 3: 1.0, 4: -sign}
    model, found = encoded((defined, 0.25, 0.25))
    at_least, few = encoded((defined, -np.inf, 0.25))
    all_ = encoded((defined, 0.25, 0.25), more=[({4: 1.0}, -BIG, BIG)])
    count = [int(e.linear.integer.sum()) for e in (found, few, all_[1])]
    assert 0 < count[0] == count[1] < count[2]
    value = best_of(model, found)
    assert value == pytest.approx(best_of(at_least, few), abs=1e-5)
    assert value == pytest.approx(best_of(*all_), abs=1e-5)
    # a point whose outputs are too large is put right, and t with it
    x = np.array([-0.5, 0.2])
    y = np.array([f.forward([[a]])[0, 0] for f, a in zip(networks, x, strict=True)])
    point = np.array([*x, *(y + 0.1), 0.0])
    point[4] = sign * (x[0] + y.sum() + 0.2 - 0.25)
    settled = found.settled(point)
    assert settled[2:4] == pytest.approx(y)
    assert settled[4] == pytest.approx(sign * (x[0] + y.sum() - 0.25))
    assert model.violation(settled) < 1e-9
    # a bound of t below what the row implies is none, one above it is in the way
    assert encoded((defined, 0.25, 0.25), -4 * BIG)[1].linear.integer.sum() == count[0]
    assert (
        encoded((defined, 0.25, 0.25), value + 0.1)[1].linear.integer.sum() == count[2]
    )


@pytest.mark.parametrize("seed", range(30))
def test_random_models(seed):
    """A feasible point is one of the MILP, whose best one is feasible and no worse."""
    rng = np.random.default_rng(seed)
    K, n_binaries, n_others = rng.integers(1, 4, 3)
    n, binaries = 2 * K + n_binaries + n_others, 2 * K + np.arange(n_binaries)
    ends = np.repeat([1.0, 200.0, 1.0, 5.0], [K, K, n_binaries, n_others])
    lower, upper = -ends, ends.copy()
    lower[binaries] = 0.0
    free = 2 * K + n_binaries + np.flatnonzero(rng.random(n_others) < 0.3)
    functions = []
    for k in range(K):
        network = random_network(rng, 1, (6, 4), 1, scale=2.0)
        functions.append(EmbeddedNetwork(network, [k if k != 1 else 0], [K + k]))
    empty = linear_of(lower, upper, binaries)
    point = rng.uniform(np.maximum(lower, -5.0), np.minimum(upper, 5.0))
    point[binaries] = point[binaries].round()
    point = EmbeddedModel(empty, functions).complete(point)
    lower[free], upper[free] = -np.inf, np.inf
    rows = []
    for _ in range(rng.integers(2, 9)):
        at = rng.choice(n, rng.integers(2, min(n, 5)), replace=False)
        a = rng.choice([1.0, -1.0, 2.0, -2.0, 0.5, 4.0, -4.0], at.size)
        low, high = a @ point[at] + rng.exponential(1.0, 2) * [-1, 1]
        kind = rng.integers(4)
        low, high = [(low, high), (-np.inf, high), (low, np.inf), (a @ point[at],) * 2][
            kind
        ]
        rows.append((dict(zip(at.tolist(), a.tolist(), strict=True)), low, high))
    costs = np.round(rng.normal(size=n) * (rng.random(n) < 0.6), 2)
    costs[free] = 0.0
    model = EmbeddedModel(linear_of(lower, upper, binaries, rows), functions, costs)
    encoded = Encoded(model)
    assert_holds(encoded, point[None])
    assert best_of(model, encoded) <= model.objective(point) + 1e-6


def test_bounds_are_not_raised_after_the_time():
    """Interval arithmetic and CROWN are enough for an encoding."""
    network = random_network(np.random.default_rng(0), 2, (8, 8), 1)
    linear = linear_of(np.array([-1.0, -1.0, -BIG]), np.array([1.0, 1.0, BIG]), [])
    functions = [EmbeddedNetwork(network, np.array([0, 1]), np.array([2]))]
    model = EmbeddedModel(linear, functions, np.array([0.0, 0.0, 1.0]))
    for deadline, dear in ((ENDLESS, True), (Deadline(0.0), False)):
        encoded = Encoded(model, deadline=deadline)
        sources = {s for layer in encoded.bounds[0].source for s in layer}
        assert bool(sources & {"split", "lp"}) == dear
        best_of(model, encoded)
