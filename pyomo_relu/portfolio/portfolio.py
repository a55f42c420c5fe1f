"""A model's parts, the routes of each, and what they prove together."""

import logging
from dataclasses import replace

import numpy as np

from pyomo_relu.branch.bounding.root import tightened_root
from pyomo_relu.branch.branch import BranchResult
from pyomo_relu.branch.problem.units import gap_in_unit_range
from pyomo_relu.branch.statuses import (
    BOUND_REACHED,
    INFEASIBLE,
    INTERRUPTED,
    OPTIMAL,
    POINT_REACHED,
    STALLED,
    TIME_LIMIT,
    UNBOUNDED,
)
from pyomo_relu.branch.subtrees.trace import joined
from pyomo_relu.common.wording import counted
from pyomo_relu.linear.components import components
from pyomo_relu.linear.rounding import rounding, wide_enough
from pyomo_relu.linear.unit_range import Units
from pyomo_relu.portfolio.findings import Findings
from pyomo_relu.portfolio.plan import plan
from pyomo_relu.portfolio.sharing import Turn, share
from pyomo_relu.portfolio.without_time import fill

logger = logging.getLogger("pyomo.relu")


class Run:
    """The routes of one model.

    Parameters
    ----------
    model : EmbeddedModel
        In unit range.
    options : BranchOptions
    deadline : Deadline
    planned : list of Planned
    reason : str
        Why these.

    Attributes
    ----------
    findings : Findings
    routes : list
    turns : list of Turn
    interrupted : bool
        By the keyboard; what had been proven by then counts all the same.
    """

    def __init__(self, model, options, deadline, planned, reason):
        self.model, self.options, self.deadline = model, options, deadline
        self.findings, self.reason = Findings(model, options, deadline), reason
        self.routes, self.interrupted = [one.route for one in planned], False
        self.turns = [
            Turn(
                one.route.name,
                self._work(one.route),
                one.weight,
                one.delay,
                one.route.elsewhere,
            )
            for one in planned
        ]

    def _work(self, route):
        return lambda turn: route.work(turn, self.findings)

    def _leader(self):
        """The turn of the route that holds the best bound; whether it is near the end."""
        pairs, by = zip(self.routes, self.turns, strict=True), self.findings.bound_by
        ahead = next((turn for route, turn in pairs if route.name == by), None)
        return ahead or self.turns[0], self.findings.soon()

    def solve(self, watch=None):
        """Work until an end is proven or the time is over; returns a status."""
        findings, start = self.findings, self.options.start
        try:
            if start is not None:
                findings.offer(np.nan_to_num(start), "start")
            share(
                self.turns,
                self.deadline,
                lambda: findings.done,
                self.options.threads,
                watch,
                self._leader,
            )
        except KeyboardInterrupt:
            self.interrupted = True
        try:
            if not findings.done:
                fill(findings)
        except KeyboardInterrupt:
            self.interrupted = True
        ended = findings.status or findings.outcome
        if ended is not None:
            return ended
        if self.interrupted:
            return INTERRUPTED
        return TIME_LIMIT if self.deadline.passed() else STALLED


