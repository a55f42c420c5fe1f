"""``options``: the options of a transformation or solver, read from its ConfigDict."""

import inspect

import pyomo.environ as pyo
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import pyomo_relu  # noqa: F401  (registers)


def registered():
    """Names of the transformations and solvers that the package registers."""
    transformations = [n for n in pyo.TransformationFactory if n.startswith("relu.")]
    solvers = [n for n in pyo.SolverFactory if n == "relu" or n.startswith("relu.")]
    return sorted(transformations), sorted(solvers)


def config(name):
    """The ConfigDict of a registered name."""
    transformations, _ = registered()
    factory = (
        pyo.TransformationFactory if name in transformations else pyo.SolverFactory
    )
    return factory.get_class(name).CONFIG


def rows(name):
    """(option, default, description, more) of each option, in the order declared."""
    for key in config(name):
        value = config(name).get(key)
        more = inspect.cleandoc(value._doc or "").split("\n")
        yield key, value._default, value._description or "", " ".join(more)


class Options(SphinxDirective):
    """A definition list: option, default, what it means."""

    required_arguments = 1

    def run(self):
        """One entry per option; texts are reStructuredText as in help()."""
        entries = nodes.definition_list(classes=["options"])
        for key, default, description, more in rows(self.arguments[0]):
            term = nodes.term("", "", nodes.literal("", key))
            term += nodes.Text(" = ")
            term += nodes.literal("", repr(default))
            text = f"{description[:1].upper()}{description[1:]}. {more}"
            body = nodes.definition("", nodes.paragraph("", "", *_inline(text)))
            entries += nodes.definition_list_item("", term, body)
        return [entries]


def _inline(text):
    """Text with ``code`` and `code` in it as nodes."""
    parts = text.replace("``", "`").split("`")
    for place, part in enumerate(parts):
        if part:
            yield nodes.literal("", part) if place % 2 else nodes.Text(part)


def setup(app):
    """Register the directive."""
    app.add_directive("options", Options)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
