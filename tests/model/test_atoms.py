"""Pyomo expressions taken apart: the same values, nothing twice, refusals by name."""

import math

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu.errors import ModelError
from pyomo_relu.linear.atoms.atom import OneColumn, Product, Quotient, Sum
from pyomo_relu.linear.embedded import EmbeddedModel
from pyomo_relu.model.atoms import Taker
from tests.branch.test_atoms_truth import PYOMO, expression
from tests.linear.test_embedded import free_columns


def model():
    m = pyo.ConcreteModel()
    m.v = pyo.Var(range(4), bounds=(0.1, 2))
    return m


class Taken:
    """An expression over m.v taken apart."""

    def __init__(self, m, expr):
        self.m = m
        place = {id(v): j for j, v in enumerate(m.v.values())}
        self.taker = Taker(lambda v: place[id(v)])
        self.form = self.taker.form(expr, "constraint 'c'")
        self.atoms = self.taker.placed(len(place))
        self.n = len(place)

    def kinds(self):
        """What the atoms are, in order of their making."""
        return [
            a.shape.name if isinstance(a, OneColumn) else type(a).__name__
            for a in self.atoms
        ]

    def value(self, x):
        """The form at a point of m.v, by way of the atoms."""
        whole = EmbeddedModel(free_columns(self.n + len(self.atoms)), self.atoms)
        full = np.zeros(whole.n_columns)
        full[: self.n] = x
        full = whole.complete(full)
        assert whole.violation(full) == 0.0
        terms = self.form.terms.items()
        at = [j if j >= 0 else self.n - 1 - j for j, _ in terms]
        return full[at] @ np.array([c for _, c in terms]) + self.form.constant


@pytest.mark.parametrize("seed", range(60))
def test_any_expression_keeps_its_value(seed):
    rng = np.random.default_rng(seed)
    m = model()
    names = {f"v{j}": m.v[j] for j in range(4)}
    expr = expression(rng, list(names), 3)(names, PYOMO)
    taken = Taken(m, expr)
    for x in rng.uniform(0.1, 2.0, (5, 4)):
        m.v.set_values(dict(enumerate(x)))
        assert taken.value(x) == pytest.approx(pyo.value(expr), rel=1e-11, abs=1e-12)


def test_linear_parts_stay_linear():
    m = model()
    m.p = pyo.Param(initialize=3.0, mutable=True)
    m.v[3].fix(0.5)
    m.e = pyo.Expression(expr=m.p * m.v[0] - m.v[1] / 4 + m.v[3] * m.v[2])
    taken = Taken(m, 2 * (m.e - m.v[0]) + pyo.exp(m.p) + m.v[3] ** 2)
    assert not taken.atoms
    assert taken.form.terms == {0: 4.0, 1: -0.5, 2: 1.0}
    assert taken.form.constant == pytest.approx(math.exp(3.0) + 0.25)


@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (lambda v: v[0] * v[1] + 2 * v[1] * v[0], ["Product"]),
        (lambda v: (v[0] - 3) * (2 * v[1] + 1), ["Product"]),
        (
            lambda v: (v[0] + v[1]) * v[2] - (v[1] + v[0]) * v[3],
            ["Sum"] + ["Product"] * 2,
        ),
        (lambda v: (v[0] - v[1]) * (v[1] - v[0]), ["Sum", "power 2"]),
        (lambda v: v[0] * v[0] + v[0] ** 2, ["power 2"]),
        (lambda v: (v[0] - 1) * (v[0] - 1), ["Sum", "power 2"]),
        (lambda v: v[0] ** 1 + v[1] ** 0, []),
        (lambda v: pyo.sqrt(v[0]) + v[0] ** 0.5, ["power 0.5"]),
        (lambda v: pyo.log10(v[0]) + pyo.log(v[0]), ["log"]),
        (lambda v: 3 / v[0] + v[1] / v[0], ["power -1", "Quotient"]),
        (lambda v: (2 * v[0] + 1) / v[0], ["power -1"]),
        (lambda v: v[0] ** v[1], ["log", "Product", "exp"]),
        (lambda v: 2.0 ** v[0], ["Sum", "exp"]),
        (lambda v: abs(v[0] - v[1]) + abs(v[0]), ["Sum", "abs", "abs"]),
        (lambda v: pyo.exp(v[0]) / 2 - pyo.exp(v[0]), ["exp"]),
        (lambda v: v[0] * pyo.log(v[0]), ["log", "x log x"]),
        (lambda v: (1 - v[0]) * pyo.log10(1 - v[0]), ["Sum", "log", "x log x"]),
        (lambda v: v[0] * pyo.log(v[0] / 0.3), ["Sum", "log", "x log x"]),
        (
            lambda v: (2 + pyo.log(v[1]) + pyo.log(v[0])) * v[0],
            ["log", "log", "x log x", "Product"],
        ),
        (lambda v: v[0] * pyo.log(v[0] + 1), ["Sum", "log", "Product"]),
        (lambda v: 0 / v[0] + 0 * pyo.exp(v[0]), ["exp"]),
    ],
)
def test_atoms_that_expressions_are_made_of(make, kinds):
    m = model()
    expr = make(m.v)
    taken = Taken(m, expr)
    assert taken.kinds() == kinds
    x = np.array([0.7, 1.3, 0.4, 1.9])
    m.v.set_values(dict(enumerate(x)))
    assert taken.value(x) == pytest.approx(pyo.value(expr), rel=1e-13)


