"""relu.refresh: after it a model is as if everything had been applied to it just now."""

import pickle

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.common.log import LoggingIntercept
from pyomo.gdp import Disjunct, Disjunction

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu import bounds as bounds_
from pyomo_relu.errors import BoundsError, ModelError, ReLUError, TransformationError
from tests.networks import chain, two_two_one
from tests.truth import solve

T = pyo.TransformationFactory

FORMULATIONS = [
    "relu.bigm",
    "relu.clipped",
    "relu.scaled",
    "relu.partition",
    "relu.gdp",
    "relu.cuts",
    "relu.cells",
    "relu.reduce",
    "relu.auto",
]
BOUNDS = [
    [],
    [("relu.bounds", {})],
    [("relu.obbt", {"scope": "model"})],
    [("relu.bounds", {}), ("relu.obbt", {"scope": "model"}), ("relu.obbt", {})],
]


def peak():
    """Maximise 2 relu(x0 + x1) - relu(x0 - x1) on [-1, p]^2 with x0 + x1 <= q."""
    m = pyo.ConcreteModel()
    m.p = pyo.Param(initialize=1, mutable=True)
    m.q = pyo.Param(initialize=1, mutable=True)
    m.x = pyo.Var([0, 1], bounds=(-1, m.p))
    m.nn = ReLUNetworkBlock(network=two_two_one(), inputs=m.x)
    m.c = pyo.Constraint(expr=m.x[0] + m.x[1] <= m.q)
    m.best = pyo.Objective(expr=m.nn.outputs[0], sense=pyo.maximize)
    return m


def state(model):
    """Everything that a solver sees, apart from the names of what was added."""
    variables = model.component_data_objects(pyo.Var, descend_into=True)
    rows = model.component_data_objects(pyo.Constraint, active=True)
    return (
        sorted((v.name, v.bounds, v.fixed) for v in variables),
        sorted((r.name, str(r.expr)) for r in rows),
    )


def apply_all(model, methods, formulation):
    calls = [*methods, (formulation, {})]
    return [(name, T(name).apply_to(model, **kwds)) for name, kwds in calls]


CHANGES = {
    "Param in bounds raised": lambda m: setattr(m.p, "value", 3),
    "Param in a row raised": lambda m: setattr(m.q, "value", 2),
    "row deactivated": lambda m: m.c.deactivate(),
    "bounds widened": lambda m: m.x[0].setub(5),
    "bounds tightened": lambda m: m.x[1].setub(0.25),
    "input fixed": lambda m: m.x[1].fix(0.5),
    "domain changed": lambda m: setattr(m.x[0], "domain", pyo.Integers),
}


#: These two take as long as all others together.
PAIRS = [
    pytest.param(
        *(formulation, methods),
        id="-".join(["+".join(name for name, _ in methods), formulation]),
        marks=pytest.mark.dense
        if formulation in ("relu.cells", "relu.auto") and len(methods) != 1
        else (),
    )
    for methods in BOUNDS
    for formulation in FORMULATIONS
]


@pytest.mark.covering(1)
@pytest.mark.parametrize("formulation, methods", PAIRS)
def test_after_refresh_the_model_is_that_of_a_fresh_application(formulation, methods):
    for name, change in CHANGES.items():
        m = peak()
        tokens = apply_all(m, methods, formulation)
        assert not m.nn.refresh()
        change(m)
        m.nn.refresh()
        fresh = peak()
        change(fresh)
        apply_all(fresh, methods, formulation)
        chooses = formulation in ("relu.cells", "relu.cuts", "relu.auto")  # by the rows
        if not chooses and name != "domain changed":
            assert state(m) == state(fresh), name
        assert not m.nn.refresh()
        assert solve(m) == pytest.approx(solve(fresh), abs=1e-5), name
        assert m.nn.forward_error() < 1e-5
        # the tokens of the original calls undo what was applied again
        for applied, token in reversed(tokens):
            T(applied).apply_to(m, reverse=token)
        plain = peak()
        change(plain)
        assert state(m) == state(plain), name


def test_the_optimum_follows_a_param():
    m = peak()
    m.c.deactivate()
    T("relu.obbt").apply_to(m, scope="model")
    T("relu.bigm").apply_to(m)
    for p in (1, 3, 0.5, 2):
        m.p.value = p
        assert m.nn.refresh() == (p != 1)
        assert solve(m) == pytest.approx(4 * p, abs=1e-5)


