"""Sessions on Gurobi through gurobipy's matrix interface."""

import contextlib

import numpy as np
from scipy import sparse

from pyomo_relu.errors import SolverError
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.sessions.answer import Answer, Figures, Status
from pyomo_relu.linear.sessions.session import LEAST_GAP, Session, import_solver

_SIZE_LIMITED = 10010

#: Gurobi's bounds of at least this size say nothing.
_NO_BOUND = 1e50


class LicenceError(SolverError):
    """The licence does not take a model of this size."""


class GurobiSession(Session):
    """One linear model in Gurobi; see Session.

    Rows with two different finite sides get a bounded slack column.
    """

    def _open(self):
        self._gp = gp = import_solver("gurobipy", self.settings.purpose)
        self._env = self._model = None
        with self._errors():
            self._env = gp.Env(params={"OutputFlag": 0})
        self._statuses = {
            gp.GRB.OPTIMAL: Status.OPTIMAL,
            gp.GRB.INFEASIBLE: Status.INFEASIBLE,
            gp.GRB.UNBOUNDED: Status.UNBOUNDED,
            gp.GRB.INF_OR_UNBD: Status.INFEASIBLE_OR_UNBOUNDED,
            gp.GRB.TIME_LIMIT: Status.TIME_LIMIT,
            gp.GRB.NODE_LIMIT: Status.NODE_LIMIT,
            gp.GRB.INTERRUPTED: Status.STOPPED,
            gp.GRB.WORK_LIMIT: Status.WORK_LIMIT,
        }

    def _load(self, model):
        gp = self._gp
        with self._errors():
            if self._model is not None:
                self._model.dispose()
            self._model = m = gp.Model("relu", env=self._env)
            for name, value in _parameters(self.settings, self.integer).items():
                m.setParam(name, value)
            kinds = np.where(model.integer & self.integer, "I", "C")
            x = m.addMVar(model.n_columns, lb=model.lower, ub=model.upper, vtype=kinds)
            sense, rhs, ranged = self._sides(model.row_lower, model.row_upper)
            if model.n_rows:
                m.addMConstr(model.matrix, x, sense, rhs)
            m.update()
            self._x, self._constraints, self._slack = m.getVars(), m.getConstrs(), {}
            for i in np.flatnonzero(ranged):
                self._add_slack(i, model.row_lower[i], model.row_upper[i])
            m.update()

    def _sides(self, lower, upper):
        """Senses and right-hand sides of rows, and which of them need a slack."""
        equal = lower == upper
        below, above = np.isfinite(lower), np.isfinite(upper)
        ranged = below & above & ~equal
        sense = np.where(above, "<", ">")
        sense[equal | ranged] = "="
        rhs = np.where(above, upper, lower)
        rhs[ranged] = 0.0
        free = ~below & ~above
        sense[free], rhs[free] = "<", self._gp.GRB.INFINITY
        return sense, rhs, ranged

    def _add_slack(self, row, lower, upper):
        column = self._gp.Column(-1.0, self._constraints[row])
        self._slack[row] = self._model.addVar(lb=lower, ub=upper, column=column)

    def _set_bounds(self, columns, lower, upper):
        with self._errors():
            at = [self._x[j] for j in columns]
            self._model.setAttr("LB", at, list(lower))
            self._model.setAttr("UB", at, list(upper))

    def _set_rows(self, rows, lower, upper):
        lower = np.broadcast_to(lower, rows.shape)
        upper = np.broadcast_to(upper, rows.shape)
        with self._errors():
            ends = zip(rows, lower, upper, *self._sides(lower, upper), strict=True)
            for i, low, high, sense, rhs, ranged in ends:
                row, slack = self._constraints[i], self._slack.get(i)
                if slack is not None:
                    slack.LB, slack.UB = low, high
                    continue
                row.Sense, row.RHS = sense, rhs
                if ranged:
                    self._add_slack(i, low, high)
            self._model.update()

    def _set_coefficient(self, row, column, value):
        with self._errors():
            self._model.chgCoeff(self._constraints[row], self._x[column], value)

    def _add_columns(self, start, rows, data, lower, upper):
        ends = zip(start, start[1:], lower, upper, strict=False)
        with self._errors():
            for first, last, low, high in ends:
                among = [self._constraints[i] for i in rows[first:last]]
                column = self._gp.Column(data[first:last].tolist(), among)
                self._x.append(self._model.addVar(lb=low, ub=high, column=column))
            self._model.update()

    def _add_rows(self, start, columns, data, lower, upper):
        shape = lower.size, len(self._x)
        matrix = sparse.csr_array((data, columns, start), shape=shape)
        sense, rhs, ranged = self._sides(lower, upper)
        first = len(self._constraints)
        with self._errors():
            x = self._gp.MVar.fromlist(self._x)
            self._model.addMConstr(matrix, x, sense, rhs)
            self._model.update()
            self._constraints = self._model.getConstrs()
            for i in np.flatnonzero(ranged):
                self._add_slack(first + i, lower[i], upper[i])
            self._model.update()

    def _minimize(self, columns, coefficients, time_limit, constant, unit):
        gp, m = self._gp, self._model
        limit = gp.GRB.INFINITY if time_limit is None else max(time_limit, 0.0)
        at_root, watching = [], self._watching
        figures = self.integer and self.settings.figures

        def watch(model, where):
            mip = gp.GRB.Callback
            if watching is not None:
                _tell(watching, model, where, mip, self._x)
            if figures and where == mip.MIP and model.cbGet(mip.MIP_NODCNT) == 0:
                bound = model.cbGet(mip.MIP_OBJBND)
                if abs(bound) < _NO_BOUND:
                    at_root.append(bound)

        try:
            m.setAttr("Obj", [self._x[j] for j in columns], list(coefficients))
            m.setAttr("ObjCon", constant)
            m.setParam("TimeLimit", limit)
            if self.integer and self.settings.absolute_gap:
                m.setParam("MIPGapAbs", self._gap(unit))
            m.optimize(watch if figures or watching is not None else None)
            if m.Status == gp.GRB.INTERRUPTED and watching is None:
                raise KeyboardInterrupt
            answer = self._answer()
            if self.settings.figures:
                answer.figures = self._figures(answer, at_root)
            return answer
        except gp.GurobiError as error:
            if error.errno == _SIZE_LIMITED:
                raise self._translated(error) from error
            return Answer(Status.FAILED, error=error)

    def _answer(self):
        m = self._model
        status = self._statuses.get(m.Status, Status.FAILED)
        answer = Answer(status)
        if status is Status.FAILED:
            answer.word = f"Gurobi status {m.Status}"
        if self.integer:
            bound = None if status is Status.INFEASIBLE else m.ObjBound
            if bound is not None and abs(bound) < _NO_BOUND:
                answer.dual_bound = bound
            if m.SolCount:
                answer.objective = m.ObjVal
                answer.primal = np.array(m.getAttr("X", self._x))
            return answer
        if status is Status.OPTIMAL:
            answer.objective = m.ObjVal
            answer.primal = np.array(m.getAttr("X", self._x))
            answer.duals = np.array(m.getAttr("Pi", self._constraints), dtype=float)
        elif status is Status.INFEASIBLE and self.settings.rays:
            with contextlib.suppress(self._gp.GurobiError, AttributeError):
                answer.ray = np.array(m.getAttr("FarkasDual", self._constraints))
        return answer

    def _figures(self, answer, at_root):
        m = self._model
        nodes = int(m.NodeCount) if self.integer else 0
        figures = Figures(nodes, int(m.IterCount), float(m.Work))
        bound = answer.dual_bound if self.integer else answer.objective
        figures.set_root_bound(bound, at_root)
        return figures

    @contextlib.contextmanager
    def _errors(self):
        """Gurobi's errors as SolverError; the session is closed then."""
        try:
            yield
        except self._gp.GurobiError as error:
            translated = self._translated(error)
            self.close()
            raise translated from error

    def _translated(self, error):
        if error.errno == _SIZE_LIMITED:
            return LicenceError(
                f"this Gurobi licence is too small for {self.model.n_rows} rows and "
                f"{self.model.n_columns} columns (the licence that comes with the pip "
                "package allows 2000 of each). Use solver='highs' or a full licence."
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


def licence_takes(n_columns, n_rows):
    """Whether Gurobi is there and its licence takes a model of this size.

    Raises
    ------
    SolverError
        If gurobipy is missing or cannot start.
    """
    empty = sparse.csr_array((n_rows, n_columns))
    free = np.full(n_rows, -np.inf), np.full(n_rows, np.inf)
    model = LinearModel(empty, *free, np.zeros(n_columns), np.ones(n_columns))
    try:
        with GurobiSession(model) as session:
            session.minimize(np.zeros(0, dtype=int), np.zeros(0))
    except LicenceError:
        return False
    return True


def _tell(watching, model, where, mip, columns):
    """What a callback of Gurobi's means for a watcher."""
    if where == mip.MIPSOL:
        watching.found(model.cbGetSolution(columns))
    elif where == mip.MIPNODE:
        point = watching.offered()
        if point is not None:
            model.cbSetSolution(columns, list(point))
    bound = -np.inf
    if where == mip.MIP:
        bound = model.cbGet(mip.MIP_OBJBND)
        bound = bound if abs(bound) < _NO_BOUND else -np.inf
    if watching.step(bound):
        model.terminate()


def _parameters(settings, integer):
    """Settings by Gurobi's names."""
    parameters = {
        "Threads": settings.threads,
        "Seed": settings.seed,
        "WorkLimit": settings.work_limit,
        "NodeLimit": settings.node_limit,
        "FeasibilityTol": settings.tolerance,
        "OptimalityTol": settings.tolerance,
    }
    if settings.rays:
        parameters.update(InfUnbdInfo=1, DualReductions=0)
    if integer:
        parameters.update(MIPGap=settings.relative_gap, IntFeasTol=settings.tolerance)
        parameters["Presolve"] = None if settings.presolve_milps else 0
        if settings.absolute_gap is not None:
            parameters["MIPGapAbs"] = LEAST_GAP
    return {name: value for name, value in parameters.items() if value is not None}
