"""Whole-model bounds: what they rest on is known, and a change of it voids them."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.errors import ModelError, ReLUError, TransformationError
from pyomo_relu.search import find_point
from tests.networks import chain, two_two_one
from tests.truth import solve

T = pyo.TransformationFactory


def whole(domain=pyo.Integers, rhs=5):
    """Maximise |x| on [0, 3] with 2 x <= 5: 2 in integers, 2.5 otherwise."""
    network = Network.sequential([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0.0]])
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 3), domain=domain)
    m.nn = ReLUNetworkBlock(network=network, inputs=[m.x])
    m.c = pyo.Constraint(expr=2 * m.x <= rhs)
    m.best = pyo.Objective(expr=m.nn.outputs[0], sense=pyo.maximize)
    return m


def peak():
    """Maximise 2 relu(x0 + x1) - relu(x0 - x1) on [-1, 1]^2: 4."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=two_two_one(), inputs=m.x)
    m.best = pyo.Objective(expr=m.nn.outputs[0], sense=pyo.maximize)
    return m


# -- domains -----------------------------------------------------------------------------


@pytest.mark.parametrize("tighten_vars", [True, False])
@pytest.mark.parametrize("how", ["relu.bigm", "relu.reduce", "relu.cells", "branch"])
@pytest.mark.parametrize("change", ["domain", "model"])
def test_a_domain_that_is_no_longer_integer(how, tighten_vars, change):
    m = whole()
    T("relu.obbt").apply_to(m, scope="model", tighten_var_bounds=tighten_vars)
    assert m.nn.neuron_bounds().upper[0][0] == pytest.approx(2, abs=1e-6)
    if change == "domain":
        m.x.domain = pyo.NonNegativeReals
    else:
        T("core.relax_integer_vars").apply_to(m)
    if how == "branch":
        pyo.SolverFactory("relu.branch").solve(m)
        found = pyo.value(m.best)
    else:
        T(how).apply_to(m)
        found = solve(m)
    assert found == pytest.approx(2.5, abs=1e-4)
    assert m.nn.neuron_bounds().upper[0][0] >= 2.5


@pytest.mark.parametrize("how", ["relu.bigm", "relu.cells", "relu.reduce"])
def test_an_encoding_notices_that_a_domain_was_changed(how):
    m = whole()
    T("relu.obbt").apply_to(m, scope="model")
    T(how).apply_to(m)
    m.x.domain = pyo.Reals
    m.nn.initialize([1.0])
    with pytest.raises(ModelError, match="domain of 'x' was changed"):
        m.nn.forward_error()
    with pytest.raises(ReLUError, match="Reverse that first"):
        pyo.SolverFactory("relu.branch").solve(m)
    assert m.nn.refresh()
    assert solve(m) == pytest.approx(2.5, abs=1e-4)


def test_a_domain_without_its_bounds():
    """x >= 0 came from NonNegativeReals only."""
    m = whole(domain=pyo.NonNegativeReals)
    m.x.setlb(None)
    T("relu.obbt").apply_to(m, scope="model")
    m.x.domain = pyo.Reals
    m.x.setlb(-3)
    T("relu.bigm").apply_to(m)
    assert solve(m) == pytest.approx(3, abs=1e-5)


def test_a_stricter_domain_leaves_the_bounds_valid():
    m = whole(domain=pyo.Reals)
    T("relu.obbt").apply_to(m, scope="model")
    m.x.domain = pyo.Integers
    T("relu.bigm").apply_to(m)
    assert m.nn.record.runs
    assert solve(m) == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize("values", [[0.5, 1.5], [0, 2.25]])
def test_other_domains_with_gaps_are_not_rounded_to_integers(values):
    m = whole(domain=pyo.Set(initialize=values), rhs=6)
    m.x.setub(max(values))
    T("relu.obbt").apply_to(m, scope="model")
    assert m.nn.neuron_bounds().upper[0][0] >= max(values)
    with pytest.raises(ModelError, match="'x' has the domain"):
        find_point(m, time_limit=1)
    with pytest.raises(ModelError, match="'x' has the domain"):
        pyo.SolverFactory("relu.branch").solve(m)


