"""What a command hands back: an exit code, a text, and the same as plain data."""

import math
from dataclasses import dataclass
from typing import Any

DONE, NOT_PROVEN, WRONG_INPUT, INFEASIBLE, COUNTEREXAMPLE = range(5)
INTERRUPTED = 130


@dataclass(frozen=True)
class Outcome:
    """The result of a command.

    Attributes
    ----------
    text : str
        For people.
    data : dict or None
        For programs (``--json``); None if the command has written what there is.
    code : int
        The exit code.
    """

    text: str = ""
    data: dict[str, Any] | None = None
    code: int = DONE


def plain(value):
    """Numbers, strings, lists and dicts only, as JSON has them; infinite ones are None.

    Parameters
    ----------
    value : dict, list, tuple, numpy array or number, str, path, bool or None
    """
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)
