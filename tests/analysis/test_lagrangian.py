"""The Lagrangian bound of ensembles is a bound, whatever stops it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pyomo_relu.analysis import critical_neurons, lagrangian_bound
from pyomo_relu.bounds import interval_bounds, tighten
from pyomo_relu.bounds.obbt.milp import milp_obbt
from pyomo_relu.bounds.obbt.options import TighteningOptions
from pyomo_relu.errors import BoundsError, InfeasibleError
from tests.networks import chain, residual, two_two_one

GRID = np.stack(np.meshgrid(*[np.linspace(-1, 1, 201)] * 2), -1).reshape(-1, 2)


def ensemble(seed, count=3, sizes=(2, 5, 5, 1)):
    return [chain(sizes, seed=10 * seed + e) for e in range(count)]


def truth(networks, weights=None, points=GRID):
    weights = [1 / len(networks)] * len(networks) if weights is None else weights
    values = sum(
        w * n.forward(points)[:, 0] for n, w in zip(networks, weights, strict=True)
    )
    return values.min()


@pytest.mark.parametrize("seed", range(3))
def test_bound_and_point_enclose_the_minimum(seed):
    networks = ensemble(seed)
    result = lagrangian_bound(networks, -1, 1, iterations=8, solver="highs")
    least = truth(networks)
    assert result.bound <= least + 1e-6
    assert result.value >= result.bound
    at = np.mean([n.forward(result.point[None])[0, 0] for n in networks])
    assert result.value == pytest.approx(at, abs=1e-12)
    assert np.all(np.abs(result.point) <= 1)
    assert result.bound == max(result.bounds) >= result.bounds[0]
    assert np.abs(result.multipliers.sum(axis=0)).max() <= 1e-9
    assert result.unfinished == 0 and result.gap >= 0


def test_subgradient_steps_improve_the_bound():
    networks = ensemble(1)
    alone = lagrangian_bound(networks, -1, 1, iterations=0, solver="highs")
    each = [
        lagrangian_bound([n], -1, 1, weights=[1 / 3], solver="highs").bound
        for n in networks
    ]
    assert alone.bound == pytest.approx(sum(each), abs=1e-6)
    better = lagrangian_bound(networks, -1, 1, iterations=8, solver="highs")
    assert better.bound > alone.bound + 1e-3
    assert len(alone.bounds) == 1 and len(better.bounds) > 1


def test_one_network_is_solved_exactly():
    network = chain((2, 6, 6, 1), seed=4)
    result = lagrangian_bound([network], -1, 1, weights=[1.0], solver="highs")
    assert result.gap <= 1e-5
    assert result.bound <= truth([network], [1.0]) + 1e-6
    exact, _ = milp_obbt(
        network, tighten(network, -1, 1)[0], TighteningOptions(solver="highs")
    )
    assert result.bound == pytest.approx(exact.lower[-1][0], abs=1e-6)


def test_solvers_agree():
    networks = ensemble(2)
    bounds = [
        lagrangian_bound(networks, -1, 1, iterations=0, solver=s).bound
        for s in ("highs", "gurobi", None)
    ]
    assert bounds == pytest.approx([bounds[0]] * 3, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_any_multipliers_give_a_bound(seed):
    networks = ensemble(0)
    u = np.random.default_rng(seed).normal(scale=2, size=(3, 2))
    result = lagrangian_bound(
        networks, -1, 1, iterations=0, multipliers=u, solver="highs"
    )
    assert result.bound <= truth(networks) + 1e-6


def test_opposite_networks_need_no_gap():
    network = chain((2, 5, 1), seed=7)
    result = lagrangian_bound(
        [network, network], -1, 1, weights=[1.0, -1.0], iterations=5, solver="highs"
    )
    assert result.value == pytest.approx(0, abs=1e-9)
    assert result.bound <= 1e-9


def test_maximum_by_negative_weights():
    networks = ensemble(1)
    w = [-0.5, -0.3, -0.2]
    result = lagrangian_bound(networks, -1, 1, w, iterations=4, solver="highs")
    assert result.bound <= truth(networks, w) + 1e-6 <= result.value + 2e-2


def test_several_outputs_residuals_and_fixed_inputs():
    networks = [residual(0), residual(1)]
    box = np.array([-1.0, 0.5]), np.array([1.0, 0.5])
    result = lagrangian_bound(networks, *box, iterations=4, solver="highs")
    points = np.column_stack([np.linspace(-1, 1, 2001), np.full(2001, 0.5)])
    least = truth(networks, points=points)
    assert result.bound <= least + 1e-6
    assert result.point[1] == 0.5
    pair = chain((2, 4, 2), seed=3)
    both = lagrangian_bound([pair], -1, 1, weights=[[1.0, -2.0]], solver="highs")
    values = pair.forward(GRID) @ [1.0, -2.0]
    assert both.bound <= values.min() + 1e-6 and both.gap <= 1e-5


def test_rows_on_the_inputs_hold():
    networks = ensemble(2)
    rows = ([[1.0, 1.0]], [-0.1], [0.1])
    result = lagrangian_bound(networks, -1, 1, rows=rows, iterations=6, solver="highs")
    free = lagrangian_bound(networks, -1, 1, iterations=6, solver="highs")
    inside = GRID[np.abs(GRID.sum(axis=1)) <= 0.1]
    assert result.bound <= truth(networks, points=inside) + 1e-6
    assert abs(result.point.sum()) <= 0.1 + 1e-6
    assert result.bounds[0] >= free.bounds[0] - 1e-6
    with pytest.raises(InfeasibleError, match="no input of .* satisfies the rows"):
        lagrangian_bound(
            networks, -1, 1, rows=([[1, 1]], [5], [6]), solver="highs", iterations=0
        )


def test_stopped_subproblems_still_bound():
    networks = [chain((4, 25, 25, 25, 1), seed=s) for s in range(2)]
    bounds = [interval_bounds(n, -np.ones(4), np.ones(4)) for n in networks]
    result = lagrangian_bound(
        networks,
        -1,
        1,
        neuron_bounds=bounds,
        iterations=1,
        solve_limit=1.0,
        solver="highs",
    )
    X = np.random.default_rng(0).uniform(-1, 1, (50_000, 4))
    assert result.unfinished > 0
    assert result.bound <= truth(networks, points=X)
    least = sum(b.lower[-1][0] for b in bounds) / 2
    assert result.bound >= least - 1e-6


def test_no_time_at_all_leaves_the_bounds_of_the_networks():
    networks = [chain((4, 25, 25, 1), seed=s) for s in range(2)]
    bounds = [interval_bounds(n, -np.ones(4), np.ones(4)) for n in networks]
    options = {"neuron_bounds": bounds, "solve_limit": 0.0, "solver": "highs"}
    result = lagrangian_bound(networks, -1, 1, iterations=2, **options)
    X = np.random.default_rng(0).uniform(-1, 1, (50_000, 4))
    assert np.isfinite(result.bound) and result.bound <= truth(networks, points=X)
    at_centre = np.mean([n.forward(np.zeros((1, 4)))[0, 0] for n in networks])
    assert result.value <= at_centre
    rows = ([[1.0, 0.0, 0.0, 0.0]], [0.5], [1.0])  # the centre is no point of these
    result = lagrangian_bound(networks, -1, 1, rows=rows, iterations=1, **options)
    assert result.point is None and result.to_dict()["point"] is None
    assert result.gap == np.inf


def test_an_executor_changes_nothing():
    networks = ensemble(0)
    here = lagrangian_bound(networks, -1, 1, iterations=3, solver="highs")
    with ThreadPoolExecutor(2) as executor:
        there = lagrangian_bound(
            networks, -1, 1, iterations=3, solver="highs", executor=executor
        )
    assert there.bounds == pytest.approx(here.bounds, abs=1e-9)


def test_time_limit_ends_the_steps():
    result = lagrangian_bound(ensemble(0), -1, 1, solver="highs", time_limit=0.0)
    assert len(result.bounds) == 1
    assert result.to_dict()["iterations"] == 1 and "gap" in str(result)


def test_what_does_not_fit_is_refused():
    networks = ensemble(0)
    one = networks[:1]
    with pytest.raises(BoundsError, match="there is no network"):
        lagrangian_bound([], -1, 1)
    with pytest.raises(BoundsError, match="they must share them"):
        lagrangian_bound([*one, chain((3, 2, 1))], -1, 1)
    with pytest.raises(BoundsError, match="3 networks need 3 weights, got 2"):
        lagrangian_bound(networks, -1, 1, [1.0, 2.0])
    with pytest.raises(BoundsError, match=r"weights of .* have shape \(2,\)"):
        lagrangian_bound(one, -1, 1, [[1.0, 2.0]])
    with pytest.raises(BoundsError, match="as many records"):
        lagrangian_bound(networks, -1, 1, neuron_bounds=[])
    smaller = interval_bounds(one[0], -0.5 * np.ones(2), 0.5 * np.ones(2))
    with pytest.raises(BoundsError, match="proven on a smaller box"):
        lagrangian_bound(one, -1, 1, neuron_bounds=[smaller])
    with pytest.raises(BoundsError, match="rows have 3 columns"):
        lagrangian_bound(one, -1, 1, rows=([[1, 1, 1]], [0], [1]))
    with pytest.raises(BoundsError, match=r"finite and of shape \(1, 2\)"):
        lagrangian_bound(one, -1, 1, multipliers=[[0, 0, 0]])


# -- critical neurons ------------------------------------------------------------------


def test_critical_neurons_are_the_widest_weighted_unstable_ones():
    bounds = interval_bounds(two_two_one(), -np.ones(2), np.ones(2))
    # both neurons reach [-2, 2]; the output weighs them 2 and -1
    first = critical_neurons(bounds, share=0.6)
    assert [m.tolist() for m in first] == [[True, False], [False]]
    both = critical_neurons(bounds, share=1.0)
    assert [m.tolist() for m in both] == [[True, True], [False]]
    stable = interval_bounds(two_two_one(), np.array([1, 0]), np.array([2, 0.5]))
    assert not any(m.any() for m in critical_neurons(stable))


def test_critical_neurons_are_of_the_last_hidden_layer_only():
    bounds = interval_bounds(chain((2, 6, 5, 1), 2), -np.ones(2), np.ones(2))
    masks = critical_neurons(bounds, weights=-3.0, share=0.5)
    assert not masks[0].any() and masks[1].any() and not masks[2].any()
    tight, _ = milp_obbt(
        bounds.network, bounds, TighteningOptions(solver="highs"), neurons=masks
    )
    widths = (tight.upper[1] - tight.lower[1]) < (bounds.upper[1] - bounds.lower[1])
    assert np.array_equal(widths, masks[1])


def test_critical_neurons_refuse_wrong_arguments():
    bounds = interval_bounds(two_two_one(), -np.ones(2), np.ones(2))
    with pytest.raises(BoundsError, match=r"share must be in \(0, 1\]"):
        critical_neurons(bounds, share=0.0)
    with pytest.raises(BoundsError, match="has 1 output, but got 2 weights"):
        critical_neurons(bounds, weights=[1, 2])
