"""What is known of a model in next to no time: a bound by intervals, points of its box."""

import numpy as np

from pyomo_relu.bounds.implied import implied_bounds
from pyomo_relu.branch.statuses import INFEASIBLE
from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.certificate import dual_bounds

#: Who found it, as results and log say.
_NAME = "box"

#: Where on the way from one end of the box to the other points are tried.
_SHARES = (0.5, 0.0, 1.0)


def fill(findings):
    """Report what no route came to before the limit: networks evaluated, once each.

    Parameters
    ----------
    findings : Findings
    """
    pointless = not np.isfinite(findings.value)
    if not pointless and np.isfinite(findings.bound):
        return
    model = findings.model
    try:
        lower, upper = implied_bounds(model)
    except InfeasibleError:
        if pointless:
            findings.conclude(INFEASIBLE, _NAME)
        return
    if pointless:
        nearest = np.clip(0.0, lower, upper)
        low = np.where(np.isfinite(lower), lower, nearest)
        width = np.where(np.isfinite(upper), upper, nearest) - low
        for share in _SHARES:
            findings.offer(low + share * width, _NAME)
    if not np.isfinite(findings.bound):
        findings.raise_bound(_objective_bound(model, lower, upper), _NAME)


def _objective_bound(model, lower, upper):
    """Least value of the objective over the columns' bounds, rounded down."""
    costs, no_duals = model.costs[None], np.zeros((1, 0))
    no_rows = np.zeros(0), np.zeros(0)
    return dual_bounds(
        (costs, costs), no_duals, no_rows, (lower, upper), model.constant
    )[0]
