"""Sessions on HiGHS through the array interface of highspy."""

import contextlib

import numpy as np
from scipy import sparse

from pyomo_relu.common.deadline import ENDLESS, Deadline
from pyomo_relu.errors import SolverError
from pyomo_relu.linear.sessions.answer import Answer, Figures, Status
from pyomo_relu.linear.sessions.highs_runs import (
    call_highs,
    make_highs,
    pass_model,
    run_on_own_thread,
)
from pyomo_relu.linear.sessions.session import LEAST_GAP, Session, import_solver

_PRIMAL, _DUAL = 4, 1
_FEASIBLE = 2

#: Seconds of LPs that are solved in one turn on HiGHS' thread: long against the change of
#: threads, which costs as much as a small LP, and short for who waits to interrupt.
_TURN = 0.05

#: Most iterations of a quadratic programme per column and row: degenerate ones may go
#: round in circles.  Those of some hundred columns took about one.
_ITERATIONS = 20


class HighsSession(Session):
    """One linear model in HiGHS; see Session."""

    def _open(self):
        settings = self.settings
        self._highs = make_highs({"threads": settings.threads}, settings.purpose)
        highspy = import_solver("highspy", settings.purpose)
        self._statuses = _statuses(highspy.HighsModelStatus)
        self._error = highspy.HighsStatus.kError
        self._threads = settings.threads
        self._options_for = None
        self._limited = False
        self._at_root = []
        if settings.figures and self._keeps_integers:
            self._highs.cbMipInterrupt.subscribe(self._note_root)

    def _note_root(self, event):
        data = event.data_out
        if data.mip_node_count == 0 and np.isfinite(data.mip_dual_bound):
            self._at_root.append(data.mip_dual_bound)

    @contextlib.contextmanager
    def _watched(self):
        """The callbacks for the present watcher, if there is one."""
        watching, h = self._watching, self._highs
        if watching is None:
            yield
            return

        def step(event):
            if watching.step(event.data_out.mip_dual_bound):
                event.interrupt()

        def found(event):
            watching.found(event.data_out.mip_solution)

        def offer(event):
            point = watching.offered()
            if point is not None:
                event.data_in.setSolution(point)

        followed = {
            h.cbMipInterrupt: step,
            h.cbMipImprovingSolution: found,
            h.cbMipUserSolution: offer,
        }
        try:
            for callback, function in followed.items():
                callback.subscribe(function)
            yield
        finally:
            for callback, function in followed.items():
                callback.unsubscribe(function)

    def _load(self, model):
        self._set_options()
        self._constant, self._costs = 0.0, (None, None)
        if pass_model(self._highs, model, self.integer) == self._error:
            raise SolverError(
                f"HiGHS refuses a model of {model.n_rows} rows and {model.n_columns} "
                "columns."
            )

    def _set_options(self):
        """An LP's or a MILP's options."""
        if self._options_for is not self.integer:
            self._options_for = self.integer
            for name, value in _options(self.settings, self.integer).items():
                self._highs.setOptionValue(name, value)

    def _set_bounds(self, columns, lower, upper):
        self._highs.changeColsBounds(columns.size, columns, lower, upper)

    def _set_rows(self, rows, lower, upper):
        self._highs.changeRowsBounds(rows.size, rows, lower, upper)

    def _set_coefficient(self, row, column, value):
        self._highs.changeCoeff(row, column, value)

    def _add_columns(self, start, rows, data, lower, upper):
        more = lower.size
        self._highs.addCols(
            more,
            np.zeros(more),
            np.asarray(lower, dtype=float),
            np.asarray(upper, dtype=float),
            data.size,
            start[:-1].astype(np.int32),
            rows.astype(np.int32),
            data,
        )

    def _add_rows(self, start, columns, data, lower, upper):
        self._highs.addRows(
            lower.size,
            np.asarray(lower, dtype=float),
            np.asarray(upper, dtype=float),
            data.size,
            start[:-1].astype(np.int32),
            columns.astype(np.int32),
            data,
        )

    def go_on_primal(self, primal):
        """See Session.go_on_primal."""
        self._highs.setOptionValue("simplex_strategy", _PRIMAL if primal else _DUAL)

    def _minimize(self, columns, coefficients, time_limit, constant, unit):
        h = self._highs
        costs = self._costs
        if not (
            np.array_equal(costs[0], columns) and np.array_equal(costs[1], coefficients)
        ):
            h.changeColsCost(columns.size, columns, coefficients)
            self._costs = columns.copy(), coefficients.copy()
        if constant != self._constant:
            h.changeObjectiveOffset(constant)
            self._constant = constant
        if self.integer and self.settings.absolute_gap:
            h.setOptionValue("mip_abs_gap", self._gap(unit))
        self._limit(time_limit)
        return self._solved()

    def minimize_each(self, batch, deadline=ENDLESS):
        """See Session.minimize_each; the arrays go to HiGHS as they are.

        A quadratic programme that takes too many iterations, or more time than is left,
        is an Answer without a point.
        """
        self.model = self._range = None
        self.integer = False
        self._set_options()
        done, n_models = 0, len(batch.costs)
        while done < n_models and not deadline.passed():
            answers = self._turn(lambda: self._some(batch, done, deadline))  # noqa: B023
            yield from answers
            done += len(answers)

    def _turn(self, method):
        """On HiGHS' thread, unless runs have several and a thread each."""
        return call_highs(method) if self._threads == 1 else method()

    def _some(self, batch, first, deadline):
        """Answers of some models of a batch, from one on: at least one if there is time."""
        h, (n_models, n) = self._highs, batch.costs.shape
        m, size = batch.row_lower.shape[1], batch.columns.size
        quadratic = batch.hessian is not None
        if quadratic:
            h.setOptionValue("qp_iteration_limit", _ITERATIONS * (n + m))
        start = batch.start[:-1].astype(np.int32)
        columns = batch.columns.astype(np.int32)
        continuous = np.zeros(n, dtype=np.int32)
        answers, turn = [], Deadline(_TURN)
        for b in range(first, n_models):
            if deadline.passed() or (answers and turn.passed()):
                break
            h.passModel(
                n,
                m,
                size,
                2,  # row-wise
                1,  # minimise
                0.0,
                batch.costs[b],
                batch.lower[b],
                batch.upper[b],
                batch.row_lower[b],
                batch.row_upper[b],
                start,
                columns,
                np.ascontiguousarray(batch.data[b]),
                continuous,
            )
            self._limit(deadline.left() if quadratic else None)
            if quadratic and self._pass_hessian(batch.hessian[b], n) == self._error:
                answers.append(Answer(Status.FAILED, word="Hessian refused"))
            else:
                answers.append(self._solved(quadratic))
        return answers

    def _pass_hessian(self, hessian, n):
        """Give HiGHS the second derivatives along the first columns; its HighsStatus."""
        triangle = sparse.csc_array(np.tril(hessian))
        start = np.full(n, triangle.nnz, dtype=np.int32)
        start[: len(hessian)] = triangle.indptr[:-1]
        return self._highs.passHessian(
            n,
            triangle.nnz,
            1,  # lower triangle by columns
            start,
            triangle.indices.astype(np.int32),
            triangle.data,
        )

    def _solved(self, quadratic=False):
        h, figures = self._highs, self.settings.figures
        if figures:
            self._at_root.clear()
        with self._watched():
            outcome = run_on_own_thread(h, self._threads)
        if outcome == self._error:
            word = h.modelStatusToString(h.getModelStatus())
            # A basis that HiGHS got lost in is no help for the next solve.
            h.clearSolver()
            return Answer(Status.FAILED, word=word)
        status = self._status()
        if status is Status.FAILED and not (self.integer or quadratic):
            with self._another_way():
                run_on_own_thread(h, self._threads)
            status = self._status()
        answer = self._mip_answer(status) if self.integer else self._lp_answer(status)
        if status is Status.FAILED:
            answer.word = h.modelStatusToString(h.getModelStatus())
        if figures:
            answer.figures = self._figures(answer)
        return answer

    def _status(self):
        return self._statuses.get(self._highs.getModelStatus(), Status.FAILED)

    def _lp_answer(self, status):
        h = self._highs
        if status is Status.OPTIMAL:
            solution = h.getSolution()
            return Answer(
                status,
                h.getObjectiveValue(),  # getInfo copies a hundred numbers
                np.array(solution.col_value),
                np.array(solution.row_dual),
            )
        if status is Status.INFEASIBLE and self.settings.rays:
            return Answer(status, ray=self._ray())
        if status is Status.TIME_LIMIT:
            return self._with_point(Answer(status))
        return Answer(status)

    def _mip_answer(self, status):
        bound = self._highs.getInfo().mip_dual_bound
        answer = Answer(status, dual_bound=bound if np.isfinite(bound) else None)
        return self._with_point(answer)

    def _with_point(self, answer):
        info = self._highs.getInfo()
        if info.primal_solution_status == _FEASIBLE:
            answer.objective = info.objective_function_value
            answer.primal = np.array(self._highs.getSolution().col_value)
        return answer

    def _figures(self, answer):
        info = self._highs.getInfo()
        figures = Figures(0, int(info.simplex_iteration_count))
        bound = answer.objective if answer.status is Status.OPTIMAL else None
        if self.integer:
            figures.nodes, bound = max(int(info.mip_node_count), 0), answer.dual_bound
        figures.set_root_bound(bound, self._at_root)
        return figures

    def _ray(self):
        """Multipliers of infeasibility: only the dual simplex method leaves them."""
        if not (self.settings.only_costs_change or self.settings.presolve):
            return self._dual_ray()
        with self._from_scratch(simplex_strategy=_DUAL, presolve="off"):
            run_on_own_thread(self._highs, self._threads)
            return self._dual_ray()

    def _dual_ray(self):
        _, exists, ray = call_highs(self._highs.getDualRay)
        return np.array(ray) if exists else None

    def _another_way(self):
        """For LPs that HiGHS 1.16 ends with status unknown.

        The primal method leaves some of a few rows so, which the dual one solves; the
        dual one some unbounded ones, which presolve recognises.
        """
        if self.settings.only_costs_change:
            return self._from_scratch(simplex_strategy=_DUAL)
        return self._from_scratch(presolve="off" if self.settings.presolve else "on")

    @contextlib.contextmanager
    def _from_scratch(self, **options):
        h = self._highs
        h.clearSolver()
        before = {name: h.getOptionValue(name)[1] for name in options}
        try:
            for name, value in options.items():
                h.setOptionValue(name, value)
            yield
        finally:
            for name, value in before.items():
                h.setOptionValue(name, value)

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