# -- everything else in the rows -----------------------------------------------------------


def with_rows():
    m = peak()
    m.p = pyo.Param(initialize=-1, mutable=True)
    m.a = pyo.Param(initialize=1, mutable=True)
    m.w = pyo.Var(bounds=(0, None))
    m.f = pyo.Var(bounds=(-1, 1))
    m.f.fix(0.25)
    m.c = pyo.Constraint(expr=m.a * m.x[0] + m.x[1] + m.w * m.f <= m.p)
    return m


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda m: setattr(m.p, "value", 2), "constraint 'c' was changed"),
        (lambda m: setattr(m.a, "value", 0.5), "constraint 'c' was changed"),
        (lambda m: m.c.deactivate(), "constraint 'c' was changed or removed"),
        (lambda m: m.del_component(m.c), "constraint 'c' was changed or removed"),
        (lambda m: m.f.fix(0.5), "constraint 'c' was changed"),
        (lambda m: m.f.unfix(), "constraint 'c' was changed"),
        (lambda m: m.w.setlb(-1), "bounds of 'w' were widened"),
        (lambda m: m.w.setlb(None), "bounds of 'w' were widened"),
        (lambda m: m.nn.deactivate(), "'nn' was deactivated"),
    ],
)
def test_what_a_run_rests_on(change, text):
    m = with_rows()
    T("relu.obbt").apply_to(m, scope="model")
    (conditions,) = m.nn.record.conditions()
    assert conditions.violated() is None and conditions.changed() is None
    change(m)
    assert text in conditions.violated()


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.w.setub(4),
        lambda m: m.x[0].setub(-0.5),
        lambda m: setattr(m.w, "domain", pyo.Integers),
        lambda m: setattr(m, "more", pyo.Constraint(expr=m.x[0] <= 0.2)),
    ],
)
def test_restrictions_change_a_model_but_leave_bounds_valid(change):
    m = with_rows()
    T("relu.obbt").apply_to(m, scope="model")
    (conditions,) = m.nn.record.conditions()
    change(m)
    assert conditions.violated() is None
    assert conditions.changed() is not None


def test_encoding_is_no_change_of_the_model():
    m = with_rows()
    m.second = ReLUNetworkBlock(network=chain([1, 3, 1]), inputs=[m.nn.outputs[0]])
    T("relu.obbt").apply_to(m, scope="model", objective_cutoff=-5.0)
    T("relu.bounds").apply_to(m)
    T("relu.bigm").apply_to(m)
    for conditions in m.nn.record.conditions():
        assert conditions.violated() is None and conditions.changed() is None


def test_bounds_that_started_from_void_ones_are_void_too():
    m = peak()
    m.c = pyo.Constraint(expr=m.x[0] + m.x[1] <= -1)
    T("relu.obbt").apply_to(m, scope="model", tighten_var_bounds=False)
    T("relu.bounds").apply_to(m, tighten_var_bounds=False)
    assert m.nn.neuron_bounds().upper[0][0] == pytest.approx(-1, abs=1e-6)
    m.c.deactivate()
    assert m.nn.neuron_bounds().upper[0][0] == pytest.approx(2, abs=1e-6)


# -- the objective cutoff ----------------------------------------------------------------


def test_a_later_run_does_not_forget_the_cutoff_of_an_earlier_one():
    m = peak()
    T("relu.obbt").apply_to(m, scope="model", objective_cutoff=3.5)
    T("relu.obbt").apply_to(m, scope="model")
    m.best.sense = pyo.minimize
    T("relu.bigm").apply_to(m)
    assert solve(m) == pytest.approx(-2, abs=1e-5)


