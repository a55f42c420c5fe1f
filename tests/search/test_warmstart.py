"""relu.warmstart: consistent values for every formulation, and starts that arrive."""

import logging

import pyomo.environ as pyo
import pytest

from pyomo_relu.errors import ReLUError, TransformationError
from pyomo_relu.search.starts import HOW_TO_START
from tests.search.models import level_set, surrogate, two_networks, violation

FORMULATIONS = [
    None,
    "relu.bigm",
    "relu.clipped",
    "relu.partition",
    "relu.cells",
    "relu.complementarity",
    "relu.gdp",
    "relu.scaled",
    "relu.sos1",
]


def warm_start(m, **options):
    return pyo.TransformationFactory("relu.warmstart").apply_to(
        m, **{"time_limit": None, "methods": ("ascent",), **options}
    )


def encoded(m, formulation):
    if formulation is not None:
        pyo.TransformationFactory(formulation).apply_to(m)
    if formulation == "relu.gdp":
        pyo.TransformationFactory("gdp.bigm").apply_to(m)
    return m


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_all_values_satisfy_all_rows(formulation):
    m = encoded(two_networks(), formulation)
    result = warm_start(m)
    assert violation(m) <= 2e-6
    assert result.objective == pytest.approx(pyo.value(m.cost))
    for row in m.component_data_objects(pyo.SOSConstraint, active=True):
        nonzero = [v for v in row.variables if abs(v.value) > 1e-9]
        assert len(nonzero) <= row.level


#: Little more than the root relaxation: what is known then was given.
AT_THE_ROOT = {
    "highs": {"mip_max_nodes": 0, "mip_heuristic_effort": 0.0},
    "gurobi": {"NodeLimit": 0, "Heuristics": 0.0},
    "scip": {
        "limits/nodes": 1,
        "separating/maxroundsroot": 0,
        "presolving/maxrounds": 0,
    },
}


def known_at_the_root(name, m, start):
    """The best objective that a solver knows before it branches."""
    opt = pyo.SolverFactory(name)
    if not opt.available(exception_flag=False):
        pytest.skip(f"{name} is not installed")
    options = next(o for kind, o in AT_THE_ROOT.items() if kind in name)
    keywords = {"load_solutions": False, "options": options}
    if "warmstart=True" in HOW_TO_START[name]:
        keywords["warmstart"] = start
    else:
        opt.config.warmstart_discrete_vars = start
    if name == "gurobi_persistent":
        opt.set_instance(m)
    found = opt.solve(m, **keywords).problem.upper_bound
    return float("inf") if found is None else found


@pytest.mark.parametrize(
    "name", [n for n, how in HOW_TO_START.items() if how and n != "ipopt"]
)
def test_the_start_arrives(name):
    m = encoded(surrogate("random_10_3x50"), "relu.bigm")
    result = warm_start(m, solver=name, methods=("ascent",))
    # interfaces that pass on integers only let the solver find the best of the region
    assert known_at_the_root(name, m, True) <= result.objective + 1e-4
    assert known_at_the_root(name, m, False) > result.objective + 1.0


def test_solvers_that_take_no_start_are_named_before_any_search():
    m = encoded(two_networks(), "relu.bigm")
    for name in ("highs", "appsi_gurobi"):
        with pytest.raises(
            TransformationError, match=f"no start on to solver '{name}'"
        ):
            warm_start(m, solver=name)
    assert all(v.value is None for v in m.component_data_objects(pyo.Var))


@pytest.mark.parametrize("name", ["highs", "gurobi_direct_v2", "scip_direct"])
def test_interfaces_that_refuse_the_keyword_still_do(name):
    opt = pyo.SolverFactory(name)
    if not opt.available(exception_flag=False):
        pytest.skip(f"{name} is not installed")
    m = encoded(surrogate("peaks_2x25"), "relu.bigm")
    with pytest.raises(TypeError, match="warmstart"):
        opt.solve(m, warmstart=True)


def test_a_solver_that_nobody_tried_is_a_warning(caplog):
    with caplog.at_level(logging.WARNING, "pyomo.relu"):
        warm_start(two_networks(), solver="glpk")
    assert "'glpk' takes a start is not known" in caplog.text


def test_a_misspelt_solver_is_refused_before_the_search():
    with pytest.raises(ReLUError, match="knows no solver 'appsi_high'. Did you mean"):
        warm_start(two_networks(), solver="appsi_high")


def test_ipopt_begins_at_the_values(caplog):
    with caplog.at_level(logging.INFO, "pyomo.relu"):
        warm_start(encoded(two_networks(), "relu.complementarity"), solver="ipopt")
    assert "'ipopt' takes the start by itself: it begins at the Vars'" in caplog.text


def test_point_of_the_user():
    m = encoded(surrogate("peaks_2x25"), "relu.bigm")
    with pytest.raises(TransformationError, match="nothing to do without a start"):
        warm_start(m, methods=())
    x = [0.2, -1.5]
    result = warm_start(m, methods=(), start=x)
    assert result.objective <= m.nn.network.forward(x)[0] + 1e-9
    assert result.method == "start" and violation(m) <= 1e-6


def test_nothing_found_leaves_all_values_and_warns(caplog):
    m = level_set(0.0)
    m.equal.deactivate()
    reach = m.nn.neuron_bounds().upper[-1][0]  # interval arithmetic: far above
    m.above = pyo.Constraint(expr=m.nn.outputs[0] >= 0.9 * reach)
    m.x[0].set_value(0.125)
    with caplog.at_level(logging.WARNING, "pyomo.relu"):
        result = warm_start(m, time_limit=0.5)
    assert not result.found
    assert "All values of 'unknown' stay as they were" in caplog.text
    assert m.x[0].value == 0.125 and m.nn.outputs[0].value is None


def test_only_values_change_and_fixed_vars_stay():
    m = encoded(two_networks(), "relu.bigm")
    m.x[0].fix(0.25)
    bounds = {v.name: v.bounds for v in m.component_data_objects(pyo.Var)}
    rows = [c.name for c in m.component_data_objects(pyo.Constraint, active=True)]
    copy = pyo.TransformationFactory("relu.warmstart").create_using(
        m, methods=("samples",), time_limit=None
    )
    assert m.x[1].value is None and copy.x[1].value is not None
    warm_start(m)
    assert m.x[0].fixed and m.x[0].value == 0.25 and not m.x[1].fixed
    assert bounds == {v.name: v.bounds for v in m.component_data_objects(pyo.Var)}
    assert rows == [
        c.name for c in m.component_data_objects(pyo.Constraint, active=True)
    ]


@pytest.mark.parametrize(
    "start",
    [7, "ab", [None, 1.0], [float("nan"), 0.0], [[[1], [2, 3]]], [[0.0], [1.0]]],
)
def test_a_start_that_is_no_point_is_refused(start):
    m = surrogate("peaks_2x25")
    with pytest.raises(TransformationError, match="gives no input points"):
        warm_start(m, start=start)
    with pytest.raises(TransformationError, match="gives no input points"):
        warm_start(m, start={m.nn: "ab"})
