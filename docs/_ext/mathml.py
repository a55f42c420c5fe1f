"""Formulas as MathML, made when the site is built: a page needs no script and no network."""

from docutils.utils.math import latex2mathml
from sphinx.util.math import get_node_equation_number


def _mathml(code, block):
    return str(latex2mathml.tex2mathml(code, as_block=block))


def _visit_math(writer, node):
    from docutils import nodes

    writer.body.append(_mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _visit_math_block(writer, node):
    from docutils import nodes

    writer.body.append('<div class="math">')
    if node["number"]:
        number = get_node_equation_number(writer, node)
        writer.body.append(f'<span class="eqno">({number})</span>')
    writer.body.append(_mathml(node.astext(), block=True))
    writer.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app):
    """Register the renderer under the name "mathml"."""
    app.add_html_math_renderer("mathml", (_visit_math, None), (_visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
