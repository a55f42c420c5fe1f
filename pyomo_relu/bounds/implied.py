"""Bounds of all columns of an embedded model: by rows, networks' reach and atoms in turn."""

from dataclasses import replace

import numpy as np

from pyomo_relu.bounds.crown.interval import interval_bounds
from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.atoms.atom import Atom
from pyomo_relu.linear.atoms.relaxation import AtomRelaxation
from pyomo_relu.linear.box_rows import propagate
from pyomo_relu.linear.embedded import EmbeddedNetwork

#: Passes of rows, networks and atoms over the columns' bounds.
_ROUNDS = 3


def implied_bounds(problem):
    """Bounds of all columns by rows, networks' reach and atoms, one after the other.

    Parameters
    ----------
    problem : EmbeddedModel

    Returns
    -------
    lower, upper : numpy.ndarray, shape (n_columns,)

    Raises
    ------
    InfeasibleError
        If nothing is left.
    """
    linear = problem.linear
    atoms = [f for f in problem.functions if isinstance(f, Atom)]
    relaxation = AtomRelaxation(atoms, problem.n_columns)
    for _ in range(_ROUNDS):
        before = linear.lower, linear.upper
        lower, upper = propagate(linear)
        linear = linear.replace(lower=lower, upper=upper)
        linear = with_reachable_outputs(replace(problem, linear=linear))
        lower, upper = linear.lower[None].copy(), linear.upper[None].copy()
        if relaxation.tighten(lower, upper)[0]:
            raise InfeasibleError(
                "bounds and rows leave nothing that the nonlinear expressions can be."
            )
        linear = linear.replace(lower=lower[0], upper=upper[0])
        if np.array_equal(before, (linear.lower, linear.upper)):
            break
    return linear.lower, linear.upper


def with_reachable_outputs(problem):
    """The problem with interval bounds of the networks on their output columns.

    Only where the inputs' bounds are finite; keeps relaxations bounded.  Atoms are
    passed over.
    """
    linear = problem.linear
    lower, upper = linear.lower.copy(), linear.upper.copy()
    for f in (problem.functions[i] for i in problem.order()):
        lo, hi, outputs = lower[f.inputs], upper[f.inputs], f.outputs
        if not isinstance(f, EmbeddedNetwork):
            continue
        if np.all(np.isfinite(lo) & np.isfinite(hi)):
            bounds = interval_bounds(f.network, lo, hi)
            lower[outputs] = np.maximum(lower[outputs], bounds.lower[-1])
            upper[outputs] = np.minimum(upper[outputs], bounds.upper[-1])
    if np.any(lower > upper):
        at = int(np.argmax(lower > upper))
        raise InfeasibleError(
            f"the bounds of '{linear.name(at)}' have nothing in common with what its "
            "network can reach."
        )
    return linear.replace(lower=lower, upper=upper)
