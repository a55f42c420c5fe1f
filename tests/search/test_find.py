"""find_point on models of all kinds: feasible, good, or an honest refusal."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.errors import InfeasibleError, ModelError
from pyomo_relu.search import find_point
from pyomo_relu.search.methods.projections import dykstra
from tests.networks import chain
from tests.paths import needs_shared_models
from tests.search.models import level_set, surrogate, two_networks, violation
from tests.search.oil_wells import oil_wells
from tests.truth import solve


def check(m, result):
    """The point satisfies the untransformed model and has the objective claimed."""
    assert result.found, result.message
    for block, x in result.inputs.items():
        block.initialize(x)
    for var, value in result.values.items():
        assert var.fixed or var.value is None or abs(var.value - value) <= 1e-9
        var.set_value(value, skip_validation=True)
    assert violation(m) <= 2e-6
    (objective,) = m.component_data_objects(pyo.Objective, active=True)
    assert result.objective == pytest.approx(pyo.value(objective), abs=1e-6)
    values = [v for _, v, _ in result.trajectory]
    sign = -1 if objective.sense == pyo.maximize else 1
    assert np.all(np.diff(sign * np.array(values)) < 0)


@pytest.mark.parametrize("method", ["samples", "ascent", "walk", "sample_mip"])
@pytest.mark.parametrize("make", [two_networks, lambda: surrogate("peaks_2x25")])
def test_every_method_alone_gives_a_feasible_point(method, make):
    m = make()
    result = find_point(m, methods=method, time_limit=None, max_rounds=1)
    check(m, result)
    assert all(name == method or method != "walk" for *_, name in result.trajectory)


def test_optimum_of_two_networks_with_an_integer():
    m = two_networks()
    result = find_point(m, time_limit=None)
    check(m, result)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    assert result.objective <= solve(m, "appsi_highs") + 1e-4


def test_equality_on_the_output_is_met():
    m = level_set(0.4)
    check(m, find_point(m, time_limit=None, max_rounds=1))


def test_constraints_on_inputs_are_respected_in_batches():
    m = surrogate("himmelblau_2x25")
    x, y = m.nn.input_vars()
    m.line = pyo.Constraint(expr=2 * x + y == 1)
    m.side = pyo.Constraint(expr=x - y <= 1)
    result = find_point(m, time_limit=None, max_rounds=1)
    check(m, result)
    grid = np.linspace(-2, 2 / 3, 2001)
    grid = np.stack([grid, 1 - 2 * grid], axis=1)
    grid = grid[np.all(np.abs(grid) <= 5, axis=1)]
    assert result.objective <= m.nn.network.forward(grid).min() + 1e-6


def test_chain_of_networks_that_feed_each_other():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.second = pyo.Block()
    m.first = ReLUNetworkBlock(network=chain([2, 6, 2]), inputs=m.x)
    m.last = ReLUNetworkBlock(network=chain([2, 6, 1]), inputs=m.first.outputs)
    m.cost = pyo.Objective(expr=m.last.outputs[0], sense=pyo.maximize)
    result = find_point(m, time_limit=None)
    check(m, result)
    axis = np.linspace(-1, 1, 301)
    X = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    Y = m.last.network.forward(m.first.network.forward(X))
    assert result.objective >= Y.max() - 1e-9


def test_bounds_of_inputs_may_follow_from_rows():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(0, None))
    m.nn = ReLUNetworkBlock(network=chain([2, 6, 1]), inputs=m.x)
    m.budget = pyo.Constraint(expr=m.x[0] + m.x[1] <= 2)
    m.cost = pyo.Objective(expr=m.nn.outputs[0])
    check(m, find_point(m, time_limit=None, max_rounds=1))
    m.budget.deactivate()
    with pytest.raises(ModelError, match=r"input 'x\[0\]' has no finite upper bound"):
        find_point(m)


def test_fixed_input_and_transformed_model():
    m = two_networks()
    m.x[0].fix(0.25)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    result = find_point(m, time_limit=None, max_rounds=1)
    check(m, result)
    assert result.values[m.x[0]] == 0.25


def test_start_is_completed_and_never_lost():
    m = two_networks()
    start = {m.first: [0.1, 0.2], m.second: [0.1, 0.2]}
    result = find_point(m, methods="samples", start=start, max_rounds=0)
    check(m, result)
    assert result.method == "start"
    better = find_point(m, start=start, max_rounds=1, time_limit=None)
    assert better.objective <= result.objective


def test_same_seed_same_points():
    found = [
        find_point(surrogate("peaks_2x25"), max_rounds=1, seed=4) for _ in range(2)
    ]
    a, b = (list(r.values.values()) for r in found)
    assert a == b


def test_infeasible_models_give_no_point():
    m = level_set(1e3)
    with pytest.raises(InfeasibleError, match="cannot reach the bounds|no solution"):
        find_point(m)
    m = two_networks()
    m.impossible = pyo.Constraint(expr=m.x[0] >= 2)
    with pytest.raises(InfeasibleError, match="no\\s+solution even without"):
        find_point(m)
    m = level_set(0.0)
    top = m.nn.network.forward(np.random.default_rng(0).uniform(-1, 1, (20000, 3)))
    m.equal.deactivate()
    m.above = pyo.Constraint(expr=m.nn.outputs[0] >= top.max() + 1.0)
    result = find_point(m, time_limit=None, max_rounds=1)
    assert not result.found and result.objective is None and not result.values
    assert "No feasible point was found" in str(result)


@pytest.mark.parametrize(
    "what", ["row", "objective", "special ordered set", "two objectives"]
)
def test_models_outside_the_class_are_refused_by_name(what):
    m = two_networks()
    if what == "row":
        m.curve = pyo.Constraint(expr=pyo.atan(m.x[0]) <= 0.5)
        said = r"constraint 'curve' has 'atan\(x\[0\]\)'.*rewrite it with these"
    elif what == "objective":
        m.cost.deactivate()
        m.curve = pyo.Objective(expr=m.x[0] * pyo.sinh(m.y))
        said = r"objective 'curve' has 'sinh\(y\)'.*rewrite it with these"
    elif what == "special ordered set":
        m.curve = pyo.SOSConstraint(var=m.x, sos=1)
        said = "'curve' is a .*SOSConstraint.*Reformulate it"
    else:
        m.curve = pyo.Objective(expr=m.x[0])
        said = "several active objectives: cost, curve. Deactivate"
    with pytest.raises(ModelError, match=f"find_point: .*{said}"):
        find_point(m)


def test_unknown_method_and_missing_start_are_refused():
    m = two_networks()
    with pytest.raises(ModelError, match="unknown search method 'swim'"):
        find_point(m, methods=("swim",))
    with pytest.raises(ModelError, match="no point for network block 'second'"):
        find_point(m, start={m.first: [0.0, 0.0]})


def test_model_is_not_changed_and_time_limit_holds(clock):
    m = two_networks()
    clock.step = 0.02
    find_point(m, time_limit=0.5)
    assert 0.5 <= clock.now < 0.5 + 10 * clock.step
    assert all(v.value is None for v in m.component_data_objects(pyo.Var))


def test_dykstra_is_the_euclidean_projection():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 2))
    lower, upper = np.full(3, -np.inf), np.full(3, 0.4)
    X = rng.uniform(-3, 3, (20, 2))
    P = dykstra(X, rows, lower, upper, -np.ones(2), np.ones(2), sweeps=2000)
    assert np.all(P @ rows.T <= 0.4 + 1e-6) and np.all(np.abs(P) <= 1)
    Y = rng.uniform(-1, 1, (5000, 2))
    Y = Y[np.all(Y @ rows.T <= 0.4, axis=1)]
    # optimality of a projection: (x - p) . (y - p) <= 0 for all y of the set
    assert np.max(np.einsum("nd,nmd->nm", X - P, Y - P[:, None])) <= 1e-4


def test_projections_end_with_the_time():
    rows = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0]])
    sides = np.full(2, -np.inf), np.array([-0.5, 0.2])
    X = np.random.default_rng(0).uniform(-1, 1, (5, 3))
    box = -np.ones(3), np.ones(3)
    one = dykstra(X, rows, *sides, *box, sweeps=1)
    np.testing.assert_array_equal(
        dykstra(X, rows, *sides, *box, clock=Deadline(0.0)), one
    )
    P = dykstra(X, rows, *sides, *box, sweeps=200)
    assert np.all(sides[1] + 1e-8 >= P @ rows.T)
    np.testing.assert_array_equal(P[:, 2], X[:, 2])


@needs_shared_models
@pytest.mark.parametrize("variant", ["shallow", "deep"])
def test_oil_wells_get_a_feasible_plan(variant):
    m = oil_wells(variant)
    result = find_point(m, methods="ascent", time_limit=None, stop_at=-np.inf)
    check(m, result)
    assert len(result.trajectory) == 1
    best_known = {"shallow": 1.2863862, "deep": 1.794087}[variant]
    assert 0.08 <= result.objective <= best_known


def test_rows_on_neurons_hold_at_the_neurons():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=chain([2, 6, 1]), inputs=m.x)
    m.row = pyo.Constraint(expr=m.nn.pre[0, 0] + m.x[1] >= -0.1)
    m.nn.post[0, 1].setub(0.5)
    m.cost = pyo.Objective(expr=m.nn.outputs[0])
    result = find_point(m, time_limit=None, max_rounds=1)
    assert m.nn.pre[0, 0] in result.values and m.nn.post[0, 1] not in result.values
    check(m, result)


def test_what_bound_methods_found_of_neurons_is_no_row():
    """The inputs still decide everything: many points are evaluated at once."""
    m = surrogate("peaks_2x25")
    alone = find_point(m, methods="samples", time_limit=None, max_rounds=1)
    pyo.TransformationFactory("relu.bounds").apply_to(m)
    bounded = find_point(m, methods="samples", time_limit=None, max_rounds=1)
    assert bounded.objective == alone.objective


def test_an_encoding_s_own_vars_are_not_for_a_search():
    m = two_networks()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    bigm = pyo.TransformationFactory("relu.bigm")
    rows = m.second.activation.values()
    z = next(v for row in rows if (v := bigm.get_indicator_var(row)) is not None)
    m.row = pyo.Constraint(expr=z <= 0.5)
    with pytest.raises(ModelError, match="belongs to the encoding.*Remove that"):
        find_point(m)