#: The smallest entries that HiGHS can be told to keep.
_SMALLEST = 1e-12


def _options(settings, integer):
    """Settings by HiGHS' names."""
    primal = settings.only_costs_change and not integer
    presolve = settings.presolve_milps if integer else settings.presolve
    options = {
        "presolve": "on" if presolve else "off",
        # Models come already in unit range.  Both measured: a third to a half fewer
        # seconds per LP.
        "simplex_strategy": _PRIMAL if primal else _DUAL,
        "simplex_scale_strategy": 0 if primal else 2,
        # What is dropped is another model: by default entries of 1e-9, without which
        # MILPs that have points were found infeasible.
        "small_matrix_value": _SMALLEST,
    }
    if settings.tolerance is not None:
        options["primal_feasibility_tolerance"] = settings.tolerance
        options["dual_feasibility_tolerance"] = settings.tolerance
        options["mip_feasibility_tolerance"] = settings.tolerance
    if settings.seed is not None:
        options["random_seed"] = settings.seed
    if settings.node_limit is not None:
        options["mip_max_nodes"] = settings.node_limit
    for heuristic in ("rens", "root_reduced_cost"):
        options[f"mip_heuristic_run_{heuristic}"] = settings.small_milps
    options["mip_rel_gap"] = settings.relative_gap
    if settings.absolute_gap is not None:
        options["mip_abs_gap"] = LEAST_GAP
    return options


def _statuses(status):
    return {
        status.kOptimal: Status.OPTIMAL,
        status.kInfeasible: Status.INFEASIBLE,
        status.kUnbounded: Status.UNBOUNDED,
        status.kUnboundedOrInfeasible: Status.INFEASIBLE_OR_UNBOUNDED,
        status.kTimeLimit: Status.TIME_LIMIT,
        status.kSolutionLimit: Status.NODE_LIMIT,
        status.kInterrupt: Status.STOPPED,
    }
