"""The order of Vars given to a block: the modeller's, the network's, or refused."""

import subprocess
import sys

import pyomo.environ as pyo
import pytest
from pyomo.common.collections import ComponentSet

from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.errors import ModelError
from tests.networks import chain, two_two_one
from tests.paths import ROOT


def with_sets():
    m = pyo.ConcreteModel()
    m.loose = pyo.Set(initialize=["b", "a"], ordered=False)
    m.listed = pyo.Set(initialize=["b", "a"])
    m.sorted = pyo.Set(initialize={"b", "a"}, ordered=pyo.Set.SortedOrder)
    m.two = pyo.Set(initialize=[7, 5])
    m.of_a_set = pyo.Set(initialize={"b", "a"})
    m.own = pyo.Set(initialize=[1, 0], ordered=False)
    return m


def vars_over(m, *index):
    m.x = pyo.Var(*index, bounds=(-1, 1))
    return m.x


def members_made(m, *indices):
    m.x = pyo.Var(pyo.Any, dense=False)
    for i in indices:
        m.x[i].setub(1)
    return m.x


def blocks_over(m, index):
    m.b = pyo.Block(index, rule=lambda b, _: setattr(b, "x", pyo.Var(bounds=(-1, 1))))
    return m.b[:].x


def one_each(m, kind):
    """Indexed Vars can be hashed, VarData cannot."""
    m.p, m.q = pyo.Var([0]), pyo.Var([0])
    return kind([m.p, m.q])


#: What has no order, by name; each a function of the model.
WITHOUT_ORDER = {
    "Set(ordered=False)": lambda m: vars_over(m, m.loose),
    "set": lambda m: vars_over(m, {"a", "b"}),
    "frozenset": lambda m: vars_over(m, frozenset("ab")),
    "SetOf(set)": lambda m: vars_over(m, pyo.SetOf({"a", "b"})),
    "Set of a set": lambda m: vars_over(m, pyo.Set(initialize={"a", "b"})),
    "Set of a Set of a set": lambda m: vars_over(m, pyo.Set(initialize=m.of_a_set)),
    "union": lambda m: vars_over(m, m.loose | m.loose),
    "product": lambda m: vars_over(m, m.loose, [0]),
    "product as one Set": lambda m: vars_over(m, pyo.Set(initialize=m.loose * [0])),
    "Reference": lambda m: pyo.Reference(vars_over(m, m.loose)),
    "Reference to a slice": lambda m: pyo.Reference(vars_over(m, m.loose, [0])[:, 0]),
    "slice": lambda m: vars_over(m, m.loose, [0, 1])[:, 0],
    "slice through blocks": lambda m: blocks_over(m, m.loose),
    "set of Vars": lambda m: one_each(m, set),
    "frozenset of Vars": lambda m: one_each(m, frozenset),
}

#: What has an order, and the names in that order.
WITH_ORDER = {
    "list": (lambda m: vars_over(m, ["b", "a"]), "x[b] x[a]"),
    "Set": (lambda m: vars_over(m, m.listed), "x[b] x[a]"),
    "sorted Set": (lambda m: vars_over(m, m.sorted), "x[a] x[b]"),
    "RangeSet": (lambda m: vars_over(m, pyo.RangeSet(3, 4)), "x[3] x[4]"),
    "own index": (lambda m: vars_over(m, m.own), "x[0] x[1]"),
    "product": (lambda m: vars_over(m, [0], m.listed), "x[0,b] x[0,a]"),
    "product, loose part fixed": (
        lambda m: vars_over(m, m.loose, m.two)["a", :],
        "x[a,7] x[a,5]",
    ),
    "Reference, loose part fixed": (
        lambda m: pyo.Reference(vars_over(m, m.loose, m.two)["a", :]),
        "x[a,7] x[a,5]",
    ),
    "slice through blocks": (lambda m: blocks_over(m, m.listed), "b[b].x b[a].x"),
    "list of members": (
        lambda m: [v[i] for v in [vars_over(m, m.loose)] for i in ("b", "a")],
        "x[b] x[a]",
    ),
    "Reference to a dict": (
        lambda m: pyo.Reference(
            {"p": vars_over(m, m.loose)["b"], "q": m.x["a"]}, ctype=pyo.Var
        ),
        "x[b] x[a]",
    ),
    "mapping by name": (
        lambda m: {1: vars_over(m, m.loose)["b"], 0: m.x["a"]},
        "x[a] x[b]",
    ),
    "ComponentSet": (
        lambda m: ComponentSet([vars_over(m, m.loose)["b"], m.x["a"]]),
        "x[b] x[a]",
    ),
    "set of one Var": (lambda m: {vars_over(m, ["a"])}, "x[a]"),
    "loose set of one": (
        lambda m: vars_over(m, pyo.Set(initialize=["a"], ordered=False)),
        "x[a]",
    ),
    "Any": (lambda m: members_made(m, "b", "a"), "x[b] x[a]"),
}


