"""ReLUNetworkBlock: what the modeller holds, in every way Pyomo lets one hold it."""

import pickle

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.dae import ContinuousSet
from pyomo.gdp import Disjunct, Disjunction
from pyomo.util.check_units import assert_units_consistent

from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.errors import BoundsError, ModelError
from tests.networks import chain, residual, two_two_one
from tests.truth import solve

TRANSFORM = pyo.TransformationFactory


def box_model(network=None, **kwds):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=network or chain([2, 6, 6, 1]), inputs=m.x, **kwds)
    return m


# -- the exact model ---------------------------------------------------------------


@pytest.mark.parametrize("network", [two_two_one(), residual(), chain([2, 4, 1])])
def test_rows_hold_exactly_at_forward_passes(network):
    m = box_model(network)
    for x in np.random.default_rng(0).uniform(-1, 1, (20, 2)):
        m.nn.initialize(x)
        for row in m.nn.component_data_objects(pyo.Constraint, active=True):
            body = pyo.value(row.body)
            assert body == pytest.approx(pyo.value(row.upper), abs=1e-12)


def test_text_of_the_rows_on_a_2_2_1_network():
    m = box_model(two_two_one())
    assert str(m.nn.affine[0, 1].expr) == "x[0] - x[1] - nn.pre[0,1]  ==  -0.0" or (
        pyo.value(m.nn.affine[0, 1].upper) == 0
    )
    assert str(m.nn.activation[0, 0].expr) == (
        "nn.post[0,0]  ==  0.5*(nn.pre[0,0] + abs(nn.pre[0,0]))"
    )
    assert [str(k) for k in m.nn.affine] == ["(0, 0)", "(0, 1)", "(1, 0)"]


def test_own_vars_are_indexed_as_the_tensors():
    network = Network(
        chain([6, 3, 2]).layers, [("image", (2, 3))], [("a", (1,)), ("b", (1,))]
    )
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(network=network)
    assert list(m.nn.inputs) == [(i, j) for i in range(2) for j in range(3)]
    assert list(m.nn.outputs) == [("a", 0), ("b", 0)]


def test_ctype_stays_block():
    m = box_model()
    assert m.nn.ctype is pyo.Block


# -- scalar, indexed, abstract, nested, Disjunct, ContinuousSet ---------------------


def test_indexed_block_with_a_network_per_index():
    networks = {"a": chain([2, 5, 1]), "b": chain([2, 4, 1], seed=1)}
    m = pyo.ConcreteModel()
    m.I = pyo.Set(initialize=["a", "b"])
    m.x = pyo.Var(m.I, [0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(
        m.I, network=networks, inputs=lambda i: [m.x[i, 0], m.x[i, 1]]
    )
    m.mm = ReLUNetworkBlock(
        m.I,
        network=lambda i: networks[i],
        inputs={i: [m.x[i, 0], m.x[i, 1]] for i in m.I},
    )
    for i in m.I:
        assert m.nn[i].network == networks[i] == m.mm[i].network
        assert [v.name for v in m.mm[i].input_vars()] == [f"x[{i},0]", f"x[{i},1]"]
    m.objective = pyo.Objective(
        expr=sum(m.nn[i].outputs[0] + m.mm[i].outputs[0] for i in m.I)
    )
    TRANSFORM("relu.bigm").apply_to(m)
    optimum = solve(m)
    alone = 0.0
    for i in m.I:
        single = box_model(networks[i])
        single.objective = pyo.Objective(expr=single.nn.outputs[0])
        TRANSFORM("relu.bigm").apply_to(single)
        alone += 2 * solve(single)
    assert optimum == pytest.approx(alone, abs=1e-5)


def test_a_missing_index_is_named_and_nothing_is_left():
    m = pyo.ConcreteModel()
    with pytest.raises(ModelError, match=r"nn\[2\]: no entry for index 2"):
        m.nn = ReLUNetworkBlock([1, 2], network={1: two_two_one()})
    assert m.component("nn") is None


def test_a_missing_index_of_inputs_is_named():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1, 2], [0, 1], bounds=(-1, 1))
    given = {t: [m.x[t, 0], m.x[t, 1]] for t in (0, 1)}  # also the network's own keys
    with pytest.raises(ModelError, match=r"no entry for index 2 .* inputs=; it has"):
        m.nn = ReLUNetworkBlock([0, 1, 2], network=two_two_one(), inputs=given)


