"""Successive linear programmes around points of a model with atoms; prove nothing.

At a point every function is replaced by its tangent (a network's is that of its region),
outputs are eliminated, and a linear programme moves the remaining columns within a trust
region.  Rows may be violated at a price; a step is taken if objective plus price fall as
foretold (Fletcher and Sainz de la Maza, Nonlinear programming and nonsmooth optimization
by successive linear programming, 1989).

Where the model is a convex quadratic programme in every linear region, costs count with
their second derivatives as long as it is they, not kinks, that make tangents wrong.

Integer columns stay at the values of the start, or those that a mixed-integer linear
programme gives them at the point where steps without integrality end.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.evaluation import Gradients
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.rounding import FEASIBILITY
from pyomo_relu.linear.solve import solve_linear
from pyomo_relu.network.pieces import piece_at
from pyomo_relu.search.nonlinear.programme import Programme, Tangents
from pyomo_relu.search.nonlinear.quadratic import RegionWalk, cost_hessian, is_quadratic
from pyomo_relu.search.nonlinear.smooth import Smooth

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

#: Coefficients along all columns under which a row says nothing about them.
_NOTHING = 1e-9

#: How far a column may move in one region, in widths.
_FURTHEST = 10.0

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
        self._gradients = Gradients(self._functions)
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
        self._dead_ends, self._is_quadratic = [], None
        self.programme = Programme(self.low, self.high)

    def _prepare_rows(self):
        """The rows that may be violated: the modeller's and ends of computed columns."""
        linear = self.model.linear
        rest = np.flatnonzero(~self._is_free)
        rest = rest[np.isfinite(self.lower[rest]) | np.isfinite(self.upper[rest])]
        ends = np.zeros((rest.size, linear.n_columns))
        ends[np.arange(rest.size), rest] = 1.0
        self._rows = np.concatenate([linear.matrix.toarray(), ends])
        own = sum(int(self._is_free[f.outputs].sum()) for f in self._functions)
        none = np.zeros(own)
        self.low = np.concatenate([linear.row_lower, self.lower[rest], none])
        self.high = np.concatenate([linear.row_upper, self.upper[rest], none])

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
            x = self.completed(point, whole=False)
            if np.isfinite(x).all():
                x = self._descend(x, prices[0], deadline, known, held=none)
                point = self._with_whole(x, prices[0], deadline)
        x = self.completed(point)
        if not np.isfinite(x).all():
            return None
        start, restarts = x, True
        for price in prices:
            before, x = x, self._descend(x, price, deadline, known)
            if restarts and self._is_dead_end(x, before):
                # a low price has led away from what is feasible
                restarts, x = False, self._descend(start, price, deadline, known)
            if self._feasible(x):
                value = float(self.model.objective(x))
                # other starts end at the same point, but for rounding
                if polish and value + _GAIN * (1.0 + abs(value)) < known:
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

    def completed(self, point, whole=True):
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
        radius, merit = _FIRST, self.merit(x, price)
        tangents, bent = None, True
        for k in range(_STEPS):
            if radius < _SMALLEST or deadline.passed():
                break
            if radius < _LEAST and self._feasible(x):
                break
            if tangents is None:
                tangents = self.tangents(x)
            ends = self.room(x, radius, held)
            step = self.programme.solved(tangents, price, ends, deadline, bent)
            if step is None:
                break
            foretold, curved = self.programme.foretold(tangents, step, price)
            if not bent and curved > foretold:
                bent = True
                continue
            foretold -= curved if bent else 0.0
            if foretold <= _GAIN * (1.0 + abs(merit)) and (
                foretold <= 1e-12 * (1.0 + abs(merit)) or self._feasible(x)
            ):
                break
            if k >= _PATIENCE and merit - _HOPE * foretold >= known:
                break
            new = self.moved(x, step)
            value = self.merit(new, price)
            gain = merit - value
            if not gain > _TAKEN * foretold:
                radius *= 0.3
                # but for kinks a quadratic model keeps what it promises
                bent = False
                continue
            x, merit, tangents = new, value, None
            radius = min(_LARGEST, 2.0 * radius) if gain > _GOOD * foretold else radius
        return x

    def moved(self, x, step):
        """The point after a step of the columns that move, within their bounds."""
        new, free = x.copy(), self.free
        new[free] = np.clip(new[free] + step, self.lower[free], self.upper[free])
        return self.model.complete(new, keep=free)

    def _polished(self, x, price, deadline):
        """A point as feasible and no worse, by sequential quadratic programmes.

        Linear ones are slow where the best point is no vertex.
        """
        if deadline.passed():
            return x
        if self._is_quadratic:
            new = RegionWalk(self, x, price, deadline).solved()
        else:
            with np.errstate(all="ignore"):
                new = Smooth(self, x, deadline).solved()
        if new is None:
            return x
        new = self._descend(new, price, deadline, np.inf)
        better = self.model.objective(new) < self.model.objective(x)
        return new if better and self._feasible(new) else x

    def _feasible(self, x):
        return self.model.violation(x) <= FEASIBILITY

    def merit(self, x, price):
        """The objective, and the price of what rows are violated by."""
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
        along, missed, _ = self._slopes(x)
        rows = np.concatenate([self._rows @ along, *missed])
        return self.model.costs @ along, rows, self.values(x)

    def tangents(self, x):
        """The Tangents at x."""
        along, missed, gradients = self._slopes(x)
        own = self._rows @ along
        if self._is_quadratic is None:
            silent = np.abs(own).max(axis=1, initial=0.0) <= _NOTHING
            self._is_quadratic = is_quadratic(
                self.model, self._functions, self._is_free, self._rows[~silent]
            )
        hessian = None
        if self._is_quadratic:
            hessian = cost_hessian(self.model.costs, self._functions, gradients, along)
            self._is_quadratic = hessian is not None
        return Tangents(
            self.model.costs @ along,
            np.concatenate([own, *missed]),
            self.values(x),
            along,
            hessian,
        )

    def _slopes(self, x):
        """All columns' and missed values' gradients along the free ones, functions' own."""
        n = self.free.size
        G = np.zeros((x.size, n))
        G[self.free] = np.eye(n)
        missed, gradients = [np.zeros((0, n))], []
        of_atoms = self._gradients(x)
        for at, f in enumerate(self._functions):
            J = of_atoms.get(at)
            if J is None:
                J = piece_at(f.network, x[f.inputs])[1][-1][0]
            gradients.append(J)
            along = J @ G[f.inputs]
            own = self._is_free[f.outputs]
            G[f.outputs[~own]] = along[~own]
            if own.any():
                missed.append(along[own] - G[f.outputs[own]])
        return G, missed, gradients

    def room(self, x, radius=None, held=None):
        """How far the columns that move may do so, in a trust region or in all."""
        reach = _FURTHEST * self._reach if radius is None else radius * self._reach
        lower = np.maximum(self.lower[self.free] - x[self.free], -reach)
        upper = np.minimum(self.upper[self.free] - x[self.free], reach)
        held = self._integer if held is None else held
        lower[held] = upper[held] = 0.0
        return np.minimum(lower, 0.0), np.maximum(upper, 0.0)
