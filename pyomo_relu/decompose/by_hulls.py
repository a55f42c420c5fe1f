"""Models of one-input networks with integer columns, solved as a MILP of hulls."""

import numpy as np

from pyomo_relu.branch.branch import (
    INTERRUPTED,
    OPTIMAL,
    TIME_LIMIT,
    BranchResult,
)
from pyomo_relu.branch.joint import build_problem
from pyomo_relu.branch.points.incumbent import Incumbent
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.decompose.hulls import hulls
from pyomo_relu.decompose.parts import take_apart
from pyomo_relu.decompose.root import root_box
from pyomo_relu.errors import BoundsError, InfeasibleError
from pyomo_relu.linear.rounding import OF_SUMS
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings, Status, ask

#: Share of the gap that the MILP may leave: its points are moved onto the networks.
_SHARE = 0.5


def solve_by_hulls(model, options):
    """Minimise a model by one MILP, or None if that is not its kind.

    Its kind are integer columns around networks of one free input each.  The bound is
    the MILP solver's own; its point is verified and improved like any other.

    Parameters
    ----------
    model : EmbeddedModel
        In unit range.
    options : BranchOptions

    Returns
    -------
    BranchResult or None
        None also where the MILP solver sees no point, has none that can be verified, or
        is in trouble: proofs of that are for others.
    """
    if not model.linear.integer.any():
        return None
    deadline = Deadline(options.time_limit)
    try:
        milp = hulls(model, *root_box(take_apart(model, 0), deadline))
    except (InfeasibleError, BoundsError):
        return None
    if milp is None or deadline.passed():
        return None
    incumbent = Incumbent(build_problem(model))
    columns = incumbent.problem.columns
    if options.start is not None:
        incumbent.offer(np.nan_to_num(options.start[columns])[None])
    settings = Settings(
        "relu.decompose",
        relative_gap=_SHARE * min(options.mip_gap, 1.0),
        absolute_gap=_SHARE * (1e-6 if options.abs_gap is None else options.abs_gap),
        tolerance=None,
        threads=options.threads,
        seed=options.seed,
        rays=False,
    )
    try:
        with HighsSession(milp.linear, True, settings) as session:
            at = np.flatnonzero(milp.costs)
            costs = milp.costs[at]
            answer = ask(session, at, costs, deadline.left())
        if answer.primal is not None:
            point = answer.primal[columns]
            incumbent.offer(point[None])
            incumbent.improve(point, deadline.left(10.0))
    except KeyboardInterrupt:
        seconds = deadline.elapsed()
        return BranchResult(
            INTERRUPTED, -np.inf, incumbent.value, incumbent.full, seconds=seconds
        )
    if answer.status not in (Status.OPTIMAL, Status.TIME_LIMIT):
        return None
    bound = -np.inf if answer.dual_bound is None else answer.dual_bound
    bound += model.constant - OF_SUMS * (1.0 + abs(bound))
    value, status = incumbent.value, TIME_LIMIT
    bound = min(bound, value)
    if np.isfinite(value) and value - bound <= options.tolerance(value):
        status = OPTIMAL
    elif answer.status is Status.OPTIMAL:
        return None
    return BranchResult(
        status, bound, value, incumbent.full, milps=1, seconds=deadline.elapsed()
    )
