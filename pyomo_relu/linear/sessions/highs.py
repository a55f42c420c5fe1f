"""Sessions on HiGHS through the array interface of highspy."""

import contextlib

import numpy as np

from pyomo_relu.errors import SolverError
from pyomo_relu.linear.sessions.highs_runs import (
    call_highs,
    make_highs,
    pass_model,
    run_on_own_thread,
)
from pyomo_relu.linear.sessions.session import (
    FAILED,
    INFEASIBLE,
    OPTIMAL,
    TIME_LIMIT,
    UNBOUNDED,
    Answer,
    Session,
)

_OPTIONS = {
    "presolve": "off",
    # Only costs change, so the last basis stays primal feasible; models come already
    # in unit range.  Both measured: a third to a half fewer seconds per LP.
    "simplex_strategy": 4,
    "simplex_scale_strategy": 0,
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
}
_MIP_OPTIONS = {
    "presolve": "on",
    "simplex_strategy": 1,
    "simplex_scale_strategy": 2,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 1e-9,
    "mip_feasibility_tolerance": 1e-9,
}


class HighsSession(Session):
    """One linear model in HiGHS; see Session."""

    def __init__(self, model, integer=False):
        import highspy

        super().__init__(model, integer)
        options = {**_OPTIONS, **(_MIP_OPTIONS if self.integer else {})}
        self._highs = h = make_highs(options, "bound tightening")
        model = self._range.model
        self._statuses = _statuses(highspy.HighsModelStatus)
        self._error = highspy.HighsStatus.kError
        self._limited = False
        whole = model.integer & self.integer
        status = pass_model(h, model.replace(integer=whole))
        if status == self._error:
            raise SolverError(
                f"HiGHS refuses a model of {model.n_rows} rows and {model.n_columns} "
                "columns."
            )

    def minimize(self, columns, coefficients, time_limit=None):
        """See Session.minimize."""
        h = self._highs
        coefficients, unit = self._range.costs(columns, coefficients)
        at, values = self._cost_changes(columns, coefficients)
        h.changeColsCost(at.size, at, values)
        self._limit(time_limit)
        if run_on_own_thread(h) == self._error:
            # A basis that HiGHS got lost in is no help for the next solve.
            h.clearSolver()
            return Answer(FAILED)
        return self._range.answer(self._answer(), unit)

    def _answer(self):
        h = self._highs
        status = self._statuses.get(h.getModelStatus(), FAILED)
        if status == FAILED and not self.integer:
            with self._dual_method():
                run_on_own_thread(h)
            status = self._statuses.get(h.getModelStatus(), FAILED)
        info = h.getInfo()
        if self.integer:
            return self._mip_answer(status, info)
        if status == INFEASIBLE:
            return Answer(status, ray=self._ray())
        if status != OPTIMAL:
            return Answer(status)
        solution = h.getSolution()
        return Answer(
            status,
            info.objective_function_value,
            np.array(solution.col_value),
            np.array(solution.row_dual),
        )

    def _mip_answer(self, status, info):
        bound = info.mip_dual_bound
        answer = Answer(status, dual_bound=bound if np.isfinite(bound) else None)
        if info.primal_solution_status == 2:
            answer.objective = info.objective_function_value
            answer.primal = np.array(self._highs.getSolution().col_value)
        return answer

    def _ray(self):
        """Multipliers of infeasibility: only the dual simplex method leaves them."""
        with self._dual_method():
            run_on_own_thread(self._highs)
            _, exists, ray = call_highs(self._highs.getDualRay)
        return np.array(ray) if exists else None

    @contextlib.contextmanager
    def _dual_method(self):
        """From scratch by the dual simplex method.

        By the primal one HiGHS 1.16 ends some LPs of a few rows with status unknown.
        """
        h = self._highs
        h.clearSolver()
        before = h.getOptionValue("simplex_strategy")[1]
        h.setOptionValue("simplex_strategy", 1)
        try:
            yield
        finally:
            h.setOptionValue("simplex_strategy", before)

    def _limit(self, time_limit):
        """HiGHS' limit of an LP counts its clock over all runs, not one run's."""
        if time_limit is None:
            if self._limited:
                self._highs.setOptionValue("time_limit", float("inf"))
                self._limited = False
            return
        self._limited = True
        used = self._highs.getRunTime()
        self._highs.setOptionValue("time_limit", used + max(time_limit, 0.0))

    def close(self):
        """See Session.close."""
        if self._highs is not None:
            self._highs.clear()
            self._highs = None


def _statuses(status):
    return {
        status.kOptimal: OPTIMAL,
        status.kInfeasible: INFEASIBLE,
        status.kUnbounded: UNBOUNDED,
        status.kUnboundedOrInfeasible: UNBOUNDED,
        status.kTimeLimit: TIME_LIMIT,
    }
