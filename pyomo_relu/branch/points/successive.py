"""Successive linear programmes around points of a model with atoms; prove nothing.

At a point every function is replaced by its tangent (a network's is that of its region),
outputs are eliminated, and a linear programme moves the remaining columns within a trust
region.  Rows may be violated at a price; a step is taken if objective plus price fall as
foretold (Fletcher and Sainz de la Maza, Nonlinear programming and nonsmooth optimization
by successive linear programming, 1989).
"""

import numpy as np

from pyomo_relu.linear.atoms.atom import Atom
from pyomo_relu.linear.rounding import FEASIBILITY
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Batch, Settings
from pyomo_relu.network.pieces import piece_at

#: Radii relative to the columns' widths: the first one, the largest, where to stop with
#: a feasible point and without.
_FIRST, _LARGEST, _LEAST, _SMALLEST = 0.2, 0.5, 1e-5, 1e-8

#: Gains, relative to the merit, that are worth another step.
_GAIN = 1e-7

#: After so many steps a point is given up if so many times the gain that is foretold
#: does not make it better than the best one known.
_PATIENCE, _HOPE = 6, 10.0

#: Shares of the foretold gain from which a step is taken and the radius grown.
_TAKEN, _GOOD = 0.05, 0.7

#: Most linear programmes per point.
_STEPS = 40

#: Most sequential quadratic programmes, and how far they may move a column, in widths.
_QUADRATIC, _FURTHEST = 40, 10.0

#: Prices of violations, relative to the objective's slope; the next where one fails.
_PRICES = 10.0, 1e3, 1e5


