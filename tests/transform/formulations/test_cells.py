"""relu.cells: strength of the root, exact pieces, guided refinement, scope, refusals."""

import json
import logging

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.errors import InfeasibleError, TransformationError
from tests.networks import chain
from tests.paths import SHARED_MODELS, needs_shared_models
from tests.transform.battery import box_model, lp_bound, violations
from tests.truth import solve


def encode(m, **options):
    return pyo.TransformationFactory("relu.cells").apply_to(m, **options)


def n_binaries(m):
    return sum(v.is_binary() for v in m.component_data_objects(pyo.Var))


def cells_of(block):
    return pyo.TransformationFactory("relu.cells").get_cells(block)


def linked(n=2, seed=20):
    """Networks of two inputs linked by a row, minimised."""
    m = pyo.ConcreteModel()
    m.I = pyo.RangeSet(n)
    m.nn = ReLUNetworkBlock(
        m.I, network={i: chain([2, 9, 8, 1], seed=seed + i) for i in m.I}
    )
    for i in m.I:
        for var in m.nn[i].input_vars():
            var.setlb(-1)
            var.setub(1)
    m.link = pyo.Constraint(expr=sum(m.nn[i].inputs[0] for i in m.I) >= 0.4 * n)
    m.objective = pyo.Objective(expr=sum(m.nn[i].outputs[0] for i in m.I))
    return m


# -- strength --------------------------------------------------------------------------


def test_root_is_close_to_the_optimum():
    m = box_model(chain([2, 12, 12, 1], seed=8))
    big = m.clone()
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    encode(m)
    optimum = solve(big)
    gap = optimum - lp_bound(m)
    assert gap + 1e-7 >= 0
    assert gap < 1e-2 * (optimum - lp_bound(big))
    assert solve(m) == pytest.approx(optimum, abs=1e-5)


def test_guided_cells_lie_where_the_model_needs_them():
    m, uniform = linked(), linked()
    encode(m, max_cells=40)
    encode(uniform, max_cells=40, guided=False)
    big = linked()
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    assert lp_bound(m) > lp_bound(uniform) + 1e-4
    optimum = solve(big)
    assert solve(m) == pytest.approx(optimum, abs=1e-5)
    assert solve(uniform) == pytest.approx(optimum, abs=1e-5)


def test_cells_chosen_for_one_objective_serve_another():
    m = box_model(chain([2, 10, 10, 1], seed=9))
    encode(m, max_cells=32)
    m.objective.sense = pyo.maximize
    other = box_model(chain([2, 10, 10, 1], seed=9), pyo.maximize)
    pyo.TransformationFactory("relu.bigm").apply_to(other)
    assert solve(m) == pytest.approx(solve(other), abs=1e-5)


def test_without_a_linear_objective_cells_are_refined_by_their_lines():
    m = box_model(chain([2, 8, 8, 1], seed=3))
    m.objective.deactivate()
    encode(m, max_cells=20)
    assert len(cells_of(m.nn)[0]) == 20
    m.objective.activate()
    twin = box_model(chain([2, 8, 8, 1], seed=3))
    pyo.TransformationFactory("relu.bigm").apply_to(twin)
    assert solve(m) == pytest.approx(solve(twin), abs=1e-5)


def test_time_limit_ends_the_refinement(caplog):
    with caplog.at_level(logging.INFO, "pyomo.relu"):
        encode(linked(), max_cells=40, time_limit=0.0)
    assert "(time, relaxation" in caplog.text


def test_decided_neurons_have_no_indicator():
    """Enough cells decide a steep neuron everywhere but at its own crossing."""
    network = chain([2, 6, 5, 1], seed=12, ceilings=[0.4, [0.5, np.inf] * 2 + [0.2]])
    m = box_model(network)
    token = encode(m, max_cells=200, guided=False, tolerance=0.0)
    encoding = m.nn.record.encoding
    new = encoding.reformulation
    decided = [
        (k, i)
        for k, states in enumerate(encoding.states)
        for i in range(states.shape[1])
        if (states[:, i] >= 0).all() and len(set(states[:, i])) > 1
    ]
    assert all(key not in new.indicator for key in decided)
    for x in np.random.default_rng(0).uniform(-1, 1, (20, 2)):
        m.nn.initialize(x)
        assert violations(m) == []
    pyo.TransformationFactory("relu.cells").apply_to(m, reverse=token)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    optimum = solve(m)
    m = box_model(network)
    encode(m, max_cells=200, guided=False, tolerance=0.0)
    assert solve(m) == pytest.approx(optimum, abs=1e-5)


