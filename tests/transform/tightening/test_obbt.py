"""relu.bounds and relu.obbt in Pyomo: recording, scope, reversal, faults."""

import concurrent.futures
import pickle
from io import StringIO

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.common.log import LoggingIntercept
from pyomo.gdp import Disjunct, Disjunction

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.errors import (
    BoundsError,
    InfeasibleError,
    ModelError,
    TransformationError,
)
from tests.networks import chain, residual
from tests.transform.formulations.test_bigm import state
from tests.truth import solve

TRANSFORM = pyo.TransformationFactory
NETWORK = chain([2, 8, 8, 1], seed=3)


def box_model(network=NETWORK):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    m.objective = pyo.Objective(expr=m.nn.outputs[0])
    return m


def width(bounds):
    return sum(
        np.sum(hi - lo) for lo, hi in zip(bounds.lower, bounds.upper, strict=True)
    )


def contains_samples(bounds, n=20000):
    X = np.random.default_rng(0).uniform(
        bounds.input_lower, bounds.input_upper, (n, bounds.input_lower.size)
    )
    pre = bounds.network.propagate(X)[0]
    return all(
        np.all(lo <= v) and np.all(v <= hi)
        for lo, v, hi in zip(bounds.lower, pre, bounds.upper, strict=True)
    )


@pytest.mark.parametrize("name", ["relu.bounds", "relu.obbt"])
@pytest.mark.parametrize("network", [NETWORK, residual()])
def test_recorded_bounds_are_tighter_and_a_formulation_uses_them(name, network):
    m = box_model(network)
    loose = m.nn.neuron_bounds()
    TRANSFORM(name).apply_to(m)
    tight = m.nn.neuron_bounds()
    assert width(tight) < width(loose) and contains_samples(tight)
    assert set(np.unique(np.concatenate(tight.source))) - {"interval"}
    TRANSFORM("relu.bigm").apply_to(m)
    used = TRANSFORM("relu.bigm").get_neuron_bounds(m.nn)
    assert all(
        np.array_equal(a, b) for a, b in zip(used.lower, tight.lower, strict=True)
    )
    plain = box_model(network)
    TRANSFORM("relu.bigm").apply_to(plain)
    assert solve(m) == pytest.approx(solve(plain), abs=1e-6)


@pytest.mark.parametrize("name", ["relu.bounds", "relu.obbt"])
@pytest.mark.parametrize("scope", ["network", "model"])
def test_reverse_leaves_no_trace(name, scope):
    options = {"scope": scope} if name == "relu.obbt" else {}
    m = box_model()
    m.limit = pyo.Constraint(expr=m.x[0] + m.x[1] <= 0.5)
    before, recorded = state(m), width(m.nn.neuron_bounds())
    token = TRANSFORM(name).apply_to(m, **options)
    assert state(m) != before
    TRANSFORM(name).apply_to(m, reverse=token)
    assert state(m) == before
    assert width(m.nn.neuron_bounds()) == recorded


def test_nothing_but_bounds_is_touched():
    m = box_model()
    m.x[0].fix(0.5)
    m.x[1].set_value(0.25)
    m.nn.initialize()
    values = [v.value for v in m.component_data_objects(pyo.Var)]
    TRANSFORM("relu.obbt").apply_to(m, scope="model")
    assert [v.value for v in m.component_data_objects(pyo.Var)] == values
    assert m.x[0].fixed and m.x[0].bounds == (-1, 1) and not m.x[1].fixed
    assert m.objective.active


def test_var_bounds_are_tightened_unless_told_not_to():
    m = box_model()
    TRANSFORM("relu.obbt").apply_to(m, tighten_var_bounds=False)
    assert m.nn.pre[0, 0].bounds == (None, None)
    token = TRANSFORM("relu.obbt").apply_to(m)
    bounds = m.nn.neuron_bounds()
    assert m.nn.pre[1, 3].bounds == (bounds.lower[1][3], bounds.upper[1][3])
    assert m.nn.post[1, 3].ub == max(0.0, bounds.upper[1][3])
    assert m.nn.outputs[0].ub == bounds.upper[2][0]
    TRANSFORM("relu.obbt").apply_to(m, reverse=token)


