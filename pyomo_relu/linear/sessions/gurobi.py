"""Sessions on Gurobi through gurobipy's matrix interface."""

import numpy as np

from pyomo_relu.errors import SolverError
from pyomo_relu.linear.sessions.session import (
    FAILED,
    INFEASIBLE,
    OPTIMAL,
    TIME_LIMIT,
    UNBOUNDED,
    Answer,
    Session,
)

_PARAMETERS = {
    "Threads": 1,
    "FeasibilityTol": 1e-9,
    "OptimalityTol": 1e-9,
    "InfUnbdInfo": 1,
    "DualReductions": 0,
}
_MIP_PARAMETERS = {"MIPGap": 0.0, "MIPGapAbs": 1e-9, "IntFeasTol": 1e-9}
_SIZE_LIMITED = 10010


class GurobiSession(Session):
    """One linear model in Gurobi; see Session.

    Rows with two different finite sides get a bounded slack column.
    """

    def __init__(self, model, integer=False):
        import gurobipy as gp

        super().__init__(model, integer)
        self._gp = gp
        self._env = self._model = None
        try:
            self._env = gp.Env(params={"OutputFlag": 0})
            self._model = gp.Model("bounds", env=self._env)
            self._load(gp)
        except gp.GurobiError as error:
            self.close()
            raise self._translated(error) from error
        self._statuses = {
            gp.GRB.OPTIMAL: OPTIMAL,
            gp.GRB.INFEASIBLE: INFEASIBLE,
            gp.GRB.UNBOUNDED: UNBOUNDED,
            gp.GRB.INF_OR_UNBD: UNBOUNDED,
            gp.GRB.TIME_LIMIT: TIME_LIMIT,
        }

    def _load(self, gp):
        model, m = self._range.model, self._model
        parameters = {**_PARAMETERS, **(_MIP_PARAMETERS if self.integer else {})}
        for name, value in parameters.items():
            m.setParam(name, value)
        kinds = np.where(model.integer & self.integer, "I", "C")
        x = m.addMVar(model.n_columns, lb=model.lower, ub=model.upper, vtype=kinds)
        equal = model.row_lower == model.row_upper
        below, above = np.isfinite(model.row_lower), np.isfinite(model.row_upper)
        ranged = below & above & ~equal
        sense = np.where(above, "<", ">")
        sense[equal | ranged] = "="
        rhs = np.where(above, model.row_upper, model.row_lower)
        rhs[ranged] = 0.0
        free = ~below & ~above
        sense[free], rhs[free] = "<", gp.GRB.INFINITY
        if model.n_rows:
            self._rows = m.addMConstr(model.matrix, x, sense, rhs)
        slack = np.flatnonzero(ranged)
        m.update()
        for i in slack:
            m.addVar(
                lb=model.row_lower[i],
                ub=model.row_upper[i],
                column=gp.Column(-1.0, m.getConstrs()[i]),
            )
        m.update()
        self._x = m.getVars()[: model.n_columns]
        self._constraints = m.getConstrs()

    def minimize(self, columns, coefficients, time_limit=None):
        """See Session.minimize."""
        gp, m = self._gp, self._model
        coefficients, unit = self._range.costs(columns, coefficients)
        at, values = self._cost_changes(columns, coefficients)
        limit = gp.GRB.INFINITY if time_limit is None else max(time_limit, 0.0)
        try:
            m.setAttr("Obj", [self._x[j] for j in at], list(values))
            m.setParam("TimeLimit", limit)
            m.optimize()
            if m.Status == gp.GRB.INTERRUPTED:
                raise KeyboardInterrupt
            return self._range.answer(self._answer(), unit)
        except gp.GurobiError as error:
            if error.errno == _SIZE_LIMITED:
                raise self._translated(error) from error
            return Answer(FAILED)

    def _answer(self):
        m = self._model
        status = self._statuses.get(m.Status, FAILED)
        answer = Answer(status)
        if self.integer:
            bound = m.ObjBound if m.Status != self._gp.GRB.INFEASIBLE else None
            if bound is not None and abs(bound) < 1e50:
                answer.dual_bound = bound
            if m.SolCount:
                answer.objective = m.ObjVal
                answer.primal = np.array(m.getAttr("X", self._x))
            return answer
        if status == OPTIMAL:
            answer.objective = m.ObjVal
            answer.primal = np.array(m.getAttr("X", self._x))
            answer.duals = np.array(m.getAttr("Pi", self._constraints), dtype=float)
        elif status == INFEASIBLE:
            try:
                answer.ray = np.array(m.getAttr("FarkasDual", self._constraints))
            except (self._gp.GurobiError, AttributeError):
                answer.ray = None
        return answer

    def _translated(self, error):
        if error.errno == _SIZE_LIMITED:
            return SolverError(
                f"this Gurobi licence is too small for a model of {self.model.n_rows} "
                f"rows and {self.model.n_columns} columns (the licence that comes with "
                "the pip package allows 2000 of each). Use solver='highs' or a full "
                "licence."
            )
        return SolverError(
            f"Gurobi could not start: {error}. Check its licence or use solver='highs'."
        )

    def close(self):
        """See Session.close."""
        if self._model is not None:
            self._model.dispose()
        if self._env is not None:
            self._env.dispose()
        self._model = self._env = None
