"""Saying what in an infeasible Pyomo model contradicts each other."""

from pyomo.common.dependencies import numpy as np

from pyomo_relu.common.deadline import Deadline
from pyomo_relu.model.declared_bounds import declared_bounds

#: So many constraints, bounds and networks are named.
_MOST = 8

#: Seconds for finding out, if there is no other limit.
SECONDS = 5.0


def contradiction(surrounding, cutoff=None, seconds=SECONDS, proves=None):
    """A sentence or two on which rows, bounds and networks contradict each other.

    Parameters
    ----------
    surrounding : Surrounding
        Of a model that was proven to be infeasible.
    cutoff : (columns, coefficients, value), optional
        Of the objective: a further row.
    seconds : float
    proves : callable, optional
        ``proves(linear, seconds)``: see ``bounds.infeasibility.infeasible_subset``.

    Returns
    -------
    str
    """
    from pyomo_relu.bounds.infeasibility import infeasible_subset

    if len(surrounding.embedded.functions) > len(surrounding.blocks):  # atoms
        return "Which of its rows contradict each other is not looked for."
    lower, upper = declared_bounds(surrounding)
    linear = surrounding.linear.replace(lower=lower, upper=upper)
    names = [repr(n) for n in surrounding.row_names]
    if cutoff is not None:
        columns, coefficients, value = cutoff
        linear = linear.with_row(columns, coefficients, -np.inf, value)
        names.append("(the objective cutoff)")
    networks, deadline = surrounding.embedded.functions, Deadline(seconds)
    found = infeasible_subset(linear, networks, seconds, proves)
    if found is None:
        return "Which of its rows contradict each other was not found" + (
            f" in {seconds:.3g} seconds."
            if deadline.passed()
            else ": relaxations do not show it, SolverFactory('relu') may."
        )
    parts = [
        _listed("constraint", [names[i] for i in found.rows]),
        _listed("bound", [_bound(linear, j) for j in found.columns]),
        _listed("network", [repr(networks[k].name) for k in found.networks]),
    ]
    alone = len(found.rows) + len(found.columns) + len(found.networks) == 1
    text = ", ".join(part for part in parts if part)
    text += " cannot hold" if alone else " contradict each other"
    if found.integer:
        text += ", with integer Vars at integer values"
    if not found.minimal:
        text += " (perhaps some of them are not needed for that)"
    if not found.networks:
        return f"It has no solution even without the networks: {text}."
    return f"{text[0].upper()}{text[1:]}."


def _listed(what, items):
    if not items:
        return ""
    more = f" and {len(items) - _MOST} more" if len(items) > _MOST else ""
    plural = "s" if len(items) > 1 else ""
    return f"{what}{plural} {', '.join(items[:_MOST])}{more}"


def _bound(linear, j):
    lower, upper, name = linear.lower[j], linear.upper[j], linear.name(j)
    if lower == upper:
        return f"{name} = {lower:.9g}"
    low = f"{lower:.9g} <= " if np.isfinite(lower) else ""
    return low + name + (f" <= {upper:.9g}" if np.isfinite(upper) else "")
