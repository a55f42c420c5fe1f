"""Docstrings as help() shows them, made readable for Sphinx: headings of our own kind."""

import re

#: Underlined headings that napoleon knows.
KNOWN = {
    *("Parameters", "Attributes", "Returns", "Raises", "Examples", "Notes"),
    *("Yields", "Warns", "See Also", "References", "Keyword Arguments", "Methods"),
}

#: Where Pyomo's document_class_CONFIG begins.
CONFIGURATION = "**Class configuration**"


def process(app, what, name, thing, options, lines):
    """Leave out options, which ``options`` shows; make other headings rubrics."""
    if CONFIGURATION in lines:
        del lines[lines.index(CONFIGURATION) :]
    for place in range(1, len(lines)):
        heading = lines[place - 1].strip()
        underlined = re.fullmatch(r"\s*-{3,}\s*", lines[place])
        if underlined and heading and heading not in KNOWN:
            lines[place - 1 : place + 1] = [f".. rubric:: {heading}", ""]


def setup(app):
    """Run before napoleon, whose priority is the default 500."""
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