@pytest.mark.parametrize(
    "restrict",
    [
        lambda m: m.x[0].setub(-0.5),
        lambda m: m.x[0].fix(-0.5),
        lambda m: setattr(m, "more", pyo.Constraint(expr=m.x[0] <= -0.5)),
        lambda m: setattr(m, "more", pyo.Constraint(expr=m.x[0] ** 3 <= -0.125)),
        lambda m: m.q.set_value(0.5),
        lambda m: m.nn.post[0, 0].setub(0.5),
        lambda m: m.nn.pre[0, 0].fix(0.5),
    ],
)
def test_a_known_solution_that_was_cut_off_is_no_cutoff(restrict):
    """The optimum is 1 then, which is worse than the cutoff."""
    m = peak()
    m.q = pyo.Param(initialize=9, mutable=True)
    m.w = pyo.Constraint(expr=pyo.exp(m.x[0] + m.x[1]) <= pyo.exp(m.q))
    T("relu.obbt").apply_to(m, scope="model", objective_cutoff=3.0)
    (conditions,) = m.nn.record.conditions()
    assert conditions.violated() is None
    restrict(m)
    T("relu.bigm").apply_to(m)
    assert not m.nn.record.runs
    for row in (m.w, m.component("more")):  # HiGHS takes linear rows
        if row is not None and row.body.polynomial_degree() != 1:
            row.deactivate()
            same = m.x[0] + m.x[1] <= m.q if row is m.w else m.x[0] <= -0.5
            m.add_component(f"{row.name}_linear", pyo.Constraint(expr=same))
    assert solve(m) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_cutoff_that_is_no_value(value):
    with pytest.raises(
        TransformationError, match="not the value of a solution|no number"
    ):
        T("relu.obbt").apply_to(peak(), scope="model", objective_cutoff=value)


@pytest.mark.covering(2)
@pytest.mark.parametrize("constant", [0.0, 1.0, -1e3, 1e6, -1e9, 1e12])
@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("factor", [1.0, 1e-5, 1e5])
def test_the_known_solution_is_never_cut_off(constant, sense, factor):
    for seed in range(4):
        m = pyo.ConcreteModel()
        m.x = pyo.Var([0, 1], bounds=(-1, 1))
        m.nn = ReLUNetworkBlock(network=chain([2, 3, 1], seed), inputs=m.x)
        cost = 0.3 * m.x[0] + m.nn.outputs[0]
        m.best = pyo.Objective(expr=constant + factor * cost, sense=sense)
        pyo.SolverFactory("relu.branch").solve(m, mip_gap=0, abs_gap=0)
        cutoff, point = pyo.value(m.best), [v.value for v in m.x.values()]
        T("relu.obbt").apply_to(m, scope="model", objective_cutoff=cutoff)
        lower, upper = m.nn.input_box()
        assert np.all(lower <= point) and np.all(point <= upper)
        assert m.nn.neuron_bounds().covers(lower, upper)
        (pre, _), bounds = m.nn.network.propagate(point), m.nn.neuron_bounds()
        for v, low, high in zip(pre, bounds.lower, bounds.upper, strict=True):
            assert np.all(low <= v[0]) and np.all(v[0] <= high)


# -- functions ---------------------------------------------------------------------------


def test_a_changed_function_voids_what_other_networks_rest_on():
    m = peak()
    m.other = ReLUNetworkBlock(network=chain([2, 3, 1]), inputs=m.x)
    m.c = pyo.Constraint(expr=m.nn.outputs[0] <= 1)
    change = {"ceiling": 0.5, "allow_function_change": True, "targets": m.nn}
    T("relu.obbt").apply_to(m, scope="model", targets=m.other)
    with pytest.raises(TransformationError, match="Reverse that first"):
        T("relu.clipped").apply_to(m, **change)
    assert m.nn.record.encoding is None


def test_whole_model_bounds_read_the_changed_function():
    m = peak()
    m.other = ReLUNetworkBlock(network=two_two_one(), inputs=m.x)
    m.c = pyo.Constraint(expr=m.nn.outputs[0] <= 1)  # holds if relu(x0 + x1) <= 0.5
    T("relu.clipped").apply_to(m, ceiling=0.5, allow_function_change=True, targets=m.nn)
    T("relu.obbt").apply_to(m, scope="model", targets=m.other)
    assert m.other.neuron_bounds().upper[0][0] == pytest.approx(2, abs=1e-5)
    T("relu.bigm").apply_to(m, targets=m.other)
    m.best.set_value(m.other.outputs[0])
    pyo.SolverFactory("appsi_highs").solve(m)
    assert pyo.value(m.best) == pytest.approx(4, abs=1e-5)
