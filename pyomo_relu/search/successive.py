"""Successive linear programmes around points of a model with atoms; prove nothing.

At a point every function is replaced by its tangent (a network's is that of its region),
outputs are eliminated, and a linear programme moves the remaining columns within a trust
region.  Rows may be violated at a price; a step is taken if objective plus price fall as
foretold (Fletcher and Sainz de la Maza, Nonlinear programming and nonsmooth optimization
by successive linear programming, 1989).

Integer columns stay at the values of the start, or those that a mixed-integer linear
programme gives them at the point where steps without integrality end.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.atoms.atom import Atom
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.rounding import FEASIBILITY
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Batch, Settings
from pyomo_relu.linear.solve import solve_linear
from pyomo_relu.network.pieces import piece_at
from pyomo_relu.search.smooth import Smooth

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

#: Prices of violations, relative to the objective's slope; the next where one fails.
_PRICES = 10.0, 1e3, 1e5

#: How far a column without ends that no function reads may move, in radii: tangents are
#: exact along it.
_LINEAR = 1e3

#: Within this share of all widths two ends of steps are the same.
_SAME = 1e-6

#: Gap and seconds of the programme that gives integer columns their values.
_WHOLE_GAP, _WHOLE_SECONDS = 1e-2, 1.0


def moving_columns(model):
    """Columns of an EmbeddedModel that are no function's value, given all others.

    Of functions that read each other in a circle, columns that are read before they are
    computed move; so do columns that are integer or computed twice.

    Returns
    -------
    numpy.ndarray of int
    """
    n = model.n_columns
    read, computed = np.zeros((2, n), dtype=bool)
    outputs = [f.outputs for f in model.functions]
    times = np.bincount(np.concatenate([np.zeros(0, dtype=int), *outputs]), minlength=n)
    for f in (model.functions[i] for i in model.order()):
        read[f.inputs[~computed[f.inputs]]] = True
        computed[f.outputs[~read[f.outputs]]] = True
    return np.flatnonzero(~computed | model.linear.integer | (times > 1))


class SuccessiveLPs:
    """Improves points of a model with functions.

    Parameters
    ----------
    model : EmbeddedModel
        In unit range.
    free : numpy.ndarray of int, optional
        Columns that move; all others are computed or fixed.  Default:
        ``moving_columns``.
    lower, upper : numpy.ndarray, shape (n_columns,), optional
        Tighter bounds than the model's of columns that move.
    """

    def __init__(self, model, free=None, lower=None, upper=None):
        self.model = m = model
        self.free = moving_columns(m) if free is None else free
        self._is_free = np.zeros(m.n_columns, dtype=bool)
        self._is_free[self.free] = True
        self._functions = [m.functions[i] for i in m.order()]
        self.lower, self.upper = m.linear.lower.copy(), m.linear.upper.copy()
        if lower is not None:
            self.lower[self.free] = np.maximum(self.lower, lower)[self.free]
            self.upper[self.free] = np.minimum(self.upper, upper)[self.free]
        self._integer = m.linear.integer[self.free]
        width = (self.upper - self.lower)[self.free]
        self.width = np.where(np.isfinite(width), width, 1.0)
        straight = ~np.isfinite(width) & ~np.isin(self.free, m.input_columns())
        self._reach = np.where(straight, _LINEAR, self.width)
        self._prepare_rows()
        self._dead_ends = []
        settings = Settings("a search", presolve=False, rays=False)
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

    def improve(self, point, deadline, known=np.inf, relax=False, polish=True):
        """A feasible point near ``point`` with a small objective, or None.

        Parameters
        ----------
        point : numpy.ndarray, shape (n_columns,)
            Only the columns that move count.
        deadline : Deadline
        known : float
            The objective of the best point so far.
        relax : bool
            Whether integer columns move first, without integrality; if not, they stay
            at their rounded values.
        polish : bool
            Whether quadratic programmes follow if it is better than what is known.

        Returns
        -------
        numpy.ndarray, shape (n_columns,), or None
        """
        slope = max(1.0, float(np.abs(self.model.costs).max(initial=0.0)))
        prices = [price * slope for price in _PRICES]
        if relax and self._integer.any():
            none = np.zeros_like(self._integer)
            x = self._completed(point, whole=False)
            if np.isfinite(x).all():
                x = self._descend(x, prices[0], deadline, known, held=none)
                point = self._with_whole(x, prices[0], deadline)
        x = self._completed(point)
        if not np.isfinite(x).all():
            return None
        start, restarts = x, True
        for price in prices:
            before, x = x, self._descend(x, price, deadline, known)
            if restarts and self._is_dead_end(x, before):
                # a low price has led away from what is feasible
                restarts, x = False, self._descend(start, price, deadline, known)
            if self._feasible(x):
                if polish and self.model.objective(x) < known:
                    x = self._polished(x, price, deadline)
                return x
            if deadline.passed() or self.model.objective(x) >= known:
                return None
            if not restarts and self._is_dead_end(x, before):
                break
        self._dead_ends.append(x[self.free])
        return None

    def _is_dead_end(self, x, before):
        """Whether x is infeasible and violations are least around it.

        A higher price did not move it, or did not where an earlier start has led.
        """
        if self._feasible(x):
            return False
        near = _SAME * np.maximum(self.width, 1e-300)
        others = [before[self.free], *self._dead_ends]
        return any((np.abs(x[self.free] - y) <= near).all() for y in others)

    def _completed(self, point, whole=True):
        """The point within its bounds, what functions compute computed."""
        free = self.free
        x = np.array(point, dtype=float)
        x[free] = np.clip(x[free], self.lower[free], self.upper[free])
        if whole:
            x[free[self._integer]] = np.round(x[free[self._integer]])
        return self.model.complete(x, keep=free)

    def _with_whole(self, x, price, deadline):
        """The point with integers where the tangents' programme wants them."""
        costs, rows, at = self.linearised(x)
        m, n = rows.shape
        free, shift = self.free, rows @ x[self.free] - at
        near = _LARGEST * self._reach
        low, high = self.lower[free], self.upper[free]
        low = np.where(self._integer, low, np.maximum(low, x[free] - near))
        high = np.where(self._integer, high, np.minimum(high, x[free] + near))
        slack = sparse.eye_array(m, format="csr")
        model = LinearModel(
            sparse.hstack([sparse.csr_array(rows), slack, -slack], format="csr"),
            self.low + shift,
            self.high + shift,
            np.concatenate([np.minimum(low, x[free]), np.zeros(2 * m)]),
            np.concatenate([np.maximum(high, x[free]), np.full(2 * m, np.inf)]),
            np.concatenate([self._integer, np.zeros(2 * m, dtype=bool)]),
        )
        every = np.concatenate([costs, np.full(2 * m, price)])
        seconds = deadline.left(_WHOLE_SECONDS)
        answer = solve_linear(model, every, seconds, mip_gap=_WHOLE_GAP)
        x = x.copy()
        if answer.primal is not None:
            x[free] = answer.primal[:n]
        return x

    def _descend(self, x, price, deadline, known, held=None):
        """Steps in a trust region; ``held`` columns, by default integer ones, stay."""
        held = self._integer if held is None else held
        radius, merit = _FIRST, self._merit(x, price)
        linearised = None
        for k in range(_STEPS):
            if radius < _SMALLEST or deadline.passed():
                break
            if radius < _LEAST and self._feasible(x):
                break
            if linearised is None:
                linearised = self.linearised(x)
            answer = self._step(x, linearised, price, radius, held)
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
        with np.errstate(all="ignore"):
            new = Smooth(self, x, deadline).solved()
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
        values = self.values(x)
        off = np.maximum(self.low - values, values - self.high)
        total = np.maximum(off, 0.0).sum()
        return float(self.model.objective(x)) + price * total

    def values(self, x):
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
        return self.model.costs @ G, rows, self.values(x)

    def _step(self, x, linearised, price, radius, held):
        """The best step in the trust region and the merit that is foretold."""
        costs, rows, at = linearised
        m, n = rows.shape
        lower = np.maximum(self.lower[self.free] - x[self.free], -radius * self._reach)
        upper = np.minimum(self.upper[self.free] - x[self.free], radius * self._reach)
        lower[held] = upper[held] = 0.0
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
