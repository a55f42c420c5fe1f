"""Sessions on HiGHS through the array interface of highspy; nothing else in here."""

import contextlib
import sys
import threading

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

_open = 0
_lock = threading.Lock()

_OPTIONS = {
    "output_flag": False,
    # Not threads=1: it is refused where the caller has used HiGHS with more threads.
    "parallel": "off",
    "presolve": "off",
    # Only costs change, so the last basis stays primal feasible; models come already
    # equilibrated.  Both measured: a third to a half fewer seconds per LP.
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

        global _open
        super().__init__(model, integer)
        self._highs = h = highspy.Highs()
        with _lock:
            _open += 1
        options = {**_OPTIONS, **(_MIP_OPTIONS if self.integer else {})}
        for name, value in options.items():
            h.setOptionValue(name, value)
        self._statuses = _statuses(highspy.HighsModelStatus)
        self._error = highspy.HighsStatus.kError
        self._limited = False
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
        if status == self._error:
            raise SolverError(f"HiGHS refuses a model of {m} rows and {n} columns.")

    def minimize(self, columns, coefficients, time_limit=None):
        """See Session.minimize."""
        h = self._highs
        at, values = self._cost_changes(columns, coefficients)
        h.changeColsCost(at.size, at, values)
        self._limit(time_limit)
        if h.run() == self._error:
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
        """Multipliers of infeasibility: only the dual simplex method leaves them."""
        h = self._highs
        h.clearSolver()
        h.setOptionValue("simplex_strategy", 1)
        h.run()
        _, exists, ray = h.getDualRay()
        h.setOptionValue("simplex_strategy", _OPTIONS["simplex_strategy"])
        return np.array(ray) if exists else None

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
        """See Session.close.

        The last session releases HiGHS' thread pool: it has one size per process, and
        a later solve of the caller's with ``threads=4`` would be refused otherwise.
        """
        if self._highs is None:
            return
        self._highs.clear()
        self._highs = None
        _leave()


@contextlib.contextmanager
def highs_in_use():
    """For code with HiGHS objects of its own: the last one out frees the thread pool.

    See ``HighsSession.close``.
    """
    global _open
    with _lock:
        _open += 1
    try:
        yield
    finally:
        _leave()


def _leave():
    global _open
    with _lock:
        _open -= 1
        if _open == 0 and "highspy" in sys.modules:
            sys.modules["highspy"].Highs.resetGlobalScheduler(False)


def _statuses(status):
    return {
        status.kOptimal: OPTIMAL,
        status.kInfeasible: INFEASIBLE,
        status.kUnbounded: UNBOUNDED,
        status.kUnboundedOrInfeasible: UNBOUNDED,
        status.kTimeLimit: TIME_LIMIT,
    }
