"""The routes: each works on a model in its turns, and reports what it finds."""

import logging
from dataclasses import replace

import numpy as np

from pyomo_relu.branch.branch import branch
from pyomo_relu.branch.points.incumbent import Incumbent
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.branch.statuses import INFEASIBLE, UNBOUNDED
from pyomo_relu.common.wording import counted
from pyomo_relu.decompose.decompose import decompose
from pyomo_relu.errors import SolverError
from pyomo_relu.linear.sessions.answer import Answer, Status
from pyomo_relu.linear.sessions.choice import session_class
from pyomo_relu.linear.sessions.confirmed import confirmed
from pyomo_relu.linear.sessions.session import Settings
from pyomo_relu.linear.sessions.watcher import Watcher
from pyomo_relu.portfolio.milp import Encoded

logger = logging.getLogger("pyomo.relu")

_NAMES = {"highs": "HiGHS", "gurobi": "Gurobi"}

#: A MILP solver's dual bound is believed up to this margin, relative to its size.
_MARGIN = 1e-9


class SearchRoute:
    """What routes by searches of this package have in common.

    Parameters
    ----------
    model : EmbeddedModel
        In unit range.
    options : BranchOptions
    """

    #: whether others do the work, and what they have done
    elsewhere, tasks = False, None

    def __init__(self, model, options):
        self.model, self.options = model, options
        self.nodes = self.milps = 0

    def _report(self, search, findings):
        """What a running search knows."""
        best = search.incumbent
        if best.value < findings.value:
            findings.offer(best.full, self.name, verified=best.value)
        findings.raise_bound(search.bound, self.name)

    def _conclude(self, result, findings):
        """What a BranchResult says."""
        self.nodes, self.milps = result.nodes, result.milps
        if result.status == UNBOUNDED:
            findings.conclude(UNBOUNDED, self.name)
        elif result.status == INFEASIBLE:
            # nothing is below a cutoff that others found
            if not np.isfinite(findings.value):
                findings.conclude(INFEASIBLE, self.name)
        else:
            if result.full is not None:
                findings.offer(result.full, self.name, verified=result.value)
            if np.isfinite(result.bound):
                findings.raise_bound(result.bound, self.name)


class TreeRoute(SearchRoute):
    """Branching on the networks' inputs (``branch``)."""

    name = "branch"

    @property
    def elsewhere(self):
        """Whether an executor works on the tree."""
        return self.options.executor is not None

    def work(self, turn, findings):
        """Run until an end is proven; see ``sharing.Turn``."""

        def progress(tree):
            self.nodes, self.milps = tree.nodes, tree.milps
            self.tasks = tree.helpers.report()
            self._report(tree, findings)
            tree.paused += turn.pause()
            known = tree.incumbent.value
            better = findings.point if findings.value < known else None
            tree.learn(better, findings.bound)

        options = replace(
            self.options,
            time_limit=findings.deadline.left(),
            threads=1,
            root_milp=False,  # that is another route
        )
        result = branch(build_problem(self.model), options, progress)
        self.tasks = result.tasks
        self._conclude(result, findings)

    @property
    def done(self):
        """How much was done, for people."""
        text = f"{counted(self.nodes, 'box')}, {counted(self.milps, 'MILP')}"
        return text if self.tasks is None else f"{text}, {self.tasks.done}"


class DecompositionRoute(SearchRoute):
    """A master LP and the networks apart (``decompose``)."""

    name = "decompose"

    def work(self, turn, findings):
        """Run until an end is proven; see ``sharing.Turn``."""

        def progress(run):
            self.nodes = run.nodes
            self._report(run, findings)
            run.paused += turn.pause()
            if findings.value < run.incumbent.value:
                run.offer(findings.point)

        options = replace(self.options, time_limit=findings.deadline.left(), threads=1)
        self._conclude(decompose(self.model, options, progress), findings)

    @property
    def done(self):
        """How much was done, for people."""
        return counted(self.nodes, "node")


class MILPRoute(Watcher):
    """A MILP of big-M rows and exact curves, by a MILP solver.

    Parameters
    ----------
    model : EmbeddedModel
        In unit range.
    options : BranchOptions
    solver : str
        "highs", "gurobi" or "auto": Gurobi where it is installed and licensed for the
        size, else HiGHS.
    """

    elsewhere, tasks = False, None

    def __init__(self, model, options, solver="highs"):
        self.model, self.options, self.solver = model, options, solver
        self.name = _NAMES.get(solver, "MILP")
        self.encoded = None
        self.nodes = self.milps = 0
        self._told = np.inf
        self._turn = self._findings = self._incumbent = None

    def work(self, turn, findings):
        """Encode and solve; see ``sharing.Turn``."""
        self._turn, self._findings = turn, findings
        self.encoded = encoded = Encoded(self.model, turn, deadline=findings.deadline)
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
        answer = confirmed(self._solved, settings)
        if answer.status is Status.INFEASIBLE:
            self._infeasible()
        elif answer.dual_bound is not None:
            self._raise(answer.dual_bound, answer.unit)

    def _infeasible(self):
        """Nothing is below what is known: if that is nothing, there is no point."""
        if not np.isfinite(self._findings.value):
            self._findings.conclude(INFEASIBLE, self.name)

    def _solved(self, settings):
        """The encoding's answer; the run that confirms another one does without cuts."""
        if not settings.presolve_milps:
            self._turn.pause()
            self.encoded = Encoded(
                self.model, self._turn, cuts=False, deadline=self._findings.deadline
            )
            if self.encoded.linear is None:
                return Answer(Status.INFEASIBLE)
        answer = self._minimize(settings)
        if answer.primal is not None:
            self.found(answer.primal)
        return answer

    def _minimize(self, settings):
        """What the solver answers that there is, and whose licence suffices."""
        encoded, seconds = self.encoded, self._findings.deadline.left()
        every = np.arange(encoded.linear.n_columns)
        names = ("gurobi", "highs") if self.solver == "auto" else (self.solver,)
        for name in names[:-1]:
            self.name = _NAMES[name]
            try:
                return self._answer(name, settings, every, seconds)
            except SolverError as error:
                logger.info(f"relu: HiGHS instead of Gurobi: {error}")
        self.name = _NAMES[names[-1]]
        return self._answer(names[-1], settings, every, seconds)

    def _answer(self, name, settings, every, seconds):
        session = session_class(name)(self.encoded.linear, True, settings)
        with session:
            session.watcher = self
            return session.minimize(
                every, self.encoded.costs, seconds, self.model.constant
            )

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
        point, findings = self.encoded.settled(point), self._findings
        if findings.offer(point, self.name):
            return
        # the networks' own outputs violate a row that the encoding's met
        if self._incumbent is None:
            self._incumbent = Incumbent(build_problem(self.model))
        best, columns = self._incumbent, self._incumbent.problem.columns
        if best.improve(point[columns]) and best.value < findings.value:
            findings.offer(best.full, self.name, verified=best.value)

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
            return "ended before its model was built"
        linear = self.encoded.linear
        return f"{counted(linear.n_columns, 'column')}, {counted(linear.n_rows, 'row')}"
