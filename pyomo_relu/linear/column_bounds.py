"""Bounds of a linear model's own columns, also where none were given.

A safe dual bound needs a box.  For a column without one the multipliers leave a tiny
residual ``d`` on other unbounded columns, so all they prove is

    x_j  >=  beta_j - sum_k e_jk |x_k|        (k unbounded, e_jk >= |d_jk|).

Taken together for a set of columns with ``e = max_j sum_k e_jk < 1``, a feasible point's
largest entry M satisfies ``M <= max |beta| + e M``, hence ``M <= max |beta| / (1 - e)``:
a box for all of them, with which the safe bounds are evaluated again.
"""

from functools import cached_property

import numpy as np

from pyomo_relu.common.deadline import ENDLESS
from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.box_rows import propagate
from pyomo_relu.linear.certificate import Certifier
from pyomo_relu.linear.rounding import NEGLIGIBLE
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.choice import open_session
from pyomo_relu.linear.sessions.session import ask

_ROUNDS = 5

#: Up to so many columns LPs bound each of them, for they may be tighter than what single
#: rows imply.
_FEW = 16

#: Residuals of the wrong sign up to this size are a solver's tolerance.
_TOLERANCE = 1e-6


def bound_free_columns(model, columns, solver="highs", deadline=ENDLESS):
    """Find finite bounds of ``columns`` that lack them, where the rows imply any.

    Parameters
    ----------
    model : LinearModel
    columns : sequence of int
    solver : str or Session class
    deadline : Deadline, optional

    Returns
    -------
    lower, upper : numpy.ndarray, shape (n,)
        The model's bounds, tightened where something was proven.
    solves : int
    """
    return _FreeColumns(model, solver, deadline).run(columns)


def bound_endless_columns(model, columns, deadline=ENDLESS):
    """As ``bound_free_columns`` for any number of columns, most by propagation.

    Where there are many (an excess over a threshold in each scenario), few are behind
    them (the threshold): those in the most rows are bounded by LPs first, until the rows
    imply ends of the others.

    Returns
    -------
    lower, upper : numpy.ndarray, shape (n,)

    Raises
    ------
    InfeasibleError
        If the rows and bounds are proven to leave no point.
    """
    if len(columns) <= _FEW:
        return bound_free_columns(model, columns, deadline=deadline)[:2]
    used = np.bincount(model.matrix.indices, minlength=model.n_columns)
    left = np.asarray(columns)[np.argsort(-used[columns], kind="stable")]
    count = 1
    while True:
        lower, upper = propagate(model)
        model = model.replace(lower=lower, upper=upper)
        left = left[~np.isfinite(upper[left] - lower[left])]
        if not left.size or deadline.passed():
            return lower, upper
        some, left = left[:count], left[count:]
        lower, upper, _ = bound_free_columns(model, some, deadline=deadline)
        model = model.replace(lower=lower, upper=upper)
        count *= 2


