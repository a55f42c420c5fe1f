"""Finite boxes for the networks' inputs from the modeller's rows, before branching."""

from dataclasses import replace

import numpy as np

from pyomo_relu.errors import BoundsError
from pyomo_relu.search.branch_lp import LPS_INFEASIBLE, NodeLPs
from pyomo_relu.search.branch_rows import BoxRows, RowPattern


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
    wanted = np.flatnonzero(open_ends) if p.plain.shape[0] else []
    if not _by_lps(rows, lower, upper, wanted):
        return None
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


def _by_lps(rows, lower, upper, inputs):
    """Bound some columns by two LPs each, in place; False if there is no point."""
    lps = NodeLPs(rows.pattern) if len(inputs) else None
    for j in inputs:
        for sign, ends in ((1.0, lower), (-1.0, upper)):
            costs = np.zeros_like(lower)
            costs[0, j] = sign
            answer = lps.solve(rows, costs, np.zeros(1), lower, upper)
            if answer.bounds[0] == LPS_INFEASIBLE:
                return False
            value = sign * answer.bounds[0]
            if np.isfinite(value):
                ends[0, j] = (
                    max(ends[0, j], value) if sign > 0 else min(ends[0, j], value)
                )
    return True
