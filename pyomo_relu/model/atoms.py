"""Pyomo expressions taken apart into linear forms and atoms of columns.

``sum_j a_j x_j + c`` stays what it is; whatever else an expression contains becomes a
column of its own, computed by an atom of ``linear.atoms``: the product of two columns,
a quotient, a function of one column.  An argument that is no column becomes one by a
``Sum``.  Equal sub-expressions are one column.
"""

import math

import numpy as np
from pyomo.core.base import value
from pyomo.core.expr import numeric_expr as nodes
from pyomo.core.expr.visitor import StreamBasedExpressionVisitor

from pyomo_relu.errors import ModelError
from pyomo_relu.linear.atoms.atom import OneColumn, Product, Quotient, Sum
from pyomo_relu.linear.atoms.shapes import SHAPES, Power, XLogX
from pyomo_relu.model.convex import convex_rows
from pyomo_relu.model.form import Form

#: So much of an expression is shown in a message.
_SHOWN = 60

_LN10 = math.log(10.0)


class Taker:
    """Takes expressions apart; collects the atoms and columns that this makes.

    Parameters
    ----------
    column : callable
        The column of a Var.
    name : str
        Who it is done for, for messages.

    Attributes
    ----------
    atoms : list of Atom
        New columns are numbered -1, -2, ... in the order of the atoms, each of which
        computes one, until ``placed`` gives them places.
    """

    def __init__(self, column, name="relu.branch"):
        self._column = column
        self._name = name
        self.atoms = []
        self._known = {}
        self._where, self._first = "", 0

    def form(self, expression, where):
        """The linear form that an expression is over the Vars' and the new columns.

        Parameters
        ----------
        expression : Pyomo expression
        where : str
            The component that it belongs to, for messages.

        Raises
        ------
        ModelError
            If it contains what is no atom.
        """
        self._where, self._first = where, len(self.atoms)
        visitor = StreamBasedExpressionVisitor(
            beforeChild=self._before, exitNode=self._exit
        )
        start, found = self._before(None, expression, 0)
        return visitor.walk_expression(expression) if start else found

    def convex_rows(self, form, where, reach, sides):
        """Rows ``form >= side`` for what of a form is convex; see ``model.convex``.

        The form is the last one taken; the sums in it are forms, too.
        """
        self._where = where
        within = [a for a in self.atoms[self._first :] if isinstance(a, Sum)]

        def square(inner):
            column = self._as_column(inner, "a convex form")
            return self._new(
                Power(2).key, OneColumn, "a convex form", [column], shape=Power(2)
            )

        found = convex_rows(form, self.atoms, square, reach, sides)
        for a in within:
            terms = dict(zip(a.inputs.tolist(), a.coefficients.tolist(), strict=True))
            found += convex_rows(Form(terms), self.atoms, square, reach)
        return found

    def placed(self, first):
        """The atoms, with their columns numbered from ``first`` on."""
        count = len(self.atoms)
        place = np.concatenate(
            [np.arange(first), first + np.arange(count)[::-1]]
        )  # place[-1 - k] = first + k
        return [a.between(place) for a in self.atoms]

    # -- leaves --------------------------------------------------------------------

    def _before(self, _parent, child, _index):
        """(whether to go into the child, its form if not)."""
        if child.__class__ in (int, float) or not hasattr(child, "is_expression_type"):
            return False, self._number(child)
        if not child.is_potentially_variable():
            return False, self._number(child)
        if isinstance(child, nodes.Expr_ifExpression):
            # its condition is no number
            raise self._refused(child, "Expr_if is not among them")
        if child.is_expression_type():
            return True, None
        if child.fixed:
            if child.value is None:
                raise ModelError(
                    f"'{child.name}' is fixed but has no value. Give it a value or "
                    "unfix it."
                )
            return False, Form(constant=float(child.value))
        return False, Form({self._column(child): 1.0})

    def _number(self, child):
        try:
            number = float(value(child, exception=True))
        except (ArithmeticError, ValueError) as error:
            why = f"it has no value ({error})"
            raise self._refused(child, why, "Give it one") from error
        if not math.isfinite(number):
            raise self._refused(child, f"its value is {number}", "Give it a finite one")
        return Form(constant=number)

    # -- nodes ---------------------------------------------------------------------

    def _exit(self, node, data):
        if isinstance(node, nodes.SumExpressionBase | nodes.LinearExpression):
            total = Form()
            for part in data:
                total = total.plus(part)
            return total
        if isinstance(node, nodes.NegationExpression):
            return data[0].times(-1.0)
        if isinstance(node, nodes.DivisionExpression):
            return self._divided(*data, node)
        if isinstance(node, nodes.ProductExpression):
            return self._product(*data, node)
        if isinstance(node, nodes.PowExpression):
            return self._power(*data, node)
        if isinstance(node, nodes.AbsExpression):
            return self._one("abs", data[0], node, 0)
        if isinstance(node, nodes.MaxExpression | nodes.MinExpression):
            return self._extreme(data, node)
        if isinstance(node, nodes.UnaryFunctionExpression):
            return self._function(node.getname(), data[0], node)
        if getattr(node, "is_named_expression_type", bool)():
            return data[0]
        raise self._refused(node, f"{type(node).__name__} is not among them")

    def _function(self, name, form, node):
        if name == "log10":
            return self._one("log", form, node, 0).times(1.0 / _LN10)
        if name == "sqrt":
            return self._shaped(Power(0.5), form, node, 0)
        if name not in SHAPES:
            raise self._refused(node, f"{name} is not among them")
        return self._one(name, form, node, 0)

    def _one(self, name, form, node, part=None):
        return self._shaped(SHAPES[name], form, node, part)

    def _shaped(self, shape, form, node, part=None):
        """A function of one number, which is a part of the node if that is told."""
        if not form.terms:
            with np.errstate(all="ignore"):
                number = float(shape.value(np.float64(form.constant)))
            if not math.isfinite(number):
                raise self._refused(
                    node, f"{shape.name} of {form.constant:g} is {number}"
                )
            return Form(constant=number)
        column = self._as_column(form, node if part is None else _part(node, part))
        return self._new(shape.key, OneColumn, node, [column], shape=shape)

    def _product(self, left, right, node):
        if not left.terms or not right.terms:
            if left.terms:
                left, right = right, left
            return right.times(left.constant)
        if left.key == right.key:
            return self._shaped(Power(2), left, node, 0)
        for one, other in ((left, right), (right, left)):
            for j in other.terms:
                if (of := self._logarithm(one, j)) is not None:
                    x, factor = of
                    c = factor * other.terms[j]
                    inner = self._new(
                        XLogX().key, OneColumn, node, [x], shape=XLogX()
                    ).times(c)
                    rest = Form({j: other.terms[j]})
                    return self._product(one, other.plus(rest, -1.0), node).plus(inner)
        total = right.times(left.constant).plus(left.times(right.constant))
        total.constant -= left.constant * right.constant
        (p, a), (q, b) = (
            self._homogeneous(form, _part(node, k))
            for k, form in enumerate((left, right))
        )
        if p == q:
            inner = self._shaped(Power(2), Form({p: 1.0}), node)
        else:
            inner = self._new("product", Product, node, sorted((p, q)))
        return total.plus(inner, a * b)

    def _logarithm(self, form, column):
        """(x, factor) if a column is log(x) and the form is ``factor x``, else None."""
        atom = self.atoms[-1 - column] if column < 0 else None
        if not isinstance(atom, OneColumn) or atom.shape.key != SHAPES["log"].key:
            return None
        x = int(atom.inputs[0])
        if list(form.terms) == [x] and form.constant == 0.0:
            return x, form.terms[x]
        of = self.atoms[-1 - x] if x < 0 else None
        if not isinstance(of, Sum):
            return None
        terms = dict(zip(of.inputs.tolist(), of.coefficients.tolist(), strict=True))
        first = next(iter(terms))
        factor = form.terms.get(first, 0.0) / terms[first]
        same = Form(terms, of.constant).times(factor).key == form.key
        return (x, factor) if factor and same else None

    def _homogeneous(self, form, node):
        """(column, factor) of a form without its constant."""
        if len(form.terms) == 1:
            return next(iter(form.terms.items()))
        form = Form(form.terms)
        minus = form.times(-1.0)
        if ("sum", minus.key) in self._known:
            return self._as_column(minus, node), -1.0
        return self._as_column(form, node), 1.0

    def _divided(self, left, right, node):
        if not right.terms:
            if right.constant == 0.0:
                raise self._refused(node, "it divides by zero")
            # a division, as the modeller wrote it
            return Form(
                {j: c / right.constant for j, c in left.terms.items()},
                left.constant / right.constant,
            )
        if not left.terms:
            if left.constant == 0.0:
                return Form()
            return self._shaped(Power(-1), right, node, 1).times(left.constant)
        if len(right.terms) == 1 and right.constant == 0.0:
            ((column, factor),) = right.terms.items()
        else:
            column, factor = self._as_column(right, _part(node, 1)), 1.0
        if list(left.terms) == [column]:
            # (a x + b) / (c x) = a / c + b / (c x)
            inner = self._shaped(Power(-1), Form({column: 1.0}), node)
            total = inner.times(left.constant / factor)
            total.constant += left.terms[column] / factor
            return total
        above, size = (
            (self._homogeneous(left, _part(node, 0)))
            if left.constant == 0.0
            else (self._as_column(left, _part(node, 0)), 1.0)
        )
        return self._new("quotient", Quotient, node, [above, column]).times(
            size / factor
        )

    def _power(self, base, exponent, node):
        if exponent.terms:
            if base.terms:
                log = self._one("log", base, node, 0)
                return self._one("exp", self._product(log, exponent, node), node)
            if base.constant <= 0.0:
                raise self._refused(node, "the base of a power is not positive")
            return self._one("exp", exponent.times(math.log(base.constant)), node)
        p = exponent.constant
        if p == 0.0:
            return Form(constant=1.0)
        if p == 1.0:
            return base
        if abs(p - 1.0) < 1e-6 or abs(p) < 1e-6 or abs(p) > 100:
            raise self._refused(node, f"the exponent {p:g} is not among them")
        return self._shaped(Power(p), base, node, 0)

    def _extreme(self, data, node):
        """max(a, b) = (a + b + |a - b|) / 2, min with the sign reversed."""
        sign = 1.0 if isinstance(node, nodes.MaxExpression) else -1.0
        total = data[0]
        for part in data[1:]:
            apart = self._one("abs", total.plus(part, -1.0), node)
            total = total.plus(part).plus(apart, sign).times(0.5)
        return total

    # -- columns -------------------------------------------------------------------

    def _as_column(self, form, node):
        """A column that is a form."""
        if form.constant == 0.0 and list(form.terms.values()) == [1.0]:
            return next(iter(form.terms))
        columns = sorted(form.terms)
        new = self._new(
            "sum",
            Sum,
            node,
            columns,
            form.key,
            coefficients=np.array([form.terms[j] for j in columns]),
            constant=form.constant,
        )
        return next(iter(new.terms))

    def _new(self, kind, make, node, inputs, key=None, **more):
        """The form that is the column of an atom, made unless it is there."""
        key = (kind, tuple(inputs) if key is None else key)
        if key not in self._known:
            self._known[key] = -1 - len(self.atoms)
            name = f"{_shown(node)} in {self._where}"
            self.atoms.append(make(name, inputs, [self._known[key]], **more))
        return Form({self._known[key]: 1.0})

    def _refused(self, node, why, remedy=None):
        remedy = remedy or (
            "Products, quotients, powers, sqrt, exp, log, log10, sin, cos, tanh, abs, "
            "min and max are; rewrite it with these"
        )
        return ModelError(
            f"{self._name}: {self._where} has {_shown(node)}, which it cannot bound: "
            f"{why}. {remedy}."
        )


def _part(node, position):
    """What a node is made of at a position, as far as it says; else the node."""
    parts = () if isinstance(node, str) else node.args
    return parts[position] if position < len(parts) else node


def _shown(node):
    text = str(node)
    if isinstance(node, str):
        return text
    return f"'{text}'" if len(text) <= _SHOWN else f"'{text[:_SHOWN]}...'"