class Portfolio:
    """Solves a model by the routes that suit its parts.

    Parameters
    ----------
    problem : BranchProblem
        Of the model in the modeller's units.
    options : BranchOptions
        Without ``time_limit``.
    deadline : Deadline
    solver : str
        "highs", "gurobi" or "auto".
    log : PortfolioLog, optional

    Attributes
    ----------
    units : Units
    parts : list of Component
        In unit range.
    runs : list of Run
        Of the parts so far.
    plan : callable
        ``plan(model, options, solver)`` gives the routes of a part; see ``plan``.

    Raises
    ------
    BoundsError
        If a network's input is not bounded.
    """

    def __init__(self, problem, options, deadline, solver="auto", log=None):
        self.units = problem.original.units
        self.model = problem.original.in_unit_range()
        self._root = tightened_root(problem, "relu")
        if self._root is not None:
            self.model = self._within(self._root)
        self.parts = components(self.model)
        self.options, self.deadline = options, deadline
        self.solver, self.log = solver, log
        self.runs, self.plan = [], plan
        self._begun = []
        # of each part, what all of its runs know
        self._bounds = np.full(len(self.parts), -np.inf)
        self._values = np.full(len(self.parts), np.inf)

    def _within(self, root):
        """The model in unit range with the bounds that its rows imply."""
        linear, factors = self.model.linear, self.units.columns[root.columns]
        lower, upper = linear.lower.copy(), linear.upper.copy()
        ends = wide_enough(root.lower / factors, root.upper / factors)
        lower[root.columns] = np.maximum(lower[root.columns], ends[0])
        upper[root.columns] = np.minimum(upper[root.columns], ends[1])
        linear = linear.replace(lower=lower, upper=upper)
        return replace(self.model, linear=linear, known_units=Units.ones(linear))

    def solve(self):
        """Solve all parts.

        Returns
        -------
        BranchResult
        """
        if self.log is not None:
            self.log.begin(self)
        if self._root is None:
            return self._result(INFEASIBLE)
        statuses = []
        for at in range(len(self.parts)):
            statuses.append(self._part(at, self.options))
            if statuses[-1] in (INFEASIBLE, INTERRUPTED):
                return self._result(statuses[-1])
            if self.runs[at].interrupted and at + 1 < len(self.parts):
                return self._result(INTERRUPTED)
        if len(self.parts) > 1 and set(statuses) == {OPTIMAL}:
            statuses = self._closer(statuses)
        if len(self.parts) > 1 and UNBOUNDED not in statuses:
            statuses = [self._together(statuses)]
        if UNBOUNDED in statuses and not self._have_points(statuses):
            # a ray of one part is one of the model only if the others have a point
            return self._result(TIME_LIMIT if self.deadline.passed() else STALLED)
        return self._result(max(statuses, key=_SEVERITY.index))

    def _have_points(self, statuses):
        """Whether every part that is not unbounded has a feasible point."""
        return all(
            status == UNBOUNDED or run.findings.point is not None
            for run, status in zip(self.runs, statuses, strict=True)
        )

    def history(self):
        """Bounds and values of all parts together, whenever one of them changed.

        Returns
        -------
        list of (seconds, bound, value)
            In the model's units.
        """
        events = []
        for at, run in self._begun:
            # a part may have a clock of its own
            began = self.deadline.elapsed() - run.deadline.elapsed()
            events += [(began + one.seconds, at, one) for one in run.findings.history]
        n, unit = len(self.parts), self.units.objective
        bounds, values, found = np.full(n, -np.inf), np.full(n, np.inf), []
        for seconds, at, one in sorted(events, key=lambda event: event[0]):
            bounds[at] = max(bounds[at], one.bound)
            values[at] = min(values[at], one.value)
            bound, value = float(bounds.sum()), float(values.sum())
            found.append((seconds, min(bound, value) * unit, value * unit))
        return found

    def work(self):
        """Who proved it and how much was done, for people."""
        if len(self.runs) != 1:
            return counted(len(self.parts), "part")
        run = self.runs[0]
        found = run.findings
        who = [f"bound by {found.bound_by}"] if found.bound_by else []
        who += [f"point by {found.value_by}"] if found.value_by else []
        routes = zip(run.routes, run.turns, strict=True)
        done = [f"{route.name}: {route.done}" for route, turn in routes if turn.begun]
        return ", ".join(who + done)

    def _part(self, at, options):
        """Run the routes of one part; returns its status."""
        columns, model = self.parts[at]
        start = options.start
        if start is not None:
            options = replace(options, start=(start / self.units.columns)[columns])
        options = replace(self._with_gap(options), **self._thresholds(at))
        left = len(self.parts) - at
        deadline = self.deadline.part(left) if left > 1 else self.deadline
        if at and self.deadline.passed():
            # the first part's bound by a route is worth a second too many, that of a
            # hundred parts is not: see ``without_time``
            routes = [], "no time is left"
        else:
            routes = self.plan(model, options, self.solver)
        run = Run(model, options, deadline, *routes)
        self.runs[at:] = [run]
        self._begun.append((at, run))
        if self.log is not None:
            self.log.routes(run, at)
        status = run.solve(None if self.log is None else self.log.tick)
        self._bounds[at] = max(self._bounds[at], run.findings.bound)
        self._values[at] = min(self._values[at], run.findings.value)
        return status

    def _with_gap(self, options):
        gap = gap_in_unit_range(options.abs_gap, self.units.objective)
        return replace(options, abs_gap=gap)

    def _thresholds(self, at):
        """What is left to one part of ``stop_at`` and ``prove_above``.

        Nothing until all other parts have a point, or a bound, since the sums count.
        """
        others = np.arange(len(self.parts)) != at
        unit, left = self.units.objective, {}
        known = (("stop_at", -1.0, self._values), ("prove_above", 1.0, self._bounds))
        for name, sign, ends in known:
            target = getattr(self.options, name) / unit
            if others.any() and np.isfinite(target):
                rest = ends[others]
                # sums are rounded, and have to reach it all the same
                error = rounding(target, np.abs(rest).sum(), operations=rest.size + 3)
                target = target - rest.sum() + sign * error
            left[name] = target if np.isfinite(target) else sign * np.inf
        return left

    def _together(self, statuses):
        """The status of all parts, of which none is unbounded or infeasible."""
        worst = max(statuses, key=_SEVERITY.index)
        # one part's share of a threshold is none of the whole
        alone = worst in (POINT_REACHED, BOUND_REACHED)
        return self._decided() or (STALLED if alone else worst)

    def _decided(self):
        """The status if the sums reach a threshold, else None."""
        value = self._values.sum() * self.units.objective
        bound = min(self._bounds.sum() * self.units.objective, value)
        return self.options.decision(bound, value)

    def _closer(self, statuses):
        """Again, where the parts' gaps add up to more than the whole may have."""
        value = sum(run.findings.value for run in self.runs)
        allowed = self._with_gap(self.options).tolerance(value)
        gaps = [run.findings.value - run.findings.bound for run in self.runs]
        if sum(gaps) <= allowed or self._decided():
            return statuses
        runs = self.runs
        if any(run.interrupted for run in runs):
            return [INTERRUPTED]
        self.runs = []
        for at, (run, gap) in enumerate(zip(runs, gaps, strict=True)):
            share = allowed / len(runs)
            if gap <= share:
                self.runs.append(run)
                continue
            options = replace(
                self.options,
                mip_gap=0.0,
                abs_gap=share * self.units.objective,
                start=self._point(runs),
            )
            statuses[at] = self._part(at, options)
            found = self.runs[at].findings
            found.raise_bound(run.findings.bound, run.findings.bound_by)
            if self.runs[at].interrupted or self._decided():
                self.runs += runs[at + 1 :]
                break
        interrupted = any(run.interrupted for run in self.runs)
        gaps = [run.findings.value - run.findings.bound for run in self.runs]
        if interrupted and sum(gaps) > allowed:
            return [INTERRUPTED]
        return statuses

    def _point(self, runs):
        """All parts' points as one in the model's units, or None."""
        full = np.where(
            np.isfinite(self.model.linear.lower), self.model.linear.lower, 0.0
        )
        for (columns, _), run in zip(self.parts, runs, strict=True):
            if run.findings.point is None:
                return None
            full[columns] = run.findings.point
        return full * self.units.columns

    def _result(self, status):
        """What all runs found, in the model's units."""
        unit = self.units.objective
        runs = self.runs
        bound = sum(run.findings.bound for run in runs)
        value = sum(run.findings.value for run in runs)
        full = None
        if len(runs) < len(self.parts):
            bound, value = -np.inf, np.inf
        else:
            full = self._point(runs)
        if status == INFEASIBLE:
            bound, value, full = np.inf, np.inf, None
        elif status == UNBOUNDED:
            bound = -np.inf
        nodes = sum(route.nodes for run in runs for route in run.routes)
        milps = sum(route.milps for run in runs for route in run.routes)
        reports = [route.tasks for run in runs for route in run.routes if route.tasks]
        return BranchResult(
            status,
            min(bound, value) * unit if status != INFEASIBLE else np.inf,
            value * unit,
            full,
            nodes,
            milps,
            seconds=self.deadline.elapsed(),
            tasks=joined(reports),
        )


#: Of the statuses of several parts the last of these counts.
_SEVERITY = [
    OPTIMAL,
    POINT_REACHED,
    BOUND_REACHED,
    STALLED,
    TIME_LIMIT,
    UNBOUNDED,
    INTERRUPTED,
    INFEASIBLE,
]
