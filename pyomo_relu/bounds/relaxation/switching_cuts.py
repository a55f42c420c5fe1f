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
from pyomo_relu.common.deadline import ENDLESS
from pyomo_relu.linear.rounding import down
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings, Status, ask

#: Rounds of solving the relaxation and cutting its point off.
_ROUNDS = 30

#: A cut's least violation, for a largest coefficient of 1.
_VIOLATED = 1e-4

#: Smaller entries of a cut whose largest one is 1 are left out, ...
_NEGLIGIBLE = 1e-7

#: ... and binaries so close to an integer are no reason for one.
_FRACTIONAL = 1e-4

PRUNE = 1e-6
_LP = Settings("cuts around binary columns", rays=False)


def switching_cuts(linear, functions, lines, costs, deadline=ENDLESS):
    """Rows that hold at every feasible point, and bounds that do.

    Parameters
    ----------
    linear : LinearModel
        With finite bounds on the functions' inputs.
    functions : sequence
        With ``inputs`` and ``outputs``.
    lines : callable
        See ``Sides``.
    costs : numpy.ndarray, shape (n,)
    deadline : Deadline, optional

    Returns
    -------
    linear : LinearModel
        The given one with tighter bounds and the cuts as further rows.

    Raises
    ------
    InfeasibleError
        If neither value of a binary column leaves a point.
    """
    places = neighbourhoods(linear, functions)
    if not places:
        return linear
    sides = Sides(linear, functions, lines, places)
    lower, upper = sides.column_bounds()
    linear = linear.replace(lower=lower, upper=upper)
    relaxed = _with_lines(linear, functions, lines)
    separator, n = _Separator(sides), relaxed.n_rows
    for _ in range(_ROUNDS):
        if deadline.passed():
            break
        with HighsSession(relaxed, False, _LP) as session:
            answer = ask(session, np.arange(costs.size), costs, deadline.left())
        if answer.status is not Status.OPTIMAL or answer.primal is None:
            break
        relaxed = _binding(relaxed, n, answer.primal)
        rows, right = separator.cuts(answer.primal, deadline)
        if not right.size:
            break
        relaxed = _with_rows(relaxed, rows, right)
    return _with_rows(linear, relaxed.matrix[n:], relaxed.row_lower[n:])


def _binding(linear, first, point):
    """The model with those rows from ``first`` on that bind at a point."""
    over = linear.matrix[first:] @ point - linear.row_lower[first:]
    keep = np.ones(linear.n_rows, dtype=bool)
    keep[first:] = over <= PRUNE
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
    data, right = [], []
    row, column = [], []
    for i, f in enumerate(functions):
        box = linear.lower[f.inputs], linear.upper[f.inputs]
        a, c = (part[0] for part in lines(i, *(end[None] for end in box)))
        first = sum(map(len, right))
        row.append(np.repeat(np.arange(first, first + c.size), a.shape[1]))
        column.append(np.tile(np.concatenate([f.inputs, f.outputs]), c.size))
        data.append(a.ravel())
        right.append(c)
    data, right, row, column = map(np.concatenate, (data, right, row, column))
    shape = right.size, linear.n_columns
    return _with_rows(linear, sparse.csr_array((data, (row, column)), shape), right)


class _Separator:
    """The linear programme that finds cuts, for one point after another.

    Parameters
    ----------
    sides : Sides
    """

    def __init__(self, sides):
        self.sides = sides
        S, n = self.shape = sides.columns.shape
        rows = sides.rows
        R = rows.lower.shape[1]
        data = rows.data.reshape(2 * S, R, n)
        bounded = np.isfinite(rows.lower) | np.isfinite(rows.upper)
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

    def cuts(self, point, deadline):
        """Violated cuts at a point, as rows and their lower sides.

        Parameters
        ----------
        point : numpy.ndarray, shape (n_columns,)
        deadline : Deadline

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
        none = sparse.csr_array((0, point.size)), np.zeros(0)
        if not wanted.any():
            return none
        duals = self._duals(t, b, deadline)
        if duals is None:
            return none
        alpha = -duals[self.used[0].size :].reshape(S, n)
        largest = np.abs(alpha).max(axis=1, keepdims=True)
        alpha[np.abs(alpha) < _NEGLIGIBLE * largest] = 0.0
        alpha[:, 0] = 0.0
        alpha[~there] = 0.0
        of_rows = np.zeros(sides.rows.lower.shape)
        of_rows[self.used] = duals[: self.used[0].size]
        least = sides.least(alpha, of_rows)
        # at b = 1 the cut asks for beta_0 + rise, which must not exceed beta_1
        rise = down(least[1] - least[0])
        with np.errstate(invalid="ignore"):
            missing = least[0] + rise * b - (alpha * t).sum(axis=1)
        wanted &= np.isfinite(least).all(axis=0) & np.isfinite(rise)
        wanted &= missing > _VIOLATED * np.abs(alpha).max(axis=1)
        s = np.flatnonzero(wanted)
        alpha[:, 0] = -rise
        k, j = np.nonzero(alpha[s])
        column = sides.columns[s[k], j]
        rows = sparse.csr_array((alpha[s[k], j], (k, column)), (s.size, point.size))
        return rows, least[0, s]

    def _duals(self, t, b, deadline):
        """Row duals of the programme at points (S, n), or None."""
        sides = self.sides
        share = np.concatenate([1.0 - b, b])
        size = self.costs.size // 4
        box, row = self.used
        ends = [_times(share[:, None], end).ravel() for end in (sides.lower, sides.upper)]
        of_rows = [
            _times(share[box], side[box, row])
            for side in (sides.rows.lower, sides.rows.upper)
        ]
        from pyomo_relu.linear.model import LinearModel

        model = LinearModel(
            self.matrix,
            np.concatenate([of_rows[0], t.ravel()]),
            np.concatenate([of_rows[1], t.ravel()]),
            np.concatenate([ends[0], np.zeros(2 * size)]),
            np.concatenate([ends[1], np.full(2 * size, np.inf)]),
        )
        with HighsSession(model, False, _LP) as session:
            answer = ask(
                session, np.arange(self.costs.size), self.costs, deadline.left()
            )
        return answer.duals if answer.status is Status.OPTIMAL else None


def _times(share, ends):
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(ends), ends, share * ends)
