"""Decomposition over networks: global optimisation of models of many networks.

Rows and columns go into a master LP and every network is kept apart: bounds come from
multipliers of what links the two (``lagrangian``), found by column generation
(``generation``), and what a network mixes that is not on its graph is branched on
(``tree``).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyomo_relu.branch.branch import BranchOptions, BranchResult
from pyomo_relu.branch.problem.units import Progress, in_unit_range, in_units
from pyomo_relu.branch.statuses import INFEASIBLE, INTERRUPTED, OPTIMAL, UNBOUNDED
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.decompose.subproblems.parts import check_functions
from pyomo_relu.decompose.tree import Decomposition
from pyomo_relu.errors import InfeasibleError


def decompose(model, options=None, progress=None):
    """Minimise an EmbeddedModel of networks to proven global optimality.

    Parameters
    ----------
    model : EmbeddedModel
        Functions are networks.
    options : BranchOptions, optional
        ``time_limit``, ``mip_gap``, ``abs_gap``, ``threads``, ``executor``, ``seed``
        and ``start`` count.
    progress : callable, optional
        Called before every node with an object that has ``bound``, ``incumbent`` (with
        ``value`` and ``full``), ``nodes``, ``open``, ``seconds`` and ``offer(full)``,
        which takes values of the model's columns found elsewhere.  What it raises ends
        the run.

    Returns
    -------
    BranchResult

    Raises
    ------
    BoundsError
        If a network's input cannot be bounded, a function is not a network, or there is
        none.
    """
    check_functions(model)
    options = options or BranchOptions()
    units = model.units
    if units.identity:
        return _decompose(model, options, progress)
    tell = None if progress is None else lambda run: progress(Progress(run, units))
    found = _decompose(model.in_unit_range(), in_unit_range(options, units), tell)
    return in_units(found, units)


def _decompose(model, options, progress=None):
    deadline = Deadline(options.time_limit)
    try:
        run = Decomposition(model, options, deadline, progress)
    except KeyboardInterrupt:
        return BranchResult(INTERRUPTED, -np.inf, np.inf, None)
    try:
        status = run.run()
    except InfeasibleError:
        status = INFEASIBLE
    if status == UNBOUNDED:
        return _confirm_unbounded(model, options, deadline)
    best = run.incumbent
    bound = np.inf if status == INFEASIBLE else run.bound
    return BranchResult(
        status,
        bound,
        best.value,
        best.full,
        run.nodes,
        open=run.open,
        seconds=deadline.elapsed(),
    )


def _confirm_unbounded(model, options, deadline):
    """The master has an improving ray; it is one of the model if that has a point.

    Columns of networks are bounded, so the ray moves only others, along which the model
    and its relaxation have the same rows.
    """
    options = replace(options, time_limit=deadline.left())
    without = replace(model, costs=None, constant=0.0, known_units=model.units)
    found = _decompose(without, options)
    value = np.inf if found.full is None else float(model.objective(found.full))
    if found.status == OPTIMAL:
        return replace(found, status=UNBOUNDED, bound=-np.inf, value=value)
    if found.status == INFEASIBLE:
        return found
    return replace(found, bound=-np.inf, value=value)
