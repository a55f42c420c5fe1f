"""Finite boxes for the networks' inputs from the modeller's rows, before branching."""

from dataclasses import replace

import numpy as np

from pyomo_relu.errors import BoundsError, InfeasibleError
from pyomo_relu.linear.atoms.relaxation import AtomRelaxation
from pyomo_relu.linear.box_rows import propagate
from pyomo_relu.linear.column_bounds import bound_free_columns
from pyomo_relu.linear.model import LinearModel

#: Most rounds of propagation through rows and atoms in turn, and what an endless width
#: counts in comparing them.
_ROUNDS, _LARGE = 10, 1e9


def tightened_root(problem, name="relu.branch"):
    """The problem with its column bounds tightened by the rows without networks.

    Propagation first; inputs that stay unbounded are then minimised and maximised over
    those rows by LPs.

    Parameters
    ----------
    problem : BranchProblem
    name : str
        Of the solver, for messages.

    Returns
    -------
    BranchProblem or None
        None if the rows and bounds are proven to leave no point.

    Raises
    ------
    BoundsError
        If an input stays unbounded; the message names the Var.
    """
    p = problem
    model = LinearModel(
        p.plain, p.plain_lower, p.plain_upper, p.lower, p.upper, p.integer
    )
    n = p.n_inputs
    try:
        lower, upper = propagate(model)
        if p.atoms:
            model = model.replace(lower=lower, upper=upper)
            lower, upper = _propagated(p, model)
        open_ends = np.flatnonzero(~(np.isfinite(lower) & np.isfinite(upper))[:n])
        if open_ends.size and model.n_rows:
            model = model.replace(lower=lower, upper=upper)
            lower, upper, _ = bound_free_columns(model, open_ends)
    except InfeasibleError:
        return None
    for j in range(n):
        if not (np.isfinite(lower[j]) and np.isfinite(upper[j])):
            var = p.original.linear.name(p.columns[j])
            raise unbounded_input(name, var, lower[j], upper[j])
    return replace(p, lower=lower, upper=upper)


def unbounded_input(name, var, lower, upper):
    """The BoundsError of a solver ``name`` for a network input without a finite box."""
    return BoundsError(
        f"{name}: network input '{var}' has the bounds [{lower}, {upper}] and the "
        "model's linear rows do not bound it either; branching on inputs needs a finite "
        f"box. Set bounds with {var}.setlb(...) and {var}.setub(...)."
    )


def _propagated(problem, model):
    """Column bounds by rows and atoms in turn."""
    atoms = AtomRelaxation(problem.atoms, problem.n_columns)
    for _ in range(_ROUNDS):
        before = np.clip(model.upper - model.lower, 0.0, _LARGE).sum()
        lower, upper = model.lower[None].copy(), model.upper[None].copy()
        if atoms.tighten(lower, upper)[0]:
            raise InfeasibleError("the model's bounds leave no feasible point.")
        model = model.replace(lower=lower[0], upper=upper[0])
        lower, upper = propagate(model)
        model = model.replace(lower=lower, upper=upper)
        if np.clip(upper - lower, 0.0, _LARGE).sum() > 0.999 * before:
            break
    return model.lower, model.upper
