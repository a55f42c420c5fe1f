"""Messages that the troubleshooting page quotes: ours are in the source, others happen."""

import ast
import functools
import re

import pyomo.environ as pyo
import pytest
from pyomo.gdp import Disjunct, Disjunction

from pyomo_relu import ReLUNetworkBlock
from tests.docs.site import PAGES
from tests.networks import chain
from tests.paths import ROOT

_, THEIRS, OURS = re.split(
    r"^## From Pyomo and from solvers$|^## Reading a network$",
    PAGES["troubleshooting"].read_text(encoding="utf-8"),
    flags=re.MULTILINE,
)


def quoted(text):
    """The messages that are headings."""
    return re.findall(r"^### `(.*)`$", text, re.MULTILINE)


def _text(node):
    """A string expression's text, with a hole for what is filled in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    return "\0"


@functools.cache
def texts():
    """Every string of the package's source."""
    found = set()
    for path in (ROOT / "pyomo_relu").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp)):
                found.add(_text(node))
    return found


def occurs(message):
    """Whether the message's fixed parts stand in one text, in order."""
    parts = [re.escape(part.strip(" '")) for part in message.split("…")]
    pattern = re.compile(".*?".join(filter(None, parts)), re.DOTALL)
    return any(pattern.search(text) for text in texts())


@pytest.mark.parametrize("message", quoted(OURS))
def test_our_messages_are_in_the_source(message):
    assert occurs(message)


def test_a_message_that_is_nowhere_is_noticed():
    assert not occurs("no network given. Please pass network=")
    assert not occurs("cuts off … unknown keyword …")


@pytest.mark.parametrize("message", quoted(OURS))
def test_our_messages_have_a_remedy_or_say_what_happened(message):
    entry = OURS.partition(f"### `{message}`")[2].partition("###")[0]
    assert "**Cause**" in entry or "**Remedy**" in entry


def one_network(where):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    if where == "Disjunct":
        m.on, m.off = Disjunct(), Disjunct()
        m.on.nn = ReLUNetworkBlock(network=chain([2, 3, 1]), inputs=m.x)
        m.either = Disjunction(expr=[m.on, m.off])
    else:
        m.nn = ReLUNetworkBlock(network=chain([2, 3, 1]), inputs=m.x)
        m.cost = pyo.Objective(expr=m.nn.outputs[0])
    return m


def without_transformation():
    pyo.SolverFactory("appsi_highs").solve(one_network("model"))


def by_lp_file():
    pyo.SolverFactory("gurobi").solve(one_network("model"))


def in_standard_form():
    pyo.SolverFactory("gurobi_direct_v2").solve(one_network("model"))


def gdp_first():
    pyo.TransformationFactory("gdp.bigm").apply_to(one_network("Disjunct"))


def infeasible():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.row = pyo.Constraint(expr=m.x >= 2)
    m.cost = pyo.Objective(expr=m.x)
    pyo.SolverFactory("appsi_highs").solve(m)


def no_value():
    pyo.value(one_network("model").nn.outputs[0])


def sets_on_highs():
    m = one_network("model")
    pyo.TransformationFactory("relu.sos1").apply_to(m)
    pyo.SolverFactory("appsi_highs").solve(m)


def reversed_on_a_clone():
    m = one_network("model")
    token = pyo.TransformationFactory("relu.bigm").apply_to(m)
    pyo.TransformationFactory("relu.bigm").apply_to(m.clone(), reverse=token)


def reserved_name():
    m = pyo.ConcreteModel()
    m.load = pyo.Var()


@pytest.mark.parametrize(
    "what, message",
    [
        (without_transformation, "expressions of degree None"),
        (by_lp_file, "nonlinear terms that cannot be written to LP format"),
        (in_standard_form, "that cannot be compiled to standard (linear) form"),
        (gdp_first, "Cannot estimate M for unbounded expressions"),
        (infeasible, "A feasible solution was not found, so no solution can be loaded"),
        (
            reserved_name,
            "Attempting to declare a block component using the name of a reserved attribute",
        ),
        (sets_on_highs, "Highs interface does not support SOS constraints"),
        (reversed_on_a_clone, "Sorry, mouse, no cookies here!"),
        (no_value, "No value for uninitialized VarData object"),
    ],
)
def test_their_messages_happen(what, message):
    assert message in " ".join(THEIRS.split())
    with pytest.raises(Exception, match=re.escape(message)):
        what()
