"""Counts in messages and reports: one row, two rows."""

import ast
import itertools
import re

import pyomo.environ as pyo
import pytest

from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.common.wording import counted, meant
from tests.paths import ROOT
from tests.transform.battery import FORMULATIONS

#: What messages and reports count.
NOUNS = (
    "inputs|outputs|neurons|layers|rows|columns|binaries|entries|indicators|networks|"
    "Vars|points|boxes|MILPs|solves|rounds|weights|ceilings|biases|matrices|variables"
)
#: Never one: a licence's or a solver's limit, or several by the sense of the message.
ALWAYS_MANY = (
    "analysis/effort/solvers",
    "bounds/obbt/whole_model",
    "bounds/relaxation/model",
    "linear/model",
    "linear/sessions/",
    "network/onnx/",
)


@pytest.mark.parametrize(
    "noun, many",
    [
        ("row", "rows"),
        ("binary", "binaries"),
        ("box", "boxes"),
        ("weight matrix", "weight matrices"),
        ("bias", "biases"),
        ("SOS1 set", "SOS1 sets"),
        ("more neuron", "more neurons"),
    ],
)
def test_counted(noun, many):
    assert counted(1, noun) == f"1 {noun}"
    assert (counted(0, noun), counted(2, noun)) == (f"0 {many}", f"2 {many}")


def test_meant():
    assert meant("bigm", ["bigM", "targets"]) == " Did you mean 'bigM'?"
    assert meant("zzz", ["bigM", "targets"]) == ""


def test_no_count_is_followed_by_a_plural_of_its_own():
    """The one way to write a count is ``counted``."""
    pattern = re.compile(rf" ([a-z]+ )?({NOUNS})\b")
    found = []
    package = ROOT / "pyomo_relu"
    for path in package.rglob("*.py"):
        if path.relative_to(package).as_posix().startswith(ALWAYS_MANY):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.JoinedStr):
                continue
            for count, text in itertools.pairwise(node.values):
                counts = isinstance(count, ast.FormattedValue) and re.search(
                    r"len\(|\.size|n_[a-z]+|count", ast.unparse(count)
                )
                if counts and isinstance(text, ast.Constant):
                    match = pattern.match(text.value)
                    found += [f"{path.name}:{count.lineno} {match[0]}"] if match else []
    assert not found


@pytest.mark.parametrize("formulation", FORMULATIONS, ids=str)
def test_summaries_of_a_network_of_one_of_each(formulation):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(
        network=Network.sequential([[[1.0]], [[1.0]]], [[0.0], [0.0]]), inputs=m.x
    )
    text = m.nn.summary()
    formulation.apply(m)
    text += m.nn.summary() + repr(m.nn.network.layers[0]) + repr(m.nn.neuron_bounds())
    assert "1 input, 1 output, 1 neuron in 1 layer (" in text
    assert not re.search(rf"\b1 ([A-Za-z0-9]+ )?({NOUNS}|sets|cells)\b", text), text
