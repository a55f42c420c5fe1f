"""One model, several routes: which ones, in which order, and what they proved together."""

import logging

import numpy as np

from pyomo_relu.branch.branch import (
    INFEASIBLE,
    INTERRUPTED,
    OPTIMAL,
    STALLED,
    TIME_LIMIT,
    UNBOUNDED,
    BranchResult,
)
from pyomo_relu.portfolio.findings import Findings
from pyomo_relu.portfolio.plan import plan
from pyomo_relu.portfolio.sharing import Turn, share

logger = logging.getLogger("pyomo.relu")


class Run:
    """One run of the portfolio.

    Parameters
    ----------
    model : EmbeddedModel
    options : BranchOptions
        ``time_limit`` is left to ``deadline``.
    deadline : Deadline
    solver : str
        "highs", "gurobi" or "auto".
    watch : callable, optional
        Called now and then with this object.

    Attributes
    ----------
    findings : Findings
        In unit range.
    routes : list
        In the order in which they began.
    reason : str
        Why in this order.
    """

    def __init__(self, model, options, deadline, solver="auto", watch=None):
        self.units = model.units
        self.model = model.in_unit_range()
        self.options, self.deadline, self.watch = options, deadline, watch
        self.findings = Findings(self.model, options, deadline)
        self.routes, self.reason = plan(self.model, options, solver)

    def solve(self):
        """Work until an end is proven or the time is over.

        Returns
        -------
        BranchResult
        """
        findings, status = self.findings, None
        turns = [
            Turn(route.name, self._work(route), weight, delay)
            for route, weight, delay in self.routes
        ]
        if self.options.start is not None:
            findings.offer(np.nan_to_num(self.options.start), "start")
        watch = None if self.watch is None else lambda: self.watch(self)
        try:
            threads = self.options.threads
            done = self._done
            share(turns, self.deadline, done, threads, watch)
        except KeyboardInterrupt:
            status = INTERRUPTED
        return self._result(status or self._status(turns))

    def _done(self):
        return self.findings.done

    def _work(self, route):
        return lambda turn: route.work(turn, self.findings)

    def _status(self, turns):
        findings = self.findings
        if findings.status is not None:
            return findings.status
        if findings.done:
            return OPTIMAL
        return TIME_LIMIT if self.deadline.passed() else STALLED

    def _result(self, status):
        findings, units = self.findings, self.units
        bound, value, full = findings.bound, findings.value, findings.point
        if status == INFEASIBLE:
            bound, value, full = np.inf, np.inf, None
        elif status == UNBOUNDED:
            bound = -np.inf
        full = None if full is None else full * units.columns
        nodes = sum(getattr(route, "nodes", 0) for route, *_ in self.routes)
        return BranchResult(
            status,
            min(bound, value) * units.objective,
            value * units.objective,
            full,
            nodes,
            seconds=self.deadline.elapsed(),
        )