def test_mapping_by_the_networks_own_index_serves_all_members():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(
        [0, 1], network=two_two_one(), inputs={0: m.x[1], 1: m.x[0]}
    )
    assert [v.name for v in m.nn[1].input_vars()] == ["x[1]", "x[0]"]


def test_decorator_notation_and_rule():
    m = pyo.ConcreteModel()

    @m.ReLUNetworkBlock([1, 2])
    def nn(b, i):
        b.build(i, network=two_two_one())

    assert m.nn[2].network.n_neurons == 2


def test_abstract_model():
    m = pyo.AbstractModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=chain([2, 5, 1]), inputs=m.x)
    m.objective = pyo.Objective(rule=_output)
    instance = m.create_instance()
    assert instance.nn.input_vars()[0] is instance.x[0]
    TRANSFORM("relu.bigm").apply_to(instance)
    solve(instance)


def _output(m):
    return m.nn.outputs[0]


def test_on_disjuncts():
    networks = {i: chain([2, 5, 1], seed=i) for i in (1, 2)}
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.y = pyo.Var(bounds=(-100, 100))
    m.d = Disjunct([1, 2])
    for i in (1, 2):
        m.d[i].nn = ReLUNetworkBlock(network=networks[i], inputs=m.x)
        m.d[i].link = pyo.Constraint(expr=m.y == m.d[i].nn.outputs[0])
    m.either = Disjunction(expr=[m.d[1], m.d[2]])
    m.objective = pyo.Objective(expr=m.y)
    best = []
    for network in networks.values():
        single = box_model(network)
        single.objective = pyo.Objective(expr=single.nn.outputs[0])
        TRANSFORM("relu.bigm").apply_to(single)
        best.append(solve(single))
    for gdp in ("gdp.bigm", "gdp.hull"):
        k = TRANSFORM("relu.bigm").create_using(m)
        TRANSFORM(gdp).apply_to(k)
        pyo.SolverFactory("appsi_highs").solve(k)
        assert pyo.value(k.objective) == pytest.approx(min(best), abs=1e-5)


def test_outputs_read_outside_their_disjunct_keep_their_bounds(caplog):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.d = Disjunct()
    m.d.nn = ReLUNetworkBlock(network=chain([2, 5, 1]), inputs=m.x)
    m.e = Disjunct()
    m.either = Disjunction(expr=[m.d, m.e])
    m.outside = pyo.Constraint(expr=m.d.nn.outputs[0] >= -1000)
    TRANSFORM("relu.bigm").apply_to(m)
    assert m.d.nn.outputs[0].bounds == (None, None)
    m.del_component(m.outside)
    m.d.nn.record.encoding.reverse()
    TRANSFORM("relu.bigm").apply_to(m)
    assert None not in m.d.nn.outputs[0].bounds


@pytest.mark.parametrize("name", ["gdp.bigm", "gdp.hull"])
def test_bounds_alone_give_gdp_what_it_asks_for(name):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.y = pyo.Var(bounds=(-50, 50))
    m.d, m.e = Disjunct(), Disjunct()
    m.d.nn = ReLUNetworkBlock(network=chain([2, 5, 1]), inputs=m.x)
    m.d.link = pyo.Constraint(expr=m.y == m.d.nn.outputs[0])
    m.e.none = pyo.Constraint(expr=m.y == 0)
    m.either = Disjunction(expr=[m.d, m.e])
    TRANSFORM("relu.bounds").apply_to(m)
    TRANSFORM(name).apply_to(m)  # refuses Vars without bounds
    assert None not in m.d.nn.outputs[0].bounds


def test_neurons_read_outside_their_disjunct_are_free_without_it():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.w = pyo.Var(bounds=(0, 4))
    m.d, m.e = Disjunct(), Disjunct()
    m.d.nn = ReLUNetworkBlock(network=two_two_one(), inputs=m.x)
    m.d.nn.outputs.setlb(-9)
    m.d.nn.outputs.setub(9)
    for var in m.d.nn.pre.values():
        var.setlb(-9)
        var.setub(9)
    m.either = Disjunction(expr=[m.d, m.e])
    m.outside = pyo.Constraint(expr=m.w <= m.d.nn.pre[0, 1])
    m.objective = pyo.Objective(expr=m.w, sense=pyo.maximize)
    TRANSFORM("relu.bounds").apply_to(m)
    TRANSFORM("relu.bigm").apply_to(m)
    TRANSFORM("gdp.bigm").apply_to(m)
    pyo.SolverFactory("appsi_highs").solve(m)
    assert pyo.value(m.w) == pytest.approx(4)  # the Disjunct is off, pre is free


