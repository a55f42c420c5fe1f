r"""Functions beside a binary column: what its two values mean for the columns around.

Around a function y = f(x) with a binary column b nearby, the rows that know no other
function leave two sets, one for b = 0 and one for b = 1.  On each of them bounds are
propagated with b at its value, and f is replaced by lines that hold on the box that is
left: a polyhedron

    P_v = {t : row_lower <= A t <= row_upper, lower <= t <= upper},     v in {0, 1}.

With any multipliers ``alpha`` and proven ``beta_v <= min {alpha t : t in P_v}``

    alpha t  >=  beta_0 (1 - b) + beta_1 b

holds for every feasible point (Balas, Disjunctive programming, Annals of Discrete
Mathematics 5, 1979).  For a function that is switched off by b, and its lines, these are
perspective cuts (Frangioni and Gentile, Math. Program. 106, 2006), and big-M rows with
the least M.
"""

from dataclasses import dataclass

import numpy as np

from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.box_rows import BoxRows, RowPattern

#: Rows and neighbourhoods of more columns than this are left alone: what many columns
#: share says little about one function.
_MOST_COLUMNS = 24

#: Passes in which bounds are propagated, before and after lines are there.
_ROUNDS = 5


@dataclass(frozen=True)
class Neighbourhood:
    """A function, a binary column near it, and the rows between them.

    Attributes
    ----------
    function : int
        Its position.
    columns : numpy.ndarray of int
        The binary first, then the function's inputs and outputs, each once.
    rows : numpy.ndarray of int
        Those of the linear model that know no other column.
    """

    function: int
    columns: np.ndarray
    rows: np.ndarray


def neighbourhoods(linear, functions):
    """One Neighbourhood per function and binary column near it.

    Near are columns that share a row with the function's own; a row with columns of
    other functions links them, and does not count.

    Parameters
    ----------
    linear : LinearModel
    functions : sequence
        With ``inputs`` and ``outputs``.

    Returns
    -------
    list of Neighbourhood
    """
    binary = linear.integer & (linear.lower == 0.0) & (linear.upper == 1.0)
    if not binary.any():
        return []
    found = []
    matrix, by_column = linear.matrix, linear.matrix.tocsc()
    own = [np.unique(np.concatenate([f.inputs, f.outputs])) for f in functions]
    foreign = np.zeros(linear.n_columns, dtype=bool)
    foreign[np.concatenate([np.zeros(0, dtype=int), *own])] = True
    width = np.diff(matrix.indptr)
    known = np.zeros(linear.n_columns, dtype=bool)

    def touching(columns):
        return _entries(by_column, columns)

    for i, mine in enumerate(own):
        foreign[mine], near = False, mine
        rows = np.unique(touching(mine))
        rows = rows[width[rows] <= _MOST_COLUMNS]
        rows = [r for r in rows if not foreign[_entries(matrix, [r])].any()]
        near = np.union1d(mine, _entries(matrix, rows))
        switches = near[binary[near]]
        if switches.size and near.size <= _MOST_COLUMNS:
            known[near] = True
            rows = np.unique(touching(near))
            rows = rows[width[rows] <= near.size]
            rows = [r for r in rows if known[_entries(matrix, [r])].all()]
            known[near] = False
            for b in switches:
                rest = near[(near != b) & ~np.isin(near, mine)]
                columns = np.concatenate([[b], mine[mine != b], rest])
                found.append(Neighbourhood(i, columns, np.array(rows, dtype=int)))
        foreign[mine] = True
    return found


def _entries(matrix, lines):
    """Indices of the entries of some lines of a csr or csc matrix."""
    ends = [matrix.indices[matrix.indptr[i] : matrix.indptr[i + 1]] for i in lines]
    return np.concatenate([np.zeros(0, dtype=matrix.indices.dtype), *ends])


