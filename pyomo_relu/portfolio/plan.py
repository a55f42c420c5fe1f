"""Which routes a model gets, in which order and with which share of the time."""

import numpy as np

from pyomo_relu.branch.bounding.root import tightened_root  # noqa: F401
from pyomo_relu.common.wording import counted
from pyomo_relu.portfolio.routes import MILPRoute, TreeRoute


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
    routes : list of (route, weight, delay)
    reason : str
    """
    tree = TreeRoute(model, options)
    milp = MILPRoute(model, options, "highs" if solver == "auto" else solver)
    one = [
        np.count_nonzero(model.linear.lower[f.inputs] < model.linear.upper[f.inputs])
        for f in model.functions
    ]
    if max(one, default=0) <= 1:
        return [(milp, 3.0, 0.0), (tree, 1.0, 2.0)], "curves of one input"
    n = model.input_columns().size
    if n <= 6:
        return [(tree, 2.0, 0.0), (milp, 1.0, 1.0)], counted(n, "input")
    return [(tree, 1.0, 0.0), (milp, 1.0, 0.0)], counted(n, "input")