def test_a_wider_box_later_is_not_served_with_old_bounds():
    m = box_model()
    TRANSFORM("relu.obbt").apply_to(m, tighten_var_bounds=False)
    tight = width(m.nn.neuron_bounds())
    m.x[0].setub(2)
    wide = m.nn.neuron_bounds()
    assert width(wide) > tight and contains_samples(wide)
    assert set(np.concatenate(wide.source)) == {"interval"}
    m.x[0].setub(0.5)
    narrow = m.nn.neuron_bounds()
    assert width(narrow) <= tight and contains_samples(narrow)


def test_order_of_application_and_reversal_is_enforced():
    m = box_model()
    token = TRANSFORM("relu.obbt").apply_to(m)
    bigm = TRANSFORM("relu.bigm").apply_to(m)
    with pytest.raises(TransformationError, match="already encoded by relu.bigm"):
        TRANSFORM("relu.obbt").apply_to(m)
    with pytest.raises(TransformationError, match="with these bounds"):
        TRANSFORM("relu.obbt").apply_to(m, reverse=token)
    TRANSFORM("relu.bigm").apply_to(m, reverse=bigm)
    TRANSFORM("relu.obbt").apply_to(m, reverse=token)


def test_clone_and_pickle_carry_the_bounds():
    m = box_model()
    m.limit = pyo.Constraint(expr=m.x[0] + m.x[1] <= 0.5)
    TRANSFORM("relu.obbt").apply_to(m, scope="model")
    tight = width(m.nn.neuron_bounds())
    for copy in (m.clone(), pickle.loads(pickle.dumps(m))):
        assert width(copy.nn.neuron_bounds()) == tight
        copy.limit.deactivate()
        assert width(copy.nn.neuron_bounds()) > tight
    assert width(m.nn.neuron_bounds()) == tight


def test_create_using_leaves_the_source_untouched():
    m = box_model()
    before, loose = state(m), width(m.nn.neuron_bounds())
    new = TRANSFORM("relu.obbt").create_using(m)
    assert state(m) == before and width(m.nn.neuron_bounds()) == loose
    assert width(new.nn.neuron_bounds()) < loose


# -- scope="model" ---------------------------------------------------------------------


def test_model_scope_uses_constraints_and_tightens_inputs():
    m = box_model()
    m.limit = pyo.Constraint(expr=m.x[0] + m.x[1] <= -1)
    network_only = box_model()
    TRANSFORM("relu.obbt").apply_to(network_only)
    TRANSFORM("relu.obbt").apply_to(m, scope="model")
    assert m.x[0].ub == pytest.approx(0.0, abs=1e-6) and m.x[0].ub >= 0
    assert width(m.nn.neuron_bounds()) < width(network_only.nn.neuron_bounds())
    TRANSFORM("relu.bigm").apply_to(m)
    plain = box_model()
    plain.limit = pyo.Constraint(expr=plain.x[0] + plain.x[1] <= -1)
    TRANSFORM("relu.bigm").apply_to(plain)
    assert solve(m) == pytest.approx(solve(plain), abs=1e-6)


def test_input_bounds_are_found_from_constraints():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1])
    m.nn = ReLUNetworkBlock(network=NETWORK, inputs=m.x)
    m.c = pyo.ConstraintList()
    for sign in (-1, 1):
        for other in (-1, 1):
            m.c.add(sign * m.x[0] + other * m.x[1] <= 1)
    m.objective = pyo.Objective(expr=m.nn.outputs[0])
    with pytest.raises(BoundsError, match=r"relu.obbt\(scope='model'\)"):
        TRANSFORM("relu.bounds").apply_to(m)
    TRANSFORM("relu.obbt").apply_to(m, scope="model")
    assert m.x[0].lb == pytest.approx(-1, abs=1e-6)
    TRANSFORM("relu.bigm").apply_to(m)
    solve(m)


def test_inputs_that_nothing_confines_are_named():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1])
    m.x[0].setlb(0)
    m.nn = ReLUNetworkBlock(network=NETWORK, inputs=m.x)
    before = state(m)
    with pytest.raises(BoundsError, match=r"confine the inputs x\[0\], x\[1\] of 'nn'"):
        TRANSFORM("relu.obbt").apply_to(m, scope="model")
    assert state(m) == before


def test_linked_networks_pass_bounds_on():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.y = pyo.Var()
    m.first = ReLUNetworkBlock(network=NETWORK, inputs=m.x, outputs=m.y)
    m.second = ReLUNetworkBlock(network=chain([1, 4, 1], seed=1), inputs=m.y)
    m.objective = pyo.Objective(expr=m.second.outputs[0])
    TRANSFORM("relu.obbt").apply_to(m, scope="model")
    assert None not in m.y.bounds
    TRANSFORM("relu.bigm").apply_to(m)
    X = np.random.default_rng(0).uniform(-1, 1, (20000, 2))
    best = m.second.network.forward(NETWORK.forward(X)).min()
    assert solve(m) <= best + 1e-6
    # the second network's bounds rest on the first one's input box
    m = pickle.loads(pickle.dumps(m))


