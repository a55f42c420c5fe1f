"""S-expressions of an SMT-LIB text: lists and symbols that know their line."""

from __future__ import annotations

import re
from typing import NamedTuple

from pyomo_relu.errors import PropertyError

#: Deepest nesting that is read; hand-made and generated properties stay below 10.
DEEPEST = 100

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\f\v\ufeff]+|;[^\n]*) | (?P<line>\n) | (?P<open>\() | (?P<close>\))
    | (?P<text>"(?:[^"]|"")*" | \|[^|]*\|) | (?P<symbol>[^\s()|";]+)""",
    re.VERBOSE,
)


class Expression(NamedTuple):
    """A symbol (``text`` is set) or a list (``parts`` is), and where it begins.

    Attributes
    ----------
    line : int
        Counted from 1.
    text : str
        Empty for a list.
    parts : list of Expression
        Empty for a symbol.
    """

    line: int
    text: str
    parts: list[Expression]

    @property
    def head(self) -> str:
        """The symbol that a list begins with, or ''."""
        return self.parts[0].text if self.parts else ""

    def __str__(self):
        if self.text:
            return self.text
        inner = " ".join(str(p) if p.text else "(...)" for p in self.parts[:6])
        return f"({inner}{' ...' if len(self.parts) > 6 else ''})"


def expressions(text: str, name: str) -> list[Expression]:
    """The expressions of a text, in its order.

    Parameters
    ----------
    text : str
    name : str
        Of the file, for messages.

    Raises
    ------
    PropertyError
        If parentheses or quotes do not match, or nesting is deeper than ``DEEPEST``.
    """
    found: list[Expression] = []
    open_: list[Expression] = []
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise PropertyError(
                f"{name}, line {line}: the quote {text[at]} is never closed. Close it, "
                "or remove it."
            )
        at, kind, token = match.end(), match.lastgroup, match.group()
        if kind == "open":
            if len(open_) == DEEPEST:
                raise PropertyError(
                    f"{name}, line {line}: expressions are nested more than {DEEPEST} "
                    "deep. Write nested 'and' and 'or' as one of each."
                )
            open_.append(Expression(line, "", []))
        elif kind == "close":
            if not open_:
                raise PropertyError(
                    f"{name}, line {line}: this ')' closes nothing. Remove it, or open "
                    "the expression that it belongs to."
                )
            done = open_.pop()
            (open_[-1].parts if open_ else found).append(done)
        elif kind in ("symbol", "text"):
            (open_[-1].parts if open_ else found).append(Expression(line, token, []))
        line += token.count("\n")
    if open_:
        raise PropertyError(
            f"{name}, line {open_[-1].line}: the expression that begins here is never "
            "closed. Is the file complete? Add the missing ')'."
        )
    return found
