"""Which routes a model gets, in which order and with which share of the time."""

from typing import NamedTuple

import numpy as np

from pyomo_relu.common.wording import counted
from pyomo_relu.portfolio.routes import MILPRoute, TreeRoute


class Planned(NamedTuple):
    """A route with its share of the time, and the seconds after which it may begin."""

    route: object
    weight: float = 1.0
    delay: float = 0.0


def plan(model, options, solver):
    """Routes for a model.

    Parameters
    ----------
    model : EmbeddedModel
        In unit range.
    options : BranchOptions
    solver : str

    Returns
    -------
    routes : list of Planned
    reason : str
    """
    tree = TreeRoute(model, options)
    milp = MILPRoute(model, options, "highs" if solver == "auto" else solver)
    one = [
        np.count_nonzero(model.linear.lower[f.inputs] < model.linear.upper[f.inputs])
        for f in model.functions
    ]
    if max(one, default=0) <= 1:
        return [Planned(milp, 3.0), Planned(tree, 1.0, 2.0)], "curves of one input"
    n = model.input_columns().size
    if n <= 6:
        return [Planned(tree, 2.0), Planned(milp, 1.0, 1.0)], counted(n, "input")
    return [Planned(tree), Planned(milp)], counted(n, "input")
