"""Every formulation by name, as a citizen of a model: copies, targets, undoing, errors."""

import pickle

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.common.errors import MouseTrap
from pyomo.common.log import LoggingIntercept
from pyomo.gdp import GDP_Error

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.errors import BoundsError, TransformationError
from tests.networks import chain, residual
from tests.transform.battery import (
    BY_NAME,
    FORMULATIONS,
    box_model,
    disjunct_model,
    linked_model,
    network_blocks,
    snapshot,
    violations,
)
from tests.truth import solve

every = pytest.mark.parametrize("formulation", FORMULATIONS, ids=str)
every_name = pytest.mark.parametrize("formulation", BY_NAME, ids=str)


def encoded_names(model):
    return [b.name for b in network_blocks(model) if b.record.encoding is not None]


def check_look_ups(formulation, block):
    """Both ways for every neuron; M values are the bounds of unstable neurons."""
    t = formulation.transformation
    bounds = t.get_neuron_bounds(block)
    for (k, i), row in block.activation.items():
        rows = t.get_transformed_constraints(row)
        assert rows or formulation.leaves_out
        for transformed in rows:
            assert transformed.model() is block.model()
            assert t.get_src_constraint(transformed) is row
        values = t.get_M_value(row)
        if bounds.stable(k)[i]:
            assert values == (None, None)
            assert t.get_indicator_var(row) is None
        else:
            assert values == (bounds.lower[k][i], bounds.upper[k][i])
            assert t.get_M_value_src(row)[0][1] == bounds.source[k][i]
            indicator = t.get_indicator_var(row)
            assert indicator is None or indicator.is_binary()
            assert indicator is None or indicator.model() is block.model()


# -- copies ----------------------------------------------------------------------------


@pytest.mark.covering(1)
@every
@pytest.mark.parametrize("copy", ["clone", "pickle"])
def test_copies_answer_alike_and_look_up_themselves(formulation, copy):
    m = box_model(residual(4))
    token = formulation.apply(m)
    twin = m.clone() if copy == "clone" else pickle.loads(pickle.dumps(m))
    check_look_ups(formulation, m.nn)
    check_look_ups(formulation, twin.nn)
    assert snapshot(twin)[:3] == snapshot(m)[:3]
    assert formulation.solve(twin) == pytest.approx(formulation.solve(m), abs=5e-3)
    twin.nn.initialize([0.2, -0.3])
    assert violations(twin) == []
    with pytest.raises(MouseTrap, match="clones"):
        formulation.transformation.apply_to(twin, reverse=token)


@every
def test_create_using_leaves_the_source_untouched(formulation):
    m = box_model(residual(5))
    before = snapshot(m)
    made = formulation.transformation.create_using(m, **formulation.options)
    assert snapshot(m) == before
    direct = box_model(residual(5))
    formulation.apply(direct)
    assert snapshot(made)[:3] == snapshot(direct)[:3]


# -- undoing ---------------------------------------------------------------------------


@every
def test_reverse_leaves_no_trace(formulation):
    m = linked_model()
    m.stages[0].activation[0, 1].deactivate()
    if not formulation.leaves_out:  # else it refuses, for it might leave this one out
        m.stages[1].pre[0, 0].setub(0.75)
    before = snapshot(m)
    token = formulation.apply(m)
    assert snapshot(m) != before
    formulation.transformation.apply_to(m, reverse=token)
    assert snapshot(m) == before
    with pytest.raises(TransformationError, match="used before"):
        formulation.transformation.apply_to(m, reverse=token)
    formulation.apply(m)
    assert len(encoded_names(m)) == 3


@every_name
def test_reverse_undoes_only_its_own_call(formulation):
    m = linked_model()
    first = formulation.apply(m, targets=m.last)
    second = formulation.apply(m, targets=m.stages)
    formulation.transformation.apply_to(m, reverse=first)
    assert encoded_names(m) == ["stages[0]", "stages[1]"]
    formulation.transformation.apply_to(m, reverse=second)
    assert encoded_names(m) == []


# -- targets ---------------------------------------------------------------------------


@pytest.mark.covering(2)
@every_name
@pytest.mark.parametrize(
    "targets, names",
    [
        (lambda m: None, ["stages[0]", "stages[1]", "last"]),
        (lambda m: m.last, ["last"]),
        (lambda m: m.stages, ["stages[0]", "stages[1]"]),
        (lambda m: m.stages[1], ["stages[1]"]),
        (lambda m: [m.last, m.stages[0]], ["stages[0]", "last"]),
        (lambda m: [m.last, m.last, m], ["stages[0]", "stages[1]", "last"]),
    ],
    ids=["none", "scalar", "indexed", "data", "list", "duplicate"],
)
def test_targets(formulation, targets, names):
    m = linked_model()
    formulation.apply(m, targets=targets(m))
    assert encoded_names(m) == names