class SuccessiveLPs:
    """Improves points of a BranchProblem with atoms.

    Parameters
    ----------
    problem : BranchProblem
        In unit range.
    """

    def __init__(self, problem):
        self.problem = p = problem
        self.model = m = p.original
        self.free = np.setdiff1d(p.columns, p.computed)
        self._is_free = np.zeros(m.n_columns, dtype=bool)
        self._is_free[self.free] = True
        self._functions = [m.functions[i] for i in m.order()]
        self.lower, self.upper = m.linear.lower.copy(), m.linear.upper.copy()
        self.lower[p.columns] = np.maximum(self.lower[p.columns], p.lower)
        self.upper[p.columns] = np.minimum(self.upper[p.columns], p.upper)
        width = (self.upper - self.lower)[self.free]
        self.width = np.where(np.isfinite(width), width, 1.0)
        self._prepare_rows()
        settings = Settings("relu.branch", presolve=False, rays=False)
        self._session = HighsSession(settings=settings)

    def _prepare_rows(self):
        """The rows that may be violated: the modeller's and ends of computed columns."""
        linear, n = self.model.linear, self.free.size
        rest = np.flatnonzero(~self._is_free)
        rest = rest[np.isfinite(self.lower[rest]) | np.isfinite(self.upper[rest])]
        ends = np.zeros((rest.size, linear.n_columns))
        ends[np.arange(rest.size), rest] = 1.0
        self._rows = np.concatenate([linear.matrix.toarray(), ends])
        own = sum(int(self._is_free[f.outputs].sum()) for f in self._functions)
        none = np.zeros(own)
        self.low = np.concatenate([linear.row_lower, self.lower[rest], none])
        self.high = np.concatenate([linear.row_upper, self.upper[rest], none])
        m = self.low.size
        # each row: its coefficients, then what it may be off by to either side
        self._columns = np.empty((m, n + 2), dtype=np.int32)
        self._columns[:, :n] = np.arange(n)
        self._columns[:, n] = n + np.arange(m)
        self._columns[:, n + 1] = n + m + np.arange(m)
        self._start = (n + 2) * np.arange(m + 1, dtype=np.int32)

    def improve(self, point, deadline, known=np.inf):
        """A feasible point near ``point`` with a small objective, or None.

        Parameters
        ----------
        point : numpy.ndarray, shape (n,)
            Of the problem's columns; integer columns stay at their rounded values.
        deadline : Deadline
        known : float
            The objective of the best point so far.

        Returns
        -------
        numpy.ndarray, shape (n,), or None
        """
        p = self.problem
        point = np.clip(point, p.lower, p.upper)
        point[p.integer] = np.round(point[p.integer])
        x = p.complete(point[None])[0]
        if not np.isfinite(x).all():
            return None
        slope = max(1.0, float(np.abs(self.model.costs).max(initial=0.0)))
        for price in _PRICES:
            x = self._descend(x, price * slope, deadline, known)
            if self._feasible(x):
                if self.model.objective(x) < known:
                    x = self._polished(x, price * slope, deadline)
                return x[p.columns]
            if deadline.passed() or self.model.objective(x) >= known:
                break
        return None

    def _descend(self, x, price, deadline, known):
        radius, merit = _FIRST, self._merit(x, price)
        linearised = None
        for k in range(_STEPS):
            if radius < _SMALLEST or deadline.passed():
                break
            if radius < _LEAST and self._feasible(x):
                break
            if linearised is None:
                linearised = self.linearised(x)
            answer = self._step(x, linearised, price, radius)
            if answer is None:
                break
            step, foretold = answer
            foretold = merit - foretold
            if foretold <= _GAIN * (1.0 + abs(merit)) and (
                foretold <= 1e-12 * (1.0 + abs(merit)) or self._feasible(x)
            ):
                break
            if k >= _PATIENCE and merit - _HOPE * foretold >= known:
                break
            new = x.copy()
            new[self.free] += step
            new[self.free] = np.clip(
                new[self.free], self.lower[self.free], self.upper[self.free]
            )
            new = self.model.complete(new, keep=self.free)
            value = self._merit(new, price)
            gain = merit - value
            if not gain > _TAKEN * foretold:
                radius *= 0.3
                continue
            x, merit, linearised = new, value, None
            radius = min(_LARGEST, 2.0 * radius) if gain > _GOOD * foretold else radius
        return x

    def _polished(self, x, price, deadline):
        """A point as feasible and no worse, by sequential quadratic programmes.

        Linear ones are slow where the best point is no vertex.
        """
        if deadline.passed():
            return x
        smooth = _Smooth(self, x)
        with np.errstate(all="ignore"):
            new = smooth.solved()
        if new is None:
            return x
        new = self._descend(new, price, deadline, np.inf)
        better = self.model.objective(new) < self.model.objective(x)
        return new if better and self._feasible(new) else x

    def _feasible(self, x):
        return self.model.violation(x) <= FEASIBILITY

    def _merit(self, x, price):
        if not np.isfinite(x).all():
            return np.inf
        values = self._values(x)
        off = np.maximum(self.low - values, values - self.high)
        total = np.maximum(off, 0.0).sum()
        return float(self.model.objective(x)) + price * total

    def _values(self, x):
        """Of rows, of computed columns with ends, of what functions miss."""
        missed = [np.zeros(0)]
        for f in self._functions:
            own = self._is_free[f.outputs]
            if own.any():
                y = f.values(x[None, f.inputs])[0]
                missed.append((y - x[f.outputs])[own])
        return np.concatenate([self._rows @ x, *missed])

    def linearised(self, x):
        """Costs and rows of the tangents at x along the free columns, and values."""
        n = self.free.size
        G = np.zeros((x.size, n))
        G[self.free] = np.eye(n)
        missed = [np.zeros((0, n))]
        for f in self._functions:
            if isinstance(f, Atom):
                J = f.gradient(x[f.inputs])[None]
            else:
                J = piece_at(f.network, x[f.inputs])[1][-1][0]
            along = J @ G[f.inputs]
            own = self._is_free[f.outputs]
            G[f.outputs[~own]] = along[~own]
            if own.any():
                missed.append(along[own] - G[f.outputs[own]])
        rows = np.concatenate([self._rows @ G, *missed])
        return self.model.costs @ G, rows, self._values(x)

    def _step(self, x, linearised, price, radius):
        """The best step in the trust region and the merit that is foretold."""
        costs, rows, at = linearised
        m, n = rows.shape
        lower = np.maximum(self.lower[self.free] - x[self.free], -radius * self.width)
        upper = np.minimum(self.upper[self.free] - x[self.free], radius * self.width)
        whole = self.model.linear.integer[self.free]
        lower[whole] = upper[whole] = 0.0
        lower, upper = np.minimum(lower, 0.0), np.maximum(upper, 0.0)
        data = np.empty((m, n + 2))
        data[:, :n], data[:, n], data[:, n + 1] = rows, 1.0, -1.0
        every = np.concatenate([costs, np.full(2 * m, price)])
        batch = Batch(
            self._start,
            self._columns.ravel(),
            data.reshape(1, -1),
            (self.low - at)[None],
            (self.high - at)[None],
            np.concatenate([lower, np.zeros(2 * m)])[None],
            np.concatenate([upper, np.full(2 * m, np.inf)])[None],
            every[None],
        )
        answer = next(iter(self._session.minimize_each(batch)))
        if answer.status is not Status.OPTIMAL:
            return None
        step = np.clip(answer.primal[:n], lower, upper)
        value = float(self.model.objective(x)) + float(every @ answer.primal)
        return step, value


