"""What a block says about one neuron, prints and writes in LaTeX, against its rows."""

import io
import math
import pickle
import re

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.core.base.block import Block
from pyomo.gdp import Disjunct

from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.block.display.row_text import number_latex, number_text, sum_text
from pyomo_relu.errors import ModelError
from tests.networks import chain, residual
from tests.thinned import thinned
from tests.transform.battery import FORMULATIONS

TRANSFORM = pyo.TransformationFactory


def model(network=None, formulation=None, **options):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(["a", "b"], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=network or residual(), inputs=m.x)
    m.cost = pyo.Objective(expr=m.nn.outputs[0])
    if formulation is not None:
        TRANSFORM(formulation).apply_to(m, **options)
    return m


def neurons(block):
    return [
        (k, i)
        for k, layer in enumerate(block.network.activation_layers)
        for i in range(layer.size)
    ]


# -- one neuron ----------------------------------------------------------------------


def test_facts_are_those_of_the_network_and_its_bounds():
    m = model()
    bounds, network = m.nn.neuron_bounds(), m.nn.network
    sources = {"x[a]": 0, "x[b]": 1}
    for k, i in neurons(m.nn):
        found = m.nn.explain(k, i)
        layer = network.layers[k]
        assert (found.lower, found.upper) == (bounds.lower[k][i], bounds.upper[k][i])
        assert found.source == bounds.source[k][i] == "interval"
        assert found.bias == layer.bias[i] and found.ceiling == layer.ceilings[i]
        assert (found.pre, found.post) == (f"pre[{k},{i}]", f"post[{k},{i}]")
        if k == 0:
            assert found.weights == {
                n: layer.weights[0][i, j] for n, j in sources.items()
            }
        else:
            wanted = {f"post[0,{j}]": w for j, w in enumerate(layer.weights[0][i])}
            wanted |= {f"pre[0,{j}]": w for j, w in enumerate(layer.weights[1][i])}
            assert found.weights == wanted
        states = {
            "active": bounds.active(k)[i],
            "inactive": bounds.inactive(k)[i],
            "at ceiling": bounds.at_ceiling(k)[i],
            "unstable": bounds.unstable(k)[i],
        }
        assert [s for s, holds in states.items() if holds] == [found.state]
    output = m.nn.explain(2, 0)
    assert output.state == "output" and output.post is None
    assert output.pre == "outputs[0]"
    assert "output: no activation" in str(output)


def test_all_states_are_named():
    network = Network.sequential(
        [[[1.0], [1.0], [1.0], [1.0]], np.ones((1, 4))],
        [[0.0, 2.0, -2.0, 5.0], [0.0]],
        [[math.inf, math.inf, math.inf, 3.0]],
    )
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(network=network)
    assert m.nn.explain(0, 1).state == "unknown" and m.nn.explain(0, 1).lower is None
    assert "an input is unbounded" in str(m.nn.explain(0, 1))
    m.nn.inputs[0].setlb(-1)
    m.nn.inputs[0].setub(1)
    states = [m.nn.explain(0, i).state for i in range(4)]
    assert states == ["unstable", "active", "inactive", "at ceiling"]
    assert "post[0,3] = 3 wherever" in str(m.nn.explain(0, 3))
    assert "min(max(0, pre[0,3]), 3)" in str(m.nn.explain(0, 3))


def test_without_a_formulation_the_exact_row_is_shown():
    found = model(chain([2, 3, 1])).nn.explain(0, 1)
    assert found.formulation is None
    assert [row.label for row in found.rows] == ["weights", "activation"]
    assert "abs(pre[0,1])" in str(found)


@pytest.mark.parametrize("formulation", thinned(FORMULATIONS, 8), ids=str)
def test_every_row_of_a_formulation_belongs_to_one_neuron(formulation):
    m = model()
    formulation.apply(m)
    encoding = m.nn.record.encoding
    written = sum(
        row.active for row in encoding.reformulation.component("rows").values()
    )
    shown = 0
    for k, i in neurons(m.nn):
        found = m.nn.explain(k, i)
        assert found.formulation == encoding.formulation.NAME
        assert "_pyomo_relu" not in str(found), str(found)
        labels = [row.label for row in found.rows]
        own = [label for label in labels if label in _labels(encoding, k, i)]
        shown += len(own)
        if found.state == "unstable" and not formulation.leaves_out:
            assert {"weights", "affine"} & set(labels) and len(labels) > 1
    assert shown == written


