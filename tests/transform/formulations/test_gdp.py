"""relu.gdp: Disjunctions, the guard against their silent loss, gdp's transformations."""

import pickle

import pyomo.environ as pyo
import pytest
from pyomo.gdp import Disjunction, GDP_Error

from pyomo_relu.errors import TransformationError
from tests.networks import chain, residual
from tests.transform.battery import (
    box_model,
    disjunct_model,
    lp_bound,
    snapshot,
    violations,
)
from tests.truth import solve

#: Paths that ignore an active Disjunction, and some that refuse it anyway.
PATHS = [
    "appsi_highs",
    "highs",
    "gurobi_direct",
    "gurobi_persistent",
    "appsi_gurobi",
    "gurobi_direct_v2",
    "gurobi_persistent_v2",
]


def gdp():
    return pyo.TransformationFactory("relu.gdp")


def big_m(network):
    m = box_model(network)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    return m


def untransformed(network=None):
    m = box_model(network or residual(8))
    gdp().apply_to(m, gdp_transformation=None)
    return m


@pytest.mark.parametrize("path", PATHS)
def test_untransformed_disjunctions_are_never_solved_silently(path):
    m = untransformed()
    assert any(d.active for d in m.component_data_objects(Disjunction))
    opt = pyo.SolverFactory(path)
    with pytest.raises(Exception, match="degree|nonlinear|know how|support"):
        if path == "gurobi_persistent":
            opt.set_instance(m)
        else:
            opt.solve(m)


@pytest.mark.parametrize("format", ["lp", "mps"])
def test_untransformed_disjunctions_are_not_written(format, tmp_path):
    with pytest.raises(Exception, match="nonlinear|process|recognize|cannot"):
        untransformed().write(str(tmp_path / f"model.{format}"))


@pytest.mark.parametrize("name", ["gdp.bigm", "gdp.hull", "gdp.binary_multiplication"])
@pytest.mark.parametrize("copy", [lambda m: m, pyo.ConcreteModel.clone, None])
def test_the_guard_goes_with_the_disjunctions(name, copy):
    m = untransformed()
    m = copy(m) if copy else pickle.loads(pickle.dumps(m))
    unstable = m.nn.neuron_bounds().n_unstable
    assert sum(row.active for row in m.nn.activation.values()) == unstable
    pyo.TransformationFactory(name).apply_to(m)
    assert not any(row.active for row in m.nn.activation.values())
    if name != "gdp.binary_multiplication":
        assert solve(m) == pytest.approx(solve(big_m(residual(8))), abs=1e-6)


def test_the_guard_goes_only_with_the_last_disjunction_of_a_neuron():
    m = untransformed(chain([2, 4, 1], seed=1, ceilings=[0.2]))
    row = m.nn.activation[0, 0]
    zero, ceiling = gdp().get_disjunctions(row)
    assert row.active
    zero.deactivate()
    assert row.active
    ceiling.deactivate()
    assert not row.active
    ceiling.activate()
    assert row.active


@pytest.mark.parametrize(
    "network", [residual(9), chain([2, 5, 5, 1], ceilings=[0.5, 1])]
)
def test_gdp_bigm_gives_the_relaxation_of_relu_bigm(network):
    m = box_model(network)
    gdp().apply_to(m)
    assert lp_bound(m) == pytest.approx(lp_bound(big_m(network)), abs=1e-6)


def test_multiple_bigm_and_its_options():
    network = chain([2, 4, 3, 1], seed=5)
    m = box_model(network)
    options = {"solver": pyo.SolverFactory("appsi_highs")}
    gdp().apply_to(m, gdp_transformation="gdp.mbigm", gdp_options=options)
    assert solve(m) == pytest.approx(solve(big_m(network)), abs=1e-6)


def test_stable_networks_need_no_disjunction():
    m = box_model(chain([2, 3, 1], seed=5), half_width=1e-6)
    gdp().apply_to(m)
    assert len(m.nn.record.encoding.reformulation.disjunctions) == 0
    solve(m)


def test_start_after_a_later_hull():
    m = untransformed(chain([2, 4, 4, 1], seed=3, ceilings=[0.5, None]))
    pyo.TransformationFactory("gdp.hull").apply_to(m)
    for x in ([0.3, 0.1], [-1, 1], [1, 1]):
        m.nn.initialize(x)
        assert violations(m) == []


@pytest.mark.parametrize("name", ["gdp.big", "core.relax_integer_vars", 7])
def test_unknown_gdp_transformations(name):
    m = box_model()
    before = snapshot(m)
    with pytest.raises(TransformationError, match="not a registered gdp"):
        gdp().apply_to(m, gdp_transformation=name)
    assert snapshot(m) == before


def test_a_failing_gdp_transformation_leaves_the_model_as_it_was():
    m = box_model()
    before = snapshot(m)
    with pytest.raises(TransformationError, match="gdp.hull failed on 'nn'"):
        gdp().apply_to(
            m, gdp_transformation="gdp.hull", gdp_options={"no_such_option": 1}
        )
    assert snapshot(m) == before


@pytest.mark.parametrize("name", ["gdp.bigm", "gdp.hull"])
def test_gdp_applied_first_fails_loudly_and_bounds_are_the_remedy(name):
    m = disjunct_model()
    with pytest.raises(GDP_Error, match="Cannot estimate M|Missing bound"):
        pyo.TransformationFactory(name).apply_to(m.clone())
    pyo.TransformationFactory("relu.bounds").apply_to(m)
    pyo.TransformationFactory(name).apply_to(m)
    assert not list(m.component_data_objects(Disjunction, active=True))
