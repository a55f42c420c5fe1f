"""The LPs of a batch of boxes, solved by HiGHS; bounds are proven from their duals."""

from dataclasses import dataclass

import numpy as np

from pyomo_relu.common.deadline import ENDLESS
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Batch, Settings

#: Bound of a box whose rows have no solution (proven by multipliers).
LPS_INFEASIBLE = np.inf

_SETTINGS = Settings("relu.branch with rows")
_UNBOUNDED = (Status.UNBOUNDED, Status.INFEASIBLE_OR_UNBOUNDED)


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
    """One HiGHS session that solves LP after LP of one sparsity pattern.

    Parameters
    ----------
    pattern : RowPattern
    """

    def __init__(self, pattern):
        self._session = HighsSession(settings=_SETTINGS)
        self.pattern = pattern
        self._start = pattern.start.astype(np.int32)
        self._columns = pattern.column.astype(np.int32)

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
        batch = Batch(
            self._start,
            self._columns,
            rows.data,
            rows.lower,
            rows.upper,
            lower,
            upper,
            costs,
        )
        for b, answer in enumerate(self._session.minimize_each(batch, deadline)):
            if answer.status is Status.OPTIMAL:
                points[b], duals[b], solved[b] = answer.primal, answer.duals, True
            elif answer.status is Status.INFEASIBLE:
                size = (
                    0.0 if answer.ray is None else np.abs(answer.ray).max(initial=0.0)
                )
                rays[b] = np.isfinite(size) and size > 0
                if rays[b]:
                    duals[b] = answer.ray / size
            elif answer.status in _UNBOUNDED:
                unbounded = True
        bounds = rows.dual_bounds(costs, constants, duals, lower, upper)
        if rays.any():
            bounds[rays] = -np.inf
            at = np.flatnonzero(rays)
            proven = rows[at].proven_empty(duals[at], lower[at], upper[at])
            bounds[at[proven]] = LPS_INFEASIBLE
            duals[rays] = 0.0
        return LPAnswers(bounds, duals, points, solved, unbounded)

    def _proven(self, rows, rays, lower, upper, which):
        """Boxes whose ray, in either sign, proves that the rows have no solution."""
        at = np.flatnonzero(which)
        zero = np.zeros((at.size, self.pattern.n_columns))
        none = np.zeros(at.size)
        proven = np.zeros(at.size, dtype=bool)
        for sign in (1.0, -1.0):
            value = rows[at].dual_bounds(
                zero, none, sign * rays[at], lower[at], upper[at]
            )
            proven |= value > 0
        return at[proven]
