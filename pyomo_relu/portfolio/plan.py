"""Which routes a model gets, in which order and with which share of the time.

Measured on the set in ``benchmarks/regret``: a tree's work grows with the inputs that
have to be split, a MILP's with the neurons that are unstable; functions of one input are
exact in a MILP and cost it little.
"""

import contextlib
from typing import NamedTuple

import numpy as np

from pyomo_relu.bounds.crown.crown import crown_bounds
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.box_rows import propagate
from pyomo_relu.portfolio.routes import MILPRoute, TreeRoute

#: So many unstable neurons cost a MILP what one more input costs the tree.
_NEURONS_PER_INPUT = 8

#: Seconds for which the first route is alone, and its share of the time afterwards.
_ALONE, _FIRST = 0.5, 2.0


class Planned(NamedTuple):
    """A route with its share of the time, and the seconds after which it may begin."""

    route: object
    weight: float = 1.0
    delay: float = 0.0


class Sizes(NamedTuple):
    """What decides.

    Attributes
    ----------
    inputs : int
        Columns that functions read, that vary and that no function computes.
    wide : int
        Functions of more than one varying input.
    unstable : int
        Neurons of these that CROWN leaves unstable.
    """

    inputs: int
    wide: int
    unstable: int

    def __str__(self):
        return f"{counted(self.inputs, 'input')}, {self.unstable} unstable neurons"


def plan(model, options, solver):
    """Routes for a model.

    Parameters
    ----------
    model : EmbeddedModel
        In unit range.
    options : BranchOptions
    solver : str
        "highs", "gurobi" or "auto".

    Returns
    -------
    routes : list of Planned
        In the order of their beginning.
    reason : str
    """
    tree, milp = TreeRoute(model, options), MILPRoute(model, options, solver)
    found = sizes(model)
    if not found.wide:
        return [Planned(milp, _FIRST), Planned(tree, 1.0, _ALONE)], f"{found}, curves"
    if found.unstable < _NEURONS_PER_INPUT * found.inputs:
        return [Planned(milp, _FIRST), Planned(tree, 1.0, _ALONE)], str(found)
    return [Planned(tree, _FIRST), Planned(milp, 1.0, _ALONE)], str(found)


def sizes(model):
    """The Sizes of a model.

    Parameters
    ----------
    model : EmbeddedModel
    """
    linear = model.linear
    lower, upper = linear.lower, linear.upper
    with contextlib.suppress(InfeasibleError):  # for the routes to prove
        lower, upper = propagate(linear)
    varies, known = lower < upper, {}
    wide = unstable = 0
    for f in model.functions:
        box = lower[f.inputs], upper[f.inputs]
        if np.count_nonzero(varies[f.inputs]) < 2 or not np.isfinite(box).all():
            continue
        key = f.network, box[0].tobytes(), box[1].tobytes()
        if key not in known:
            known[key] = crown_bounds(f.network, *box).n_unstable
        wide += 1
        unstable += known[key]
    inputs = model.input_columns()
    return Sizes(int(np.count_nonzero(varies[inputs])), wide, unstable)
