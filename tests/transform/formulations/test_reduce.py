"""relu.reduce: fewer rows, the same optimum, look-ups and values of left-out neurons."""

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.gdp import Disjunct, Disjunction

from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.errors import ModelError, TransformationError
from tests.networks import chain
from tests.truth import solve


def proportional():
    """Neuron 1 is twice neuron 0, neuron 2 is -3 times it; 3 is on its own."""
    row = np.array([1.0, -0.5])
    first = np.stack([row, 2 * row, -3 * row, [0.3, 0.8]])
    return Network.sequential(
        [first, [[1.0, 1.0, 1.0, -1.0]]], [[0.1, 0.2, -0.3, 0.0], [0.0]]
    )


def small_box(network, lower=0.2, upper=0.4):
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(network=network)
    for var in m.nn.input_vars():
        var.setlb(lower)
        var.setub(upper)
    m.objective = pyo.Objective(expr=m.nn.outputs[0])
    return m


def encode(m, **options):
    return pyo.TransformationFactory("relu.reduce").apply_to(m, **options)


def active_rows(m):
    return sum(1 for _ in m.component_data_objects(pyo.Constraint, active=True))


def test_fewer_rows_and_the_optimum_of_big_m():
    m = small_box(chain([2, 12, 12, 1], seed=2))
    big = m.clone()
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    encode(m)
    assert active_rows(m) < 0.7 * active_rows(big)
    assert solve(m) == pytest.approx(solve(big), abs=1e-7)


def test_values_of_all_neurons_come_from_initialize():
    network = chain([2, 12, 12, 1], seed=2)
    m = small_box(network)
    encode(m)
    m.nn.initialize([0.25, 0.35])
    pre, post = network.propagate([0.25, 0.35])
    for k in range(2):
        for i in range(12):
            assert m.nn.pre[k, i].value == pytest.approx(pre[k][0, i])
            assert m.nn.post[k, i].value == pytest.approx(post[k][0, i])


def test_merged_neurons_are_looked_up_at_their_representative():
    m = small_box(proportional(), -1.0, 1.0)
    big = m.clone()
    encode(m)
    t = pyo.TransformationFactory("relu.reduce")
    rows = m.nn.activation
    assert t.get_representative(rows[0, 1]) == (rows[0, 0], pytest.approx(2.0))
    assert t.get_indicator_var(rows[0, 1]) is t.get_indicator_var(rows[0, 0])
    assert t.get_indicator_var(rows[0, 2]) is None
    assert t.get_transformed_constraints(rows[0, 2]) == t.get_transformed_constraints(
        rows[0, 0]
    )
    assert "2 merged" in m.nn.summary()
    binaries = [v for v in m.component_data_objects(pyo.Var) if v.is_binary()]
    assert len(binaries) == 2
    pyo.TransformationFactory("relu.bigm").apply_to(big)
    assert solve(m) == pytest.approx(solve(big), abs=1e-7)


def test_model_that_reads_a_neuron_is_refused_and_unchanged():
    m = small_box(chain([2, 6, 6, 1], seed=2))
    m.probe = pyo.Constraint(expr=m.nn.post[0, 3] <= 100)
    with pytest.raises(TransformationError, match=r"reads 'nn.post\[0,3\]'.*relu.bigm"):
        encode(m)
    assert m.nn.record.encoding is None
    assert m.nn.affine[0, 0].active


# -- indicators that the objective makes superfluous -----------------------------------


def wide_box(sense=pyo.minimize):
    m = small_box(chain([2, 8, 8, 1], seed=6), -1.0, 1.0)
    m.objective.sense = sense
    return m


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_dropped_indicators_keep_the_optimum(sense):
    m, plain = wide_box(sense), wide_box(sense)
    encode(m, drop_minimised=True)
    encode(plain)
    dropped = m.nn.record.encoding.dropped
    sign = 1.0 if sense == pyo.minimize else -1.0
    weights = sign * m.nn.network.layers[-1].weights[0][0]
    unstable = np.flatnonzero(m.nn.record.encoding.bounds.unstable(1))
    assert dropped == {(1, int(i)) for i in unstable if weights[i] > 0}
    assert dropped
    assert solve(m) == pytest.approx(solve(plain), abs=1e-6)