def test_bounds_are_dropped_when_what_they_rest_on_is_gone():
    m = box_model()
    m.limit = pyo.Constraint(expr=m.x[0] + m.x[1] <= -1)
    m.p = pyo.Param(initialize=-1, mutable=True)
    TRANSFORM("relu.obbt").apply_to(m, scope="model", tighten_var_bounds=False)
    tight = width(m.nn.neuron_bounds())
    m.more = pyo.Constraint(expr=m.x[0] >= -0.9)
    assert width(m.nn.neuron_bounds()) == tight
    m.limit.set_value(m.x[0] + m.x[1] <= 0)
    out = StringIO()
    with LoggingIntercept(out, "pyomo.relu"):
        wide = m.nn.neuron_bounds()
    assert "constraint 'limit' was changed or removed" in out.getvalue()
    assert width(wide) > tight and contains_samples(wide)
    m.limit.set_value(m.x[0] + m.x[1] <= -1)
    assert width(m.nn.neuron_bounds()) == tight
    m.x[1].setub(3)
    out = StringIO()
    with LoggingIntercept(out, "pyomo.relu"):
        m.nn.neuron_bounds()
    assert "the bounds of 'x[1]' were widened" in out.getvalue()


def test_infeasible_constraints_name_the_block():
    m = box_model()
    m.a = pyo.Constraint(expr=m.x[0] + m.x[1] >= 1)
    m.b = pyo.Constraint(expr=m.x[0] + m.x[1] <= 0.5)
    before = state(m)
    with pytest.raises(InfeasibleError, match="network blocks 'nn'"):
        TRANSFORM("relu.obbt").apply_to(m, scope="model")
    assert state(m) == before


def test_an_output_bound_that_no_input_reaches_is_infeasible():
    m = box_model()
    m.nn.outputs[0].setlb(1e3)
    with pytest.raises(InfeasibleError, match="'nn'"):
        TRANSFORM("relu.obbt").apply_to(m, scope="model")


def test_nonlinear_rows_are_left_out_and_said_so():
    m = box_model()
    m.circle = pyo.Constraint(expr=m.x[0] ** 2 + m.x[1] ** 2 <= 1)
    out = StringIO()
    with LoggingIntercept(out, "pyomo.relu", level=20):
        TRANSFORM("relu.obbt").apply_to(m, scope="model")
    text = " ".join(out.getvalue().split())
    assert "'circle' is not a linear constraint" in text


def test_objective_cutoff():
    m = box_model()
    TRANSFORM("relu.bigm").apply_to(m)
    optimum = solve(m)
    m = box_model()
    loose = box_model()
    TRANSFORM("relu.obbt").apply_to(loose, scope="model")
    TRANSFORM("relu.obbt").apply_to(m, scope="model", objective_cutoff=optimum + 0.01)
    assert width(m.nn.neuron_bounds()) < width(loose.nn.neuron_bounds())
    TRANSFORM("relu.bigm").apply_to(m)
    assert solve(m) == pytest.approx(optimum, abs=1e-5)
    with pytest.raises(TransformationError, match="needs scope='model'"):
        TRANSFORM("relu.obbt").apply_to(box_model(), objective_cutoff=0)
    quadratic = box_model()
    quadratic.objective.set_value(quadratic.x[0] ** 2)
    with pytest.raises(TransformationError, match="exactly one active linear"):
        TRANSFORM("relu.obbt").apply_to(quadratic, scope="model", objective_cutoff=0)


def test_cutoff_of_a_maximisation():
    m = box_model()
    m.objective.sense = pyo.maximize
    TRANSFORM("relu.obbt").apply_to(m, scope="model", objective_cutoff=-0.1)
    TRANSFORM("relu.bigm").apply_to(m)
    plain = box_model()
    plain.objective.sense = pyo.maximize
    TRANSFORM("relu.bigm").apply_to(plain)
    assert solve(m) == pytest.approx(solve(plain), abs=1e-6)


