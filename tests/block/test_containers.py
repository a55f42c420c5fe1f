"""Network blocks as containers: rules, positions, and methods of indexed blocks."""

import functools

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.errors import MissingPartError, ModelError
from tests.networks import chain, two_two_one


class Plant:
    """A modeller's class whose methods are rules."""

    def __init__(self, m):
        self.m = m

    def by_index(self, *index):
        """As ``rule(*index)``."""
        return [self.m.x[(*index, 0)], self.m.x[(*index, 1)]]

    def inputs(self, m, i, j):
        """As Pyomo's rules are."""
        return [m.x[i, j, 0], m.x[i, j, 1]]


def with_extra(m, i, j, order):
    """A rule with an argument that functools.partial fills."""
    return [m.x[i, j, k] for k in order]


RULES = {
    "the index": lambda m: lambda i, j: [m.x[i, j, 0], m.x[i, j, 1]],
    "the model and the index": lambda m: lambda m, i, j: [m.x[i, j, 0], m.x[i, j, 1]],
    "a default": lambda m: lambda i, j, k=0: [m.x[i, j, k], m.x[i, j, 1 - k]],
    "any number": lambda m: lambda *ij: [m.x[(*ij, 0)], m.x[(*ij, 1)]],
    "a bound method": lambda m: Plant(m).inputs,
    "a bound method of the index": lambda m: Plant(m).by_index,
    "a partial function": lambda m: functools.partial(with_extra, order=(0, 1)),
    "a slice": lambda m: lambda m, i, j: m.x[i, j, :],
    "a mapping": lambda m: {ij: [m.x[(*ij, 0)], m.x[(*ij, 1)]] for ij in m.I},
}


