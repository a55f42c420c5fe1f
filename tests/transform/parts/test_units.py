"""The modeller's units: same optimum whatever they are, and no trace afterwards."""

import itertools
import pickle

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.gdp import Disjunct, Disjunction

from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.model.unit_copies import copy_of
from pyomo_relu.network import INPUT, Layer, Source
from tests import units
from tests.printed import printed
from tests.thinned import thinned
from tests.transform.battery import BY_NAME, FORMULATIONS

SCALES = [(1e5, 1e-4, 1.0), (1e6, 1e-3, 1.0), (1e8, 1.0, 1.0), (1.0, 1e-8, 1e-8)]
ONES = (1.0, 1.0, 1.0)


def network(seed, hidden=16):
    r = np.random.default_rng(seed)
    return Network.sequential(
        [r.normal(size=(hidden, 3)), r.normal(size=(1, hidden))],
        [r.normal(size=hidden), r.normal(size=1)],
    )


def model(seed, scale, out, offset=0.0, hidden=16):
    """Two networks over shared inputs, rows in the modeller's units between them."""
    m = pyo.ConcreteModel()
    low = [s * (offset - 1.0) for s in scale]
    bounds = {i: (low[i], low[i] + 2 * scale[i]) for i in range(3)}
    m.x = pyo.Var(range(3), bounds=bounds)
    units = {
        "input_scaling": ([offset * s for s in scale], list(scale)),
        "output_scaling": ([0], [out]),
    }
    m.a = ReLUNetworkBlock(network=network(seed, hidden), inputs=m.x, **units)
    m.b = ReLUNetworkBlock(network=network(seed + 100, hidden), inputs=m.x, **units)
    m.link = pyo.Constraint(expr=m.a.outputs[0] - m.b.outputs[0] <= 0)
    m.row = pyo.Constraint(
        expr=sum(m.x[i] / scale[i] for i in range(3)) <= 0.3 + 3 * offset
    )
    m.raw = pyo.Constraint(
        expr=m.x[1] / scale[1] * scale[2] + m.x[2] <= (0.2 + 2 * offset) * scale[2]
    )
    m.o = pyo.Objective(expr=m.a.outputs[0] + 0.5 * m.b.outputs[0], sense=pyo.maximize)
    return m


def value_of(m):
    (objective,) = m.component_data_objects(pyo.Objective, active=True)
    return pyo.value(objective)


def solve(m, solver):
    pyo.assert_optimal_termination(pyo.SolverFactory(solver).solve(m))
    return value_of(m)


_WANTED = {}


def wanted(seed, offset=0.0, hidden=16):
    """The optimum of the same model where all units are 1, with no copies."""
    if (seed, offset, hidden) not in _WANTED:
        m = model(seed, ONES, 1.0, offset, hidden)
        pyo.TransformationFactory("relu.bigm").apply_to(m)
        _WANTED[seed, offset, hidden] = solve(m, "appsi_highs")
    return _WANTED[seed, offset, hidden]


UNITS = list(itertools.product(SCALES, [1e-7, 1.0, 1e7]))


@pytest.mark.covering(1)
@pytest.mark.parametrize("case", thinned(UNITS, 4), ids=str)
@pytest.mark.parametrize("formulation", BY_NAME, ids=str)
def test_the_optimum_does_not_depend_on_units(formulation, case):
    (scale, out), hidden = case, 16
    if formulation.name == "relu.auto":  # cells of many neurons: minutes in any units
        hidden = 6
    solver = formulation.solvers[0]
    if formulation.name == "relu.complementarity":
        solver = "gurobi_direct"
    m = model(3, scale, out, hidden=hidden)
    formulation.apply(m)
    optimum = wanted(3, hidden=hidden)
    assert solve(m, solver) / out == pytest.approx(optimum, rel=1e-3)
    for block in (m.a, m.b):
        assert block.forward_error() / out < 2e-3


