"""A search's best points polished by an NLP solver that the user names.

From every start the solver gets ``model.NLPModel`` and its time; neither its status
nor its values are trusted.  The columns that move are taken, all else is computed by
forward passes, the search's own programmes repair what the solver's tolerances left, and
the point counts only if it is feasible as every other one.
"""

import logging

import numpy as np

from pyomo_relu.common.pyomo_solver import PyomoSolver
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import ModelError, ReLUError, SolverError
from pyomo_relu.search.nlp.model import NLPModel
from pyomo_relu.search.nonlinear.successive import moving_columns
from pyomo_relu.search.starts import takes_warmstart

logger = logging.getLogger("pyomo.relu.search")

#: Starts per call where nothing is feasible yet, and seconds of one run at most.
_STARTS, _LONGEST = 4, 60.0

#: Values closer than this, relative to their size, are those of one point.
_SAME = 1e-6


class NLPPolish:
    """Runs of one solver for one search.

    Parameters
    ----------
    solver : str or solver object
    where : str
        Who was told to use it, for messages.

    Raises
    ------
    ModelError
        If it is not there.
    """

    def __init__(self, solver, where):
        self.solver = PyomoSolver(
            solver,
            where,
            "Install it, or name another NLP solver as nlp_solver= (its executable must "
            "be on the PATH), or leave nlp_solver out: then the search uses its own "
            "steps only.",
            ModelError,
        )
        self._tried = []
        self.runs = self.failures = 0

    def __call__(self, searcher):
        """Polish what the search has found since the last call."""
        starts = self._starts(searcher)
        if searcher.clock.passed() or not len(starts):
            return
        try:
            nlp = self._model(searcher, starts)
        except ReLUError as error:
            self._failed(f"no model for '{self.solver.name}': {error}")
            return
        for k, start in enumerate(starts):
            if searcher.clock.passed():
                return
            self._tried.append(float(searcher.problem.objective(start)))
            seconds = searcher.clock.part(len(starts) - k).left(_LONGEST)
            self._run(searcher, nlp, start, seconds)

    def message(self):
        """A sentence on what was done."""
        text = f"'{self.solver.name}' was run {counted(self.runs, 'time')}"
        if self.failures:
            text += f" and failed {counted(self.failures, 'time')}; see the log"
        return f"{text}."

    def _starts(self, searcher):
        """Points whose values are new, the best first; any where none is feasible."""
        if not searcher.good:
            return searcher.starts(_STARTS)
        values = [value for value, _ in searcher.good]
        tried = np.array(self._tried)
        new = [
            not np.any(np.abs(tried - value) <= _SAME * (1.0 + abs(value)))
            for value in values
        ]
        good = [point for _, point in searcher.good]
        return np.array([x for x, is_new in zip(good, new, strict=True) if is_new])

    @staticmethod
    def _model(searcher, starts):
        lower, upper = searcher.column_bounds()
        problem = searcher.problem
        return NLPModel(
            problem,
            lower,
            upper,
            moving_columns(problem),
            searcher.silent_rows(starts),
            starts,
        )

    def _run(self, searcher, nlp, start, seconds):
        self.runs += 1
        try:
            nlp.begin(start)
            self.solver.solve(nlp.model, seconds, takes_warmstart(self.solver.name))
        except SolverError as error:
            self._failed(str(error))
            return
        point, problem = nlp.values(), searcher.problem
        moving = moving_columns(problem)
        if not np.isfinite(point[moving]).all():
            self._failed(f"'{self.solver.name}' gave no values")
            return
        linear = problem.linear
        point = np.clip(point, linear.lower, linear.upper)
        point = problem.complete(point, keep=moving)
        if not np.isfinite(point).all():
            self._failed(f"'{self.solver.name}' gave values outside of a domain")
            return
        before = searcher.value
        for found in (point, searcher.refined(point)):
            if found is not None:
                self._tried.append(float(problem.objective(found)))
                searcher.offer(found, self.solver.name)
        logger.debug(
            f"'{self.solver.name}' from {problem.objective(start):.9g}: best "
            f"{before:.9g} -> {searcher.value:.9g}"
        )

    def _failed(self, why):
        self.failures += 1
        logger.log(
            logging.WARNING if self.failures == 1 else logging.INFO,
            f"{why}. The search's own points stay.",
        )
