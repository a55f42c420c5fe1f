"""The programme that tangents at a point make: rows at a price, convex quadratic costs."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Batch, Settings


class Tangents(NamedTuple):
    """A model at a point, along the n columns that move.

    Parameters
    ----------
    costs : numpy.ndarray, shape (n,)
    rows : numpy.ndarray, shape (m, n)
    values : numpy.ndarray, shape (m,)
        Of the rows at the point.
    along : numpy.ndarray, shape (n_columns, n)
        Gradients of all columns.
    hessian : numpy.ndarray, shape (n, n), or None
        Of the costs; see ``search.quadratic.cost_hessian``.
    """

    costs: np.ndarray
    rows: np.ndarray
    values: np.ndarray
    along: np.ndarray
    hessian: np.ndarray | None


class Programme:
    """Steps by linear and by convex quadratic programmes, in one session.

    Parameters
    ----------
    low, high : numpy.ndarray, shape (m,)
        Sides of the rows, which may be violated at a price.
    """

    def __init__(self, low, high):
        self._low, self._high = low, high
        settings = Settings("a search", presolve=False, rays=False)
        self._session = HighsSession(settings=settings)

    def solved(self, tangents, price, ends, deadline, bent, states=None):
        """The step that the tangents promise most of, or None.

        Parameters
        ----------
        tangents : Tangents
        price : float
            Of violations.
        ends : (numpy.ndarray, numpy.ndarray), shapes (n,)
            Least and largest steps.
        deadline : Deadline
            A quadratic programme ends with it.
        bent : bool
            Whether second derivatives count.  Where the quadratic programme is given up,
            the linear one follows.
        states : (rows, low, high), optional
            What must hold without exception, of shapes (q, n), (q,), (q,).

        Returns
        -------
        numpy.ndarray, shape (n,), or None
        """
        batch = self._batch(tangents, price, ends, states)
        answer = None
        if bent and tangents.hessian is not None and tangents.hessian.any():
            quadratic = replace(batch, hessian=tangents.hessian[None])
            answer = next(iter(self._session.minimize_each(quadratic, deadline)), None)
        if answer is None or answer.status is not Status.OPTIMAL:
            answer = next(iter(self._session.minimize_each(batch)))
        if answer.status is not Status.OPTIMAL:
            return None
        return np.clip(answer.primal[: tangents.costs.size], *ends)

    def _batch(self, tangents, price, ends, states):
        """A Batch of one: steps, then what rows are off by to either side."""
        m, n = tangents.rows.shape
        low, high = self._low - tangents.values, self._high - tangents.values
        each = np.arange(m)
        columns = np.empty((m, n + 2), dtype=np.int32)
        columns[:, :n] = np.arange(n)
        columns[:, n], columns[:, n + 1] = n + each, n + m + each
        data = np.empty((m, n + 2))
        data[:, :n], data[:, n], data[:, n + 1] = tangents.rows, 1.0, -1.0
        start = (n + 2) * np.arange(m + 1)
        columns, data = columns.ravel(), data.ravel()
        if states is not None:
            rows, first, last = states
            start = np.append(start, start[-1] + n * np.arange(1, len(rows) + 1))
            columns = np.append(columns, np.tile(np.arange(n), len(rows)))
            data = np.append(data, rows.ravel())
            low, high = np.append(low, first), np.append(high, last)
        return Batch(
            start,
            columns,
            data[None],
            low[None],
            high[None],
            np.concatenate([ends[0], np.zeros(2 * m)])[None],
            np.concatenate([ends[1], np.full(2 * m, np.inf)])[None],
            np.concatenate([tangents.costs, np.full(2 * m, price)])[None],
        )

    def foretold(self, tangents, step, price):
        """What a step gains by the tangents, and by how much curvature lessens that."""
        before = tangents.values
        off = [
            np.maximum(np.maximum(self._low - v, v - self._high), 0.0).sum()
            for v in (before, before + tangents.rows @ step)
        ]
        gain = price * float(off[0] - off[1]) - float(tangents.costs @ step)
        H = tangents.hessian
        return gain, 0.0 if H is None else 0.5 * float(step @ H @ step)
