"""Sessions on HiGHS through the array interface of highspy; nothing else in here."""

import numpy as np

from pyomo_relu.bounds.session import (
    FAILED,
    INFEASIBLE,
    OPTIMAL,
    TIME_LIMIT,
    UNBOUNDED,
    Answer,
    Session,
)
from pyomo_relu.errors import SolverError

_OPTIONS = {
    "output_flag": False,
    # Not threads=1: HiGHS keeps one thread pool per process, and a size asked for here
    # would make a later solve of the caller's with another size fail.
    "parallel": "off",
    "presolve": "off",
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
}
_MIP_OPTIONS = {
    "presolve": "on",
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 1e-9,
    "mip_feasibility_tolerance": 1e-9,
}


class HighsSession(Session):
    """One linear model in HiGHS; see Session."""

    def __init__(self, model, integer=False):
        import highspy

        super().__init__(model, integer)
        self._highs = h = highspy.Highs()
        options = {**_OPTIONS, **(_MIP_OPTIONS if self.integer else {})}
        for name, value in options.items():
            h.setOptionValue(name, value)
        self._statuses = _statuses(highspy.HighsModelStatus)
        self._ok = highspy.HighsStatus.kError
        self._limited = False
        self._used = 0.0
        m, n = model.matrix.shape
        integrality = (model.integer & self.integer).astype(np.int32)
        arrays = model.matrix
        status = h.passModel(
            n,
            m,
            arrays.nnz,
            2,  # row-wise
            1,  # minimise
            0.0,
            np.zeros(n),
            model.lower,
            model.upper,
            model.row_lower,
            model.row_upper,
            arrays.indptr.astype(np.int32)[:-1] if m else np.zeros(0, dtype=np.int32),
            arrays.indices.astype(np.int32),
            arrays.data,
            integrality,
        )
        if status == self._ok:
            raise SolverError(f"HiGHS refuses a model of {m} rows and {n} columns.")

    def minimize(self, columns, coefficients, time_limit=None):
        """See Session.minimize."""
        h = self._highs
        at, values = self._cost_changes(columns, coefficients)
        h.changeColsCost(at.size, at, values)
        self._limit(time_limit)
        if h.run() == self._ok:
            # A basis that HiGHS got lost in is no help for the next solve.
            h.clearSolver()
            return Answer(FAILED)
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
        _, exists, ray = self._highs.getDualRay()
        if not exists:
            return None
        return np.array(ray)

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
        self._highs.clear()


def _statuses(status):
    return {
        status.kOptimal: OPTIMAL,
        status.kInfeasible: INFEASIBLE,
        status.kUnbounded: UNBOUNDED,
        status.kUnboundedOrInfeasible: UNBOUNDED,
        status.kTimeLimit: TIME_LIMIT,
    }
