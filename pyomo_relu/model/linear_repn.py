"""Linear expressions, read by Pyomo's ``generate_standard_repn``."""

from pyomo.core.expr.numeric_expr import MaxExpression, MinExpression
from pyomo.core.expr.visitor import identify_components
from pyomo.repn import generate_standard_repn


def linear_repn(expr, **options):
    """The ``StandardRepn`` of an expression, None if it is not linear.

    Pyomo's reader raises a ValueError at ``max`` and ``min``, which its expressions have.

    Parameters
    ----------
    expr : Pyomo expression
    **options
        Of ``generate_standard_repn``.
    """
    try:
        repn = generate_standard_repn(expr, quadratic=False, **options)
    except ValueError:
        if [*identify_components(expr, {MaxExpression, MinExpression})]:
            return None
        raise
    return repn if repn.is_linear() else None