# -- one input -------------------------------------------------------------------------


def curve(sense=pyo.minimize, ceilings=None):
    return box_model(chain([1, 12, 10, 1], seed=3, ceilings=ceilings), sense, 3.0)


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("ceilings", [None, [0.4, [0.3, np.inf] * 5]])
def test_one_input_needs_no_neurons_and_no_branching(sense, ceilings):
    m, big = curve(sense, ceilings), curve(sense, ceilings)
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    encode(m)
    assert not any(row.active for row in m.nn.affine.values())
    assert len(m.nn.record.encoding.reformulation.rows) == 0
    assert "exact: no neuron rows" in m.nn.summary()
    optimum = solve(big)
    assert lp_bound(m) == pytest.approx(optimum, abs=1e-7)
    assert solve(m) == pytest.approx(optimum, abs=1e-7)
    m.nn.initialize()
    assert violations(m) == []


def test_reversing_brings_the_neurons_back():
    m, big = curve(), curve()
    token = encode(m)
    pyo.TransformationFactory("relu.cells").apply_to(m, reverse=token)
    assert all(row.active for row in m.nn.affine.values())
    for model in (m, big):
        pyo.TransformationFactory("relu.bigm").apply_to(model)
    assert solve(m) == pytest.approx(solve(big), abs=1e-7)


@pytest.mark.parametrize("name", ["relu.cells", "relu.auto"])
def test_one_input_that_varies_is_one_input(name):
    def measured():
        m = box_model(chain([3, 12, 10, 2], seed=4), pyo.maximize, 3.0)
        m.nn.inputs[0].fix(0.3)
        m.nn.inputs[2].fix(-1.2)
        return m

    m, big = measured(), measured()
    token = pyo.TransformationFactory(name).apply_to(m)
    assert "exact: no neuron rows" in m.nn.summary()
    new = m.nn.record.encoding.reformulation
    assert len(new.inner) == len(new.begun) + 1
    assert {len(key) for key in new.within} == {2}
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    optimum = solve(big)
    assert solve(m) == pytest.approx(optimum, abs=1e-7)
    m.nn.initialize()
    assert violations(m) == []
    pyo.TransformationFactory(name).apply_to(m, reverse=token)
    encode(m, assume_fixed_vars_permanent=False, max_cells=64)
    assert "exact" not in m.nn.summary()
    assert solve(m) == pytest.approx(optimum, abs=1e-6)
    m.nn.inputs[0].unfix()
    assert solve(m) >= optimum - 1e-6


def test_all_inputs_fixed_are_one_cell():
    m = box_model(chain([2, 6, 1], seed=4), pyo.maximize, 1.0)
    for x, value in zip(m.nn.inputs.values(), (0.3, -0.7), strict=True):
        x.fix(value)
    encode(m)
    assert len(cells_of(m.nn)[0]) == 1
    y = m.nn.network.forward([0.3, -0.7])[0]
    assert solve(m) == pytest.approx(y, abs=1e-9)


@pytest.mark.parametrize("how", ["linear", "objective", "nonlinear"])
def test_neurons_that_the_model_reads_are_kept(how):
    m, big = curve(), curve()
    for model in (m, big):
        if how == "linear":
            model.probe = pyo.Constraint(expr=model.nn.post[0, 3] <= 0.4)
        elif how == "objective":
            model.objective.expr += 0.1 * model.nn.pre[1, 2]
        else:
            model.objective.deactivate()
            model.other = pyo.Objective(
                expr=model.nn.outputs[0] + model.nn.post[0, 3] ** 2
            )
    encode(m)
    assert m.nn.affine[0, 3].active
    assert len(m.nn.record.encoding.reformulation.rows) > 0
    if how != "nonlinear":
        pyo.TransformationFactory("relu.bigm").apply_to(big)
        assert solve(m) == pytest.approx(solve(big), abs=1e-6)


def test_neurons_can_be_asked_for():
    m = curve()
    encode(m, drop_neurons=False)
    assert m.nn.affine[0, 0].active
    assert solve(m) == pytest.approx(lp_bound(m), abs=1e-6)
    assert m.nn.post[0, 0].value == pytest.approx(
        max(0.0, m.nn.pre[0, 0].value), abs=1e-6
    )