def test_over_a_continuous_set():
    m = pyo.ConcreteModel()
    m.t = ContinuousSet(bounds=(0, 1))
    m.x = pyo.Var(m.t, [0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(
        m.t, network=chain([2, 4, 1]), inputs=lambda t: [m.x[t, 0], m.x[t, 1]]
    )
    TRANSFORM("dae.finite_difference").apply_to(m, nfe=4, wrt=m.t)
    assert len(m.nn) == 5
    m.objective = pyo.Objective(expr=sum(m.nn[t].outputs[0] for t in m.t))
    TRANSFORM("relu.bigm").apply_to(m)
    solve(m)


def test_clone_and_pickle_keep_the_network_and_the_encoding():
    m = box_model()
    m.objective = pyo.Objective(expr=m.nn.outputs[0])
    TRANSFORM("relu.bigm").apply_to(m)
    optimum = solve(m)
    for copy in (m.clone(), pickle.loads(pickle.dumps(m)), m.clone().clone()):
        assert copy.nn.network == m.nn.network
        assert copy.nn.record.encoding.block is copy.nn
        assert copy.nn.input_vars()[0] is copy.x[0]
        assert solve(copy) == pytest.approx(optimum, abs=1e-9)
    assert m.clone().nn.network is m.nn.network


def test_units_check_passes():
    pytest.importorskip("pint")
    m = box_model()
    assert_units_consistent(m)


# -- values --------------------------------------------------------------------------


def test_vars_with_units_are_linked_to_plain_ones():
    pytest.importorskip("pint")
    kelvin = pyo.units.K
    m = pyo.ConcreteModel()
    m.T = pyo.Var([0, 1], bounds=(-1, 1), units=kelvin)
    m.nn = ReLUNetworkBlock(network=two_two_one())
    m.link = pyo.Constraint([0, 1], rule=lambda m, j: m.nn.inputs[j] * kelvin == m.T[j])
    m.best = pyo.Objective(expr=m.nn.outputs[0])
    assert_units_consistent(m)
    TRANSFORM("relu.obbt").apply_to(m, scope="model")
    TRANSFORM("relu.bigm").apply_to(m)
    assert solve(m) == pytest.approx(-2, abs=1e-5)


def test_initialize_and_forward_error():
    m = box_model()
    with pytest.raises(ModelError, match=r"input 'x\[0\]' has no value"):
        m.nn.initialize()
    m.nn.initialize({0: 0.5, 1: -0.25})
    assert m.x[1].value == -0.25
    assert m.nn.forward_error() == 0.0
    m.nn.outputs[0].set_value(m.nn.outputs[0].value + 0.125)
    assert m.nn.forward_error() == pytest.approx(0.125)
    m.nn.outputs[0].set_value(None)
    with pytest.raises(ModelError, match=r"output 'nn.outputs\[0\]' has no value"):
        m.nn.forward_error()
    with pytest.raises(ModelError, match="keys must be the inputs'"):
        m.nn.initialize({0: 0.5})
    with pytest.raises(ModelError, match="3 entries, the network 2 inputs"):
        m.nn.initialize([1, 2, 3])


def test_initialize_agrees_with_fixed_vars():
    m = box_model()
    m.x[0].fix(0.5)
    with pytest.raises(ModelError, match=r"got 0.25 for 'x\[0\]', .* fixed at 0.5"):
        m.nn.initialize([0.25, 0.0])
    assert m.nn.pre[0, 0].value is None
    m.nn.initialize([0.5 + 1e-9, 0.0])
    assert m.x[0].value == 0.5
    assert m.nn.forward_error() < 1e-6


@pytest.mark.parametrize(
    ("x", "said"),
    [
        ([5, 0.5], r"sets 'x[0]' to 5, outside of its bounds [-1, 1]. No solver"),
        ([-5, 2], r"outside of its bounds [-1, 1] (and 1 more input likewise)"),
        ([0, 0.5], ""),
        ([1 + 1e-9, -1], ""),
    ],
)
def test_initialize_says_what_is_outside_of_bounds(x, said, caplog):
    m = box_model()
    m.nn.initialize(x)
    assert m.x[0].value == x[0]
    assert said in caplog.text and bool(said) == bool(caplog.text)


def test_initialize_says_what_is_no_integer(caplog):
    m = box_model()
    m.x[1].domain = pyo.Integers
    m.nn.initialize([0.5, 1.0])
    assert not caplog.text
    m.nn.initialize([0.5, 0.5])
    assert "sets 'x[1]' to 0.5, which is no integer" in caplog.text


def test_initialize_takes_component_maps():
    m = box_model()
    m.nn.initialize(pyo.ComponentMap([(m.x[1], 0.5), (m.x[0], -0.25)]))
    assert (m.x[0].value, m.x[1].value) == (-0.25, 0.5)
    m.nn.initialize(pyo.ComponentMap([(m.nn, np.array([0.125, 0.0]))]))
    assert m.x[0].value == 0.125
    with pytest.raises(ModelError, match=r"has no entry for 'x\[1\]'"):
        m.nn.initialize(pyo.ComponentMap([(m.x[0], 0.0)]))


def test_forward_error_notices_widened_bounds():
    m = box_model()
    TRANSFORM("relu.bigm").apply_to(m)
    m.nn.initialize([0, 0])
    assert m.nn.forward_error() == 0.0
    m.x[1].setub(2)
    with pytest.raises(ModelError, match=r"bounds of x\[1\] were widened"):
        m.nn.forward_error()


# -- bounds --------------------------------------------------------------------------


def test_neuron_bounds_follow_the_var_bounds():
    m = box_model()
    wide = m.nn.neuron_bounds()
    m.x.setlb(0)
    narrow = m.nn.neuron_bounds()
    assert np.all(narrow.upper[0] - narrow.lower[0] <= wide.upper[0] - wide.lower[0])
    assert set(narrow.source[1]) == {"interval"}
    m.x[0].fix(0.5)
    assert m.nn.neuron_bounds().input_lower[0] == 0.5
    assert m.nn.neuron_bounds(False).input_lower[0] == 0.0


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda m: m.x[1].setub(None), r"input 'x\[1\]' has the bounds \[-1.0, inf\]"),
        (lambda m: m.x[0].setlb(3), r"bounds \[3.0, 1.0\], which no value satisfies"),
        (lambda m: m.x[0].fix(None), "fixed but has no value"),
    ],
)
def test_bad_input_bounds_name_the_var(change, text):
    m = box_model()
    change(m)
    with pytest.raises(BoundsError, match=text):
        TRANSFORM("relu.bigm").apply_to(m)
    assert m.nn.activation[0, 0].active and m.nn.record.encoding is None


