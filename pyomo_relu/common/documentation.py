"""What help() shows of a transformation's class: its module's text, then the options."""

import inspect
import sys

_POINTER = "; see the module's docstring."


def show_module_docstring(cls, more=""):
    """Put the module's docstring, and more, where the class's own points to it."""
    text = sys.modules[cls.__module__].__doc__
    if cls.__doc__ and text and _POINTER in cls.__doc__:
        doc = inspect.cleandoc(cls.__doc__)
        cls.__doc__ = doc.replace(_POINTER, f".\n\n{text.strip()}{more}", 1)
    return cls