def _labels(encoding, k, i):
    rows = encoding.reformulation.component("rows")
    return {
        ",".join(map(str, index[2:]))
        for index in rows
        if index[:2] == (k, i) and rows[index].active
    }


@pytest.mark.parametrize(
    "formulation", ["relu.bigm", "relu.clipped", "relu.partition", "relu.scaled"]
)
def test_rows_as_text_say_what_the_rows_say(formulation):
    """At points off the graph too: each side's value agrees up to the rounding."""
    m = model(None, formulation)
    rng = np.random.default_rng(1)
    for var in m.component_data_objects(pyo.Var, descend_into=(Block, Disjunct)):
        var.set_value(rng.uniform(-2, 2), skip_validation=True)
    names = {v.name: v.value for v in m.component_data_objects(pyo.Var)}
    prefix = f"{m.nn.record.encoding.reformulation.name}."
    short = {n.replace(prefix, "").replace("nn.", ""): v for n, v in names.items()}
    rows = m.nn.record.encoding.reformulation.component("rows")
    for index, row in rows.items():
        shown = m.nn.explain(*index[:2]).rows
        label = ",".join(map(str, index[2:]))
        (text,) = (r.text for r in shown if r.label == label)
        body, relation, side = re.fullmatch(r"(.*) (<=|>=|=) (\S+)", text).groups()
        value = _evaluated(body, short)
        right = row.ub if relation == "<=" else row.lb
        slack = pyo.value(row.body) - right
        assert value - float(side) == pytest.approx(slack, abs=0.02), text
        assert (relation == "=") == (row.lb == row.ub)


def _evaluated(body, values):
    total = 0.0
    for sign, coefficient, name in re.findall(
        r"(^|[+-] |-)?\s*([\d.e+-]+\*)?(\w+\[[^\]]*\])", body
    ):
        number = float(coefficient[:-1]) if coefficient else 1.0
        total += (-1 if "-" in sign else 1) * number * values[name]
    return total


def test_rows_that_gdp_made_of_disjuncts_are_shown():
    m = model(chain([2, 3, 1]), "relu.gdp")
    unstable = np.flatnonzero(m.nn.neuron_bounds().unstable(0))
    found = m.nn.explain(0, unstable[0])
    assert sum("binary_indicator_var" in row.text for row in found.rows) == 2


def test_given_big_m_is_named():
    m = model(chain([2, 3, 1]), "relu.bigm", bigM=50)
    texts = [str(m.nn.explain(0, i)) for i in range(3)]
    bounds = m.nn.record.encoding
    assert bool(bounds.given) == any("was given" in text for text in texts)


def test_wrong_positions_name_the_range():
    m = model()
    for layer in (3, -1, "a", 1.5, None):
        with pytest.raises(ModelError, match=r"counted from 0 to 2, and 2 holds the"):
            m.nn.explain(layer, 0)
    for neuron in (4, -1, "a"):
        with pytest.raises(ModelError, match="no neuron .* in layer 1; .* 0 to 3"):
            m.nn.explain(1, neuron)
    with pytest.raises(ModelError, match="in the output layer; its 1 neuron"):
        m.nn.explain(2, 1)
    assert m.nn.explain(np.int64(1), np.int32(2)).neuron == 2


def test_explanations_are_plain_records():
    m = model(None, "relu.bigm")
    found = m.nn.explain(1, 0)
    assert pickle.loads(pickle.dumps(found)) == found
    assert m.clone().nn.explain(1, 0) == found
    assert "<table" in found._repr_html_() and "pre[1,0]" in found._repr_html_()


def test_long_sums_say_how_much_they_leave_out():
    terms = [(float(j + 1), (f"x{j}",)) for j in range(20)]
    assert sum_text(terms, str).endswith("+ 12*x11 + ... (8 more terms)")
    assert sum_text(terms[:13], str).endswith("+ 13*x12")
    assert sum_text([], str) == "0" and sum_text([(0.0, ("x",))], str, -2.0) == "-2"
    assert sum_text([(-1.0, ("x",)), (1e-7, ("y",))], str) == "-x + 1e-07*y"