@pytest.mark.parametrize("seed", [11, 25, 58, 59])
@pytest.mark.parametrize("name", ["relu.bigm", "relu.scaled"])
def test_scip_eliminates_inputs_that_range_over_1e8(name, seed):
    """With factors of 2**27, SCIP leaves the Vars in the LP and misses these optima."""
    pytest.importorskip("pyscipopt")
    values = []
    for scale, solver in (
        (units.UNIT, "appsi_highs"),
        ((1e8, 1.0, 1.0), "scip_direct"),
    ):
        m = units.model(seed, scale)
        pyo.TransformationFactory(name).apply_to(m)
        values.append(solve(m, solver))
    assert values[1] == pytest.approx(values[0], rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_pressures_around_their_working_point(seed):
    """Ranges far smaller than the values: 1e9 units of offset per unit of range."""
    m = model(seed, (1e-4, 1e-4, 1e-4), 1.0, offset=1e6)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    assert solve(m, "appsi_highs") == pytest.approx(wanted(seed), rel=1e-3)


@pytest.mark.parametrize("formulation", thinned(FORMULATIONS, 8), ids=str)
def test_no_trace_is_left(formulation):
    m = model(1, SCALES[0], 1e-7)
    before = printed(m)
    token = formulation.apply(m)
    assert printed(m) != before
    formulation.transformation.apply_to(m, reverse=token)
    assert printed(m) == before


def pickled(m):
    return pickle.loads(pickle.dumps(m))


@pytest.mark.parametrize("copy", [pyo.ConcreteModel.clone, pickled])
def test_copies_of_the_model_work_and_can_be_reversed(copy):
    m = model(1, SCALES[3], 1e-7)
    token = pyo.TransformationFactory("relu.bigm").apply_to(m)
    m.token = token
    other = copy(m)
    assert solve(other, "appsi_highs") / 1e-7 == pytest.approx(wanted(1), rel=1e-3)
    pyo.TransformationFactory("relu.bigm").apply_to(m, reverse=token)
    other.a.refresh()
    assert solve(other, "appsi_highs") / 1e-7 == pytest.approx(wanted(1), rel=1e-3)


def test_one_application_may_go_before_another_that_shares_its_copies():
    m = model(2, SCALES[0], 1.0)
    bigm = pyo.TransformationFactory("relu.bigm")
    first = bigm.apply_to(m, targets=m.a)
    second = pyo.TransformationFactory("relu.scaled").apply_to(m, targets=m.b)
    assert solve(m, "appsi_highs") == pytest.approx(wanted(2), rel=1e-3)
    bigm.apply_to(m, reverse=first)
    bigm.apply_to(m, targets=m.a)
    assert solve(m, "appsi_highs") == pytest.approx(wanted(2), rel=1e-3)
    pyo.TransformationFactory("relu.scaled").apply_to(m, reverse=second)
    assert m.b.record.encoding is None


def test_ordinary_units_have_no_copies():
    m = model(0, (1.0, 10.0, 0.5), 10.0)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    assert not any("unit" in c.name for c in m.component_objects(descend_into=True))
    assert m.o.active


def test_a_start_sets_the_copies():
    m = model(0, SCALES[0], 1e-7)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    point = [0.5 * 1e5, -0.25 * 1e-4, 0.75]
    for block in (m.a, m.b):
        block.initialize(point)
    for row in m.component_data_objects(pyo.Constraint, active=True):
        if row.parent_component().local_name in ("row", "raw", "link"):
            continue
        size = max(1.0, abs(pyo.value(row.body)))
        assert row.slack() >= -1e-9 * size, row.name


# -- the modeller's rows and objective ---------------------------------------------------


def tiny():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(
        network=Network.sequential([[[1.0, -1.0]], [[1.0]]], [[0.0], [0.0]]),
        inputs=m.x,
        output_scaling=(0.0, 1e-7),
    )
    m.p = pyo.Param(initialize=1.0, mutable=True)
    m.limit = pyo.Constraint(expr=m.nn.outputs[0] <= 1.5e-7 * m.p)
    m.o = pyo.Objective(expr=m.nn.outputs[0], sense=pyo.maximize)
    return m


def test_a_tiny_objective_has_a_multiple_in_its_place(caplog):
    m = tiny()
    token = pyo.TransformationFactory("relu.bigm").apply_to(m)
    assert "'o' amounts to less than" in caplog.text
    assert not m.o.active and m.o_multiple.active
    assert solve(m, "appsi_highs") == pytest.approx(1.5e-7, rel=1e-4)
    assert pyo.value(m.o) == pyo.value(m.o_multiple)
    pyo.TransformationFactory("relu.bigm").apply_to(m, reverse=token)
    assert m.o.active and m.component("o_multiple") is None


@pytest.mark.parametrize("out", [1e-7, 1e7])
@pytest.mark.parametrize("name", ["relu.bigm", "relu.scaled"])
def test_an_objective_that_is_a_var_without_ends(name, out):
    """Its size follows from the rows that define it, one by one and in any order."""
    found = []
    for unit in (1.0, out):
        m = model(3, ONES if unit == 1.0 else SCALES[0], unit)
        m.o.deactivate()
        m.cost, m.half, m.more = pyo.Var(), pyo.Var(), pyo.Var()
        m.define = pyo.Constraint(expr=m.cost == m.more - 0.25 * m.half)
        m.also = pyo.Constraint(expr=2 * m.half == m.b.outputs[0])
        m.total = pyo.Constraint(expr=m.more == m.a.outputs[0] + m.half)
        m.largest = pyo.Objective(expr=m.cost, sense=pyo.maximize)
        pyo.TransformationFactory(name).apply_to(m)
        found.append(solve(m, "appsi_highs") / unit)
        assert m.a.forward_error() <= 1e-5 * unit
    assert found[1] == pytest.approx(found[0], rel=1e-4, abs=1e-4)


def test_the_multiple_follows_what_the_modeller_changes():
    m = tiny()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    m.p.value = 0.5
    assert solve(m, "appsi_highs") == pytest.approx(0.75e-7, rel=1e-4)
    m.o.expr = m.nn.outputs[0] - 1e-7 * m.x[0]
    assert solve(m, "appsi_highs") == pytest.approx(1e-7, rel=1e-4)
    m.o.sense = pyo.minimize
    assert solve(m, "appsi_highs") == pytest.approx(-1e-7, rel=1e-4)
    m.limit.deactivate()
    m.o.expr, m.o.sense = m.nn.outputs[0], pyo.maximize
    assert solve(m, "appsi_highs") == pytest.approx(2e-7, rel=1e-4)


def test_a_row_that_the_modeller_rewrites_stays_as_he_wrote_it():
    m = tiny()
    token = pyo.TransformationFactory("relu.bigm").apply_to(m)
    m.limit.set_value(m.nn.outputs[0] <= 0.5e-7)
    written = str(m.limit.expr)
    pyo.TransformationFactory("relu.bigm").apply_to(m, reverse=token)
    assert str(m.limit.expr) == written


def test_fixed_vars_in_rewritten_rows_may_be_unfixed():
    m = tiny()
    m.z = pyo.Var(bounds=(0, 1e-7), initialize=0.0)
    m.z.fix()
    m.more = pyo.Constraint(expr=m.nn.outputs[0] + m.z <= 1e-7)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    assert solve(m, "appsi_highs") == pytest.approx(1e-7, rel=1e-4)
    m.z.fix(0.5e-7)
    assert solve(m, "appsi_highs") == pytest.approx(0.5e-7, rel=1e-4)
    m.z.unfix()
    assert solve(m, "appsi_highs") == pytest.approx(1e-7, rel=1e-4)


def test_methods_that_read_the_model_see_it_as_it_was_written():
    m = model(4, SCALES[1], 1e-7)
    pyo.TransformationFactory("relu.obbt").apply_to(m, scope="model")
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    solve(m, "appsi_highs")
    m.a.forward_error()  # refuses if rows seemed to be gone
    found = pyo.SolverFactory("relu.branch").solve(m)
    pyo.assert_optimal_termination(found)
    assert value_of(m) / 1e-7 == pytest.approx(wanted(4), rel=1e-3)


def test_widened_outputs_make_the_encoding_outdated():
    m = tiny()
    m.nn.outputs[0].setub(1e-7)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    m.nn.initialize([1.0, -1.0])
    m.nn.outputs[0].setub(None)
    with pytest.raises(Exception, match="were widened"):
        m.nn.forward_error()


def test_loose_bounds_are_no_units():
    """Bounds of thousands on the output of ordinary weights say nothing of its units."""
    r = np.random.default_rng(0)
    sizes = [10, 100, 100, 100, 1]
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(
        network=Network.sequential(
            [r.normal(size=(b, a)) / 2 for a, b in itertools.pairwise(sizes)],
            [r.normal(size=b) for b in sizes[1:]],
        )
    )
    for var in m.nn.input_vars():
        var.setlb(-1.0)
        var.setub(1.0)
    assert m.nn.neuron_bounds().upper[-1][0] > 2**11
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    assert not any("unit" in c.name for c in m.component_objects(descend_into=True))


@pytest.mark.parametrize("apply_twice", [False, True])
def test_rows_that_read_a_network_on_a_disjunct(apply_twice):
    """Without its Disjunct the network says nothing of an output that a row reads."""

    def optimum(out):
        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(3), bounds=(-1, 1))
        m.d = Disjunct([0, 1])
        units = {"output_scaling": ([0], [out])}
        m.d[0].nn = ReLUNetworkBlock(network=network(3), inputs=m.x, **units)
        m.d[1].never = pyo.Constraint(expr=m.x[0] <= 2)
        y = m.d[0].nn.outputs[0]
        y.setlb(-100 * out)
        y.setub(100 * out)
        m.either = Disjunction(expr=[m.d[0], m.d[1]])
        m.other = ReLUNetworkBlock(network=network(4), inputs=m.x, **units)
        m.row = pyo.Constraint(expr=y + m.other.outputs[0] <= 50 * out)
        m.o = pyo.Objective(expr=y - m.other.outputs[0], sense=pyo.maximize)
        bigm = pyo.TransformationFactory("relu.bigm")
        if apply_twice:
            bigm.apply_to(m, targets=m.other)
        bigm.apply_to(m)
        pyo.TransformationFactory("gdp.bigm").apply_to(m)
        found = solve(m, "appsi_highs")
        assert y.value + m.other.outputs[0].value <= 50.001 * out
        return found / out

    assert optimum(1e-7) == pytest.approx(optimum(1.0), rel=1e-4)


