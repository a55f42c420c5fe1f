"""Global branch and bound in the space of the networks' inputs.

A node is a box of the inputs (and of integer columns and what atoms read).  Its bound
comes from proven lines below and above the networks' row functions and the atoms, so no
neuron is a column of anything that is solved.  The tree is driven in ``branch.tree``.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pyomo_relu.branch.bounding.root import tightened_root
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.branch.problem.units import (
    ABSOLUTE_GAP,
    Progress,
    in_unit_range,
    in_units,
)
from pyomo_relu.branch.statuses import (
    BOUND_REACHED,
    INFEASIBLE,
    INTERRUPTED,
    NODE_LIMIT,
    OPTIMAL,
    POINT_REACHED,
    STALLED,
    TIME_LIMIT,
    UNBOUNDED,
)
from pyomo_relu.branch.tree.checkpoint import NO_CHECKPOINT, Checkpoint, load_state
from pyomo_relu.branch.tree.helpers import ALONE
from pyomo_relu.branch.tree.tree import Tree
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.html import table_html
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.rounding import relative_gap

if TYPE_CHECKING:
    from os import PathLike

    from pyomo_relu.branch.subtrees.coordinator import Plan
    from pyomo_relu.branch.subtrees.trace import TaskReport
    from pyomo_relu.common.types import FloatArray


@dataclass
class BranchOptions:
    """Options of ``branch``.

    Attributes
    ----------
    time_limit : float or None
        Seconds.
    mip_gap : float
        Relative gap ``(value - bound) / |value|`` at which to stop.
    abs_gap : float, optional
        Absolute gap at which to stop; by default 1e-6, times the objective's unit where
        that is below 1.
    threads : int
        Subtrees worked on at the same time; with an executor 1 means as many as it says
        that it has workers.
    executor : concurrent.futures.Executor, optional
        Where they are worked on; with ``threads`` alone in processes of this machine.
    seed : int
        Of random points.
    batch : int
        Most nodes split together.
    milp_neurons : int
        Boxes with at most this many unstable neurons may go to a MILP; 0 for never.
    root_milp : bool
        Whether the whole box may with more, where inputs are many.
    start : numpy.ndarray, shape (n_columns,), optional
        Values of the modeller's columns to try first.
    node_limit : float
        Boxes after which to stop.
    save, resume : path-like, optional
        Files that the state is saved in and taken from.
    save_every : float
        Seconds between two saves.
    save_nodes : int, optional
        Boxes after which it is saved as well.
    plan : Plan, optional
        How work is cut into tasks.
    stop_at : float
        End as soon as a point's objective is at most this.
    prove_above : float
        End as soon as the bound is at least this; boxes are not worked on beyond it.
    """

    time_limit: float | None = None
    mip_gap: float = 1e-4
    abs_gap: float | None = None
    threads: int = 1
    executor: Executor | None = None
    seed: int = 0
    batch: int = 256
    milp_neurons: int = 30
    root_milp: bool = True
    start: FloatArray | None = None
    node_limit: float = np.inf
    save: str | PathLike[str] | None = None
    resume: str | PathLike[str] | None = None
    save_every: float = 30.0
    save_nodes: int | None = None
    plan: Plan | None = None
    stop_at: float = -np.inf
    prove_above: float = np.inf

    def decision(self, bound: float, value: float) -> str | None:
        """The status that a bound and a point's value reach, None if no threshold."""
        if value <= self.stop_at:
            return POINT_REACHED
        return BOUND_REACHED if bound >= self.prove_above < np.inf else None

    def tolerance(self, value: float) -> float:
        """Absolute gap at which an incumbent of this value counts as optimal."""
        if not np.isfinite(value):
            return 0.0
        gap = ABSOLUTE_GAP if self.abs_gap is None else self.abs_gap
        # an infinite share of 0 is not a number
        return max(gap, self.mip_gap * abs(value) if self.mip_gap < np.inf else np.inf)


@dataclass
class BranchResult:
    """Outcome of ``branch``; objective values are of the minimisation.

    Attributes
    ----------
    status : str
        "optimal", "infeasible", "unbounded", "time limit", "node limit", "interrupted",
        "stalled" (boxes were left that are too small to be split), "stop_at is reached"
        or "prove_above is proven".
    bound : float
        Proven lower bound of the objective.
    value : float
        Objective of ``full``; infinite if no feasible point was found.
    full : numpy.ndarray or None
        Values of the modeller's columns.
    nodes : int
        Boxes bounded.
    milps : int
        Boxes handed to a MILP.
    open : int
        Boxes left.
    seconds : float
    tasks : TaskReport or None
        What workers did, if there were any.
    """

    status: str
    bound: float
    value: float
    full: FloatArray | None
    nodes: int = 0
    milps: int = 0
    open: int = 0
    seconds: float = 0.0
    tasks: TaskReport | None = None

    @property
    def gap(self) -> float:
        """``(value - bound) / |value|``, infinite without a feasible point."""
        if not np.isfinite(self.value):
            return np.inf
        return relative_gap(self.value, min(self.bound, self.value))

    def _repr_html_(self) -> str:
        rows = [
            ("status", self.status),
            ("best value", f"{self.value:.8g}"),
            ("proven bound", f"{self.bound:.8g}"),
            ("gap", self.gap),
            ("boxes bounded", self.nodes),
            ("boxes left", self.open),
            ("MILPs", self.milps),
            ("seconds", self.seconds),
        ]
        return table_html(("branch and bound", "value"), rows, "Branch and bound")