# -- the model's own rows --------------------------------------------------------------


def test_scope_model_leaves_out_cells_and_strengthens_the_root():
    def model():
        m = box_model(chain([2, 10, 10, 1], seed=14))
        m.objective.expr = m.nn.inputs[0] + 0.5 * m.nn.inputs[1]
        m.level = pyo.Constraint(expr=m.nn.outputs[0] == 0.3)
        return m

    box, scoped, big = model(), model(), model()
    encode(box, max_cells=60)
    encode(scoped, max_cells=60, scope="model")
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    optimum = solve(big)
    assert lp_bound(big) < lp_bound(box) < lp_bound(scoped) <= optimum + 1e-6
    lower, upper = cells_of(scoped.nn)
    assert np.prod(upper - lower, axis=1).sum() < 0.9 * 4.0
    assert solve(scoped) == pytest.approx(optimum, abs=1e-5)


def test_scope_model_proves_infeasibility():
    m = box_model(chain([2, 6, 1], seed=1))
    m.level = pyo.Constraint(expr=m.nn.outputs[0] >= 1e3)
    with pytest.raises(InfeasibleError, match="no point of the input box"):
        encode(m, scope="model")
    assert m.nn.record.encoding is None


def test_scope_model_with_one_var_in_two_roles():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-1, 1))
    m.u = pyo.Var(bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=chain([2, 6, 1], seed=1), inputs=[m.x, m.x])
    m.row = pyo.Constraint(expr=m.x + m.u >= 0.2)
    m.objective = pyo.Objective(expr=m.nn.outputs[0] + m.u)
    big = m.clone()
    encode(m, scope="model")
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    assert solve(m) == pytest.approx(solve(big), abs=1e-6)


# -- bad input -------------------------------------------------------------------------


def test_too_many_inputs_says_how_many_cells():
    m = box_model(chain([10, 6, 1]))
    with pytest.raises(TransformationError, match=r"2\^10 = 1024 cells.*relu.obbt"):
        encode(m)
    assert m.nn.record.encoding is None
    for j in range(3, 10):
        m.nn.inputs[j].fix(0.1)
    encode(m)
    assert len(cells_of(m.nn)[0]) <= 192


@pytest.mark.parametrize("options", [{"max_cells": 0}, {"scope": "all"}])
def test_invalid_options(options):
    m = box_model()
    with pytest.raises(ValueError):
        encode(m, **options)
    assert m.nn.record.encoding is None


def test_cells_of_a_block_without_any():
    with pytest.raises(TransformationError, match="not encoded"):
        cells_of(box_model().nn)


def test_cell_rows_stand_for_no_single_neuron():
    m = box_model()
    encode(m, max_cells=8)
    row = m.nn.record.encoding.reformulation.within[0, 0]
    with pytest.raises(TransformationError, match="was not made by"):
        pyo.TransformationFactory("relu.cells").get_src_constraint(row)


# -- real networks ---------------------------------------------------------------------


@needs_shared_models
@pytest.mark.parametrize("wells, case", [([8], "well 8 alone")])
def test_oil_well_on_one_flowline(wells, case):
    from pyomo_relu.study.problems.oil_well_model import oil_well_model

    answers = json.loads((SHARED_MODELS / "ANSWERS.json").read_text())["oilwell"]
    m = oil_well_model(SHARED_MODELS / "oilwell", wells=wells, lines=["flowline_b"])
    encode(m, scope="model")
    expected = answers["small_cases_shallow_flowline_b"][case]
    assert solve(m) == pytest.approx(expected, abs=1e-6)


@pytest.mark.dense  # the largest; one well alone is above
@needs_shared_models
def test_start_for_the_whole_oil_field_is_feasible():
    """The open-choke plan has the proven optimum's value and satisfies every row."""
    from examples.oil_well_plan import open_choke_plan
    from pyomo_relu.study.problems.oil_well_model import oil_well_model

    answers = json.loads((SHARED_MODELS / "ANSWERS.json").read_text())["oilwell"]
    m = oil_well_model(SHARED_MODELS / "oilwell")
    encode(m, scope="model", max_cells=24)
    total = open_choke_plan(m)
    assert total == pytest.approx(answers["shallow_optimum"], abs=2e-6)
    assert pyo.value(m.total) == pytest.approx(total, abs=1e-9)
    assert violations(m) == []