@pytest.mark.parametrize("small", [1e-5, 1e-8])
@pytest.mark.parametrize("out", [1e-7, 1e6])
@pytest.mark.parametrize("kind", ["affine", "skip"])
def test_inputs_of_which_outputs_are_affine(kind, out, small):
    """Weights between an input's units and an output's say nothing about either."""
    rng, scale = np.random.default_rng(5), (1e6, 10.0, small)
    last = [rng.normal(size=(1, 3)).round(1)]
    if kind == "affine":
        layers = [Layer([Source(INPUT)], last, [0.3], "identity")]
    else:
        last.append(rng.normal(size=(1, 4)))
        layers = [
            Layer(
                [Source(INPUT)], [rng.normal(size=(4, 3))], rng.normal(size=4), "relu"
            ),
            Layer([Source(INPUT), Source(0)], last, [0.3], "identity"),
        ]
    net = Network(layers, [("x", (3,))], [("y", (1,))])
    values = []
    for s, o in ((ONES, 1.0), (scale, out)):
        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(3), bounds=lambda m, i, s=s: (-s[i], 1.5 * s[i]))
        m.z = pyo.Var(range(3), domain=pyo.Binary)
        m.switch = pyo.Constraint(
            range(3), rule=lambda m, i, s=s: m.x[i] / s[i] <= 0.9 * m.z[i] + 0.3
        )
        m.limit = pyo.Constraint(expr=sum(m.z.values()) <= 2)
        m.nn = ReLUNetworkBlock(
            network=net,
            inputs=m.x,
            input_scaling=([0.0] * 3, list(s)),
            output_scaling=([0.0], [o]),
        )
        m.o = pyo.Objective(
            expr=0.31 * m.nn.outputs[0] / o - 0.02 * sum(m.z.values()),
            sense=pyo.maximize,
        )
        pyo.TransformationFactory("relu.bigm").apply_to(m)
        ends = [m.x[0], m.x[2], m.nn.outputs[0]]
        assert {copy_of(v) is None for v in ends} == {s == ONES}
        values.append(solve(m, "appsi_highs"))
    assert values[1] == pytest.approx(values[0], rel=1e-5)


@pytest.mark.parametrize("out", [1e-6, 1e-4, 1.0])
@pytest.mark.parametrize("wide", [1e4, 1e7])
def test_tiny_outputs_of_wide_inputs_without_neurons(wide, out):
    """Weights of 1e-13 are dropped by solvers, however wide the input."""
    net = Network.sequential([[[0.6 * out / wide]]], [[0.1 * out]])
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0], bounds=(-wide, 0.5 * wide))
    m.nn = ReLUNetworkBlock(network=net, inputs=m.x)
    m.o = pyo.Objective(expr=m.nn.outputs[0] / out)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    assert solve(m, "appsi_highs") == pytest.approx(-0.5, rel=1e-5)
