"""Pyomo rows as a class reads them: rounded, with short names, as text and LaTeX."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from pyomo.core.base import SOSConstraint, value
from pyomo.core.base.constraint import Constraint
from pyomo.repn import generate_standard_repn

from pyomo_relu.block.rows import NetworkColumns

#: Terms that a sum shows in text; of more, the first ones and how many are left out.
MOST_TERMS = 12

_LATEX_ROLES = {
    "indicator": "z",
    "ceiling_indicator": "q",
    "below_zero": "h",
    "above_ceiling": "a",
    "gap": "g",
}


class RowText(NamedTuple):
    """A row for people.

    Attributes
    ----------
    label : str
        What the formulation calls it.
    text, latex : str
        Numbers are rounded to four significant digits.
    """

    label: str
    text: str
    latex: str


class Symbols:
    """What the Vars of a network block are called.

    In text by their names, without the block's; in LaTeX by the field's notation:
    inputs x_j, outputs y_j, pre-activations v_{k,i}, post-activations x_{k,i},
    indicators z_{k,i} and q_{k,i}.

    Parameters
    ----------
    block : ReLUNetworkBlockData
    """

    def __init__(self, block):
        self.columns = columns = NetworkColumns(block)
        encoding = block.record.encoding
        new = None if encoding is None else encoding.reformulation
        prefixes = [re.escape(f"{b.name}.") for b in (new, block) if b is not None]
        self._prefix = re.compile(rf"(?<![\w.\]])({'|'.join(prefixes)})")
        self._latex = {}
        self._put(columns.inputs, lambda j: f"x_{{{j}}}")
        for k, (pre, post) in enumerate(
            zip(columns.pre[:-1], columns.post, strict=True)
        ):
            self._put(pre, lambda i, k=k: f"v_{{{k},{i}}}")
            self._put(post, lambda i, k=k: f"x_{{{k},{i}}}")
        self._put(columns.pre[-1], lambda j: f"y_{{{j}}}")

    def _put(self, variables, symbol):
        for i, var in enumerate(variables):
            self._latex.setdefault(id(var), symbol(i))

    def short(self, name):
        """A name without that of the block or of what a formulation put on it."""
        return self._prefix.sub("", name)

    def text(self, var):
        """A Var's name."""
        return self.short(var.name)

    def latex(self, var):
        """A Var's symbol."""
        found = self._latex.get(id(var))
        if found is not None:
            return found
        if not re.fullmatch(r"\w+(\[[^\]]*\])?", self.text(var)):
            return rf"\text{{{_escaped(self.text(var))}}}"
        name, _, index = self.text(var).rstrip("]").partition("[")
        name = _LATEX_ROLES.get(name) or rf"\mathrm{{{_escaped(name)}}}"
        return f"{name}_{{{_escaped(index)}}}" if index else name


def row_text(row, label, symbols):
    """A Constraint's or SOSConstraint's member as a RowText."""
    if row.ctype is SOSConstraint:
        names = [[of(v) for v in row.variables] for of in (symbols.text, symbols.latex)]
        return RowText(
            label,
            f"SOS{row.level}({', '.join(names[0])})",
            rf"\mathrm{{SOS}}{row.level}({', '.join(names[1])})",
        )
    if row.ctype is not Constraint:
        text = rounded(symbols.short(str(row.expr)))
        return RowText(label, text, rf"\text{{{_escaped(text)}}}")
    repn = generate_standard_repn(row.body)
    if repn.nonlinear_expr is not None:
        text = rounded(symbols.short(str(row.expr)))
        return RowText(label, text, rf"\text{{{_escaped(text)}}}")
    terms = [*zip(repn.linear_coefs, ((v,) for v in repn.linear_vars), strict=True)]
    terms += zip(repn.quadratic_coefs, repn.quadratic_vars, strict=True)
    constant = value(repn.constant)
    ends = [None if e is None else e - constant for e in (row.lb, row.ub)]
    return RowText(
        label,
        _between(*ends, sum_text(terms, symbols.text), "<="),
        _between(*ends, sum_latex(terms, symbols.latex), r"\leq"),
    )


def _between(lower, upper, body, at_most):
    number = number_latex if at_most != "<=" else number_text
    if lower is not None and lower == upper:
        return f"{body} = {number(upper)}"
    if lower is not None and upper is not None:
        return f"{number(lower)} {at_most} {body} {at_most} {number(upper)}"
    if upper is not None:
        return f"{body} {at_most} {number(upper)}"
    at_least = ">=" if at_most == "<=" else r"\geq"
    return body if lower is None else f"{body} {at_least} {number(lower)}"


# -- numbers and sums --------------------------------------------------------------


def number_text(number):
    """Four significant digits."""
    text = f"{number:.4g}"
    return "0" if text == "-0" else text


def number_latex(number):
    """Four significant digits, with powers of ten written out."""
    if math.isinf(number):
        return r"\infty" if number > 0 else r"-\infty"
    mantissa, _, exponent = number_text(number).partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


def rounded(text):
    """Text with its long decimal numbers rounded."""
    return re.sub(
        r"\d+\.\d+(e[-+]?\d+)?", lambda found: number_text(float(found[0])), text
    )


def sum_text(terms, name, constant=0.0, most=MOST_TERMS):
    """``2*a - b + 0.5`` of pairs of a coefficient and Vars or what ``name`` takes."""
    return _sum(terms, name, constant, most, number_text, "*")


def sum_latex(terms, name, constant=0.0, most=MOST_TERMS):
    """The same in LaTeX."""
    return _sum(terms, name, constant, most, number_latex, r"\,")


def _sum(terms, name, constant, most, number, times):
    terms = [(float(c), factors) for c, factors in terms if c != 0]
    left_out = len(terms) - most
    if left_out > 1:  # a single one takes no more space than the remark
        terms = terms[:most]
    parts = []
    for coefficient, factors in terms:
        size = number(abs(coefficient))
        size = "" if size == "1" else f"{size}{times}"
        text = times.join(name(factor) for factor in factors)
        parts.append((coefficient < 0, f"{size}{text}"))
    if left_out > 1:
        dots = r"\dots" if times != "*" else f"... ({left_out} more terms)"
        parts.append((False, dots))
    if constant != 0 or not parts:
        parts.append((constant < 0, number(abs(constant))))
    negative, first = parts[0]
    rest = "".join(f" {'-' if minus else '+'} {text}" for minus, text in parts[1:])
    return f"{'-' if negative else ''}{first}{rest}"


def _escaped(text):
    return re.sub(r"([_&%$#{}])", r"\\\1", text)
