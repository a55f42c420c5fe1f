r"""Cuts that say what a binary column means for a function near it, found at an LP's point.

A point t with 0 < b < 1 is where it may be, as far as a neighbourhood is concerned, if it
is a mixture of points of both sides (``switched``):

    t = s_0 + s_1,    s_v in lambda_v P_v,    lambda_1 = b,  lambda_0 = 1 - b.

The linear programme that comes as close to it as possible, in the sum of distances, has
as multipliers of these equations the ``alpha`` of a cut that is violated most, among
those with entries of at most 1, and as those of the sides' rows the proofs of its
``beta_v`` (lift-and-project: Balas, Ceria and Cornuejols, Math. Program. 58, 1993).  Of
all neighbourhoods together it is one programme, whose blocks know nothing of each other.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.relaxation.switched import Sides, neighbourhoods
from pyomo_relu.linear.model import LinearModel, ModelBuilder
from pyomo_relu.linear.rounding import down
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings, ask

#: Most rounds of solving the relaxation and cutting its point off, ...
_ROUNDS = 30

#: ... and after how many without a rise by this share of the bound they end.  Measured
#: on unit commitment: the first two give nothing, the gap is closed after 10 to 17.
_PATIENCE, _RISE = 5, 1e-5

#: A cut's least violation, for a largest coefficient of 1.
_VIOLATED = 1e-4

#: Smaller entries of a cut whose largest one is 1 are left out, ...
_NEGLIGIBLE = 1e-7

#: ... binaries so close to an integer are no reason for one, ...
_FRACTIONAL = 1e-4

#: ... and one whose row is farther from binding than this is dropped again.
_SLACK = 1e-6

#: By how much bounds are wider than what is proven, relative to their size.
_ROOM = 1e-6

#: With more neighbourhoods than this the rounds would take longer than they save.
_MOST = 3000

_LP = Settings("cuts around binary columns", rays=False)


def switching_cuts(linear, functions, lines, costs, pause=None):
    """A linear model with tighter bounds and further rows, that cut no feasible point.

    Parameters
    ----------
    linear : LinearModel
        With finite bounds on the functions' inputs.
    functions : sequence
        With ``inputs`` and ``outputs``.
    lines : callable
        See ``Sides``.
    costs : numpy.ndarray, shape (n,)
        What is minimised: cuts are sought where it leads.
    pause : callable, optional
        Called between rounds.

    Returns
    -------
    LinearModel
        The given one where no function has a binary column nearby.

    Raises
    ------
    InfeasibleError
        If neither value of a binary column leaves a point.
    """
    places = neighbourhoods(linear, functions)
    if not 0 < len(places) <= _MOST:
        return linear
    sides = Sides(linear, functions, lines, places)
    linear = _with_bounds(linear, *sides.column_bounds())
    relaxed = _with_lines(linear, functions, lines)
    separator, first = _Separator(sides), relaxed.n_rows
    best, tried = -np.inf, 0
    for _ in range(_ROUNDS):
        if pause is not None:
            pause()
        answer = _solved(relaxed, costs)
        if answer.primal is None:
            break
        tried += 1
        if answer.objective > best + _RISE * abs(best) or not np.isfinite(best):
            best, tried = answer.objective, 0
        relaxed = _binding(relaxed, first, answer.primal)
        rows, right = separator.cuts(answer.primal)
        if not right.size or tried >= _PATIENCE:
            break
        relaxed = _with_rows(relaxed, rows, right)
    return _with_rows(linear, relaxed.matrix[first:], relaxed.row_lower[first:])


def _with_bounds(linear, lower, upper):
    """The model within new bounds, with some room on the sides that move.

    Rows and bounds that leave a column no room at all are more than HiGHS' presolve can
    take: it then cuts off feasible points.
    """
    room = _ROOM * np.where(linear.integer, 0.0, 1.0)
    with np.errstate(invalid="ignore"):
        lower = np.maximum(linear.lower, lower - room * np.maximum(1.0, np.abs(lower)))
        upper = np.minimum(linear.upper, upper + room * np.maximum(1.0, np.abs(upper)))
    lower = np.where(np.isnan(lower), linear.lower, lower)
    upper = np.where(np.isnan(upper), linear.upper, upper)
    return linear.replace(lower=lower, upper=upper)


def _solved(linear, costs):
    """An Answer, without a point unless it is optimal."""
    with HighsSession(linear, False, _LP) as session:
        answer = ask(session, np.arange(costs.size), costs)
    if answer.status is not Status.OPTIMAL:
        answer.primal = answer.duals = None
    return answer


def _binding(linear, first, point):
    """The model with those rows from ``first`` on that bind at a point."""
    over = linear.matrix[first:] @ point - linear.row_lower[first:]
    keep = np.ones(linear.n_rows, dtype=bool)
    keep[first:] = over <= _SLACK
    return linear.replace(
        matrix=linear.matrix[keep],
        row_lower=linear.row_lower[keep],
        row_upper=linear.row_upper[keep],
    )


def _with_rows(linear, rows, lower):
    return linear.replace(
        matrix=sparse.vstack([linear.matrix, rows], format="csr"),
        row_lower=np.append(linear.row_lower, lower),
        row_upper=np.append(linear.row_upper, np.full(lower.size, np.inf)),
    )


def _with_lines(linear, functions, lines):
    """The model with the functions' lines over all of their inputs' box."""
    builder = ModelBuilder(linear)
    for i, f in enumerate(functions):
        box = linear.lower[f.inputs], linear.upper[f.inputs]
        (a,), (c,) = lines(i, *(end[None] for end in box))
        columns = np.concatenate([f.inputs, f.outputs])
        builder.add_rows([(columns, a)], c, np.full(c.size, np.inf))
    return builder.build()


class _Separator:
    """The linear programme that finds cuts, for one point after another.

    Parameters
    ----------
    sides : Sides
    """

    def __init__(self, sides):
        self.sides, rows = sides, sides.rows
        S, n = self.shape = sides.columns.shape
        R = rows.lower.shape[1]
        data = rows.data.reshape(2 * S, R, n)
        bounded = np.isfinite(rows.lower) | np.isfinite(rows.upper)
        # of box and row, those that say anything
        self.used = box, row = np.nonzero(bounded & (data != 0).any(axis=2))
        at = np.full((2 * S, R), -1)
        at[box, row] = np.arange(box.size)
        b, r, j = np.nonzero(data * (at >= 0)[:, :, None])
        first, size = box.size, S * n
        links = first + np.arange(size)
        entries = [(at[b, r], b * n + j, data[b, r, j])]
        for k, sign in enumerate((1.0, 1.0, 1.0, -1.0)):
            entries.append((links, k * size + np.arange(size), np.full(size, sign)))
        row, column, value = map(np.concatenate, zip(*entries, strict=True))
        self.matrix = sparse.csr_array((value, (row, column)), (first + size, 4 * size))
        self.costs = np.concatenate([np.zeros(2 * size), np.ones(2 * size)])

    def cuts(self, point):
        """Violated cuts at a point, as rows and their lower sides.

        Parameters
        ----------
        point : numpy.ndarray, shape (n_columns,)

        Returns
        -------
        rows : csr_array, shape (K, n_columns)
        lower : numpy.ndarray, shape (K,)
        """
        sides, (S, n) = self.sides, self.shape
        there = sides.columns >= 0
        t = np.where(there, point[sides.columns], 0.0)
        b = np.clip(t[:, 0], 0.0, 1.0)
        wanted = (b > _FRACTIONAL) & (b < 1 - _FRACTIONAL)
        wanted &= ~(sides.empty[:S] | sides.empty[S:])
        duals = (
            _solved(self._programme(t, b), self.costs).duals if wanted.any() else None
        )
        if duals is None:
            return sparse.csr_array((0, point.size)), np.zeros(0)
        of_rows, alpha = np.split(duals, [self.used[0].size])
        alpha = -alpha.reshape(S, n)
        alpha[:, 0] = 0.0  # a constant on either side
        alpha[~there] = 0.0
        largest = np.abs(alpha).max(axis=1)
        alpha[np.abs(alpha) < _NEGLIGIBLE * largest[:, None]] = 0.0
        multipliers = np.zeros(sides.rows.lower.shape)
        multipliers[self.used] = of_rows
        least = sides.least(alpha, multipliers)
        wanted &= np.isfinite(least).all(axis=0)
        least[:, ~wanted] = 0.0
        # at b = 1 the cut asks for beta_0 + rise, which must not exceed beta_1
        rise = down(least[1] - least[0])
        missing = least[0] + rise * b - (alpha * t).sum(axis=1)
        s = np.flatnonzero(wanted & (missing > _VIOLATED * largest))
        alpha[:, 0] = -rise
        k, j = np.nonzero(alpha[s])
        column = sides.columns[s[k], j]
        rows = sparse.csr_array((alpha[s[k], j], (k, column)), (s.size, point.size))
        return rows, least[0, s]

    def _programme(self, t, b):
        """The linear programme at points (S, n) with binaries (S,)."""
        sides, (box, row) = self.sides, self.used
        share = np.concatenate([1.0 - b, b])
        far = np.zeros(2 * t.size)
        of_rows = [
            np.append(_times(share[box], side[box, row]), t)
            for side in (sides.rows.lower, sides.rows.upper)
        ]
        of_columns = [
            np.append(_times(share[:, None], end), rest)
            for end, rest in ((sides.lower, far), (sides.upper, far + np.inf))
        ]
        return LinearModel(self.matrix, *of_rows, *of_columns)


def _times(share, ends):
    """Products in which an infinite end stays what it is."""
    ended = np.isfinite(ends)
    return np.where(ended, share * np.where(ended, ends, 0.0), ends)