class _FreeColumns:
    def __init__(self, model, solver, deadline):
        self.model, self.solver, self.deadline = model, solver, deadline
        self.lower, self.upper = np.array(model.lower), np.array(model.upper)
        self.certifier = Certifier(model)
        self.free = ~(np.isfinite(model.lower) & np.isfinite(model.upper))
        self.solves = 0
        #: (column, sign) -> row duals of min sign * x_column, or None.
        self.duals = {}

    def run(self, columns):
        wanted = [j for j in columns if self.free[j]]
        if wanted:
            with open_session(self.solver, self.model) as session:
                self._collect(session, wanted)
            self._joint_box()
            self._certify()
        return self.lower, self.upper, self.solves

    def _collect(self, session, wanted):
        """Duals of the wanted columns, and of those that their residuals touch."""
        for _ in range(_ROUNDS):
            for j in wanted:
                for sign in (1.0, -1.0):
                    if self.deadline.passed():
                        return
                    self.duals[j, sign] = self._solve(session, j, sign)
            done = {j for j, _ in self.duals}
            touched = set()
            for (j, sign), y in self.duals.items():
                if y is not None:
                    _, errors = self._proven(j, sign, y)
                    touched |= set(np.flatnonzero((errors > 0) & self.free))
            wanted = sorted(touched - done)
            if not wanted:
                return

    def _solve(self, session, j, sign):
        answer = ask(session, np.array([j]), np.array([sign]), self.deadline.left())
        self.solves += 1
        if answer.status == Status.INFEASIBLE and self.certifier.proves_infeasible(
            answer.ray
        ):
            raise InfeasibleError(
                "the model's bounds and constraints leave no feasible point "
                f"(proven while bounding {self.model.name(j)})."
            )
        usable = answer.status == Status.OPTIMAL and answer.duals is not None
        if not usable or np.shape(answer.duals) != (self.model.n_rows,):
            return None
        return self._leaning(j, sign, answer.duals)

    @cached_property
    def _shortest(self):
        """Per column the entry (row and value) in its shortest row; row -1 for none."""
        coo = self.model.matrix.tocoo()
        coo.eliminate_zeros()  # a row without an entry here cannot pay
        lengths = np.bincount(coo.row, minlength=self.model.n_rows)
        order = np.lexsort((lengths[coo.row], coo.col))
        columns, first = np.unique(coo.col[order], return_index=True)
        rows = np.full(self.model.n_columns, -1)
        values = np.zeros(self.model.n_columns)
        rows[columns], values[columns] = (a[order][first] for a in (coo.row, coo.data))
        return rows, values

    def _leaning(self, j, sign, duals):
        """Multipliers with which half-bounded columns have residuals of the right sign.

        A solver leaves some off by its tolerance; each such column's shortest row pays,
        which for an excess or a slack is its own.
        """
        cost = np.zeros((1, self.model.n_columns))
        cost[0, j] = sign
        y = self.certifier.project(duals)
        (low,), (high,) = self.certifier.residuals(cost, y[None] if y.ndim == 1 else y)
        rows, values = self._shortest
        ends = np.isfinite(self.model.lower), np.isfinite(self.model.upper)
        missing = np.where(ends[0] & ~ends[1], np.minimum(low, 0.0), 0.0)
        missing += np.where(ends[1] & ~ends[0], np.maximum(high, 0.0), 0.0)
        some = (missing != 0) & (np.abs(missing) < _TOLERANCE) & (rows >= 0)
        moved = np.array(duals, dtype=float)
        np.add.at(moved, rows[some], 2.0 * missing[some] / values[some])
        return moved

    def _proven(self, j, sign, duals):
        """beta and e with ``sign x_j >= beta - sum_k e_k |x_k|`` over free columns."""
        cost = np.zeros((1, self.model.n_columns))
        cost[0, j] = sign
        y = self.certifier.project(duals)
        (low,), (high,) = self.certifier.residuals(cost, y)
        # A residual of the right sign on a half-bounded column needs no box: only its
        # finite side counts.
        right = (low >= 0) & np.isfinite(self.model.lower)
        right |= (high <= 0) & np.isfinite(self.model.upper)
        right |= ~self.free
        clean = np.where(right, 0.0, 1.0)
        boxed = self.model.replace(
            lower=np.where(right, self.model.lower, 0.0),
            upper=np.where(right, self.model.upper, 0.0),
        )
        beta = Certifier(boxed).lower_bounds(cost, y)[0]
        return beta, clean * np.maximum(np.abs(low), np.abs(high))

    def _joint_box(self):
        """A box of one size M for all columns that the inequalities close over."""
        known = {}
        for (j, sign), y in self.duals.items():
            if y is not None:
                beta, errors = self._proven(j, sign, y)
                if np.isfinite(beta):
                    known[j, sign] = beta, errors
        for j in {j for j, _ in self.duals}:
            if np.isfinite(self.model.lower[j]):
                known.setdefault((j, 1.0), (self.model.lower[j], None))
            if np.isfinite(self.model.upper[j]):
                known.setdefault((j, -1.0), (-self.model.upper[j], None))
        closed = {j for j, _ in known if (j, 1.0) in known and (j, -1.0) in known}
        while True:
            outside = self.free.copy()
            outside[list(closed)] = False
            leaving = {
                j
                for (j, _), (_, errors) in known.items()
                if j in closed and errors is not None and np.any(errors[outside] > 0)
            }
            if not leaving:
                break
            closed -= leaving
        rows = [value for (j, _), value in known.items() if j in closed]
        if not rows:
            return
        e = max(0.0 if errors is None else 1.01 * errors.sum() for _, errors in rows)
        if e < 0.5:
            size = 1.01 * max(abs(beta) for beta, _ in rows) / (1.0 - e) + NEGLIGIBLE
            for j in closed:
                self.lower[j] = max(self.lower[j], -size)
                self.upper[j] = min(self.upper[j], size)

    def _certify(self):
        certifier = Certifier(self.model.replace(lower=self.lower, upper=self.upper))
        for (j, sign), y in self.duals.items():
            if y is None:
                continue
            cost = np.zeros((1, self.model.n_columns))
            cost[0, j] = sign
            bound = certifier.lower_bounds(cost, y)[0]
            if sign > 0:
                self.lower[j] = max(self.lower[j], bound)
            else:
                self.upper[j] = min(self.upper[j], -bound)
