"""Reading VNN-LIB files: bounds and linear conditions, as a disjunction of cases."""

from __future__ import annotations

import gzip
import itertools
import math
import os
import re
import zlib
from fractions import Fraction

import numpy as np

from pyomo_relu.errors import PropertyError
from pyomo_relu.properties.expressions import expressions
from pyomo_relu.properties.property import Case, Property

#: Most disjuncts after 'and' and 'or' are multiplied out.
MOST_CASES = 20_000

#: Most inputs, and outputs, that a file may declare.
_MOST_VARIABLES = 1_000_000

#: In place of a condition's position: numbers for which it holds, or does not.
_ALWAYS, _NEVER = -1, -2

_IGNORED = frozenset({"set-logic", "set-info", "set-option", "get-model"})
_VARIABLE = re.compile(r"([XY])_([0-9]{1,9})")


def load_vnnlib(path: str | os.PathLike[str]) -> Property:
    """Read a property in VNN-LIB 1.0 (a subset of SMT-LIB 2).

    Declared are the inputs X_0, X_1, ... and outputs Y_0, Y_1, ... in the order of the
    network's flattened tensors.  Assertions are made of ``and``, ``or``, ``<=``, ``>=``
    and ``=`` between linear expressions (numbers, ``+``, ``-``, ``*`` and ``/`` by
    constants), nested as they like.  Numbers are read as the nearest float64.

    Parameters
    ----------
    path : str or os.PathLike
        Also gzipped.

    Returns
    -------
    Property

    Raises
    ------
    PropertyError
        The file is missing, is not understood (with the line), leaves an input without
        bounds, or has more than ``MOST_CASES`` disjuncts.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise PropertyError(
            "a property is given as the path of a VNN-LIB file or as what load_vnnlib "
            f"returns, not as {path!r:.80}."
        )
    name = os.path.basename(os.fspath(path))
    return parse_vnnlib(_text(path, name), name)


def parse_vnnlib(text: str, name: str = "VNN-LIB text") -> Property:
    """As ``load_vnnlib``, of a file's text.

    Parameters
    ----------
    text : str
    name : str
        For messages.
    """
    return _Reader(name).read(text)


def _text(path, name):
    try:
        with open(path, "rb") as file:
            data = file.read()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise PropertyError(
            f"{name}: the property cannot be read ({error}). Give the path of a "
            "VNN-LIB file, plain or gzipped."
        ) from error


class _Reader:
    """State while one file is read."""

    def __init__(self, name):
        self.name = name
        self.declared = {"X": {}, "Y": {}}
        self.conditions = []
        self._known = {}

    def read(self, text):
        parts, asserted, checked = [], False, False
        for command in expressions(text, self.name):
            head = command.head
            if head == "exit":
                break  # nothing behind it counts
            if head == "check-sat":
                checked = True
            elif checked and head == "assert":
                self._refuse(
                    command,
                    "stands behind (check-sat), which asks about what is before it",
                    "Put it before (check-sat), or into a file of its own",
                )
            elif head in ("declare-const", "declare-fun"):
                self._declare(command)
            elif head == "assert" and len(command.parts) == 2:
                asserted = True
                parts.append(self._cases(command.parts[1]))
            elif head not in _IGNORED:
                self._refuse(
                    command,
                    "is no command of VNN-LIB 1.0",
                    "Use (declare-const X_0 Real) and (assert ...)",
                )
        for letter, what in (("X", "input"), ("Y", "output")):
            indices = self.declared[letter]
            if not indices or max(indices) != len(indices) - 1:
                raise PropertyError(
                    f"{self.name}: it must declare {what}s {letter}_0, {letter}_1, ... "
                    f"without a gap, but declares {len(indices)} of them. Add "
                    f"(declare-const {letter}_{_gap(indices)} Real)."
                )
        if not asserted:
            raise PropertyError(
                f"{self.name}: nothing is asserted. Add bounds of the inputs and "
                "conditions on the outputs."
            )
        return self._property(self._product(parts))

    def _declare(self, command):
        symbols = [p for p in command.parts[1:] if p.text]
        match = _VARIABLE.fullmatch(symbols[0].text) if symbols else None
        if match is None or symbols[-1].text != "Real" or len(symbols) != 2:
            self._refuse(
                command,
                "does not declare a real X_i or Y_i",
                "VNN-LIB names a network's inputs X_0, ... and its outputs Y_0, ...",
            )
        letter, index = match[1], int(match[2])
        if index >= _MOST_VARIABLES or index in self.declared[letter]:
            self._refuse(command, "is declared twice or far out", "Remove it")
        self.declared[letter][index] = command.line

    def _refuse(self, expression, what, remedy):
        raise PropertyError(
            f"{self.name}, line {expression.line}: {str(expression)[:120]} {what}. "
            f"{remedy}."
        )

    # -- conditions: cases are tuples of positions in self.conditions ---------------

    def _cases(self, e):
        """The disjuncts of a condition: a list of frozensets of positions."""
        head, arguments = e.head, e.parts[1:]
        if head == "and":
            return self._product([self._cases(a) for a in arguments])
        if head == "or":
            every = itertools.chain.from_iterable(self._cases(a) for a in arguments)
            found = list(dict.fromkeys(every))
            self._check_number(found)
            return found
        if head in ("<=", ">=", "=") and len(arguments) >= 2:
            forms = [self._form(a) for a in arguments]
            case = set()
            for a, b in itertools.pairwise(forms):
                if head != ">=":
                    case.add(self._condition(a, b, e))
                if head != "<=":
                    case.add(self._condition(b, a, e))
            return [] if _NEVER in case else [frozenset(case - {_ALWAYS})]
        if e.text in ("true", "false"):
            return [frozenset()] if e.text == "true" else []
        if head in ("<", ">", "not", "distinct", "=>", "xor", "ite"):
            remedy = "Write it with 'and', 'or', '<=' and '>='"
            if head in ("<", ">"):
                remedy = f"Write {head}=: a set without its boundary has no worst point"
            self._refuse(e, f"uses '{head}'", remedy)
        self._refuse(
            e, "is no condition", "Conditions are and, or, <=, >= and = of expressions"
        )

    def _product(self, parts):
        """All ways to take one disjunct of each part."""
        result = [frozenset()]
        for part in parts:
            if len(result) * len(part) > MOST_CASES:
                self._check_number(range(len(result) * len(part)))
            result = list(dict.fromkeys(a | b for a in result for b in part))
        return result

    def _check_number(self, cases):
        if len(cases) > MOST_CASES:
            raise PropertyError(
                f"{self.name}: multiplied out, it has {len(cases)} disjuncts or more; "
                f"at most {MOST_CASES} are read. Split the property into several files."
            )

    def _condition(self, a, b, e):
        """Position of ``a <= b``, or what it is without variables."""
        form = dict(a)
        for variable, c in b.items():
            form[variable] = form.get(variable, 0) - c
        constant = form.pop("", Fraction(0))
        terms = [(v, self._float(c, e)) for v, c in sorted(form.items()) if c]
        if not terms:
            return _ALWAYS if constant <= 0 else _NEVER
        key = (tuple(terms), self._float(constant, e))
        if key not in self._known:
            self._known[key] = len(self.conditions)
            self.conditions.append((key, constant, form))
        return self._known[key]

    def _float(self, c, e):
        try:
            return float(c)
        except OverflowError:
            self._refuse(e, "has a coefficient beyond float64", "Scale it down")

    # -- linear expressions: {variable: coefficient, "": constant} -------------------

    def _form(self, e):
        if e.text:
            return self._symbol(e)
        head, arguments = e.head, [self._form(a) for a in e.parts[1:]]
        if head in ("+", "-") and arguments:
            if head == "-" and len(arguments) == 1:
                return _scaled(arguments[0], -1)
            result = dict(arguments[0])
            for a in arguments[1:]:
                for variable, c in a.items():
                    c = c if head == "+" else -c
                    result[variable] = result.get(variable, 0) + c
            return result
        if head == "*" and arguments:
            result = {"": Fraction(1)}
            for a in arguments:
                if len(_variables(a)) and len(_variables(result)):
                    self._refuse(
                        e, "multiplies variables", "Only linear expressions are read"
                    )
                by, form = (a, result) if len(_variables(result)) else (result, a)
                result = _scaled(form, by.get("", 0))
            return result
        if head == "/" and len(arguments) == 2 and not _variables(arguments[1]):
            if arguments[1].get("", 0):
                return _scaled(arguments[0], 1 / Fraction(arguments[1][""]))
            self._refuse(e, "divides by zero", "Correct the divisor")
        self._refuse(
            e,
            "is no linear expression",
            "Use numbers, X_i, Y_j, +, -, and * or / by constants",
        )

    def _symbol(self, e):
        match = _VARIABLE.fullmatch(e.text)
        if match is not None:
            if int(match[2]) in self.declared[match[1]]:
                return {(match[1], int(match[2])): Fraction(1)}
            remedy = f"Add (declare-const {e.text} Real) before it"
            self._refuse(e, "is not declared", remedy)
        try:
            plain = e.text.isascii() and "_" not in e.text
            value = float(e.text) if plain else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self._refuse(
                e, "is neither a finite number nor a variable", "Correct or declare it"
            )
        return {"": Fraction(value)}

    # -- the property -----------------------------------------------------------------

    def _property(self, cases):
        n, m = len(self.declared["X"]), len(self.declared["Y"])
        bounds, rows = {}, {}
        inputs, outputs, constants = [], [], []
        for at, ((terms, c), constant, form) in enumerate(self.conditions):
            (letter, index), a = terms[0]
            if len(terms) == 1 and letter == "X":
                # the quotient of exact numbers, rounded once
                end = float(-constant / form[letter, index])
                bounds[at] = index, a > 0, end
                continue
            rows[at] = len(rows)
            inputs.append({i: a for (kind, i), a in terms if kind == "X"})
            outputs.append({i: a for (kind, i), a in terms if kind == "Y"})
            constants.append(c)
        return Property(
            self.name,
            _matrix(inputs, n),
            _matrix(outputs, m),
            np.array(constants, dtype=float),
            self._boxes(cases, bounds, rows, n),
        )

    def _boxes(self, cases, bounds, rows, n):
        found = []
        for case in cases:
            lower, upper = np.full(n, -np.inf), np.full(n, np.inf)
            for at in case & bounds.keys():
                index, is_upper, end = bounds[at]
                if is_upper:
                    upper[index] = min(upper[index], end)
                else:
                    lower[index] = max(lower[index], end)
            if (lower > upper).any():
                continue
            endless = np.flatnonzero(np.isinf(lower) | np.isinf(upper))
            if endless.size:
                i = int(endless[0])
                side = "lower" if np.isinf(lower[i]) else "upper"
                raise PropertyError(
                    f"{self.name}, line {self.declared['X'][i]}: the input X_{i} has no "
                    f"{side} bound in some disjunct. Assert a number that it does not "
                    "exceed: only properties over boxes are decided."
                )
            some = np.array(sorted(rows[at] for at in case & rows.keys()), dtype=int)
            found.append(Case(lower, upper, some))
        return found


def _gap(indices):
    return next(i for i in range(len(indices) + 1) if i not in indices)


def _variables(form):
    return [v for v, c in form.items() if v and c]


def _scaled(form, factor):
    return {variable: c * factor for variable, c in form.items()}


def _matrix(rows, n):
    matrix = np.zeros((len(rows), n))
    for i, row in enumerate(rows):
        matrix[i, list(row)] = list(row.values())
    return matrix