def test_networks_on_disjuncts_are_bounded_on_their_own():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.y = pyo.Var(bounds=(-50, 50))
    m.d = Disjunct([1, 2])
    for i in (1, 2):
        network = chain([2, 6, 1], seed=i)
        m.d[i].nn = ReLUNetworkBlock(network=network, inputs=m.x, outputs=m.y)
    m.either = Disjunction(expr=[m.d[1], m.d[2]])
    m.objective = pyo.Objective(expr=m.y)
    TRANSFORM("relu.obbt").apply_to(m, scope="model")
    assert m.y.bounds == (-50, 50)
    TRANSFORM("relu.bigm").apply_to(m)
    TRANSFORM("gdp.bigm").apply_to(m)
    pyo.SolverFactory("appsi_highs").solve(m)
    X = np.random.default_rng(0).uniform(-1, 1, (20000, 2))
    best = min(chain([2, 6, 1], seed=i).forward(X).min() for i in (1, 2))
    assert pyo.value(m.objective) <= best + 1e-6


# -- options, faults, report ----------------------------------------------------------------


def test_methods_and_their_sources():
    for methods, sources in (
        (["interval"], {"interval"}),
        (["interval", "crown"], {"interval", "crown"}),
        (["lp"], {"interval", "lp"}),
        (["milp"], {"interval", "milp"}),
    ):
        m = box_model()
        TRANSFORM("relu.obbt").apply_to(m, methods=methods)
        assert set(np.concatenate(m.nn.neuron_bounds().source)) <= sources
    with pytest.raises(BoundsError, match="unknown bound methods"):
        TRANSFORM("relu.bounds").apply_to(box_model(), methods=["crwon"])


def test_full_milp_is_exact():
    m = box_model()
    TRANSFORM("relu.obbt").apply_to(m, methods=["crown", "milp"])
    bounds = m.nn.neuron_bounds()
    axis = np.linspace(-1, 1, 801)
    X = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    pre = NETWORK.propagate(X)[0]
    for v, lo, hi in zip(pre, bounds.lower, bounds.upper, strict=True):
        assert np.all(v.max(0) <= hi) and np.all(hi <= v.max(0) + 0.03)
        assert np.all(v.min(0) >= lo) and np.all(lo >= v.min(0) - 0.03)


def test_time_limit_zero_still_gives_valid_bounds():
    m = box_model()
    TRANSFORM("relu.obbt").apply_to(m, time_limit=0)
    assert contains_samples(m.nn.neuron_bounds())
    assert TRANSFORM("relu.obbt").get_statistics(m.nn).time_limit_reached


def test_processes_and_executors_give_the_same_bounds():
    options = {"methods": ["interval", "lp"]}
    alone = box_model()
    TRANSFORM("relu.obbt").apply_to(alone, **options)
    expected = alone.nn.neuron_bounds()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for more in ({"threads": 2}, {"executor": pool}):
            m = box_model()
            TRANSFORM("relu.obbt").apply_to(m, **options, **more)
            found = m.nn.neuron_bounds()
            assert all(
                np.array_equal(a, b)
                for a, b in zip(found.lower, expected.lower, strict=True)
            )
            assert all(
                np.array_equal(a, b)
                for a, b in zip(found.upper, expected.upper, strict=True)
            )


def test_gurobi_and_highs_agree():
    pytest.importorskip("gurobipy")
    found = []
    for solver in ("highs", "gurobi"):
        m = box_model()
        TRANSFORM("relu.obbt").apply_to(
            m, methods=["interval", "lp"], relaxation_solver=solver
        )
        found.append(m.nn.neuron_bounds())
    for a, b in zip(found[0].lower, found[1].lower, strict=True):
        assert a == pytest.approx(b, abs=1e-6)
    with pytest.raises(ValueError):
        TRANSFORM("relu.obbt").apply_to(box_model(), relaxation_solver="cplex")


def test_silent_unless_asked_and_the_table_when_asked(capsys):
    TRANSFORM("relu.obbt").apply_to(box_model())
    out, err = capsys.readouterr()
    assert out == err == ""
    m = box_model()
    TRANSFORM("relu.obbt").apply_to(m, tee=True, methods=["interval", "lp"])
    out, err = capsys.readouterr()
    assert "relu.obbt: nn" in out and "mean width" in out and "layer 1" in err
    statistics = TRANSFORM("relu.obbt").get_statistics(m.nn)
    assert statistics.to_dict()["layers"]
    with pytest.raises(TransformationError, match="no bounds were recorded on 'nn'"):
        TRANSFORM("relu.obbt").get_statistics(box_model().nn)