@pytest.mark.parametrize(
    "number, text, latex",
    [
        (-0.0, "0", "0"),
        (2.00001, "2", "2"),
        (1.23456e-7, "1.235e-07", r"1.235 \cdot 10^{-7}"),
        (math.inf, "inf", r"\infty"),
    ],
)
def test_numbers(number, text, latex):
    assert (number_text(number), number_latex(number)) == (text, latex)


# -- the whole network ---------------------------------------------------------------


def printed(component, **options):
    out = io.StringIO()
    component.pprint(ostream=out, **options)
    return out.getvalue()


def test_pprint_is_short_and_verbose_is_pyomos():
    m = model(chain([2, 20, 20, 1]), "relu.bigm")
    text = printed(m.nn)
    assert len(text.splitlines()) < 60 and "28 more neurons" in text
    assert "pre[0,0] = " in text and "active: post[0," in text
    assert "relu.bigm (" in text and text.splitlines()[0] == "nn : Active=True"
    assert all(line in printed(m) for line in text.splitlines()[:5])
    full = printed(m.nn, verbose=True)
    assert "Var Declarations" in full and len(full.splitlines()) > 200
    plain = Block.pprint
    out = io.StringIO()
    plain(m.nn, ostream=out)
    assert out.getvalue() == full


def test_pprint_of_small_networks_shows_all():
    m = model(chain([2, 2, 1]))
    text = printed(m.nn, prefix="> ")
    assert "more" not in text and text.count("= max(0, pre[0,") == 2
    assert all(line.startswith("> ") for line in text.splitlines())
    assert "outputs[0] = " in text


def test_pprint_of_indexed_and_abstract_blocks():
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock([1, 2], network=chain([2, 2, 1]))
    text = printed(m.nn)
    assert "nn : Size=2" in text and "nn[1] : Active" in text and "nn[2] :" in text
    assert "no bounds" in text
    assert "Var Declarations" in printed(m.nn, verbose=True)
    abstract = pyo.AbstractModel()
    abstract.nn = ReLUNetworkBlock(network=chain([2, 2, 1]))
    assert "Not constructed" in printed(abstract)


@pytest.mark.parametrize("formulation", thinned([None, *FORMULATIONS], 4), ids=str)
def test_latex_is_what_mathtext_takes(formulation):
    mathtext = pytest.importorskip("matplotlib.mathtext")
    m = model()
    if formulation is not None:
        formulation.apply(m)
    text = m.nn.latex()
    head, *lines, tail = text.replace(" \\\\\n", "\n").splitlines()
    assert (head, tail) == (r"\begin{aligned}", r"\end{aligned}")
    parser = mathtext.MathTextParser("path")
    for line in lines:
        assert line.replace(r"\&", "").count("&") == 1, line
        parser.parse(f"${line.replace('&', '')}$")
    assert any(line.startswith("v_{0,0} &= ") for line in lines)
    assert any(line.startswith("y_{0} &= ") for line in lines)


def test_latex_of_one_neuron():
    network = Network.sequential([[[1.0, 2.0]], [[1.0]]], [[1.0], [0.0]])
    m = model(network, "relu.bigm")
    assert m.nn.explain(0, 0).latex().splitlines() == [
        r"\begin{aligned}",
        r"v_{0,0} &= x_{0} + 2\,x_{1} + 1 \\",
        r"x_{0,0} &= \max(0, v_{0,0}) \\",
        r"-2 &\leq v_{0,0} \leq 4 \\",
        r"& x_{0,0} - v_{0,0} \geq 0 \\",
        r"& x_{0,0} - v_{0,0} + 2\,z_{0,0} \leq 2 \\",
        r"& x_{0,0} - 4\,z_{0,0} \leq 0 \\",
        r"z_{0,0} &\in \{0, 1\}",
        r"\end{aligned}",
    ]
    assert r"\vdots" in model(chain([2, 20, 20, 1])).nn.latex()
