"""Parts as curves: directions, lines below, and the MILP of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu.branch.branch import OPTIMAL, BranchOptions
from pyomo_relu.common.deadline import ENDLESS, Deadline
from pyomo_relu.decompose.curves import Curve, lower_hull
from pyomo_relu.decompose.decompose import decompose
from pyomo_relu.decompose.directions import coupling_directions
from pyomo_relu.decompose.separable import Separable
from pyomo_relu.decompose.tree import Decomposition
from pyomo_relu.linear.embedded import FEASIBILITY
from pyomo_relu.linear.solve import solve_linear
from pyomo_relu.portfolio.milp import Encoded
from tests.decompose.models import many


def root(model, gap=1e-3):
    """A run and its root, bounded."""
    run = Decomposition(
        model.in_unit_range(), BranchOptions(mip_gap=gap), Deadline(None)
    )
    run.prepare()
    run._first_points()
    _, _, node = run._heap[0]
    done = run.evaluator.evaluate(node, run.cutoff, run._accuracy())
    run.points.look(done.node, done.mixture, run._accuracy())
    return run, done


def test_directions():
    model = many(0, 6, periods=2)
    run = Decomposition(model.in_unit_range(), BranchOptions(), Deadline(None))
    run.prepare()
    wide = [np.full(f.columns.shape, 9.0) for f in run.families]
    args = run.split.linear, run.families
    for along in coupling_directions(*args, [-w for w in wide], wide):
        assert np.array_equal(along, [[1.0, 0.0, 0.0]])
    # an output whose bounds cut the network's range off is a second direction
    cut = [np.full(f.columns.shape, np.inf) for f in run.families]
    cut[0][:, 2] = -np.inf
    upper = run.split.linear.upper.copy()
    upper[run.families[0].columns[0, 2]] = 0.0
    linear = run.split.linear.replace(upper=upper)
    found = coupling_directions(linear, run.families, [-w for w in wide], wide)
    assert np.isnan(found[0]).all() and not np.isnan(found[1]).any()
    # without rows nothing is coupled
    alone = linear.replace(
        matrix=linear.matrix[:0], row_lower=np.zeros(0), row_upper=np.zeros(0)
    )
    assert not coupling_directions(alone, run.families[1:], wide[1:], wide[1:])[0].any()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=1))
def test_lower_hull(pairs):
    z, g = np.array(sorted(pairs), dtype=float).T
    hull = lower_hull(z, g)
    assert (np.diff(z[hull]) > 0).all()
    assert (np.interp(z, z[hull], g[hull]) <= g + 1e-9).all()
    assert (np.diff(np.diff(g[hull]) / np.diff(z[hull])) > 0).all()
    assert z[hull[0]] == z.min() and z[hull[-1]] == z.max()


@pytest.mark.parametrize("coupled_by", ["input", "output", "both"])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_proven_lies_below_the_network(coupled_by, seed):
    model = many(seed, 4, widths=(6, 5))
    matrix = model.linear.matrix.toarray()
    if coupled_by != "input":
        for k in range(4):
            matrix[0, 3 * k : 3 * k + 3] = {"output": [0, 0, 1.0]}.get(
                coupled_by, [0.5, 0, 1.0]
            )
    linear = model.linear.replace(matrix=type(model.linear.matrix)(matrix))
    run, done = root(type(model)(linear, model.functions, model.costs))
    curves = Separable(run.evaluator, run.points, 0)
    curves.start(done.node, done.node.duals, run, ENDLESS)
    curves.prove()
    rng = np.random.default_rng(seed)
    for f, along, mine, cover in zip(
        run.families, curves.directions, curves.curves, done.node.covers, strict=True
    ):
        box = done.node.lower[f.columns[0, :2]], done.node.upper[f.columns[0, :2]]
        X = rng.uniform(*box, (3000, 2))
        # elsewhere nothing is below the cutoff
        X = X[cover.contains(np.zeros(len(X), dtype=int), X)]
        V = np.concatenate([X, f.network.forward(X)], axis=1)
        z, g = V @ along[0], V @ run.evaluator.costs[f.columns[0]]
        (curve,) = mine
        assert curve.ends[0] <= z.min() and z.max() <= curve.ends[-1]
        for i in range(len(curve.lines)):
            at = (z >= curve.ends[i]) & (z <= curve.ends[i + 1])
            assert (np.interp(z[at], *curve.vertices(i)) <= g[at] + 1e-9).all()


def test_slabs_of_a_curve_by_hand():
    z = np.linspace(0, 4, 41)
    curve = Curve(z, np.minimum(abs(z - 1), abs(z - 3)), z[:, None], 0.0, 4.0)
    curve.refine(1e-6)
    assert 2.0 in np.round(curve.ends, 9)
    i = curve.slab(1.5)
    assert sorted(curve.slopes(i, 1e-9)) == pytest.approx([-1, 1])
    curve.lines[i] = np.array([-1.0, 1.0]), np.array([1.0, -1.0])
    corners, values = curve.vertices(i)
    assert corners == pytest.approx([0, 1, 2]) and values == pytest.approx([1, 0, 1])
    assert (values <= [1, 0, 1]).all()
    assert not curve.split(0.0)
    curve.learn(np.array([1.0, 2.05]), np.array([-0.5, 5.0]), np.zeros((2, 1)))
    assert curve.value(1.0) == -0.5 and curve.z.size == 41
    # lines of lower slopes would do for the points there are now
    curve.lines[i] = np.array([0.0]), np.array([-1.0])
    assert curve.improvable(i, 0.1) and not curve.improvable(i, 9.0)
    curve.lines[i] = np.array([0.0]), np.array([np.inf])
    assert curve.vertices(i)[0].size == 0 and not curve.improvable(i, 0.0)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("identical", [True, False])
def test_many_networks_have_the_optimum_of_the_milp(seed, identical):
    model = many(seed, 12, periods=4, identical=identical)
    encoded = Encoded(model.in_unit_range())
    answer = solve_linear(encoded.linear, encoded.costs, mip_gap=1e-6)
    units = model.units
    expected = answer.objective + model.in_unit_range().constant
    if not units.identity:
        expected = model.objective(
            model.complete(units.columns * answer.primal[: model.n_columns][None])
        )[0]
    found = decompose(model, BranchOptions(mip_gap=1e-3))
    assert found.status == OPTIMAL
    assert found.bound <= expected + 1e-6 * (1 + abs(expected))
    assert found.value == pytest.approx(expected, rel=1.1e-3)
    assert found.value >= expected - 1e-5 * (1 + abs(expected))
    assert model.violation(found.full) <= FEASIBILITY


def test_curves_raise_the_bound_of_the_root_and_stay_below_the_optimum():
    model = many(5, 24, periods=12, widths=(8,))
    run, done = root(model)
    curves = Separable(run.evaluator, run.points, 0)
    bound = curves.run(done.node, done.node.duals, run, ENDLESS, lambda: None)
    assert bound > done.node.bound
    assert bound <= run.incumbent.value
    best = decompose(model, BranchOptions(mip_gap=1e-3))
    assert bound <= best.value * (1 + 1e-9 * np.sign(best.value))