def test_binary_inputs_bring_their_own_bounds():
    m = pyo.ConcreteModel()
    m.z = pyo.Var([0, 1], domain=pyo.Binary)
    m.nn = ReLUNetworkBlock(network=two_two_one(), inputs=m.z)
    assert m.nn.neuron_bounds().input_upper.tolist() == [1.0, 1.0]


def test_summary_is_one_screen():
    m = box_model()
    assert "none (exact nonlinear rows)" in m.nn.summary()
    TRANSFORM("relu.bigm").apply_to(m)
    text = m.nn.summary()
    assert "relu.bigm" in text and "interval" in text
    assert len(text.splitlines()) < 25
    m.x.setub(None)
    assert "bounds: none" in m.nn.summary()


def test_parts_renamed_by_other_transformations_are_named():
    m = box_model()
    m.scaling_factor = pyo.Suffix(direction=pyo.Suffix.EXPORT)
    m.scaling_factor[m.x] = 10
    scaled = TRANSFORM("core.scale_model").create_using(m)
    with pytest.raises(ModelError, match="nn: 'pre' .* renamed .*apply relu"):
        TRANSFORM("relu.bigm").apply_to(scaled)
    assert not hasattr(scaled.nn, "pre")


def test_bounds_that_solvers_take_as_infinite_are_refused():
    m = box_model()
    m.x[1].setub(1e20)
    with pytest.raises(BoundsError, match=r"x\[1\].*finite ones, below 1e20"):
        TRANSFORM("relu.bigm").apply_to(m)


def test_deactivated_block_says_what_it_leaves_on_given_outputs(caplog):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.y = pyo.Var()
    m.nn = ReLUNetworkBlock(network=two_two_one(), inputs=m.x, outputs=m.y)
    m.nn.deactivate()
    assert not caplog.text
    m.nn.activate()
    token = TRANSFORM("relu.bounds").apply_to(m)
    m.nn.deactivate()
    assert "nn was deactivated, but bounds that relu.bounds proved" in caplog.text
    assert "stay on y. Reverse it" in caplog.text
    TRANSFORM("relu.bounds").apply_to(m, reverse=token)
    assert m.y.bounds == (None, None)