def test_log_line():
    out = StringIO()
    with LoggingIntercept(out, "pyomo.relu", level=20):
        TRANSFORM("relu.obbt").apply_to(box_model())
    assert "neurons stable after" in " ".join(out.getvalue().split())


# -- encodings that rest on the model ------------------------------------------------------


def test_an_encoding_notices_that_a_constraint_it_rests_on_is_gone():
    m = box_model()
    m.limit = pyo.Constraint(expr=m.x[0] + m.x[1] <= -1)
    TRANSFORM("relu.obbt").apply_to(m, scope="model", tighten_var_bounds=False)
    TRANSFORM("relu.bigm").apply_to(m)
    m.nn.initialize([-0.75, -0.5])
    assert m.nn.forward_error() == 0.0
    m.limit.deactivate()
    with pytest.raises(ModelError, match="constraint 'limit' was changed or removed"):
        m.nn.forward_error()


def test_an_encoding_notices_that_the_objective_of_its_cutoff_is_gone():
    m = box_model()
    TRANSFORM("relu.obbt").apply_to(m, scope="model", objective_cutoff=0.0)
    TRANSFORM("relu.bigm").apply_to(m)
    m.nn.initialize([0.0, 0.0])
    m.nn.forward_error()
    m.objective.set_value(m.x[0])
    with pytest.raises(ModelError, match="the objective was changed"):
        m.nn.forward_error()


def test_cells_notice_that_a_row_they_assumed_is_gone():
    m = box_model()
    m.limit = pyo.Constraint(expr=m.x[0] + m.x[1] <= -1)
    TRANSFORM("relu.cells").apply_to(m, scope="model", max_cells=8)
    m.nn.initialize([-0.75, -0.5])
    assert m.nn.forward_error() == 0.0
    m.limit.set_value(m.x[0] + m.x[1] <= 0)
    with pytest.raises(ModelError, match="'limit' was changed or removed"):
        m.nn.forward_error()


def test_left_out_neurons_may_not_be_read_later():
    for name, sizes in (("relu.cells", [1, 4, 1]), ("relu.reduce", [2, 4, 1])):
        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(sizes[0]), bounds=(-1, 1))
        m.nn = ReLUNetworkBlock(network=chain(sizes), inputs=m.x)
        m.objective = pyo.Objective(expr=m.nn.outputs[0])
        TRANSFORM(name).apply_to(m)
        m.nn.initialize([0.5] * sizes[0])
        assert m.nn.forward_error() == 0.0
        m.late = pyo.Constraint(expr=m.nn.post[0, 1] <= 0.5)
        with pytest.raises(ModelError, match=r"reads 'nn.post\[0,1\]' was added"):
            m.nn.forward_error()


def test_dropped_indicators_notice_a_later_reader_of_the_output():
    m = box_model()
    TRANSFORM("relu.reduce").apply_to(m, drop_minimised=True)
    m.nn.initialize([0.5, 0.5])
    assert m.nn.forward_error() == 0.0
    m.late = pyo.Constraint(expr=m.nn.outputs[0] >= -10)
    with pytest.raises(ModelError, match="a constraint reads"):
        m.nn.forward_error()
    m.late.deactivate()
    m.objective.sense = pyo.maximize
    with pytest.raises(ModelError, match="the objective was changed"):
        m.nn.forward_error()


def test_rows_that_are_left_out_are_warned_of():
    m = box_model()
    m.circles = pyo.Constraint(
        pyo.RangeSet(12), rule=lambda m, i: m.x[0] ** 2 + m.x[1] ** 2 <= i
    )
    for name, options in (("relu.obbt", {}), ("relu.cells", {"max_cells": 8})):
        out = StringIO()
        with LoggingIntercept(out, "pyomo.relu", level=30):
            TRANSFORM(name).apply_to(m.clone(), scope="model", **options)
        text = " ".join(out.getvalue().split())
        assert f"{name}: 'circles[1]', 'circles[2]'" in text
        assert "and 2 more are not linear" in text


def test_it_says_when_no_lp_was_needed(capsys):
    m = box_model()
    with LoggingIntercept(None, "pyomo.relu", level=20) as log:
        TRANSFORM("relu.obbt").apply_to(m, tee=True)
    for text in (log.getvalue(), capsys.readouterr().out):
        assert "no LP: the bounds of every neuron" in text
    assert "after 0 solves" in log.getvalue()
