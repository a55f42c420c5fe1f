"""find_point and relu.warmstart on nonlinear models: feasible by Pyomo's own values."""

import logging

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.errors import InfeasibleError, ModelError
from pyomo_relu.search import find_point
from tests.branch.test_atoms import ABSOLUTE, absolute
from tests.branch.test_atoms import flowsheet as mixer
from tests.branch.test_atoms_truth import Case
from tests.branch.test_flowsheets import FOLDER, flowsheet
from tests.networks import chain
from tests.search.models import two_networks
from tests.thinned import thinned


def check(m, result):
    """The point holds in the model as it was written, and is worth what it says."""
    assert result.found, result.message
    for block, x in result.inputs.items():
        block.initialize(x)
    for var, value in result.values.items():
        assert var.fixed or var.value is None or abs(var.value - value) <= 1e-6
        var.set_value(value, skip_validation=True)
    assert_holds(m)
    (objective,) = m.component_data_objects(pyo.Objective, active=True)
    worth = pyo.value(objective)
    assert result.objective == pytest.approx(worth, abs=1e-6, rel=1e-6)
    sign = -1 if objective.sense == pyo.maximize else 1
    assert np.all(np.diff([sign * v for _, v, _ in result.trajectory]) < 0)
    return worth


def assert_holds(m):
    for row in m.component_data_objects(pyo.Constraint, active=True):
        body = pyo.value(row.body)
        slack = 3e-6 * (1.0 + abs(body))
        assert row.lower is None or body >= pyo.value(row.lower) - slack, row.name
        assert row.upper is None or body <= pyo.value(row.upper) + slack, row.name
    for var in m.component_data_objects(pyo.Var, active=True):
        if var.value is None:  # in no row; rows with such a Var fail above
            continue
        slack = 2e-6 * (1.0 + abs(var.value))
        assert var.lb is None or var.value >= var.lb - slack, var.name
        assert var.ub is None or var.value <= var.ub + slack, var.name
        assert var.is_continuous() or var.value == round(var.value), var.name


needs_flowsheets = pytest.mark.skipif(
    FOLDER is None, reason="the flowsheets are not here"
)


@needs_flowsheets
@pytest.mark.parametrize(
    ("name", "value", "gap"),
    [
        ("reformer_bilinear", 31.7167, 0.01),
        ("reformer_exp", 16.68815, 0.01),
        ("cstr", 25.1762, 0.01),
        ("mixing_2x25", -6.652711, 2.0),
        ("mixing_5x25", -6.66056, 2.0),
    ],
)
def test_flowsheets_get_a_point_in_a_few_rounds(name, value, gap):
    m = flowsheet(name)
    found = check(m, find_point(m, time_limit=None, max_rounds=2))
    assert abs(found - value) <= gap * abs(value)
    if name.startswith("mixing"):
        assert found >= value - 1e-3


@pytest.mark.parametrize("seed", thinned(range(40), 14))
def test_random_models_get_points_that_hold(seed):
    case = Case(seed)
    m = case.model()
    try:
        result = find_point(m, time_limit=None, max_rounds=1, seed=seed)
    except InfeasibleError:
        assert not np.isfinite(case.best())
        return
    if not result.found:
        least = case.best()
        assert not np.isfinite(least), f"{seed}: a point has {least}"
        return
    check(m, result)
    x = [m.x[j].value for j in range(case.n)] + (
        [m.z.value or 0.0] if case.free else []
    )
    value, worst = case.at(np.array([x]))
    sign = 1.0 if case.sense == pyo.minimize else -1.0
    assert worst[0] <= 1e-5
    assert value[0] == pytest.approx(sign * result.objective, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("size", [(1e4, 1e-5, 1e3), (1e-6, 1e6, 1e-4)])
def test_units_of_vars_change_little(size):
    here, there = mixer((1.0, 1.0, 1.0)), mixer(size)
    values = [
        find_point(m, time_limit=None, max_rounds=2).objective for m in (here, there)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-3)


def test_forward_passes_alone_find_what_needs_no_equality():
    m = absolute()
    m.row = pyo.Constraint(expr=m.x * m.y >= 0.5)
    m.obj = pyo.Objective(expr=pyo.exp(m.x) - m.y)
    result = find_point(m, methods="samples", time_limit=None, max_rounds=1)
    check(m, result)
    assert result.method == "samples"


def test_integers_are_chosen():
    m = absolute(bounds=(-2, 2))
    m.k = pyo.Var(domain=pyo.Integers, bounds=(-3, 5))
    m.b = pyo.Var(range(6), domain=pyo.Binary)
    m.one = pyo.Constraint(expr=sum(m.b.values()) == 1)
    m.cost = pyo.Constraint(expr=sum(j * m.b[j] for j in m.b) >= m.k * m.y + 1.2)
    m.row = pyo.Constraint(expr=m.k * m.y - m.b[5] * m.x >= 1.3)
    m.obj = pyo.Objective(
        expr=m.k**2 - 0.7 * m.k + m.y + sum(0.3 * j * m.b[j] for j in m.b)
    )
    # k = 1: y = 1.3, and j >= 2.5
    assert check(m, find_point(m, time_limit=None)) <= 1 - 0.7 + 1.3 + 0.9 + 1e-5


def test_vars_without_bounds_of_their_own():
    m = pyo.ConcreteModel()
    m.a, m.b = pyo.Var(bounds=(-1, 2)), pyo.Var(bounds=(-1, 1))
    m.x, m.y, m.high = pyo.Var(), pyo.Var(), pyo.Var(bounds=(3, None))
    m.free, m.low = pyo.Var(), pyo.Var(bounds=(None, -2))
    m.link = pyo.Constraint(expr=m.x == m.a * m.b - 0.3)
    m.nn = ReLUNetworkBlock(network=ABSOLUTE, inputs=[m.x], outputs=[m.y])
    m.ends = pyo.Constraint(expr=m.high**2 + m.low**2 + m.free**2 <= 20)
    m.more = pyo.Constraint(expr=m.a**2 + m.b**2 >= 1.5)
    m.obj = pyo.Objective(expr=m.y + 0.1 * pyo.sin(m.a) - 0.1 * m.free)
    assert check(m, find_point(m, time_limit=None)) == pytest.approx(
        -0.1 * 7**0.5 + 0.0842, abs=0.02
    )


def test_networks_that_read_each_other_in_a_circle():
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=(-2, 2)), pyo.Var(bounds=(-2, 2))
    m.z = pyo.Var(bounds=(0.1, 3))
    m.nn = ReLUNetworkBlock(network=chain([1, 4, 1]), inputs=[m.y], outputs=[m.x])
    m.back = ReLUNetworkBlock(network=ABSOLUTE, inputs=[m.x], outputs=[m.y])
    m.row = pyo.Constraint(expr=m.x * m.z >= -1.0)
    m.obj = pyo.Objective(expr=m.x * m.z + m.z**2)
    check(m, find_point(m, time_limit=None, max_rounds=2))