class Sides:
    """Both polyhedra of several neighbourhoods, in dense arrays of one shape.

    Parameters
    ----------
    linear : LinearModel
        With finite bounds on the functions' inputs.
    functions : sequence
    lines : callable
        ``lines(i, lower, upper)`` gives proven lines of function i over boxes of shape
        (B, n_inputs): coefficients (B, L, n_inputs + n_outputs) and constants (B, L)
        with ``coefficients . (x, y) >= constants``.
    places : list of Neighbourhood

    Attributes
    ----------
    columns : numpy.ndarray of int, shape (S, n)
        Of the linear model, -1 where there is none.
    rows : BoxRows
        Of 2 S boxes: first all with their binary 0, then all with it 1.
    lower, upper : numpy.ndarray, shape (2 S, n)
    empty : numpy.ndarray of bool, shape (2 S,)
        Sides that are proven to have no point.
    """

    def __init__(self, linear, functions, lines, places):
        self.places = places
        self.linear = linear
        S, n = len(places), max(p.columns.size for p in places)
        self.columns = np.full((S, n), -1)
        for s, place in enumerate(places):
            self.columns[s, : place.columns.size] = place.columns
        there = self.columns >= 0
        lower = np.where(there, linear.lower[self.columns], 0.0)
        upper = np.where(there, linear.upper[self.columns], 0.0)
        self.lower, self.upper = np.tile(lower, (2, 1)), np.tile(upper, (2, 1))
        self.lower[S:, 0] = 1.0
        self.upper[:S, 0] = 0.0
        local = self._local_rows()
        self.empty = self._propagate(local)
        self.rows = _stacked(local, self._line_rows(functions, lines))
        self.empty |= self._propagate(self.rows)

    def __len__(self):
        return len(self.places)

    def _propagate(self, rows):
        none = np.zeros(self.lower.shape[1], dtype=bool)
        return rows.tighten(self.lower, self.upper, none, _ROUNDS)

    def _local_rows(self):
        linear, n = self.linear, self.columns.shape[1]
        R = max(p.rows.size for p in self.places)
        data = np.zeros((len(self), R, n))
        sides = np.full((2, len(self), R), -np.inf)
        sides[1] = np.inf
        at, matrix = np.zeros(linear.n_columns, dtype=int), linear.matrix
        for s, place in enumerate(self.places):
            at[place.columns] = np.arange(place.columns.size)
            for r, row in enumerate(place.rows):
                entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
                data[s, r, at[matrix.indices[entries]]] = matrix.data[entries]
            sides[0, s, : place.rows.size] = linear.row_lower[place.rows]
            sides[1, s, : place.rows.size] = linear.row_upper[place.rows]
        return _box_rows(*(np.concatenate([a, a]) for a in (data, *sides)))

    def _line_rows(self, functions, lines):
        """The functions' lines over the boxes that are left to their inputs."""
        S, n = self.columns.shape
        both = np.concatenate([self.columns, self.columns])
        of = np.array([p.function for p in self.places] * 2)
        parts = []
        for i in np.unique(of):
            f, at = functions[i], np.flatnonzero((of == i) & ~self.empty)
            if not at.size:
                continue
            place = [_positions(both[b], f.inputs) for b in at]
            place = (
                np.array(place),
                np.array([_positions(both[b], f.outputs) for b in at]),
            )
            box = (
                np.take_along_axis(a[at], place[0], 1) for a in (self.lower, self.upper)
            )
            parts.append((at, np.hstack(place), *lines(i, *box)))
        L = max((p[3].shape[1] for p in parts), default=0)
        data, low = np.zeros((2 * S, L, n)), np.full((2 * S, L), -np.inf)
        for at, place, coefficients, constants in parts:
            for b, where, a, c in zip(at, place, coefficients, constants, strict=True):
                for k, column in enumerate(where):  # a column may be read twice
                    data[b, : c.size, column] += a[:, k]
                low[b, : c.size] = c
        return _box_rows(data, low, np.full((2 * S, L), np.inf))

    def column_bounds(self):
        """Bounds of the linear model's columns that hold on either side.

        Raises
        ------
        InfeasibleError
            If they leave no point.
        """
        S = len(self)
        lower, upper = self.linear.lower.copy(), self.linear.upper.copy()
        low = np.where(self.empty[:, None], np.inf, self.lower)
        high = np.where(self.empty[:, None], -np.inf, self.upper)
        low, high = np.minimum(low[:S], low[S:]), np.maximum(high[:S], high[S:])
        there = self.columns >= 0
        np.maximum.at(lower, self.columns[there], low[there])
        np.minimum.at(upper, self.columns[there], high[there])
        if np.any(lower > upper):
            raise InfeasibleError("neither value of a binary column leaves a point.")
        return lower, upper

    def least(self, alpha, duals):
        """Proven lower bounds of ``alpha t`` on both sides, shape (2, S).

        Parameters
        ----------
        alpha : numpy.ndarray, shape (S, n)
        duals : numpy.ndarray, shape (2 S, R)
            Of the rows, in ``certificate``'s sense; any numbers.
        """
        both = np.concatenate([alpha, alpha])
        none = np.zeros(len(both))
        bounds = self.rows.dual_bounds(both, none, duals, self.lower, self.upper)
        return np.where(self.empty, np.inf, bounds).reshape(2, -1)


def _positions(columns, wanted):
    return np.argmax(columns[None, :] == wanted[:, None], axis=1)


def _box_rows(data, lower, upper):
    B, R, n = data.shape
    row, column = np.divmod(np.arange(R * n), n)
    return BoxRows(RowPattern(row, column, R, n), data.reshape(B, R * n), lower, upper)


def _stacked(first, second):
    """The rows of both over the same boxes."""
    n = first.pattern.n_columns
    B = len(first.data)
    parts = [(r.data.reshape(B, -1, n), r.lower, r.upper) for r in (first, second)]
    return _box_rows(*(np.concatenate(a, axis=1) for a in zip(*parts, strict=True)))
