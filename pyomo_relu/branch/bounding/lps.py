"""The LPs of a batch of boxes, together or by HiGHS; bounds are proven from their duals."""

from dataclasses import dataclass

import numpy as np

from pyomo_relu.common.deadline import ENDLESS
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Batch, Settings
from pyomo_relu.linear.small_lps import SmallAnswers, solve_small

#: Bound of a box whose rows have no solution (proven by multipliers).
LPS_INFEASIBLE = np.inf

#: So many LPs of at most so many rows times columns are solved together: measured on 20
#: columns and 50 rows, 350 take half of HiGHS' seconds, 60 two thirds, and 15 more.
_MANY, _SMALL = 64, 2000

#: By so much, relative, their values agree with what their multipliers prove.
_AGREE = 1e-7

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
    """LPs of one sparsity pattern: many small ones together, others by HiGHS.

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
        found = SmallAnswers.none(B, self.pattern.n_rows, n)
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
        many = B >= _MANY and n * self.pattern.n_rows <= _SMALL
        if many and np.isfinite(lower).all() and np.isfinite(upper).all():
            found = solve_small(self.pattern.row, self._columns, batch)
            self._check(found, batch, rows)
        left = np.flatnonzero(~(found.solved | found.infeasible))
        unbounded = self._solve_each(left, batch, found, deadline)
        rays, duals = found.infeasible, found.duals
        bounds = rows.dual_bounds(costs, constants, duals, lower, upper)
        if rays.any():
            bounds[rays] = -np.inf
            at = np.flatnonzero(rays)
            proven = rows[at].proven_empty(duals[at], lower[at], upper[at])
            bounds[at[proven]] = LPS_INFEASIBLE
            duals[rays] = 0.0
        return LPAnswers(bounds, duals, found.points, found.solved, unbounded)

    @staticmethod
    def _check(found, batch, rows):
        """Leave to HiGHS what is no minimiser and what proves no contradiction."""
        at = np.flatnonzero(found.infeasible)
        if at.size:
            box = batch.lower[at], batch.upper[at]
            proven = rows[at].proven_empty(found.duals[at], *box)
            found.infeasible[at[~proven]] = False
        at = np.flatnonzero(found.solved)
        some, points = rows[at], found.points[at]
        values = (batch.costs[at] * points).sum(axis=1)
        box = batch.lower[at], batch.upper[at]
        bounds = some.dual_bounds(
            batch.costs[at], np.zeros(at.size), found.duals[at], *box
        )
        good = values - bounds <= _AGREE * (1.0 + np.abs(values))
        good &= some.violation(points) <= _AGREE
        found.solved[at[~good]] = False

    def _solve_each(self, left, batch, found, deadline):
        """HiGHS' answers to some of the LPs; whether one was unbounded."""
        unbounded, found.duals[left] = False, 0.0
        if not left.size:
            return unbounded
        if left.size < len(batch):
            batch = batch[left]
        answers = self._session.minimize_each(batch, deadline)
        for b, answer in zip(left, answers, strict=False):
            if answer.status is Status.OPTIMAL:
                found.points[b], found.duals[b] = answer.primal, answer.duals
                found.solved[b] = True
            elif answer.status is Status.INFEASIBLE:
                ray = np.zeros(1) if answer.ray is None else answer.ray
                size = np.abs(ray).max(initial=0.0)
                if np.isfinite(size) and size > 0:
                    found.infeasible[b], found.duals[b] = True, ray / size
            elif answer.status in _UNBOUNDED:
                unbounded = True
        return unbounded
