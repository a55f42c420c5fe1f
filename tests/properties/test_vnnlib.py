"""Reading VNN-LIB: what is written comes back, and what is not understood is refused."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu.errors import PropertyError
from pyomo_relu.properties import load_vnnlib, parse_vnnlib

HEAD = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
BOX = "(assert (and (<= -1 X_0 1) (>= X_1 0) (<= X_1 2)))"

numbers = st.integers(-8, 8).map(lambda k: k / 4)


@st.composite
def terms(draw):
    """Text of a linear expression, and a function that evaluates it."""
    parts = []
    for name in ("X_0", "X_1", "Y_0"):
        if draw(st.booleans()):
            parts.append((draw(numbers), name))
    constant = draw(numbers)
    text = "(+ " + " ".join(f"(* {c} {n})" for c, n in parts) + f" (- {-constant}))"
    return text, lambda v: sum(c * v[n] for c, n in parts) + constant


@st.composite
def conditions(draw, depth=2):
    """Text of a condition, and a function that decides it."""
    if depth == 0 or draw(st.booleans()):
        sign = draw(st.sampled_from(["<=", ">="]))
        (left, a), (right, b) = draw(terms()), draw(terms())
        text = f"({sign} {left}\n  {right}) ; a comment (\n"
        return text, lambda v: a(v) <= b(v) if sign == "<=" else a(v) >= b(v)
    word, how = draw(st.sampled_from([("and", all), ("or", any)]))
    inner = draw(st.lists(conditions(depth=depth - 1), min_size=1, max_size=3))
    text = f"({word} {' '.join(t for t, _ in inner)})"
    return text, lambda v: how(f(v) for _, f in inner)


@settings(max_examples=60, deadline=None)
@given(conditions(), st.integers(0, 2**32 - 1))
def test_a_property_says_what_its_text_says(condition, seed):
    text, decides = condition
    prop = parse_vnnlib(f"{HEAD}\n{BOX}\n(assert {text})")
    # quarters, so that sums are exact and ends are met
    rng = np.random.default_rng(seed)
    X = np.stack([rng.integers(-5, 6, 80), rng.integers(-1, 10, 80)], axis=1) / 4
    Y = rng.integers(-8, 9, (80, 1)) / 4
    margin = prop.margin(X, Y)
    for x, y, least in zip(X, Y, margin, strict=True):
        inside = -1 <= x[0] <= 1 and 0 <= x[1] <= 2
        values = {"X_0": x[0], "X_1": x[1], "Y_0": y[0]}
        assert (least <= 0) == (inside and decides(values))


def test_gzipped_files_and_several_boxes(tmp_path):
    text = (
        HEAD
        + """(assert (or
        (and (<= X_0 1) (>= X_0 0) (= X_1 3) (<= Y_0 1))
        (and (<= X_0 3) (>= X_0 2) (= 4 X_1) (>= Y_0 (/ X_0 2)))))"""
    )
    path = tmp_path / "two.vnnlib.gz"
    path.write_bytes(gzip.compress(text.encode()))
    prop = load_vnnlib(path)
    assert [c.lower.tolist() for c in prop.cases] == [[0, 3], [2, 4]]
    margin = prop.margin(
        np.array([[0.5, 3], [2, 4], [2, 3]]), np.array([[1], [0], [0]])
    )
    assert margin.tolist() == [0.0, 1.0, np.inf]


def test_contradicting_bounds_leave_no_case():
    assert parse_vnnlib(f"{HEAD}{BOX}(assert (<= X_0 -2))").cases == []


def test_nothing_counts_after_exit():
    text = f"{HEAD}{BOX}(assert (<= Y_0 1))(check-sat)(exit)(assert (<= Y_0 -9))"
    prop = parse_vnnlib(text)
    assert prop.margin(np.array([[0.0, 1.0]]), np.array([[0.5]])) <= 0


WRONG = {
    "(assert (<= X_0 1)": "line 1: the expression that begins here is never closed",
    "(assert (<= X_0 1)))": r"line 1: this '\)' closes nothing",
    "\n(assert (<= X_7 1))": "line 2: X_7 is not declared. Add",
    "\n\n(assert (< X_0 1))": "line 3: .* uses '<'. Write <=",
    "(assert (not (<= X_0 1)))": "uses 'not'. Write it with",
    "(assert (<= (* X_0 Y_0) 1))": "multiplies variables. Only linear",
    "(assert (<= (/ X_0 0) 1))": "divides by zero",
    "(assert (<= (max X_0 1) 1))": "is no linear expression. Use numbers",
    "(assert (X_0))": "is no condition",
    "(assert (<= X_0 1e999))": "neither a finite number nor a variable",
    "(assert (<= (* 1e300 1e300 X_0) 1))": "beyond float64. Scale it down",
    "(declare-network N)": "is no command of VNN-LIB 1.0",
    "(declare-const Z Real)": "does not declare a real X_i or Y_i",
    "(declare-const X_0 Real)": "is declared twice",
    "(declare-const X_3 Real)": r"without a gap, .* Add \(declare-const X_2 Real\)",
    "(assert (<= Y_0 \u0664))": "neither a finite number nor a variable",
    "(assert (<= Y_0 1))(check-sat)(assert (<= Y_0 0))": "stands behind .check-sat.",
    "|open": "the quote | is never closed",
    "(assert " + "(and " * 200 + ")" * 201: "nested more than 100 deep",
    "(assert (and " + "(or (<= Y_0 {}) (<= X_0 {}))" * 16 + "))": "Split the property",
}


@pytest.mark.parametrize("text, message", WRONG.items(), ids=range(len(WRONG)))
def test_what_is_not_understood_is_refused(text, message):
    if "{}" in text:
        text = text.format(*range(1, 33))
    with pytest.raises(PropertyError, match=message.replace("|", r"\|")):
        parse_vnnlib(HEAD + text + ("" if "assert" in text else BOX))


def test_missing_parts_and_files_are_refused(tmp_path):
    with pytest.raises(PropertyError, match="nothing is asserted"):
        parse_vnnlib(HEAD)
    with pytest.raises(PropertyError, match="X_1 has no lower bound .* Assert"):
        parse_vnnlib(HEAD + "(assert (<= 0 X_0 1))")
    with pytest.raises(PropertyError, match="cannot be read .* plain or gzipped"):
        load_vnnlib(tmp_path / "none.vnnlib")