@pytest.mark.parametrize("name", WITHOUT_ORDER)
@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_what_has_no_order_is_refused(name, side):
    m = with_sets()
    given = WITHOUT_ORDER[name](m)
    before = list(m.component_map())
    with pytest.raises(ModelError) as refusal:
        m.nn = ReLUNetworkBlock(network=chain([2, 3, 2]), **{side: given})
    text = str(refusal.value)
    assert f"{side}=" in text and "list" in text
    if "of Vars" not in name:
        assert "'x'" in text or "'b'" in text
        assert "ordered=True" in text and "for i in (" in text
    assert list(m.component_map()) == before


def test_the_error_names_the_factor_without_order():
    m = with_sets()
    m.x = pyo.Var(m.two, m.loose)
    with pytest.raises(ModelError, match="'x' in the order of its index set 'loose'"):
        m.nn = ReLUNetworkBlock(network=chain([4, 3, 1]), inputs=m.x)


@pytest.mark.parametrize("name", WITH_ORDER)
def test_an_order_is_kept(name):
    m = with_sets()
    make, names = WITH_ORDER[name]
    names = names.split()
    m.nn = ReLUNetworkBlock(network=chain([len(names), 3, 1]), inputs=make(m))
    assert [v.name for v in m.nn.input_vars()] == names


def test_members_of_a_block_may_come_in_any_order():
    m = with_sets()
    m.x = pyo.Var(m.loose, [0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(
        m.loose, network=two_two_one(), inputs=lambda i: [m.x[i, 0], m.x[i, 1]]
    )
    assert m.nn["a"].input_vars()[1] is m.x["a", 1]


def test_several_tensors():
    m = with_sets()
    network = Network(
        chain([3, 4, 2]).layers, [("u", (1,)), ("s", (2,))], [("y", (2,))]
    )
    m.u = pyo.Var(["a"])
    m.s = pyo.Var(m.loose)
    for given in ({"s": m.s, "u": m.u}, [m.u, m.s], {m.u, m.s}):
        with pytest.raises(ModelError, match="order"):
            m.nn = ReLUNetworkBlock(network=network, inputs=given)


SCRIPT = """
import pyomo.environ as pyo
from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.errors import ReLUError
for make in (set, list, lambda t: pyo.Set(initialize=set(t))):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(make("fbdace"))
    try:
        m.nn = ReLUNetworkBlock(
            network=Network.sequential([[[1.0] * 6]], [[0.0]]), inputs=m.x
        )
        print("answer:", *(v.name for v in m.nn.input_vars()))
    except ReLUError:
        print("answer: refused")
"""


def test_the_answer_does_not_depend_on_the_hash_seed():
    answers = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for seed in ("1", "2", "3")
    ]
    for lines in answers:  # Pyomo logs what is refused
        assert [line for line in lines if line.startswith("answer:")] == [
            "answer: refused",
            "answer: x[f] x[b] x[d] x[a] x[c] x[e]",
            "answer: refused",
        ]