def test_a_nonlinear_model_without_networks():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-2, 2))
    m.row = pyo.Constraint(expr=m.x[0] * m.x[1] == 1)
    m.obj = pyo.Objective(expr=m.x[0] + 4 * m.x[1])
    assert check(m, find_point(m, time_limit=None)) == pytest.approx(-8.5)


def test_start_and_stop_and_seeds():
    m = mixer((1.0, 1.0, 1.0))
    result = find_point(m, methods="samples", start=[[-0.5, 0.1]], max_rounds=0)
    check(m, result)
    assert result.method == "start" and list(result.inputs) == [m.nn]
    with pytest.raises(ModelError, match="the point has 1 entry"):
        find_point(m, start=[[0.1]])
    m = mixer((1.0, 1.0, 1.0))
    first = find_point(m, time_limit=None, stop_at=np.inf)
    check(m, first)
    assert len(first.trajectory) == 1
    points = [find_point(m, max_rounds=1, seed=3).values for _ in range(2)]
    assert list(points[0].values()) == list(points[1].values())


def test_what_is_infeasible_is_said_or_not_found():
    m = absolute()
    m.row = pyo.Constraint(expr=m.x * m.y >= 7)
    with pytest.raises(InfeasibleError, match="find_point: .*is infeasible"):
        find_point(m)
    m.row.deactivate()
    m.curve = pyo.Constraint(expr=m.x**2 + (m.y - 2) ** 2 <= 1.5)
    m.obj = pyo.Objective(expr=m.x)
    result = find_point(m, time_limit=None)
    assert not result.found and not result.values
    assert "No feasible point was found" in result.message


def test_methods_that_need_linear_rows_are_left_out_and_named(caplog):
    m = absolute()
    m.row = pyo.Constraint(expr=m.x * m.y >= 0.5)
    with caplog.at_level(logging.INFO, "pyomo.relu"):
        result = find_point(m, time_limit=None, max_rounds=1)
    said = "The method 'walk' needs linear rows and was left out."
    assert said in result.message and said in caplog.text
    assert find_point(m, methods="ascent", max_rounds=1).message.endswith("s).")
    with pytest.raises(
        ModelError,
        match="'walk' and 'sample_mip' need linear rows.*'x[*]y' in constraint 'row'"
        ".*Use the methods samples and ascent",
    ):
        find_point(m, methods=("walk", "sample_mip"))


def test_model_is_not_changed_and_time_limit_holds(clock):
    m = mixer((1.0, 1.0, 1.0))
    clock.step = 0.02
    find_point(m, time_limit=0.5)
    assert 0.5 <= clock.now < 0.5 + 10 * clock.step
    assert all(v.value is None for v in m.component_data_objects(pyo.Var))


@pytest.mark.parametrize(
    "formulation",
    [None, "relu.bigm", "relu.cells", "relu.complementarity", "relu.scaled"],
)
def test_warm_starts_set_all_vars(formulation):
    m = two_networks()
    m.curve = pyo.Constraint(expr=m.x[0] * m.y + pyo.exp(m.x[1]) <= 1.5)
    if formulation is not None:
        pyo.TransformationFactory(formulation).apply_to(m)
    result = pyo.TransformationFactory("relu.warmstart").apply_to(
        m, time_limit=None, max_rounds=1
    )
    assert result.objective == pytest.approx(pyo.value(m.cost))
    assert_holds(m)


def test_relu_auto_starts_nonlinear_models():
    m = two_networks()
    m.curve = pyo.Constraint(expr=m.x[0] * m.y + pyo.exp(m.x[1]) <= 1.5)
    pyo.TransformationFactory("relu.auto").apply_to(m)
    assert_holds(m)
