"""relu.bigm: rows, given M values, look-ups, targets, reversal, failures."""

import pickle

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.errors import TransformationError
from tests.networks import chain, residual, two_two_one
from tests.truth import optimise, solve

BIGM = "relu.bigm"


def transformation():
    return pyo.TransformationFactory(BIGM)


def box_model(network=None, name="nn"):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.add_component(
        name, ReLUNetworkBlock(network=network or chain([2, 6, 6, 1]), inputs=m.x)
    )
    m.objective = pyo.Objective(expr=m.component(name).outputs[0])
    return m


def state(model):
    """Everything reversal has to restore, as comparable values."""
    components = [
        (c.name, c.ctype, getattr(c, "active", None))
        for c in model.component_objects(descend_into=True)
    ]
    bounds = [
        (v.name, v.bounds, v.fixed) for v in model.component_data_objects(pyo.Var)
    ]
    rows = [
        (c.name, c.active, str(c.expr))
        for c in model.component_data_objects(pyo.Constraint, active=None)
    ]
    return components, bounds, rows


# -- rows ------------------------------------------------------------------------------


def test_rows_of_a_2_2_1_network_as_text():
    m = box_model(two_two_one())
    transformation().apply_to(m)
    new = m.nn.component("_pyomo_relu_bigm_reformulation")
    z = f"{new.name}.indicator[0,0]"
    lower, upper = transformation().get_M_value(m.nn.activation[0, 0])
    assert (lower, upper) == (pytest.approx(-2), pytest.approx(2))
    assert lower <= -2 and upper >= 2
    texts = {k[2]: str(r.expr) for k, r in new.rows.items() if k[:2] == (0, 0)}
    assert texts == {
        "above": "0.0  <=  nn.post[0,0] - nn.pre[0,0]",
        "active": f"nn.post[0,0] - nn.pre[0,0] + {-lower}*{z}  <=  {-lower}",
        "inactive": f"nn.post[0,0] - {upper}*{z}  <=  0.0",
    }


def test_stable_neurons_get_no_binary():
    weights = [[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], [[1.0, 1.0, 1.0]]]
    network = Network.sequential(weights, [[5.0, -5.0, 0.0], [0.0]])
    m = box_model(network)
    transformation().apply_to(m)
    rows = m.nn.component("_pyomo_relu_bigm_reformulation").rows
    assert sorted(k for k in rows if k[1] < 2) == [
        (0, 0, "active"),
        (0, 1, "inactive"),
    ]
    t = transformation()
    assert t.get_indicator_var(m.nn.activation[0, 0]) is None
    assert t.get_M_value(m.nn.activation[0, 1]) == (None, None)
    assert t.get_indicator_var(m.nn.activation[0, 2]).is_binary()


