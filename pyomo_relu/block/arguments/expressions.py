"""Inputs given as expressions, Params or numbers: Vars of the block, linked by rows."""

from pyomo.common.dependencies import numpy as np
from pyomo.common.numeric_types import native_numeric_types
from pyomo.core.base import value
from pyomo.core.base.component import Component, ComponentData
from pyomo.core.base.constraint import Constraint
from pyomo.core.base.expression import Expression
from pyomo.core.base.indexed_component import IndexedComponent
from pyomo.core.base.param import Param
from pyomo.core.base.set_types import Reals
from pyomo.core.base.var import Var, VarData
from pyomo.core.expr.boolean_value import BooleanValue
from pyomo.core.expr.numvalue import NumericValue
from pyomo.core.expr.relational_expr import RelationalExpression
from pyomo.core.expr.visitor import identify_mutable_parameters, identify_variables

from pyomo_relu.block.arguments.implied_bounds import ImpliedBound
from pyomo_relu.errors import ModelError

#: Most characters of an expression in a message.
_LONGEST = 60

#: Components that stand for numbers, besides Vars.
NUMERIC = (Param, Expression)


def is_numeric(item):
    """Whether an item stands for one number: a Var, an expression, a Param, a number."""
    return isinstance(item, NumericValue) or item.__class__ in native_numeric_types


def is_one_item(given):
    """Whether ``inputs=`` was given one thing, and not several or a rule.

    Pyomo's expressions and Vars are callable.
    """
    return isinstance(
        given, (NumericValue, BooleanValue, ComponentData, RelationalExpression)
    )


def as_input(block, position, item):
    """What one entry of ``inputs=`` means: a VarData, an expression, or a float.

    Parameters
    ----------
    block : ReLUNetworkBlockData
    position : int
        Among the inputs, for messages.
    item : object
        An entry that is no Var.

    Raises
    ------
    ModelError
        If it stands for no number, or rests on a component that is not constructed.
    """
    where = f"{block.name}: inputs={'' if position is None else f' entry {position}'}"
    if isinstance(item, IndexedComponent) and item.ctype in NUMERIC and len(item) == 1:
        _check_constructed(where, item)
        item = next(iter(item.values()))
    if isinstance(item, (bool, np.bool_, RelationalExpression, BooleanValue)):
        raise ModelError(
            f"{where} is '{_short(item)}', which is true or false (relational or "
            "logical) and no number. Give the expression on one of its sides, or a "
            "binary Var."
        )
    if item.__class__ in native_numeric_types or isinstance(item, np.number):
        if not np.isfinite(float(item)):
            raise ModelError(
                f"{where} is {item!r}, which is no finite real number. Give one, a Var "
                "or an expression."
            )
        return float(item)
    if isinstance(item, NumericValue) and _allowed(item):
        _check_parts(where, item)
        return item
    name = getattr(item, "name", None)
    what = f"{item!r:.{_LONGEST}}" if name is None else f"'{name:.{_LONGEST}}'"
    raise ModelError(
        f"{where} is {what}, a {type(item).__name__}, which stands for no "
        "number. Inputs are Vars, expressions of Vars and Params, Params or numbers."
    )


def _allowed(item):
    """Vars, Params, named Expressions and expressions; no Objectives and the like."""
    if isinstance(item, (Component, ComponentData)):
        return item.ctype in (Var, *NUMERIC)
    return item.is_expression_type() or not item.is_potentially_variable()


def _check_parts(where, expr):
    """Raise if an expression cannot be evaluated whatever its Vars' values are."""
    parts = [
        *identify_variables(expr, include_fixed=True),
        *identify_mutable_parameters(expr),
    ]
    if isinstance(expr, ComponentData):
        parts.append(expr)
    for part in parts:
        if isinstance(part, ComponentData):  # units are none
            _check_constructed(where, part.parent_component())
    if not expr.is_potentially_variable():
        number = value(expr, exception=False)
        if number is not None and number.__class__ not in native_numeric_types:
            raise ModelError(
                f"{where} is '{_short(expr)}' with the value {number!r}, which is no "
                "number."
            )


def _check_constructed(where, component):
    if component is None or component.is_constructed():
        return
    raise ModelError(
        f"{where} rests on '{component.name}', which is not constructed yet. Put it on "
        "the model before the network block; in an AbstractModel give inputs= as a "
        "function of the model, lambda m: [...]."
    )


def _short(expr):
    text = str(expr)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def add_linked_inputs(block, given, index_set):
    """Vars for what is no Var among the inputs, and rows that link them.

    Adds ``linked_inputs`` and ``linking`` (``linked_inputs[key] == expression``),
    indexed by the network's index.  Numbers are bounds of both sides; other bounds are
    ``ImpliedBound``.

    Parameters
    ----------
    block : ReLUNetworkBlockData
    given : dict
        By the network's index what ``as_input`` returned.
    index_set : callable
        Keys as a Var takes them.

    Returns
    -------
    variables : dict
        VarData by the network's index.
    expressions : dict
        {key: expression or float} of those that were made.
    """
    expressions = {k: item for k, item in given.items() if not _is_var(item)}
    if not expressions:
        return given, {}
    keys = list(expressions)
    block.linked_inputs = Var(
        index_set(keys), domain=Reals, doc="inputs given as expressions"
    )
    block.linking = Constraint(index_set(keys), doc="linked_inputs[k] == expression")
    for key, expr in expressions.items():
        var = block.linked_inputs[key]
        if isinstance(expr, float):
            var.setlb(expr)
            var.setub(expr)
        else:
            var.setlb(ImpliedBound(expr, 0))
            var.setub(ImpliedBound(expr, 1))
        block.linking[key] = var == expr
    return {
        k: block.linked_inputs[k] if k in expressions else given[k] for k in given
    }, (expressions)


def _is_var(item):
    return isinstance(item, VarData)


def expression_value(block, expr):
    """The value of an input's expression, or None; and the name of a Var without one.

    Raises
    ------
    ModelError
        If it has none although all its Vars and Params have values.
    """
    if isinstance(expr, float):
        return expr, None
    for part in (
        *identify_variables(expr, include_fixed=True),
        *identify_mutable_parameters(expr),
    ):
        if value(part, exception=False) is None:
            return None, part.name
    try:
        number = value(expr)
        finite = np.isfinite(number)
    except (ArithmeticError, TypeError, ValueError):
        number, finite = None, False
    if not finite:
        raise ModelError(
            f"{block.name}: the input expression '{_short(expr)}' has no finite value "
            "at its Vars' present values. Set others."
        )
    return float(number), None


def vars_behind_inputs(block):
    """The input Vars, and those that the expressions behind them read."""
    yield from block.input_vars()
    for expr in block.input_expressions().values():
        if not isinstance(expr, float):
            yield from identify_variables(expr, include_fixed=True)


def expressions_text(block):
    """A line for ``summary()``, or None if all inputs are Vars."""
    expressions = block.input_expressions()
    if not expressions:
        return None
    shown = [f"{key!r}: {_short(expr)}" for key, expr in list(expressions.items())[:4]]
    more = ", ..." if len(expressions) > len(shown) else ""
    return (
        f"inputs that are expressions (Vars linked_inputs, rows linking): "
        f"{', '.join(shown)}{more}"
    )
