"""``public-names``: everything in a module's ``__all__``, from the docstrings."""

import importlib
import inspect

from sphinx.util.docutils import SphinxDirective


def directive(module, name):
    """The autodoc directive for a public name, with its module, as text."""
    thing = getattr(importlib.import_module(module), name)
    if inspect.isclass(thing):
        return f".. autoclass:: {module}.{name}\n   :members:\n"
    if callable(thing):
        return f".. autofunction:: {module}.{name}\n"
    return f".. py:data:: {module}.{name}\n   :value: {thing!r}\n"


class PublicNames(SphinxDirective):
    """Documents a module's public names, except those told to leave out."""

    required_arguments = 1
    optional_arguments = 100

    def run(self):
        """In the order of the alphabet, as in ``__all__``."""
        module, *left_out = self.arguments
        names = importlib.import_module(module).__all__
        text = "\n".join(directive(module, n) for n in names if n not in left_out)
        return self.parse_text_to_nodes(text)


def setup(app):
    """Register the directive."""
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
