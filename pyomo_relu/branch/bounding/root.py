"""Finite boxes for the networks' inputs from the modeller's rows, before branching."""

from dataclasses import replace

import numpy as np

from pyomo_relu.errors import BoundsError, InfeasibleError
from pyomo_relu.linear.box_rows import BoxRows, RowPattern
from pyomo_relu.linear.column_bounds import bound_free_columns
from pyomo_relu.linear.model import LinearModel


def tightened_root(problem):
    """The problem with its column bounds tightened by the rows without networks.

    Propagation first; inputs that stay unbounded are then minimised and maximised over
    those rows by LPs.

    Parameters
    ----------
    problem : BranchProblem

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
    lower, upper = p.lower.copy()[None], p.upper.copy()[None]
    lower[:, p.integer] = np.ceil(lower[:, p.integer] - 1e-6)
    upper[:, p.integer] = np.floor(upper[:, p.integer] + 1e-6)
    coo = p.plain.tocoo()
    pattern = RowPattern(coo.row, coo.col, *p.plain.shape)
    rows = BoxRows(pattern, coo.data[None], p.plain_lower[None], p.plain_upper[None])
    if rows.tighten(lower, upper, p.integer, rounds=10)[0]:
        return None
    n = p.n_inputs
    open_ends = ~(np.isfinite(lower[0, :n]) & np.isfinite(upper[0, :n]))
    if open_ends.any() and p.plain.shape[0]:
        model = LinearModel(
            p.plain, p.plain_lower, p.plain_upper, lower[0], upper[0], p.integer
        )
        try:
            low, high, _ = bound_free_columns(model, np.flatnonzero(open_ends))
        except InfeasibleError:
            return None
        np.maximum(lower[0], low, out=lower[0])
        np.minimum(upper[0], high, out=upper[0])
    for j in range(n):
        if not (np.isfinite(lower[0, j]) and np.isfinite(upper[0, j])):
            name = p.original.linear.name(p.columns[j])
            raise BoundsError(
                f"relu.branch: network input '{name}' has the bounds [{lower[0, j]}, "
                f"{upper[0, j]}] and the model's linear rows do not bound it either; "
                "branching on inputs needs a finite box. Set bounds with "
                f"{name}.setlb(...) and {name}.setub(...)."
            )
    return replace(p, lower=lower[0], upper=upper[0])