def branch(problem, options=None, progress=None, visited=None):
    """Minimise a BranchProblem to proven global optimality.

    Best-bound search over boxes.  A batch of boxes is split at once; the halves are
    shrunk by the rows and by ``lower line <= cutoff``, bounded by CROWN lines (and an
    LP over them where the model has rows), shrunk by the LP's reduced costs and dropped
    where the bound reaches the cutoff.  Functions of one input are bounded by their
    exact envelopes.  Where rows make inputs sums of the same columns, neurons are also
    bounded over those columns' box.  A box is split along a fractional integer column
    or else the input that most of its lines' error is due to.  Boxes with few unstable
    neurons are solved by a MILP.  Atoms (products, powers, exp, ...) are bounded by their
    own lines, boxes are split along their arguments as well, and none goes to a MILP.
    With them a tree to which a much better point is found early begins anew.
    Points come from relaxations, dives, and successive linear programmes with all
    integer columns fixed, next to the best point's values.

    With ``threads`` or an executor, subtrees are worked on elsewhere
    (``branch.subtrees``): the optimum and the proven gap are the same, nodes and, of
    several optimal points, the one returned are not.

    Parameters
    ----------
    problem : BranchProblem
    options : BranchOptions, optional
    progress : callable, optional
        Called with the ``Tree`` after every batch.
    visited : callable, optional
        Called with the lower and upper ends, shapes (B, n), of the boxes of each batch
        after they were shrunk.

    Returns
    -------
    BranchResult

    Raises
    ------
    BoundsError
        If a network's input cannot be bounded.
    ModelError
        If ``save`` or ``resume`` is no file for this problem.
    """
    if problem.original.units.identity:
        return _branch(problem, options or BranchOptions(), progress, visited)
    return branch_model(problem.original, options, progress, visited)


def branch_model(model, options=None, progress=None, visited=None):
    """As ``branch``, of an EmbeddedModel: its problem is made in unit range alone."""
    options, units = options or BranchOptions(), model.units
    if units.identity:
        return _branch(build_problem(model), options, progress, visited)
    inner = build_problem(model.in_unit_range())
    size = units.columns[inner.columns]
    try:
        found = _branch(
            inner,
            in_unit_range(options, units),
            None if progress is None else lambda tree: progress(Progress(tree, units)),
            None if visited is None else lambda lo, hi: visited(lo * size, hi * size),
        )
    except BoundsError:
        # the same message, with the modeller's numbers
        tightened_root(build_problem(model))
        raise
    return in_units(found, units)


def _branch(problem, options, progress=None, visited=None):
    deadline = Deadline(options.time_limit)
    try:
        root = tightened_root(problem)
        if root is None:
            return BranchResult(INFEASIBLE, np.inf, np.inf, None)
        helpers, checkpoint = _helpers(options), NO_CHECKPOINT
        if options.save is not None:
            checkpoint = Checkpoint(options.save, problem, options)
        tree = Tree(root, options, deadline, progress, visited, helpers, checkpoint)
        if options.resume is not None:
            tree.restore(load_state(options.resume, problem, options))
    except KeyboardInterrupt:
        return BranchResult(INTERRUPTED, -np.inf, np.inf, None)
    status = tree.run()
    if status == UNBOUNDED:
        return _confirm_unbounded(root, options, deadline)
    value, full = tree.incumbent.value, tree.incumbent.full
    bound = np.inf if status == INFEASIBLE else tree.bound
    return BranchResult(
        status,
        bound,
        value,
        full,
        tree.nodes,
        tree.milps,
        tree.n_open,
        deadline.elapsed(),
        helpers.report(),
    )


def _helpers(options):
    """Who works on subtrees besides this process."""
    if options.executor is None and options.threads == 1:
        return ALONE
    from pyomo_relu.branch.subtrees.coordinator import Coordinator

    count = options.threads if options.threads > 1 else None
    return Coordinator(options.executor, count, options.plan)


def _confirm_unbounded(problem, options, deadline):
    """The relaxation has an improving ray; it is one of the model if that has a point.

    Inputs are bounded, so the ray moves only columns outside the networks, along which
    the model and its relaxation have the same rows.
    """
    options = replace(
        options,
        time_limit=deadline.left(),
        save=None,
        resume=None,
        stop_at=-np.inf,
        prove_above=np.inf,
    )
    found = _branch(problem.without_objective(), options)
    if found.status == OPTIMAL:
        value = float(problem.original.objective(found.full))
        return replace(found, status=UNBOUNDED, bound=-np.inf, value=value)
    if found.status == INFEASIBLE:
        return found
    value = np.inf
    if found.full is not None:
        value = float(problem.original.objective(found.full))
    return replace(found, bound=-np.inf, value=value)


__all__ = [
    "BOUND_REACHED",
    "INFEASIBLE",
    "INTERRUPTED",
    "NODE_LIMIT",
    "OPTIMAL",
    "POINT_REACHED",
    "STALLED",
    "TIME_LIMIT",
    "UNBOUNDED",
    "BranchOptions",
    "BranchResult",
    "branch",
]
