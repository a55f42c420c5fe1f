"""LPs for the ends of the columns that boxes are split along, before branching."""

import numpy as np

from pyomo_relu.branch.bounding.lps import LPS_INFEASIBLE, NodeLPs
from pyomo_relu.branch.bounding.relaxation import PASSES
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.atoms.atom import Quotient
from pyomo_relu.linear.rounding import whole

#: Most rounds, and the share of an edge under which shrinking it is worth another one.
_ROUNDS, _WORTHWHILE = 4, 0.9


def narrowed(relaxation, cutoff, deadline):
    """The root with its box shrunk by propagation and LPs; no node if it is empty.

    Every column along which boxes may be split is minimised and maximised over the
    relaxation of the whole box (Quesada and Grossmann, A global optimization algorithm
    for linear fractional and bilinear programs, 1995); what counts is proven from
    multipliers.

    Parameters
    ----------
    relaxation : Relaxation
    cutoff : float
        Only points with a smaller objective are of interest.
    deadline : Deadline

    Returns
    -------
    Nodes
    """
    p, root = relaxation.problem, relaxation.root()
    columns = np.flatnonzero(relaxation.splittable)
    k, at = columns.size, p.integer[columns]
    costs = np.zeros((2 * k, p.n_columns))
    costs[np.arange(k), columns] = 1.0
    costs[k + np.arange(k), columns] = -1.0
    lps = NodeLPs(relaxation.function_rows.every_pattern)
    for _ in range(_ROUNDS):
        before = (root.upper - root.lower)[0, columns]
        rows = _rows(relaxation, root, cutoff)
        if rows is None:
            return root[:0]
        every = np.zeros(2 * k, dtype=int)
        answer = lps.solve(
            rows[every],
            costs,
            np.zeros(2 * k),
            root.lower[every],
            root.upper[every],
            deadline,
        )
        if (answer.bounds == LPS_INFEASIBLE).any():
            return root[:0]
        low, high = answer.bounds[:k], -answer.bounds[k:]
        ends = whole(low, high)
        low, high = np.where(at, ends[0], low), np.where(at, ends[1], high)
        root.lower[0, columns] = np.fmax(root.lower[0, columns], low)
        root.upper[0, columns] = np.fmin(root.upper[0, columns], high)
        if (root.lower > root.upper).any():
            return root[:0]
        after = (root.upper - root.lower)[0, columns]
        if deadline.passed() or not (after < _WORTHWHILE * before).any():
            break
    # what the last LPs said of an argument may keep a denominator away from zero
    return root[:0] if relaxation.propagated(root).any() else root


def _rows(relaxation, root, cutoff):
    """The rows of the box after propagation; None if it is empty."""
    p, function_rows = relaxation.problem, relaxation.function_rows
    if relaxation.propagated(root).any():
        return None
    lines = relaxation.lines(root)
    rows, _ = function_rows.rows(lines, root.lower, root.upper, cutoff)
    for _ in range(PASSES):
        if rows.tighten(root.lower, root.upper, p.integer).any():
            return None
        if relaxation.propagated(root).any():
            return None
    return function_rows.with_objective(rows, relaxation.atom_rows(root))


def refuse_endless(relaxation, root):
    """Raise a BoundsError if an argument of an atom is not bounded.

    Parameters
    ----------
    relaxation : Relaxation
    root : Nodes
        As ``narrowed`` leaves it.
    """
    p, atoms = relaxation.problem, relaxation.function_rows.atoms
    if not len(root):
        return
    for j in atoms.arguments:
        lower, upper = root.lower[0, j], root.upper[0, j]
        if not (np.isfinite(lower) and np.isfinite(upper)):
            name = p.original.linear.name(p.columns[j])
            raise BoundsError(
                f"relu.branch: {name} has the bounds [{lower:.6g}, {upper:.6g}] by all "
                "that the model says, and a function that is not linear reads it; "
                f"branching needs a finite box. {_remedy(p, root, j)}"
            )
    fault = atoms.endless(root.lower, root.upper)
    if fault is not None:
        atom, lower, upper = fault
        raise BoundsError(
            f"relu.branch: {atom.name} has no bounds where its argument is in "
            f"[{lower:.6g}, {upper:.6g}], which is all that the model says of it. Set "
            "bounds of the Vars in it with setlb(...) and setub(...) that keep it away "
            "from there."
        )


def _remedy(problem, root, column):
    """What makes a column finite, for a message."""
    for f in problem.atoms:
        if isinstance(f, Quotient) and f.outputs[0] == column:
            b = f.inputs[1]
            name = problem.original.linear.name(problem.columns[b])
            lower, upper = root.lower[0, b], root.upper[0, b]
            if lower <= 0.0 <= upper:
                return (
                    f"It divides by {name}, which may be 0: it is in [{lower:.6g}, "
                    f"{upper:.6g}]. Keep that away from 0 with bounds of the Vars in it "
                    "(setlb(...), setub(...)), however small."
                )
    return "Set bounds of the Vars in it with setlb(...) and setub(...)."
