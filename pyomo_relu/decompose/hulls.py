"""Networks of one input and the rows around each: the hulls of their pieces as a MILP.

What a network of one free input, the rows that belong to it alone, and its integer
columns admit is a union of polytopes: one per linear piece and value of the integers.
A binary column per polytope and a share per vertex,

    columns = sum_v lambda_v v,   sum over polytope b of lambda = w_b,   sum_b w_b = 1,

say so exactly, and without integrality they are the convex hull (Balas, Disjunctive
programming, 1979): nothing about an idle unit is left to a big-M of the modeller's.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.spatial import ConvexHull, QhullError

from pyomo_relu.decompose.parts import take_apart
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.network.pieces import breakpoints

#: Most pieces of a network, continuous and integer values of what is around it.
_PIECES, _CONTINUOUS, _VALUES = 60, 3, 4

#: Most sets of sides of a polytope that are tried for vertices.
_MOST_SETS = 20000

#: Vertices miss sides by at most this, and closer ones are one.
_SLACK = 1e-9


@dataclass
class Hulls:
    """A MILP of hulls.

    Attributes
    ----------
    linear : LinearModel
        The first columns are the EmbeddedModel's.
    costs : numpy.ndarray
    """

    linear: LinearModel
    costs: np.ndarray


@dataclass
class _Piece:
    """Vertices of one polytope, values of ``columns``."""

    columns: np.ndarray
    vertices: np.ndarray


def hulls(model, lower, upper):
    """The MILP, or None if a network has more than one free input or too many pieces.

    Parameters
    ----------
    model : EmbeddedModel
    lower, upper : numpy.ndarray, shape (n,)
        Bounds of its columns, finite for those of networks.
    """
    parts = take_apart(model, 0)
    n = model.n_columns
    if parts.linear.n_columns != n:
        return None
    linear = parts.linear.replace(lower=lower, upper=upper)
    found, local, known = [], np.zeros(linear.n_rows, dtype=bool), {}
    within = _Surroundings(linear, parts.parts)
    for k, part in enumerate(parts.parts):
        around, rows = within.of(k, part)
        pieces = _pieces(linear, part, around, rows, known)
        if pieces is None:
            return None
        local[rows] = True
        found.append(pieces)
    linked = _linked(model, linear, local, found)
    found = [_fewer(pieces, linked, linear.integer) for pieces in found]
    return _milp(model, linear, local, found)


class _Surroundings:
    """Which rows and further columns belong to one part alone."""

    def __init__(self, linear, parts):
        self.linear = linear
        self.owner = np.full(linear.n_columns, -1)
        self.shared = np.zeros(linear.n_columns, dtype=bool)
        for k, part in enumerate(parts):
            self.shared[part.columns] |= self.owner[part.columns] >= 0
            self.owner[part.columns] = k
        matrix = sparse.csr_array(linear.matrix)
        self.rows = [
            matrix.indices[matrix.indptr[r] : matrix.indptr[r + 1]]
            for r in range(linear.n_rows)
        ]
        self._touching = {}
        for r, at in enumerate(self.rows):
            owners = np.unique(self.owner[at])
            owners = owners[owners >= 0]
            if owners.size == 1 and not self.shared[at].any():
                self._touching.setdefault(int(owners[0]), []).append(r)

    def of(self, k, part):
        """Columns around a part, and rows over these and its own; none if too many."""
        none = np.zeros(0, dtype=int)
        rows = self._touching.get(k, [])
        if not rows:
            return none, none
        columns = np.unique(np.concatenate([self.rows[r] for r in rows]))
        around = columns[self.owner[columns] < 0]
        linear = self.linear
        width = linear.upper[around] - linear.lower[around]
        integer = linear.integer[around]
        if not np.isfinite(width).all() or np.sum(~integer) > _CONTINUOUS:
            return none, none
        if np.prod(width[integer] + 1) > _VALUES:
            return none, none
        own = set(part.columns.tolist()) | set(around.tolist())
        rows = [
            r for r, at in enumerate(self.rows) if at.size and set(at.tolist()) <= own
        ]
        return around, np.array(rows, dtype=int)


def _pieces(linear, part, around, rows, known):
    """The polytopes of a part; None if it has several free inputs or many pieces."""
    lower, upper = linear.lower[part.inputs], linear.upper[part.inputs]
    free = np.flatnonzero(lower < upper)
    if free.size > 1:
        return None
    j = int(free[0]) if free.size else 0
    points = breakpoints(part.network, lower, upper, j, _PIECES)
    if points is None:
        return None
    if not free.size:
        points = np.array([lower[j], lower[j]])
    columns = np.concatenate([part.columns, around])
    matrix = linear.matrix[rows][:, columns].toarray()
    sides = linear.row_lower[rows], linear.row_upper[rows]
    box = linear.lower[columns], linear.upper[columns]
    key = (part.network, matrix.tobytes(), *(a.tobytes() for a in (*sides, *box)))
    key = (*key, linear.integer[columns].tobytes())
    if key not in known:
        X = np.tile(lower, (points.size, 1))
        X[:, j] = points
        graph = part.graph(X)
        known[key] = list(
            _vertices(graph, matrix, sides, box, linear.integer[columns], j)
        )
    found = known[key]
    if found and found[-1] is None:
        return None
    return [_Piece(columns, vertices) for vertices in found]


def _vertices(graph, matrix, sides, box, integer, j):
    """Vertices of each polytope, shapes (V, d); None at the end for too many sides."""
    n_own = graph.shape[1]
    d = n_own + (matrix.shape[1] - n_own)
    around = np.arange(n_own, d)
    whole = around[integer[n_own:]]
    loose = around[~integer[n_own:]]
    values = [np.arange(box[0][i], box[1][i] + 0.5) for i in whole]
    for start, end in itertools.pairwise(graph):
        for assignment in itertools.product(*values):
            # all columns as base + directions u, u = (place on the piece, loose ones)
            base = np.zeros(d)
            base[:n_own], base[whole] = start, assignment
            directions = np.zeros((d, 1 + loose.size))
            directions[:n_own, 0] = end - start
            directions[loose, 1 + np.arange(loose.size)] = 1.0
            low = np.concatenate([[0.0], box[0][loose]])
            high = np.concatenate([[1.0], box[1][loose]])
            # outputs have bounds of their own
            every = np.concatenate([matrix, np.eye(d)[:n_own]])
            least = np.concatenate([sides[0], box[0][:n_own]])
            most = np.concatenate([sides[1], box[1][:n_own]])
            inner, shift = every @ directions, every @ base
            u = _corners(inner, least - shift, most - shift, low, high)
            if u is None:
                yield None
                return
            if len(u):
                yield base + u @ directions.T


def _corners(matrix, row_lower, row_upper, low, high):
    """Vertices of ``{u : rows, box}``; None if too many sets of sides are to be tried."""
    d = low.size
    eye = np.eye(d)
    size = np.abs(matrix).max(axis=1, initial=0.0)
    use = size > 0
    empty = ~use & ((row_lower > _SLACK) | (row_upper < -_SLACK))
    if empty.any():
        return np.zeros((0, d))
    scale = np.where(use, size, 1.0)
    matrix, row_lower, row_upper = (
        matrix / scale[:, None],
        row_lower / scale,
        row_upper / scale,
    )
    above, below = use & np.isfinite(row_upper), use & np.isfinite(row_lower)
    A = np.concatenate([matrix[above], -matrix[below], eye, -eye])
    h = np.concatenate([row_upper[above], -row_lower[below], high, -low])
    # sides that the box implies are none
    most = np.maximum(A * low, A * high).sum(axis=1)
    needed = most > h + _SLACK
    needed[-2 * d :] = True
    A, h = A[needed], h[needed]
    if math.comb(len(A), d) > _MOST_SETS:
        return None
    sets = np.array(list(itertools.combinations(range(len(A)), d)))
    B = A[sets]
    regular = np.abs(np.linalg.det(B)) > 1e-10
    u = np.linalg.solve(B[regular], h[sets[regular]][..., None])[..., 0]
    u = u[(h[:, None] + _SLACK >= A @ u.T).all(axis=0)]
    return np.unique(np.round(u, 11), axis=0)


def _linked(model, linear, local, parts):
    """Columns that matter to anything but a single part."""
    linked = model.costs != 0
    linked[linear.matrix[~local].indices] = True
    count = np.zeros(linear.n_columns, dtype=int)
    for pieces in parts:
        if pieces:
            count[pieces[0].columns] += 1
    return linked | (count > 1)


def _fewer(pieces, linked, integer):
    """Polytopes whose union has the same shadow on the linked columns.

    Those whose shadow another one has are left out (an idle unit's, whatever its load);
    neighbours are one where the union of both shadows is convex: where the hull's area
    is that of both.
    """
    if not pieces:
        return pieces
    columns = pieces[0].columns
    seen, groups = {}, {}
    for piece in pieces:
        shadow = np.round(piece.vertices[:, linked[columns]], 9) + 0.0
        corners = frozenset(map(tuple, shadow.tolist()))
        if any(corners <= other for other in seen):
            continue
        seen[corners] = True
        whole = tuple(np.round(piece.vertices[0, integer[columns]]))
        groups.setdefault(whole, []).append(piece)
    kept = []
    for group in groups.values():
        merged = group[:1]
        for piece in group[1:]:
            both = _union(merged[-1], piece, linked[columns])
            if both is None:
                merged.append(piece)
            else:
                merged[-1] = both
        kept += [
            _Piece(p.columns, _outermost(p.vertices, linked[columns])) for p in merged
        ]
    return kept


def _outermost(V, linked):
    """Those vertices that the shadow on the linked columns needs."""
    shadow = np.round(V[:, linked], 9)
    _, first = np.unique(shadow, axis=0, return_index=True)
    V, shadow = V[first], V[first][:, linked]
    span = np.ptp(shadow, axis=0)
    varies = span > 1e-9
    if varies.sum() != 2 or len(V) < 4:
        return V
    try:
        hull = ConvexHull((shadow / np.where(varies, span, 1.0))[:, varies])
    except (QhullError, ValueError):  # on a line
        return V
    return V[hull.vertices]


def _union(one, other, linked):
    """The hull of two polytopes if its plane shadow is the union of theirs, or None."""
    V = np.concatenate([one.vertices, other.vertices])
    shadow = V[:, linked]
    span = np.ptp(shadow, axis=0)
    varies = span > 1e-9
    if varies.sum() != 2:
        return None
    shadow = (shadow / np.where(varies, span, 1.0))[:, varies]
    first = len(one.vertices)
    try:
        areas = [
            ConvexHull(part).volume for part in (shadow[:first], shadow[first:], shadow)
        ]
    except (QhullError, ValueError):  # a segment has no area
        return None
    if areas[2] > areas[0] + areas[1] + 1e-9:
        return None
    return _Piece(one.columns, V)


def _milp(model, linear, local, parts):
    """The MILP over original columns, binaries of polytopes and shares of vertices."""
    n = model.n_columns
    n_pieces = sum(len(p) for p in parts)
    n_vertices = sum(len(piece.vertices) for p in parts for piece in p)
    first = n + n_pieces
    size = first + n_vertices
    rows, row, b, v = [], 0, n, first
    sides = []
    for pieces in parts:
        # no polytope is left: the sum of none is 1, and the MILP says infeasible
        columns = pieces[0].columns if pieces else np.zeros(0, dtype=int)
        links = row + np.arange(columns.size)
        rows.append((links, columns, np.ones(columns.size)))
        choice = row + columns.size
        row = choice + 1
        sides += [0.0] * columns.size + [1.0]
        for piece in pieces:
            V = piece.vertices
            at = v + np.arange(len(V))
            rows.append(
                (np.repeat(links, len(V)), np.tile(at, links.size), -V.T.ravel())
            )
            rows.append((np.full(1, choice), np.full(1, b), np.ones(1)))
            rows.append((np.full(len(V), row), at, np.ones(len(V))))
            rows.append((np.full(1, row), np.full(1, b), -np.ones(1)))
            sides.append(0.0)
            row, b, v = row + 1, b + 1, v + len(V)
    entries = [np.concatenate(a) for a in zip(*rows, strict=True)]
    hull = sparse.csr_array((entries[2], (entries[0], entries[1])), shape=(row, size))
    kept = linear.matrix[~local]
    kept = sparse.csr_array(
        (kept.data, kept.indices, kept.indptr), shape=(kept.shape[0], size)
    )
    sides, more = np.array(sides), size - n
    whole = LinearModel(
        sparse.vstack([kept, hull], format="csr"),
        np.concatenate([linear.row_lower[~local], sides]),
        np.concatenate([linear.row_upper[~local], sides]),
        np.concatenate([linear.lower, np.zeros(more)]),
        np.concatenate([linear.upper, np.ones(more)]),
        np.concatenate([linear.integer, np.arange(n, size) < first]),
        in_unit_range=True,
    )
    return Hulls(whole, np.concatenate([model.costs, np.zeros(more)]))