def test_least_and_largest():
    from pyomo.core.expr.numeric_expr import MaxExpression, MinExpression

    m = model()
    taken = Taken(
        m, MaxExpression([m.v[0], m.v[1], 1.0]) - MinExpression([m.v[2], m.v[3]])
    )
    for x in np.random.default_rng(0).uniform(0.1, 2.0, (20, 4)):
        expected = max(x[0], x[1], 1.0) - min(x[2], x[3])
        assert taken.value(x) == pytest.approx(expected)


def test_derivatives_are_those_of_the_values():
    m = model()
    v = m.v
    expr = v[0] * v[1] + v[0] / v[1] + pyo.exp(v[2]) + v[3] ** 1.3 + pyo.sin(v[0])
    expr += pyo.cos(v[1]) + pyo.tanh(v[2]) + pyo.log(v[3]) + (v[0] + 2 * v[1]) ** 3
    rng = np.random.default_rng(0)
    for atom in Taken(m, expr).atoms:
        atom = atom.in_units(np.ldexp(1.0, rng.integers(-3, 4, 30)))
        x = rng.uniform(0.2, 1.0, atom.inputs.size)
        for j, slope in enumerate(atom.gradient(x)):
            step = 1e-6 * np.eye(x.size)[j]
            ends = atom.values(np.array([x - step, x + step]))[:, 0]
            assert (ends[1] - ends[0]) / 2e-6 == pytest.approx(slope, rel=1e-5)
    assert {type(a) for a in Taken(m, expr).atoms} == {
        Product,
        Quotient,
        OneColumn,
        Sum,
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda m: pyo.atan(m.v[0]),
            r"constraint 'c' has 'atan\(v\[0\]\)'.*atan is not",
        ),
        (lambda m: pyo.Expr_if(m.v[0] >= 1, m.v[1], 2), "Expr_if is not among"),
        (lambda m: m.v[0] / m.p, "it has no value .*by zero.*Give it one"),
        (lambda m: (-2.0) ** m.v[0], "the base of a power is not positive"),
        (lambda m: m.v[0] ** 1.0000001, "the exponent 1 is not among"),
        (lambda m: pyo.log(m.p) * m.v[0], "it has no value .*domain"),
        (lambda m: m.v[0] * m.q, "'q' is fixed but has no value"),
        (lambda m: m.v[0] + m.infinite, "its value is inf.*Give it a finite one"),
        (lambda m: m.v[0] / (m.v[1] - m.v[1]), "it divides by zero"),
        (lambda m: pyo.log(m.v[1] - m.v[1]), "log of 0 is"),
    ],
)
def test_refused_by_name(make, message):
    m = model()
    m.p = pyo.Param(initialize=0.0, mutable=True)
    m.infinite = pyo.Param(initialize=math.inf, mutable=True)
    m.q = pyo.Var()
    m.q.fixed = True
    with pytest.raises(ModelError, match=message):
        Taken(m, make(m))


def test_long_expressions_are_cut_in_messages():
    m = model()
    with pytest.raises(ModelError, match=r"has 'atan\(.{55}\.\.\.', which"):
        Taken(m, pyo.atan(sum(j * m.v[j % 4] ** j for j in range(30))))
