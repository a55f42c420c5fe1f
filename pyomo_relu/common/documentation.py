"""What help() shows of a transformation's class: its module's text, then the options."""

from __future__ import annotations

import inspect
import sys
from typing import Any, TypeVar

C = TypeVar("C", bound=type[Any])

_POINTER = "; see the module's docstring."


def show_module_docstring(cls: C, more: str = "") -> C:
    """Put the module's docstring, and more, where the class's own points to it."""
    text = sys.modules[cls.__module__].__doc__
    if cls.__doc__ and text and _POINTER in cls.__doc__:
        doc = inspect.cleandoc(cls.__doc__)
        cls.__doc__ = doc.replace(_POINTER, f".\n\n{text.strip()}{more}", 1)
    return cls
