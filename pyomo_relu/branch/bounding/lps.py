"""The LPs of a batch of boxes, solved by HiGHS; bounds are proven from their duals."""

from dataclasses import dataclass

import numpy as np

from pyomo_relu.common.deadline import ENDLESS
from pyomo_relu.linear.sessions.highs_runs import (
    call_highs,
    make_highs,
    run_on_own_thread,
)

#: Bound of a box whose rows have no solution (proven by multipliers).
LPS_INFEASIBLE = np.inf

_OPTIONS = {
    "presolve": "off",
    "solver": "simplex",
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
}


@dataclass
class LPAnswers:
    """Answers of B linear programs.

    Attributes
    ----------
    bounds : numpy.ndarray, shape (B,)
        Proven lower bounds; ``LPS_INFEASIBLE`` where infeasibility is proven.
    duals : numpy.ndarray, shape (B, R)
    points : numpy.ndarray, shape (B, n)
    solved : numpy.ndarray of bool, shape (B,)
        Where ``points`` holds a solution.
    unbounded : bool
        At least one of them was unbounded.
    """

    bounds: np.ndarray
    duals: np.ndarray
    points: np.ndarray
    solved: np.ndarray
    unbounded: bool


class NodeLPs:
    """One HiGHS object that solves LP after LP of one sparsity pattern.

    Parameters
    ----------
    pattern : RowPattern
    """

    def __init__(self, pattern):
        self._highs = make_highs(_OPTIONS, "relu.branch with rows")
        import highspy

        self._highspy = highspy
        self.pattern = pattern
        self._start = pattern.start[:-1].astype(np.int32)
        self._index = pattern.column.astype(np.int32)
        self._continuous = np.zeros(pattern.n_columns, dtype=np.int32)

    def solve(self, rows, costs, constants, lower, upper, deadline=ENDLESS):
        """Minimise ``costs[b]'x`` over the rows and box of each b.

        Parameters
        ----------
        rows : BoxRows
        costs : numpy.ndarray, shape (B, n)
        constants : numpy.ndarray, shape (B,)
        lower, upper : numpy.ndarray, shape (B, n)
        deadline : Deadline
            After it no further LP is started; what is left keeps the bound of zero
            multipliers.

        Returns
        -------
        LPAnswers
        """
        B, n = costs.shape
        duals = np.zeros((B, self.pattern.n_rows))
        points = np.zeros((B, n))
        solved = np.zeros(B, dtype=bool)
        rays = np.zeros(B, dtype=bool)
        unbounded = False
        for b in range(B):
            if deadline.passed():
                break
            status = self._run(rows, b, costs[b], lower[b], upper[b])
            kinds = self._highspy.HighsModelStatus
            if status == kinds.kOptimal:
                solution = self._highs.getSolution()
                points[b] = solution.col_value
                duals[b] = solution.row_dual
                solved[b] = True
            elif status == kinds.kInfeasible:
                rays[b] = self._ray(duals, b)
            elif status in (kinds.kUnbounded, kinds.kUnboundedOrInfeasible):
                unbounded = True
        bounds = rows.dual_bounds(costs, constants, duals, lower, upper)
        if rays.any():
            bounds[rays] = -np.inf
            at = np.flatnonzero(rays)
            proven = rows[at].proven_empty(duals[at], lower[at], upper[at])
            bounds[at[proven]] = LPS_INFEASIBLE
            duals[rays] = 0.0
        return LPAnswers(bounds, duals, points, solved, unbounded)

    def _run(self, rows, b, costs, lower, upper):
        h, p = self._highs, self.pattern
        h.passModel(
            p.n_columns,
            p.n_rows,
            p.column.size,
            2,  # row-wise
            1,  # minimise
            0.0,
            costs,
            lower,
            upper,
            rows.lower[b],
            rows.upper[b],
            self._start,
            self._index,
            np.ascontiguousarray(rows.data[b]),
            self._continuous,
        )
        run_on_own_thread(h)
        if h.getModelStatus() == self._highspy.HighsModelStatus.kUnknown:
            # what becomes of some unbounded LPs, which presolve recognises
            h.setOptionValue("presolve", "on")
            h.clearSolver()
            run_on_own_thread(h)
            h.setOptionValue("presolve", "off")
        return h.getModelStatus()

    def _ray(self, duals, b):
        _, exists, ray = call_highs(self._highs.getDualRay)
        if not exists:
            return False
        duals[b] = ray
        return True
