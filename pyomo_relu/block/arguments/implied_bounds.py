"""Bounds that an expression's Vars imply for it, as bounds of a Var that equals it.

They are no numbers but follow the model: a Var bound that was widened, another value of a
mutable Param or another named Expression must not leave a bound that cuts points off.
"""

import math

from pyomo.common.collections import ComponentMap
from pyomo.common.errors import InfeasibleConstraintException
from pyomo.contrib.fbbt.expression_bounds_walker import ExpressionBoundsVisitor
from pyomo.contrib.observer.component_collector import (
    collector_handlers,
    handle_param,
)
from pyomo.core.base import value
from pyomo.core.expr.numeric_expr import (
    AbsExpression,
    LinearExpression,
    MaxExpression,
    MinExpression,
    NegationExpression,
    NumericValue,
    ProductExpression,
    SumExpression,
    UnaryFunctionExpression,
)
from pyomo.core.expr.visitor import identify_variables

#: Relative error of elementary functions, powers and quotients, generously.
_ROUNDING = 2.0**-48

#: Beyond, reducing an angle loses more than ``_ROUNDING``.
_LARGEST_ANGLE = 16.0

_EVERYTHING = -math.inf, math.inf

#: What computes without rounding.
_EXACT = NegationExpression, AbsExpression

#: Increasing functions that Pyomo's walker does not know.
_INCREASING = {"tanh": math.tanh, "sinh": math.sinh, "asinh": math.asinh}


def expression_bounds(expr, bounds_of):
    r"""Interval propagation over an expression, every operation rounded outward.

    Each node's interval, computed in floating point from those of its arguments, is
    widened: by the next number where the operation is one rounding (products, and sums
    by ``math.fsum``, so that cancellation loses nothing), by ``2**-48`` of its ends'
    magnitudes elsewhere.  By induction the exact value of every node lies in its
    interval (underflow to zero aside).

    Parameters
    ----------
    expr : expression, number, Param or Var
    bounds_of : callable
        VarData to (lower, upper) as floats, infinite where there is none.

    Returns
    -------
    lower, upper : float
        Infinite where nothing is known: no bound, a function with a pole or outside
        its domain, an overflow, a Param or a fixed Var without a value.
    """
    try:
        leaves = ComponentMap(
            (var, bounds_of(var))
            for var in identify_variables(expr, include_fixed=True)
        )
        lower, upper = _Walker(leaf_bounds=leaves).walk_expression(expr)
        lower, upper = float(lower), float(upper)
    except (ArithmeticError, InfeasibleConstraintException, TypeError, ValueError):
        return _EVERYTHING
    # what overflowed, or a NaN, bounds nothing
    lower = lower if lower < math.inf else -math.inf
    return lower, (upper if upper > -math.inf else math.inf)


class _Walker(ExpressionBoundsVisitor):
    """Pyomo's interval walker, rounded outward, with what it lacks."""

    def exitNode(self, node, data):
        if node.is_named_expression_type() or isinstance(node, _EXACT):
            return super().exitNode(node, data)
        if isinstance(node, (SumExpression, LinearExpression)):
            below, above = zip(*data, strict=True)
            return _one_rounding(_sum(below, min), _sum(above, max))
        if isinstance(node, ProductExpression):
            return _one_rounding(*super().exitNode(node, data))
        if isinstance(node, (MaxExpression, MinExpression)):
            choice = max if isinstance(node, MaxExpression) else min
            return tuple(choice(ends) for ends in zip(*data, strict=True))
        if isinstance(node, UnaryFunctionExpression):
            lower, upper = self._unary(node, data)
        else:
            lower, upper = super().exitNode(node, data)
        return (
            lower - abs(lower) * _ROUNDING if math.isfinite(lower) else lower,
            upper + abs(upper) * _ROUNDING if math.isfinite(upper) else upper,
        )

    def _unary(self, node, data):
        name, (lower, upper) = node.getname(), data[0]
        if name in _INCREASING:
            function = _INCREASING[name]
            return tuple(
                function(end) if math.isfinite(end) or name == "tanh" else end
                for end in (lower, upper)
            )
        if name in ("sin", "cos") and max(-lower, upper) > _LARGEST_ANGLE:
            return -1.0, 1.0
        if name == "tan" and max(-lower, upper) > _LARGEST_ANGLE:
            return _EVERYTHING
        try:
            return super().exitNode(node, data)
        except KeyError:  # a function that it does not know
            return _EVERYTHING


def _one_rounding(lower, upper):
    return (
        math.nextafter(lower, -math.inf) if lower else lower,
        math.nextafter(upper, math.inf) if upper else upper,
    )


def _sum(terms, outer):
    """A correctly rounded sum; of infinite terms the outer one (min, max) counts."""
    infinite = [t for t in terms if not math.isfinite(t)]
    return outer(infinite) if infinite else math.fsum(terms)


class ImpliedBound(NumericValue):
    """One side of what an expression can reach, evaluated whenever it is asked for.

    As a Param it has a value and no Vars as far as Pyomo is concerned, so it may be a
    Var's bound.

    Parameters
    ----------
    expr : expression
    side : {0, 1}
        0 for the lower bound.
    """

    __slots__ = ("_expr", "_side")

    def __init__(self, expr, side):
        self._expr, self._side = expr, side

    def both_sides(self, bounds_of):
        """(lower, upper) by other bounds of the Vars; see ``expression_bounds``."""
        return expression_bounds(self._expr, bounds_of)

    @property
    def value(self):
        """The bound, as a Param has it."""
        return self()

    def __call__(self, exception=True):
        """The bound by the Vars' present bounds, and values where they are fixed."""
        return self.both_sides(_present)[self._side]

    # bounds are compared with each other: one is equal to itself
    def __eq__(self, other):
        return self is other

    __hash__ = object.__hash__

    def __str__(self):
        return str(self())

    def is_fixed(self):
        """True: it has no Vars of its own."""
        return True

    def is_potentially_variable(self):
        """False: as far as Pyomo is concerned it is a Param."""
        return False


# persistent solver interfaces ask what a bound reads, to follow its value
collector_handlers[ImpliedBound] = handle_param


def _present(var):
    if var.fixed and var.value is not None:
        return var.value, var.value
    lower, upper = var.bounds
    return (
        -math.inf if lower is None else value(lower),
        math.inf if upper is None else value(upper),
    )
