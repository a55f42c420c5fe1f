"""Tables in notebooks: escaped, accessible, and readable in any theme."""

import math
import re
from html.parser import HTMLParser

import pyomo.environ as pyo
import pytest

from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.analysis import big_m_statistics, count_regions, stability
from pyomo_relu.bounds import interval_bounds, tighten
from pyomo_relu.branch.branch import branch
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.common.html import MOST_ROWS, table_html
from pyomo_relu.search import find_point

HOSTILE = '<script>alert("x")</script> & co'


class Reader(HTMLParser):
    """Checks that tags are closed in order, and keeps cells and captions."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.cells, self.captions = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)
        elif self.open and self.open[-1] == "caption":
            self.captions.append(data)


def checked(text):
    """A Reader of it, if it keeps what all tables keep."""
    read = Reader(text)
    tags = [tag for tag, _ in read.tags]
    assert "script" not in tags and tags.count("table") == 1
    assert len(read.captions) == 1 and read.captions[0].strip()
    heads = [attributes.get("scope") for tag, attributes in read.tags if tag == "th"]
    assert all(scope in ("col", "row") for scope in heads)
    styles = " ".join(attributes.get("style", "") for _, attributes in read.tags)
    assert not re.search(r"#[0-9a-f]{3}|rgb|background|(?<!-)\bcolor:", styles, re.I)
    assert len(text) < 20_000
    return read


def network(name="net"):
    return Network.sequential(
        [[[1.0, -1.0], [0.5, 1.0]], [[1.0, -2.0]]], [[0.1, -0.2], [0.3]], name=name
    )


def model(name="net"):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=network(name), inputs=m.x)
    m.cost = pyo.Objective(expr=m.nn.outputs[0])
    return m


def test_text_is_escaped_and_numbers_are_rounded():
    read = checked(table_html(["a", HOSTILE], [[HOSTILE, 1 / 3], [None, 2]], HOSTILE))
    assert read.cells == ["a", HOSTILE, HOSTILE, "0.3333", "-", "2"]
    assert read.captions == [HOSTILE]


def test_long_tables_say_what_they_leave_out():
    text = table_html(["n"], [[n] for n in range(MOST_ROWS + 7)], "numbers")
    assert checked(text).cells == ["n", *map(str, range(MOST_ROWS))]
    assert "... and 7 more" in text


def test_networks_bounds_and_statistics():
    net = network(HOSTILE)
    bounds, statistics = tighten(net, [-1, -1], [1, 1])
    for thing in (
        net,
        bounds,
        statistics,
        stability({"a": bounds}),
        big_m_statistics({HOSTILE: bounds}),
        count_regions(net, -1, 1),
    ):
        checked(thing._repr_html_())
    cells = checked(net._repr_html_()).cells
    assert cells[:5] == ["layer", "neurons", "activation", "reads", "nonzero weights"]
    assert cells[5:10] == ["0 layer 0", "2", "relu", "inputs", "4"]
    rows = checked(bounds._repr_html_()).cells[6:]
    assert rows[1] == "2" and float(rows[3]) == pytest.approx(
        bounds.mean_width(0), rel=1e-3
    )


def test_text_and_html_of_a_report_have_the_same_cells():
    report = stability({"interval": interval_bounds(network(), [-1, -1], [1, 1])})
    words = set(str(report).split())
    assert all(
        set(cell.split()) <= words for cell in checked(report._repr_html_()).cells
    )


@pytest.mark.parametrize("formulation", [None, "relu.bigm", "relu.cells"])
def test_blocks(formulation):
    m = model(HOSTILE)
    if formulation is not None:
        pyo.TransformationFactory(formulation).apply_to(m)
    text = m.nn._repr_html_()
    assert checked(text).cells[6] == "0"
    assert (formulation or "none (exact nonlinear rows)") in text
    m.x.setub(None)
    assert "bounds: none" in m.nn._repr_html_()
    checked(m.nn._repr_html_())


def test_indexed_blocks():
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(range(MOST_ROWS + 3), network=network(HOSTILE))
    for x in m.nn[1].input_vars():
        x.setlb(-1)
        x.setub(1)
    read = checked(m.nn._repr_html_())
    assert read.captions == [f"nn: {MOST_ROWS + 3} network blocks"]
    assert read.cells[5:10] == ["nn[0]", HOSTILE, "none", "2", "-"]
    assert read.cells[14] == str(m.nn[1].neuron_bounds().n_stable)
    assert "... and 3 more" in m.nn._repr_html_()


def test_blocks_that_hold_nothing():
    m = pyo.AbstractModel()
    m.nn = ReLUNetworkBlock(network=network())
    assert m.nn._repr_html_() is None  # a notebook then shows its text
    m = model()
    m.one = ReLUNetworkBlock([], network=network())
    checked(m.one._repr_html_())


def test_search_branch_and_solver_results():
    m = model(HOSTILE)
    found = find_point(m, time_limit=None, max_rounds=1)
    cells = checked(found._repr_html_()).cells
    assert float(cells[cells.index("objective") + 1]) == pytest.approx(found.objective)
    assert "inputs of nn" in cells
    result = branch(read_model(m).problem)
    cells = checked(result._repr_html_()).cells
    assert cells[cells.index("status") + 1] == "optimal"
    for solver in ("relu", "relu.branch", "relu.decompose"):
        results = pyo.SolverFactory(solver).solve(m)
        cells = checked(results._repr_html_()).cells
        best = float(cells[cells.index("best value") + 1])
        assert best == pytest.approx(results.problem.upper_bound)
    m.never = pyo.Constraint(expr=m.x[0] >= 2)
    results = pyo.SolverFactory("relu.branch").solve(m)
    cells = checked(results._repr_html_()).cells
    assert "infeasible" in cells and math.isinf(float(cells[5]))
