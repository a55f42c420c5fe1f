"""``formulation``, ``formulation-picture``, ``formulation-table``: the gallery's parts.

All of them are made when the site is built, from what the formulations declare and from
the rows that they write for one neuron, ``y = max(0, x0 + 2 x1 + 1)`` on [-1, 1]^2.
"""

import ast
import contextlib
import io
import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyomo.environ as pyo
from docutils import nodes
from docutils.parsers.rst import directives
from pyomo.common.log import LoggingIntercept
from sphinx.util.docutils import SphinxDirective

from pyomo_relu.transform.declaration import PROBLEM_CLASSES, UNSTABLE, added
from pyomo_relu.transform.parts.one_neuron import one_neuron, show_rows
from pyomo_relu.transform.table import table

#: From a corner with v = 2 to the middle of the side on which v <= 0.
ENDS = np.array([[-1.0, 1.0], [0.0, -1.0]])
#: Colours that remain apart without red and green.
NEURON, SHOWN, OTHER = "#000000", "#0072B2", "#E69F00"


def declaration(name):
    """What a formulation declares, as a field list in Markdown."""
    cls = pyo.TransformationFactory.get_class(name)
    fields = [
        ("Use it for", cls.USE),
        (f"Adds per {UNSTABLE}", added(cls) or "as what it picks"),
        ("Takes a solver for", PROBLEM_CLASSES[cls.TAKES]),
        ("Exact", cls.EXACT),
        ("Source", cls.SOURCE),
    ]
    return "\n".join(f":{field}: {text}" for field, text in fields if text != "-")


def relaxed(name, options):
    """A function of a line's points: the least and largest output there.

    The relaxation that a solver begins with: binaries between 0 and 1, without SOS sets
    and without bilinear rows.
    """
    m = one_neuron()
    m.cost.sense = pyo.maximize
    with LoggingIntercept(module="pyomo.relu"):
        pyo.TransformationFactory(name).apply_to(m, **options)
    for row in m.component_data_objects(
        (pyo.Constraint, pyo.SOSConstraint), active=True
    ):
        if row.ctype is pyo.SOSConstraint or row.body.polynomial_degree() != 1:
            row.deactivate()
    pyo.TransformationFactory("core.relax_integer_vars").apply_to(m)

    def ends(points):
        found = []
        for point in points:
            for var, value in zip(m.nn.input_vars(), point, strict=True):
                var.fix(float(value))
            pair = []
            for sense in (pyo.minimize, pyo.maximize):
                m.cost.sense = sense
                pyo.SolverFactory("appsi_highs").solve(m)
                pair.append(pyo.value(m.cost))
            found.append(pair)
        return np.array(found).T

    return ends


def draw(name, options, path):
    """The relaxation along a line of inputs, beside that of big-M rows and the neuron."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    t = np.linspace(0, 1, 41)
    points = ENDS[0] + t[:, None] * (ENDS[1] - ENDS[0])
    true = np.maximum(0.0, points @ [1.0, 2.0] + 1.0)
    figure, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    lower, upper = relaxed(name, options)(points)
    axes.fill_between(t, lower, upper, color=SHOWN, alpha=0.35, lw=0, label=name)
    if name != "relu.bigm":
        _, bigm = relaxed("relu.bigm", {})(points)
        axes.plot(t, bigm, "--", color=OTHER, label="relu.bigm, upper side")
    axes.plot(t, true, color=NEURON, lw=2, label="the neuron")
    axes.set(
        xlabel="inputs, from (-1, 1) to (0, -1)",
        ylabel="output",
        xlim=(0, 1),
        ylim=(-0.1, 3),
    )
    axes.set_xticks([0, 0.5, 1], ["(-1, 1)", "(-0.5, 0)", "(0, -1)"])
    axes.legend(loc="upper right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


class WithOptions(SphinxDirective):
    """A formulation's name; its options are given as Python keywords."""

    required_arguments = 1
    option_spec: ClassVar = {
        "with": directives.unchanged,
        "inputs": directives.positive_int,
    }

    @property
    def keywords(self):
        """The options of the transformation."""
        call = ast.parse(f"f({self.options.get('with', '')})", mode="eval").body
        return {k.arg: ast.literal_eval(k.value) for k in call.keywords}

    @property
    def call(self):
        """How the transformation is applied, as code."""
        given = self.options.get("with", "")
        more = f", {given}" if given else ""
        return f'pyo.TransformationFactory("{self.arguments[0]}").apply_to(m{more})'


class Declared(WithOptions):
    """What a formulation declares."""

    def run(self):
        """As a field list."""
        return self.parse_text_to_nodes(declaration(self.arguments[0]))


class Rows(WithOptions):
    """The rows that a formulation writes for one neuron."""

    def run(self):
        """The call, and what it writes."""
        text = io.StringIO()
        quiet = LoggingIntercept(module="pyomo.relu")
        with contextlib.redirect_stdout(text), quiet:
            show_rows(self.arguments[0], self.options.get("inputs", 2), **self.keywords)
        shown = nodes.literal_block(text.getvalue(), text.getvalue().rstrip())
        shown["language"] = "text"
        call = nodes.literal_block(self.call, self.call)
        call["language"] = "python"
        return [call, shown]


class Picture(WithOptions):
    """The relaxation of one neuron under the same bounds as in every other picture."""

    def run(self):
        """Draw it beside the doctrees, and show it."""
        folder = Path(self.env.app.doctreedir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.arguments[0].replace('.', '_')}.png"
        draw(self.arguments[0], self.keywords, path)
        page = Path(self.env.doc2path(self.env.docname)).parent
        alt = f"Relaxation of one neuron by {self.arguments[0]}"
        image = nodes.image(uri=os.path.relpath(path, page), alt=alt)
        self.set_source_info(image)
        more = self.options.get("with", "")
        caption = (
            f"Outputs that the relaxation of {self.arguments[0]}"
            f"{f' with {more}' if more else ''} allows along a line of inputs. All "
            "formulations get the same bounds, -2 <= v <= 4."
        )
        return [nodes.figure("", image, nodes.caption("", caption))]


class Table(SphinxDirective):
    """README's table of formulations, without what is on each one's page."""

    def run(self):
        """The columns that ``pyomo_relu.transform.table`` has, each name a link."""
        head, rule, *lines = (
            line.strip("| ").split(" | ") for line in table().splitlines()
        )
        kept = [
            j
            for j, title in enumerate(head)
            if title != "source" and not title.startswith("adds")
        ]
        for line in lines:
            line[0] = f"[{line[0]}]({line[0].strip('`').removeprefix('relu.')}.md)"
        text = "\n".join(
            f"| {' | '.join(line[j] for j in kept)} |" for line in (head, rule, *lines)
        )
        return self.parse_text_to_nodes(text)


def setup(app):
    """Register the directives."""
    app.add_directive("formulation", Declared)
    app.add_directive("formulation-rows", Rows)
    app.add_directive("formulation-picture", Picture)
    app.add_directive("formulation-table", Table)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