@pytest.mark.parametrize("rule", RULES)
def test_rules_of_an_indexed_block(rule):
    m = pyo.ConcreteModel()
    m.I = pyo.Set(initialize=[("a", 1), ("b", 2)])
    m.x = pyo.Var(m.I, [0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(m.I, network=two_two_one(), inputs=RULES[rule](m))
    for i, j in m.I:
        names = [v.name for v in m.nn[i, j].input_vars()]
        assert names == [f"x[{i},{j},0]", f"x[{i},{j},1]"]


def test_every_keyword_takes_rules_in_both_forms():
    for with_model in (True, False):

        def rule(f, with_model=with_model):
            return (lambda m, t: f(t)) if with_model else f

        m = pyo.ConcreteModel()
        m.x = pyo.Var([1, 2], [0, 1], bounds=(-1, 1))
        m.y = pyo.Var([1, 2])
        m.nn = ReLUNetworkBlock(
            [1, 2],
            network=rule(lambda t: chain([2, 3, 1], seed=t)),
            inputs=rule(lambda t: m.x[t, :]),
            outputs=rule(lambda t: m.y[t]),
            input_scaling=rule(lambda t: (0.0, float(t))),
            output_scaling=rule(lambda t: (1.0, 2.0 * t)),
        )
        for t in (1, 2):
            m.nn[t].initialize([0.5, -0.25])
            inner = chain([2, 3, 1], seed=t).forward(np.array([0.5, -0.25]) / t)
            assert m.y[t].value == pytest.approx(1.0 + 2.0 * t * inner[0])


def test_rules_of_a_scalar_block_and_of_a_block_within_a_block():
    m = pyo.ConcreteModel()
    m.b = pyo.Block([1, 2])
    for b in m.b.values():
        b.x = pyo.Var([0, 1], bounds=(-1, 1))
        b.nn = ReLUNetworkBlock(network=two_two_one(), inputs=lambda b: b.x)
        assert b.nn.input_vars()[0] is b.x[0]
    m.nn = ReLUNetworkBlock(network=lambda m: two_two_one(), inputs=lambda: m.b[1].x)
    assert m.nn.input_vars()[1] is m.b[1].x[1]


def test_rules_in_an_abstract_model():
    m = pyo.AbstractModel()
    m.T = pyo.Set(initialize=[1, 2])
    m.x = pyo.Var(m.T, [0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(
        m.T, network=two_two_one(), inputs=lambda m, t: [m.x[t, 0], m.x[t, 1]]
    )
    made = m.create_instance()
    assert made.nn[2].input_vars()[0] is made.x[2, 0]


@pytest.mark.parametrize("keyword", ["inputs", "outputs", "network", "input_scaling"])
def test_rules_of_the_wrong_signature(keyword):
    m = pyo.ConcreteModel()
    kwds = {"network": two_two_one(), keyword: lambda a, b, c, d: None}
    with pytest.raises(ModelError, match=rf"{keyword}= takes .* rule, f\(m, index\)"):
        m.nn = ReLUNetworkBlock([1], **kwds)
    with pytest.raises(ModelError, match=rf"{keyword}= takes .* rule, f\(m\)"):
        m.nn = ReLUNetworkBlock(**kwds)


def test_what_a_rule_raises_passes_through():
    m = pyo.ConcreteModel()
    with pytest.raises(ZeroDivisionError):
        m.nn = ReLUNetworkBlock([1], network=two_two_one(), inputs=lambda t: 1 / 0)


# -- positions and keywords --------------------------------------------------------


@pytest.mark.parametrize("given", ["file.onnx", b"x", two_two_one()], ids=type)
def test_a_network_by_position(given):
    for args in ((given,), ([1, 2], given)):
        with pytest.raises(ModelError, match=r"Write ReLUNetworkBlock\(network="):
            ReLUNetworkBlock(*args)


def test_vars_by_position():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1])
    with pytest.raises(ModelError, match="this belongs to inputs="):
        m.nn = ReLUNetworkBlock(m.x, network=two_two_one())


@pytest.mark.parametrize(
    "wrong, right",
    [
        ("input", "inputs"),
        ("output_scale", "output_scaling"),
        ("Network", "network"),
        ("net", "network"),
    ],
)
def test_close_keywords(wrong, right):
    m = pyo.ConcreteModel()
    kwds = {"network": two_two_one(), wrong: 1}
    with pytest.raises(ModelError) as caught:
        m.nn = ReLUNetworkBlock(**kwds)
    assert f"unknown keyword '{wrong}'. Did you mean '{right}'? " in str(caught.value)
    assert "ReLUNetworkBlock takes network, inputs, outputs," in str(caught.value)


# -- methods of an indexed block ---------------------------------------------------


def indexed():
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(["a", "b"], network=two_two_one())
    for block in m.nn.values():
        for var in block.input_vars():
            var.setlb(-1)
            var.setub(1)
    return m


def test_initialize_and_forward_error_of_an_indexed_block():
    m = indexed()
    m.nn.initialize({"a": [0.5, 0.25], "b": {0: 1.0, 1: -1.0}})
    assert m.nn["a"].outputs[0].value == pytest.approx(2 * 0.75 - 0.25)
    assert m.nn["b"].outputs[0].value == pytest.approx(-2.0)
    assert m.nn.forward_error() == pytest.approx(0.0, abs=1e-12)
    m.nn["b"].outputs[0] = -1.5
    assert m.nn.forward_error() == pytest.approx(0.5)
    m.nn.initialize({"a": [0.0, 1.0]})  # b starts from its inputs' values
    assert m.nn["a"].inputs[1].value == 1.0
    assert m.nn.forward_error() == pytest.approx(0.0, abs=1e-12)
    m.nn["b"].outputs[0] = 7.0
    m.nn["b"].deactivate()
    assert m.nn.forward_error() == pytest.approx(0.0, abs=1e-12)


def test_initialize_of_an_indexed_block_after_a_formulation():
    m = indexed()
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    m.nn.initialize({i: [0.5, -0.5] for i in m.nn})
    for row in m.component_data_objects(pyo.Constraint, active=True):
        assert row.slack() >= -1e-9


def test_summary_of_an_indexed_block():
    text = indexed().nn.summary()
    assert "nn[a]" in text and "nn[b]" in text and text.count("formulation: ") == 2


def test_wrong_points_for_an_indexed_block():
    m = indexed()
    with pytest.raises(ModelError, match="mapping from the block's index"):
        m.nn.initialize([0.0, 1.0])
    with pytest.raises(ModelError, match="no member 'c'"):
        m.nn.initialize({"c": [0.0, 1.0]})
    with pytest.raises(ModelError, match=r"nn\[b\]: the point has 1 entry"):
        m.nn.initialize({"a": [0.0, 1.0], "b": [1.0]})
    assert m.nn["a"].inputs[0].value is None  # nothing is set unless all can be
    with pytest.raises(
        ModelError, match=r"nn\[b\]: input 'nn\[b\].inputs\[0\]' has no"
    ):
        m.nn.initialize({"a": [0.0, 1.0]})


def test_an_indexed_block_without_members():
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(pyo.Set(initialize=[]), network=two_two_one())
    m.nn.initialize()
    assert m.nn.forward_error() == 0.0 and m.nn.summary() == ""


def test_clones_and_pickles_keep_the_methods():
    m = indexed()
    again = m.clone()
    again.nn.initialize({"a": [0.5, 0.25], "b": [0.0, 0.0]})
    assert again.nn.forward_error() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_vars_of_all_members_given_to_each_are_refused_with_a_rule(side):
    m = pyo.ConcreteModel()
    m.v = pyo.Var([1, 2, 3], [0, 1], bounds=(-1, 1))
    with pytest.raises(ModelError, match=rf"nn\[1\]: .*{side}=lambda i: \[\.\.\.\]"):
        m.nn = ReLUNetworkBlock([1, 2], network=two_two_one(), **{side: m.v})


def test_what_is_not_built_yet_is_said():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    loose = ReLUNetworkBlock(network=two_two_one(), inputs=m.x)
    abstract = pyo.AbstractModel()
    abstract.nn = ReLUNetworkBlock(network=two_two_one())
    for block in (loose, abstract.nn):
        for name in ("outputs", "network", "pre"):
            with pytest.raises(
                MissingPartError, match=r"not built.*m\.nn = .*create_inst"
            ):
                getattr(block, name)
            assert not hasattr(block, name)
        with pytest.raises(MissingPartError, match="not built"):
            block.summary()
    m.nn = loose
    assert loose.outputs[0] is m.nn.outputs[0]
    assert abstract.create_instance().nn.network is not None
    with pytest.raises(AttributeError, match="no attribute 'output'$"):
        _ = m.nn.output


def test_what_only_members_have_is_said():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(["a"], network=two_two_one(), inputs=lambda i: m.x)
    with pytest.raises(AttributeError, match=r"write nn\['a'\]\.outputs"):
        _ = m.nn.outputs
    with pytest.raises(AttributeError, match="no attribute 'output'$"):
        _ = m.nn.output
    assert not hasattr(m.clone().nn, "outputs")