@pytest.mark.parametrize("ceiling", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("shift", [-3.0, -1.0, 0.0, 0.25, 1.0, 3.0])
def test_clipped_neurons_in_every_position(ceiling, shift):
    network = Network.sequential([[[1.0]], [[1.0]]], [[shift], [0.0]], [ceiling])
    for sense, best in ((pyo.minimize, min), (pyo.maximize, max)):
        values = [min(max(0.0, x + shift), ceiling) for x in (-1.0, 1.0)]
        found, _ = optimise(network, (-1, 1), sense)
        assert found == pytest.approx(best(values), abs=1e-7)


@pytest.mark.parametrize(
    "network", [residual(), chain([3, 5, 5, 2], ceilings=[0.5, 1])]
)
@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_optimum_is_not_beaten_by_samples(network, sense):
    found, _ = optimise(network, (-1, 1), sense)
    X = np.random.default_rng(1).uniform(-1, 1, (20000, network.n_inputs))
    values = network.forward(X)[:, 0]
    if sense == pyo.minimize:
        assert found <= values.min() + 1e-7
    else:
        assert found >= values.max() - 1e-7


def test_big_m_at_a_box_corner_with_784_inputs_and_large_float32_weights():
    rng = np.random.default_rng(0)
    for scale in (1.0, 1000.0):
        w = (scale * rng.normal(size=(1, 784))).astype(np.float32).astype(float)
        network = Network.sequential([w, [[1.0]]], [[0.0], [0.0]])
        corner = np.sign(w[0])
        m = pyo.ConcreteModel()
        m.nn = ReLUNetworkBlock(network=network)
        for var in m.nn.input_vars():
            var.setlb(-1)
            var.setub(1)
        m.objective = pyo.Objective(expr=m.nn.outputs[0], sense=pyo.maximize)
        transformation().apply_to(m)
        for var, value in zip(m.nn.input_vars(), corner.tolist(), strict=True):
            var.fix(value)
        assert solve(m) == pytest.approx(np.abs(w).sum(), rel=1e-9)


# -- given M -----------------------------------------------------------------------------


def test_looser_given_values_change_nothing():
    m = box_model()
    transformation().apply_to(m, bigM=1e4)
    t = transformation()
    row = next(iter(t.get_all_M_values_by_constraint(m)))
    (_, source, key), _ = t.get_M_value_src(row)
    assert (source, key) == ("interval", None)
    assert t.get_largest_M_value(m) < 100


def exact_range(network, k, i):
    """Range of a pre-activation over [-1, 1]^2, by a dense grid."""
    axis = np.linspace(-1, 1, 801)
    X = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    v = network.pre_activations(X)[k][:, i]
    return v.min(), v.max()


@pytest.mark.parametrize("way", ["argument", "suffix", "container", "block", "none"])
def test_tighter_given_values_are_used_once_proven(way):
    m = box_model()
    row = m.nn.activation[1, 2]
    computed = m.nn.neuron_bounds()
    low, high = exact_range(m.nn.network, 1, 2)
    # between what is true and what interval arithmetic proves
    high = high + 0.1 * (computed.upper[1][2] - high) + 1e-3
    low = low - 0.1 * (low - computed.lower[1][2]) - 1e-3
    wide = max(-low, high)
    given = {
        "argument": {row: (low, high)},
        "container": {m.nn.activation: (None, None), row: (low, high)},
        "block": {m.nn: (None, None), row: (low, high)},
        "none": {None: 50.0, row: (low, high)},
    }.get(way)
    if way == "suffix":
        m.nn.BigM = pyo.Suffix(direction=pyo.Suffix.LOCAL)
        m.nn.BigM[row] = (low, high)
    transformation().apply_to(m, bigM=given)
    t = transformation()
    assert t.get_M_value(row) == (pytest.approx(low), pytest.approx(high))
    (_, source, key), _ = t.get_M_value_src(row)
    assert source == ("suffix" if way == "suffix" else "argument") and key is row
    assert t.get_neuron_bounds(m.nn).source[1][2] == "given"
    assert wide < 50
    solve(m)


@pytest.mark.parametrize("layer", [0, 1])
def test_a_given_value_that_cuts_off_a_true_value_is_an_error(layer):
    m = box_model()
    neuron = int(np.flatnonzero(m.nn.neuron_bounds().unstable(layer))[0])
    before = state(m)
    row = m.nn.activation[layer, neuron]
    low, high = exact_range(m.nn.network, layer, neuron)
    with pytest.raises(TransformationError, match=r"cuts off a true value.*inputs \["):
        transformation().apply_to(m, bigM={row: (low, 0.9 * high)})
    assert state(m) == before
    with pytest.raises(TransformationError, match="lower value .* cuts off"):
        transformation().apply_to(m, bigM={row: (0.9 * low, None)})


@pytest.mark.parametrize("value", ["large", float("nan"), (1, 2, 3), float("inf")])
def test_malformed_given_values(value):
    m = box_model()
    with pytest.raises(TransformationError, match="must be a finite number or a pair"):
        transformation().apply_to(m, bigM=value)
    assert m.nn.record.encoding is None


# -- look-ups --------------------------------------------------------------------------


def test_look_ups_both_ways_also_after_clone_and_pickle():
    m = box_model()
    transformation().apply_to(m)
    for copy in (m, m.clone(), pickle.loads(pickle.dumps(m))):
        t = transformation()
        for src in copy.nn.activation.values():
            rows = t.get_transformed_constraints(src)
            assert rows and all(t.get_src_constraint(r) is src for r in rows)
        values = t.get_all_M_values_by_constraint(copy)
        assert t.get_largest_M_value(copy) == max(
            max(-lo, hi) for lo, hi in values.values()
        )
        assert t.get_neuron_bounds(copy.nn).network == copy.nn.network


def test_look_ups_refuse_what_is_not_theirs():
    m = box_model()
    m.other = pyo.Constraint(expr=m.x[0] <= 1)
    t = transformation()
    with pytest.raises(TransformationError, match="'nn' is not encoded"):
        t.get_M_value(m.nn.activation[0, 0])
    t.apply_to(m)
    with pytest.raises(TransformationError, match="'other' is not an activation row"):
        t.get_M_value(m.other)
    with pytest.raises(TransformationError, match="'other' was not made by"):
        t.get_src_constraint(m.other)
    with pytest.raises(TransformationError, match="is not a ReLUNetworkBlock"):
        t.get_neuron_bounds(m)


# -- applying and reversing ---------------------------------------------------------------


def test_reverse_leaves_no_trace():
    m = box_model()
    before = state(m)
    token = transformation().apply_to(m)
    assert state(m) != before
    transformation().apply_to(m, reverse=token)
    assert state(m) == before
    with pytest.raises(TransformationError, match="token was used before"):
        transformation().apply_to(m, reverse=token)


def test_create_using_leaves_the_source_untouched():
    m = box_model()
    before = state(m)
    new = transformation().create_using(m)
    assert state(m) == before and new.nn.record.encoding is not None
    transformation().apply_to(m)
    assert state(m)[1:] == state(new)[1:]


def two_networks():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.b = pyo.Block()
    m.b.nn = ReLUNetworkBlock(network=two_two_one(), inputs=m.x)
    m.many = ReLUNetworkBlock([1, 2], network=two_two_one(), inputs=m.x)
    return m


def encoded(m):
    return [
        b.name for b in (m.b.nn, m.many[1], m.many[2]) if b.record.encoding is not None
    ]


@pytest.mark.parametrize(
    "targets, names",
    [
        (lambda m: None, ["b.nn", "many[1]", "many[2]"]),
        (lambda m: m.b, ["b.nn"]),
        (lambda m: m.b.nn, ["b.nn"]),
        (lambda m: m.many, ["many[1]", "many[2]"]),
        (lambda m: m.many[2], ["many[2]"]),
        (lambda m: [m.b, m.b.nn, m.many[1]], ["b.nn", "many[1]"]),
    ],
)
def test_targets(targets, names):
    m = two_networks()
    transformation().apply_to(m, targets=targets(m))
    assert encoded(m) == names


def test_targets_that_do_not_fit():
    m, foreign = two_networks(), box_model()
    with pytest.raises(TransformationError, match="'nn' is not part of"):
        transformation().apply_to(m, targets=foreign.nn)
    with pytest.raises(TransformationError, match="target 'x' is a"):
        transformation().apply_to(m, targets=m.x)
    with pytest.raises(TransformationError, match="takes a model or a block"):
        transformation().apply_to(m.x)
    assert encoded(m) == []


def test_a_deactivated_target_is_skipped_with_a_warning(caplog):
    from io import StringIO

    from pyomo.common.log import LoggingIntercept

    m = two_networks()
    m.many.deactivate()
    out = StringIO()
    with LoggingIntercept(out, "pyomo.relu"):
        transformation().apply_to(m, targets=[m.many, m.b])
    assert "target 'many' is deactivated; skipped" in out.getvalue()
    assert encoded(m) == ["b.nn"]
    out = StringIO()
    with LoggingIntercept(out, "pyomo.relu"):
        transformation().apply_to(m, targets=m.many)
    assert "there is no active ReLUNetworkBlock" in out.getvalue()


def test_an_abstract_model_is_refused_until_it_is_an_instance():
    m = pyo.AbstractModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.b = pyo.Block()
    for what in (m, m.b):
        with pytest.raises(
            TransformationError, match=r"not built.*create_instance\(\)"
        ):
            transformation().apply_to(what)


def test_second_application_is_refused_or_completes_the_rest():
    m = two_networks()
    transformation().apply_to(m, targets=m.b)
    with pytest.raises(TransformationError, match="already encoded by relu.bigm"):
        transformation().apply_to(m, targets=m.b.nn)
    transformation().apply_to(m)
    assert encoded(m) == ["b.nn", "many[1]", "many[2]"]
    with pytest.raises(TransformationError, match="already encoded"):
        transformation().apply_to(m)


def test_failure_half_way_changes_nothing_and_the_object_is_reusable():
    m = two_networks()
    m.y = pyo.Var([0, 1])
    m.last = ReLUNetworkBlock(network=two_two_one(), inputs=m.y)
    before = state(m)
    t = transformation()
    with pytest.raises(ValueError, match=r"input 'y\[0\]' has the bounds"):
        t.apply_to(m)
    assert state(m) == before
    m.y.setlb(-1)
    m.y.setub(1)
    t.apply_to(m)
    assert encoded(m) == ["b.nn", "many[1]", "many[2]"]


def test_fixed_inputs_are_points_unless_told_otherwise():
    m = box_model()
    m.x[0].fix(0.25)
    token = transformation().apply_to(m)
    narrow = transformation().get_largest_M_value(m)
    transformation().apply_to(m, reverse=token)
    transformation().apply_to(m, assume_fixed_vars_permanent=False)
    assert transformation().get_largest_M_value(m) > narrow
    m.x[0].unfix()
    m.nn.initialize([1.0, 1.0])
    assert m.nn.forward_error() == 0.0


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="bigm"):
        transformation().apply_to(box_model(), bigm=3)


def test_names_do_not_clash_with_the_modellers():
    m = box_model()
    m.nn.add_component("_pyomo_relu_bigm_reformulation", pyo.Block())
    transformation().apply_to(m)
    solve(m)


def test_mip_start_satisfies_every_row():
    for network in (chain([2, 6, 6, 1]), residual(), chain([2, 4, 1], ceilings=[0.4])):
        m = box_model(network)
        transformation().apply_to(m)
        for x in np.random.default_rng(0).uniform(-1, 1, (10, 2)):
            m.nn.initialize(x)
            for row in m.component_data_objects(pyo.Constraint, active=True):
                body = pyo.value(row.body)
                assert pyo.value(row.lower, exception=False) is None or (
                    body >= pyo.value(row.lower) - 1e-9
                )
                assert pyo.value(row.upper, exception=False) is None or (
                    body <= pyo.value(row.upper) + 1e-9
                )