class _Smooth:
    """The model around a point as SLSQP wants it, columns relative to their widths."""

    def __init__(self, around, x):
        self.around, self.x = around, x
        low, high = around.low, around.high
        equal = low == high
        sides = (equal, 1.0, low), (np.isfinite(low) & ~equal, 1.0, low)
        self._sides = (*sides, (np.isfinite(high) & ~equal, -1.0, high))
        self._at = None

    def _evaluated(self, step):
        key = step.tobytes()
        if self._at is None or self._at[0] != key:
            a = self.around
            x = self.x.copy()
            x[a.free] = np.clip(
                x[a.free] + a.width * step, a.lower[a.free], a.upper[a.free]
            )
            x = a.model.complete(x, keep=a.free)
            costs, rows, values = a.linearised(np.nan_to_num(x))
            self._at = key, x, costs * a.width, rows * a.width, values
        return self._at[1:]

    def solved(self):
        """The point that SLSQP ends at, or None."""
        from scipy.optimize import minimize

        a, x = self.around, self.x
        width = np.maximum(a.width, 1e-300)
        lower = (a.lower[a.free] - x[a.free]) / width
        upper = (a.upper[a.free] - x[a.free]) / width
        # a column without ends must not run away: points far out are no use as cutoffs
        lower, upper = np.maximum(lower, -_FURTHEST), np.minimum(upper, _FURTHEST)
        whole = a.model.linear.integer[a.free]
        lower[whole] = upper[whole] = 0.0
        constraints = [
            {
                "type": "ineq" if k else "eq",
                "fun": lambda t, w=which, s=sign, e=side: (
                    s * (self._evaluated(t)[3] - e)[w]
                ),
                "jac": lambda t, w=which, s=sign: s * self._evaluated(t)[2][w],
            }
            for k, (which, sign, side) in enumerate(self._sides)
            if which.any()
        ]
        found = minimize(
            lambda t: float(a.model.objective(self._evaluated(t)[0])),
            np.zeros(a.free.size),
            jac=lambda t: self._evaluated(t)[1],
            method="SLSQP",
            bounds=list(
                zip(np.minimum(lower, 0.0), np.maximum(upper, 0.0), strict=True)
            ),
            constraints=constraints,
            options={"maxiter": _QUADRATIC, "ftol": 1e-10},
        )
        new = self._evaluated(np.asarray(found.x))[0]
        return new if np.isfinite(new).all() else None
