"""The routes: each works on a model in its turns, and reports what it finds."""

import numpy as np

from pyomo_relu.branch.branch import (
    INFEASIBLE,
    OPTIMAL,
    UNBOUNDED,
    branch,
)
from pyomo_relu.branch.joint import build_problem
from pyomo_relu.linear.sessions.choice import session_class
from pyomo_relu.linear.sessions.session import Settings, Status
from pyomo_relu.linear.sessions.watcher import Watcher
from pyomo_relu.portfolio.milp import Encoded

#: A MILP solver's dual bound is believed up to this margin, relative to its size.
_MARGIN = 1e-9


class TreeRoute:
    """Branching on the networks' inputs (``branch``).

    Parameters
    ----------
    model : EmbeddedModel
        In unit range.
    options : BranchOptions
    """

    name = "branch"

    def __init__(self, model, options):
        self.model, self.options = model, options
        self.nodes = 0

    def work(self, turn, findings):
        """Run until an end is proven; see ``sharing.Turn``."""

        def progress(tree):
            self.nodes = tree.nodes
            best = tree.incumbent
            if best.value < findings.value:
                findings.offer(best.full, self.name, verified=best.value)
            findings.raise_bound(tree.bound, self.name)
            tree.paused += turn.pause()
            better = findings.point if findings.value < best.value else None
            tree.learn(better, findings.bound)

        result = branch(build_problem(self.model), self.options, progress)
        self.nodes = result.nodes
        if result.status in (INFEASIBLE, UNBOUNDED):
            if not np.isfinite(findings.value) or result.status == UNBOUNDED:
                findings.conclude(result.status, self.name)
            return
        if result.full is not None:
            findings.offer(result.full, self.name, verified=result.value)
        if result.status == OPTIMAL:
            findings.raise_bound(result.bound, self.name)

    @property
    def done(self):
        """How much was done, for people."""
        return f"{self.nodes:,} boxes"


class MILPRoute(Watcher):
    """A MILP of big-M rows and exact curves, by a MILP solver.

    Parameters
    ----------
    model : EmbeddedModel
        In unit range.
    options : BranchOptions
    solver : str
        "highs" or "gurobi".
    """

    def __init__(self, model, options, solver="highs"):
        self.model, self.options, self.solver = model, options, solver
        self.name = {"highs": "HiGHS", "gurobi": "Gurobi"}[solver]
        self.encoded = None
        self._told = np.inf
        self._turn = self._findings = None

    def work(self, turn, findings):
        """Encode and solve; see ``sharing.Turn``."""
        self._turn, self._findings = turn, findings
        self.encoded = encoded = Encoded(self.model, turn)
        if encoded.linear is None:
            findings.conclude(INFEASIBLE, self.name)
            return
        turn.pause()
        settings = Settings(
            'SolverFactory("relu")',
            presolve=True,
            tolerance=1e-7,
            relative_gap=self.options.mip_gap,
            absolute_gap=self.options.tolerance(0.0),
            rays=False,
            seed=self.options.seed,
            # curves alone: measured, they take longer than the tree after them
            small_milps=bool(encoded.bounds),
        )
        with session_class(self.solver)(encoded.linear, True, settings) as session:
            session.watcher = self
            answer = session.minimize(
                np.arange(encoded.linear.n_columns),
                encoded.costs,
                findings.deadline.left(),
                self.model.constant,
            )
        if answer.primal is not None:
            self.found(answer.primal)
        if answer.status is Status.INFEASIBLE and not np.isfinite(findings.value):
            findings.conclude(INFEASIBLE, self.name)
        elif answer.dual_bound is not None:
            self._raise(answer.dual_bound, answer.unit)

    def _raise(self, bound, unit):
        if np.isfinite(bound):
            bound -= _MARGIN * (unit + abs(bound))
            self._findings.raise_bound(bound, self.name)

    # -- what the solver calls -----------------------------------------------------

    def step(self, bound):
        """See Watcher.step."""
        self._raise(bound, 1.0)
        self._turn.pause()
        return self._findings.done

    def found(self, point):
        """See Watcher.found."""
        point = point[: self.model.n_columns]
        self._findings.offer(point, self.name)

    def offered(self):
        """See Watcher.offered."""
        if self._findings.value >= self._told or self._findings.value_by == self.name:
            return None
        self._told = self._findings.value
        return self.encoded.complete(self._findings.point)

    @property
    def done(self):
        """How much was done, for people."""
        if self.encoded is None or self.encoded.linear is None:
            return "no model"
        linear = self.encoded.linear
        return f"{linear.n_columns:,} columns, {linear.n_rows:,} rows"