@every_name
def test_targets_that_do_not_fit(formulation):
    m, other = linked_model(), linked_model()
    before = snapshot(m), snapshot(other)
    for wrong in (other.last, m.link, other):
        with pytest.raises(TransformationError, match="target"):
            formulation.apply(m, targets=wrong)
    m.last.deactivate()
    with LoggingIntercept(None, "pyomo.relu") as log:
        formulation.apply(m, targets=m.last)
    assert "deactivated" in log.getvalue()
    m.last.activate()
    assert (snapshot(m), snapshot(other)) == before


@every_name
def test_second_application(formulation):
    m = linked_model()
    formulation.apply(m, targets=m.last)
    after = snapshot(m)
    with pytest.raises(TransformationError, match="already encoded by"):
        formulation.apply(m, targets=m.last)
    with pytest.raises(TransformationError, match="already encoded by"):
        pyo.TransformationFactory("relu.bigm").apply_to(m, targets=m.last)
    assert snapshot(m)[:3] == after[:3]
    formulation.apply(m)  # the rest
    assert len(encoded_names(m)) == 3
    with pytest.raises(TransformationError, match="already encoded by"):
        formulation.apply(m)


@every
def test_failure_half_way_changes_nothing_and_the_object_is_reusable(formulation):
    m = linked_model()
    m.last.inputs[1].setub(None)  # the last of three blocks cannot be bounded
    before = snapshot(m)
    t = formulation.transformation
    with pytest.raises(BoundsError, match=r"last\.inputs\[1\]"):
        t.apply_to(m, **formulation.options)
    assert snapshot(m) == before
    m.last.inputs[1].setub(1)
    t.apply_to(m, **formulation.options)
    other = box_model(residual(6))
    t.apply_to(other, **formulation.options)
    assert len(encoded_names(m)) == 3
    check_look_ups(formulation, other.nn)


# -- in models -------------------------------------------------------------------------


@every
def test_several_networks_in_one_model(formulation):
    reference = linked_model()
    pyo.TransformationFactory("relu.bigm").apply_to(reference)
    expected = solve(reference)
    m = linked_model()
    formulation.apply(m)
    assert formulation.solve(m) == pytest.approx(expected, abs=formulation.tolerance)


@every
def test_time_indexed_networks(formulation):
    m = pyo.ConcreteModel()
    m.t = pyo.RangeSet(0, 3)
    m.u = pyo.Var(m.t, bounds=(-1, 1))
    m.y = pyo.Var(m.t, bounds=(-3, 3))
    m.y[0].fix(0.5)
    m.step = ReLUNetworkBlock(
        pyo.RangeSet(0, 2),
        network=chain([2, 4, 1], seed=40, scale=0.8),
        inputs=lambda t: [m.u[t], m.y[t]],
        outputs=lambda t: [m.y[t + 1]],
    )
    m.objective = pyo.Objective(expr=m.y[3] + 0.1 * sum(m.u.values()))
    formulation.apply(m)
    optimum = formulation.solve(m)
    network = m.step[0].network

    def value(u):
        y = 0.5
        for t in range(3):
            y = network.forward([u[t], y])[0]
        return y + 0.1 * sum(u)

    slack = 10 * formulation.tolerance
    found = [m.u[t].value for t in range(3)]
    assert value(found) + 0.1 * m.u[3].value == pytest.approx(optimum, abs=slack)
    rng = np.random.default_rng(0)
    best = min(value(u) - 0.1 for u in rng.uniform(-1, 1, (500, 3)))
    assert optimum <= best + slack


@pytest.mark.covering(1)
@every
@pytest.mark.parametrize("outer", ["gdp.bigm", "gdp.hull"])
def test_networks_on_disjuncts(formulation, outer):
    m = disjunct_model()
    formulation.apply(m)
    if outer not in formulation.in_disjunct:
        with pytest.raises((GDP_Error, ValueError)):  # loudly, here or in the solver
            pyo.TransformationFactory(outer).apply_to(m)
            pyo.SolverFactory(formulation.solvers[0]).solve(m)
        return
    pyo.TransformationFactory(outer).apply_to(m)
    results = pyo.SolverFactory(formulation.solvers[0]).solve(m)
    pyo.assert_optimal_termination(results)
    slack = 10 * formulation.tolerance
    x = [m.x[0].value, m.x[1].value]
    chosen = next(d for d in m.either.values() if d.binary_indicator_var.value > 0.5)
    assert m.y.value == pytest.approx(chosen.nn.network.forward(x)[0], abs=slack)
    points = np.random.default_rng(1).uniform(-1, 1, (3000, 2))
    best = min(
        (d.nn.network.forward(points)[:, 0] + 0.1 * points[:, 0]).min()
        for d in m.either.values()
    )
    assert pyo.value(m.objective) <= best + slack


@every_name
def test_reversed_on_disjuncts(formulation):
    m = disjunct_model()
    before = snapshot(m)
    token = formulation.apply(m)
    assert len(encoded_names(m)) == 2
    formulation.transformation.apply_to(m, reverse=token)
    assert snapshot(m) == before