def test_inputs_fixed_again_and_again():
    m = peak()
    m.x.fix(0.0)
    T("relu.auto").apply_to(m)
    for x in ((0.5, 0.25), (-1.0, 0.5)):
        m.x[0].fix(x[0])
        m.x[1].fix(x[1])
        with pytest.raises(ModelError, match=r"nn: .*refresh\(\)"):
            m.nn.initialize(x) or m.nn.forward_error()
        assert m.nn.refresh()
        assert solve(m) == pytest.approx(two_two_one().forward(x)[0], abs=1e-6)
    m.x.unfix()
    m.nn.refresh()
    assert solve(m) == pytest.approx(2, abs=1e-5)


def test_auto_chooses_anew_and_is_reversed_as_a_whole():
    """With seven inputs fixed few neurons are unstable; with none fixed many are."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(8), bounds=(-1, 1))
    m.y = pyo.Var()
    network = chain([8, 20, 1], 1)
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x, outputs=m.y)
    m.twin = ReLUNetworkBlock(network=network, inputs=list(m.x.values()))
    for j in range(1, 8):
        m.x[j].fix(0.1)
    plain = state(m)
    token = T("relu.auto").apply_to(m)
    assert m.nn.record.encoding.formulation.NAME == "relu.cells"
    m.x.unfix()
    assert m.nn.refresh()
    assert m.nn.record.encoding.formulation.NAME == "relu.bigm"
    assert [run.name for run in m.nn.record.runs] == ["relu.obbt"]
    assert m.twin.record.encoding.formulation.NAME == "relu.cells"
    assert T("relu.refresh").apply_to(m)
    T("relu.auto").apply_to(m, reverse=token)
    for j in range(1, 8):
        m.x[j].fix(0.1)
    assert state(m) == plain
    assert not m.nn.record.runs and not m.twin.record.runs
    with pytest.raises(TransformationError, match="relu.auto: 'nn' is no longer"):
        T("relu.auto").apply_to(m, reverse=token)


# -- options -----------------------------------------------------------------------------


def test_options_are_kept():
    m = peak()
    factors = [[4.0, 0.25]]
    T("relu.scaled").apply_to(m, factors=factors)
    m.p.value = 3
    m.nn.refresh()
    assert np.array_equal(T("relu.scaled").get_factors(m.nn)[0], factors[0])


def test_options_given_as_a_dict_are_kept():
    m = peak()
    T("relu.cells").apply_to(m, options={"max_cells": 7})
    m.p.value = 3
    m.nn.refresh()
    assert len(T("relu.cells").get_cells(m.nn)[0]) <= 7


def test_a_component_map_of_options_follows_a_clone():
    m = peak()
    given = pyo.ComponentMap([(m.nn.activation[0, 0], (-2.0, 1.5)), (m.nn, 2.5)])
    m.c.deactivate()
    m.p.value = 0.5
    T("relu.bigm").apply_to(m, bigM=given)
    copy = m.clone()
    copy.p.value = 0.75
    assert copy.nn.refresh()
    row = copy.nn.activation[0, 0]
    upper = T("relu.bigm").get_M_value_src(row)[1]
    assert upper == (pytest.approx(1.5), "argument", row)
    assert copy.nn.record.encoding.application.options["bigM"][row] == (-2.0, 1.5)
    assert m.nn.record.encoding.application.options["bigM"] is given


@pytest.mark.parametrize("copy", [lambda m: m.clone(), lambda m: pickled(m)])
def test_clones_and_pickles_refresh_on_their_own(copy):
    m = peak()
    T("relu.obbt").apply_to(m, scope="model")
    T("relu.cells").apply_to(m, max_cells=9)
    other = copy(m)
    before = state(m)
    other.p.value = other.q.value = 3
    assert other.nn.refresh()
    assert state(m) == before
    assert solve(other) == pytest.approx(6, abs=1e-5)
    assert len(T("relu.cells").get_cells(other.nn)[0]) <= 9


def pickled(m):
    return pickle.loads(pickle.dumps(m))


def test_an_option_that_copies_do_not_carry():
    m = peak()
    solver = pyo.SolverFactory("appsi_highs")
    kwds = {"gdp_transformation": "gdp.mbigm", "gdp_options": {"solver": solver}}
    T("relu.gdp").apply_to(m, **kwds)
    other = m.clone()
    m.p.value = other.p.value = 3
    assert m.nn.refresh()
    before = state(other)
    with pytest.raises(TransformationError, match="gdp_options=, a dict"):
        other.nn.refresh()
    assert state(other) == before


def test_the_clone_of_a_part_refreshes():
    m = pyo.ConcreteModel()
    m.b = pyo.Block()
    m.b.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.b.nn = ReLUNetworkBlock(network=two_two_one(), inputs=m.b.x)
    T("relu.bigm").apply_to(m)
    m.other = m.b.clone()
    m.other.x[0].setub(3)
    assert m.other.nn.refresh()
    assert m.other.nn.input_box()[1][0] == 3
    assert not m.b.nn.refresh()


def test_an_executor_is_no_part_of_the_options():
    from concurrent.futures import ThreadPoolExecutor

    m = peak()
    with ThreadPoolExecutor(1) as pool:
        T("relu.obbt").apply_to(m, scope="model", executor=pool)
    m.p.value = 3
    assert pickled(m).nn.refresh() and m.nn.refresh()


# -- failing -----------------------------------------------------------------------------


@pytest.mark.parametrize("formulation", ["relu.bigm", "relu.gdp", "relu.auto"])
@pytest.mark.parametrize("methods", BOUNDS, ids=lambda m: "+".join(n for n, _ in m))
def test_a_failure_leaves_the_model_as_it_was(formulation, methods):
    m = peak()
    m.z = pyo.Var(bounds=(-1, 1))
    m.last = ReLUNetworkBlock(network=chain([2, 3, 1]), inputs=[m.x[0], m.z])
    tokens = apply_all(m, methods, formulation)
    m.p.value = 2
    m.z.setub(None)  # without a bound nothing can be applied to the second network
    before, runs = state(m), [list(b.record.runs) for b in (m.nn, m.last)]
    encodings = [b.record.encoding for b in (m.nn, m.last)]
    with pytest.raises(BoundsError, match="z"):
        T("relu.refresh").apply_to(m)
    assert state(m) == before
    assert [list(b.record.runs) for b in (m.nn, m.last)] == runs
    assert [b.record.encoding for b in (m.nn, m.last)] == encodings
    m.z.setub(1)
    assert T("relu.refresh").apply_to(m)
    solve(m)
    assert m.nn.forward_error() < 1e-6 and m.last.forward_error() < 1e-6
    for name, token in reversed(tokens):
        T(name).apply_to(m, reverse=token)


# -- bounds ------------------------------------------------------------------------------


def test_a_cutoff_is_not_used_again():
    m = peak()
    out = LoggingIntercept(module="pyomo.relu", level=20)
    T("relu.obbt").apply_to(m, scope="model", objective_cutoff=1.9)
    T("relu.bigm").apply_to(m)
    m.q.value = -1  # the known solution is infeasible now; the best value is 0
    with out as log:
        assert m.nn.refresh()
    assert "without objective_cutoff" in " ".join(log.getvalue().split())
    assert solve(m) == pytest.approx(0, abs=1e-5)


def test_bounds_of_the_modeller_stay_while_they_hold():
    m = peak()
    bounds = bounds_.crown_bounds(two_two_one(), [-1, -1], [2, 2])
    m.nn.use_bounds(bounds)
    T("relu.bigm").apply_to(m)
    m.p.value = 1.5
    assert m.nn.refresh()
    assert [run.name for run in m.nn.record.runs] == ["use_bounds"]
    m.p.value = 3
    with LoggingIntercept(module="pyomo.relu", level=20) as log:
        assert m.nn.refresh()
    assert "use_bounds for 'nn' are dropped" in " ".join(log.getvalue().split())
    assert not m.nn.record.runs
    m.c.deactivate()
    m.nn.refresh()
    assert solve(m) == pytest.approx(12, abs=1e-5)


def test_a_row_added_is_used():
    m = peak()
    T("relu.obbt").apply_to(m, scope="model")
    T("relu.bigm").apply_to(m)
    m.more = pyo.Constraint(expr=m.x[0] + m.x[1] <= -0.5)
    assert m.nn.refresh()
    assert m.nn.neuron_bounds().upper[0][0] == pytest.approx(-0.5, abs=1e-6)


# -- gdp ---------------------------------------------------------------------------------


def test_a_network_whose_disjunct_was_transformed_is_not_encoded_again():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.y = pyo.Var(bounds=(-50, 50))
    m.on, m.off = Disjunct(), Disjunct()
    m.on.nn = ReLUNetworkBlock(network=two_two_one(), inputs=m.x, outputs=m.y)
    m.off.c = pyo.Constraint(expr=m.y == 0)
    m.either = Disjunction(expr=[m.on, m.off])
    m.best = pyo.Objective(expr=m.y, sense=pyo.maximize)
    T("relu.bigm").apply_to(m)
    m.x.setub(2)
    assert m.on.nn.refresh()
    T("gdp.bigm").apply_to(m)
    assert not T("relu.refresh").apply_to(m)
    m.x.setub(3)
    for target in (m, m.on.nn):
        with pytest.raises(TransformationError, match="gdp transformation has taken"):
            T("relu.refresh").apply_to(target.model(), targets=target)


def test_an_own_way_of_encoding_is_told_so():
    m = peak()
    T("relu.bigm").apply_to(m)
    m.nn.record.encoding.application = None
    m.p.value = 2
    with pytest.raises(ReLUError, match="not known how 'nn' was encoded"):
        m.nn.refresh()