def test_recorded_bounds_do_not_count_as_the_modellers():
    m = wide_box()
    pyo.TransformationFactory("relu.bounds").apply_to(m)
    encode(m, drop_minimised=True)
    assert m.nn.record.encoding.dropped


def _row(m):
    m.row = pyo.Constraint(expr=m.nn.outputs[0] >= 0.1)


def _bound(m):
    m.nn.outputs[0].setlb(0.1)


def _nonlinear(m):
    m.z = pyo.Var(bounds=(0, 1))
    m.row = pyo.Constraint(expr=m.z * m.nn.outputs[0] >= 0.1)


def _other_network(m):
    m.nn.inputs[0].setlb(-1)
    m.after = ReLUNetworkBlock(network=chain([1, 2, 1]), inputs=[m.nn.outputs[0]])
    m.nn.outputs[0].setlb(-1e3)
    m.nn.outputs[0].setub(1e3)


def _nonlinear_objective(m):
    m.objective.expr = m.nn.outputs[0] ** 2


def _other_objective(m):
    m.objective.expr = m.nn.inputs[0]


def _fixed(m):
    m.nn.outputs[0].fix(0.2)


@pytest.mark.parametrize(
    "change, reason",
    [
        (_row, "a constraint reads"),
        (_bound, "has bounds that are tighter"),
        (_nonlinear, "a nonlinear or logical part"),
        (_other_network, "the network 'after' reads"),
        (_nonlinear_objective, "no single linear objective"),
        (_other_objective, "does not read its outputs"),
        (_fixed, "does not read its outputs"),
    ],
)
def test_dropping_is_refused_where_outputs_are_read_elsewhere(change, reason):
    m = wide_box()
    change(m)
    with pytest.raises(TransformationError, match=reason):
        encode(m, drop_minimised=True)
    assert m.nn.record.encoding is None


def test_dropping_is_refused_in_a_disjunct():

    m = pyo.ConcreteModel()
    m.d = Disjunct()
    m.d.nn = ReLUNetworkBlock(network=chain([2, 4, 1]))
    for var in m.d.nn.input_vars():
        var.setlb(-1)
        var.setub(1)
    m.objective = pyo.Objective(expr=m.d.nn.outputs[0])
    with pytest.raises(TransformationError, match="lies in a Disjunct"):
        encode(m, drop_minimised=True)


def switched(read=False):
    """A network on a Disjunct whose neurons relu.reduce drops in part."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(0.25, 1))
    m.y = pyo.Var(bounds=(-50, 50))
    m.on, m.off = Disjunct(), Disjunct()
    m.on.nn = ReLUNetworkBlock(network=chain([2, 6, 4, 1]), inputs=m.x, outputs=m.y)
    m.off.none = pyo.Constraint(expr=m.y == 40)
    m.either = Disjunction(expr=[m.on, m.off])
    m.cost = pyo.Objective(expr=m.y)
    pyo.TransformationFactory("relu.reduce").apply_to(m)
    if read:
        m.on.mine = pyo.Constraint(expr=m.on.nn.post[0, 0] <= 100)
        m.on.nn.post[0, 0].setub(100)
    return m


@pytest.mark.parametrize("name", ["gdp.bigm", "gdp.hull"])
def test_after_gdp_the_rows_made_of_the_networks_own_are_no_readers(name):
    m = switched()
    pyo.TransformationFactory(name).apply_to(m)
    solve(m)
    assert m.on.binary_indicator_var.value == pytest.approx(1)
    assert m.on.nn.forward_error() < 1e-5
    read = switched(read=True)
    pyo.TransformationFactory(name).apply_to(read)
    with pytest.raises(ModelError, match=r"reads 'on.nn.post\[0,0\]' was added"):
        read.on.nn.forward_error()
