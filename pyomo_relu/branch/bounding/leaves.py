"""A box with few unstable neurons as a mixed-integer linear programme for HiGHS.

Stable neurons are folded away: what is left of a network are affine maps between x and
the unstable neurons' post-activations, which are encoded by big-M with the box's own
bounds.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings, Status
from pyomo_relu.network.layer import INPUT

#: HiGHS' dual bound is believed up to this relative margin.
_MARGIN = 1e-9


@dataclass
class LeafAnswer:
    """What the MILP of one box gave.

    Attributes
    ----------
    bound : float
        Lower bound of the objective in the box, as far as it is below the cutoff;
        infinite if the box has no point below the cutoff.
    point : numpy.ndarray or None
        Columns of the best point found.
    finished : bool
        False if a limit stopped it.
    """

    bound: float
    point: np.ndarray
    finished: bool


def solve_leaf(problem, bounder, lower, upper, cutoff, gap, time_limit, mip_nodes):
    """Minimise over one box by a MILP.

    Parameters
    ----------
    problem : BranchProblem
    bounder : LineBounder
        Of the problem's network.
    lower, upper : numpy.ndarray, shape (n,)
    cutoff : float
        Only points with a smaller objective are of interest.
    gap : float
        Absolute gap at which the box counts as solved.
    time_limit : float
        Seconds.
    mip_nodes : int
        Most nodes of the MILP's own tree.

    Returns
    -------
    LeafAnswer
    """
    n = problem.n_inputs
    lines = bounder.lines(lower[None, :n], upper[None, :n])
    model = _LeafModel(problem, lower, upper, [[a[0] for a in s] for s in lines.hidden])
    settings = Settings(
        "relu.branch",
        presolve=True,
        absolute_gap=gap,
        node_limit=int(mip_nodes),
        rays=False,
    )
    with HighsSession(model.linear(cutoff), True, settings) as session:
        every = np.arange(model.n_columns)
        seconds = max(time_limit, 0.01)
        answer = session.minimize(every, model.costs, seconds, model.constant)
    if answer.status is Status.INFEASIBLE:
        return LeafAnswer(np.inf, None, True)
    finished = answer.status is Status.OPTIMAL
    bound = answer.objective if model.is_linear and finished else answer.dual_bound
    if bound is None:
        bound = -np.inf
    bound -= _MARGIN * (answer.unit + abs(bound))
    point = None if answer.primal is None else answer.primal[: problem.n_columns]
    return LeafAnswer(bound, point, finished)


class _LeafModel:
    """Columns x, z, then the unstable neurons'; rows of networks and modeller."""

    def __init__(self, problem, lower, upper, hidden):
        self.problem = problem
        self.lower, self.upper = [lower], [upper]
        self.integer = [problem.integer]
        self.n_columns = lower.size
        self.rows, self.row_lower, self.row_upper = [], [], []
        self._add_network(hidden)
        C, d = self._affine(problem.network.layers[-1])
        n = self.n_columns
        functions, d = problem.functions(C, d)
        functions = sparse.csr_array(functions + _wide(problem.rest, n))
        self._rows(
            functions[1:],
            problem.function_lower - d[1:],
            problem.function_upper - d[1:],
        )
        self._rows(_wide(problem.plain, n), problem.plain_lower, problem.plain_upper)
        self.costs = functions[:1].toarray()[0]
        self.constant = float(d[0])

    @property
    def is_linear(self):
        """True if there is no integer column."""
        return not np.concatenate(self.integer).any()

    def linear(self, cutoff):
        """Everything as a LinearModel, with the row ``objective <= cutoff``."""
        if np.isfinite(cutoff):
            self._rows(
                sparse.csr_array(self.costs[None]),
                np.array([-np.inf]),
                np.array([cutoff - self.constant]),
            )
        n = self.n_columns
        matrix = sparse.csr_array(
            sparse.vstack([_wide(rows, n) for rows in self.rows], format="csr")
            if self.rows
            else (0, n)
        )
        matrix.eliminate_zeros()
        return LinearModel(
            matrix,
            np.concatenate([np.zeros(0), *self.row_lower]),
            np.concatenate([np.zeros(0), *self.row_upper]),
            np.concatenate(self.lower),
            np.concatenate(self.upper),
            np.concatenate(self.integer),
        )

    def _columns(self, lower, upper, integer=False):
        self.lower.append(lower)
        self.upper.append(upper)
        self.integer.append(np.full(lower.size, integer))
        first, self.n_columns = self.n_columns, self.n_columns + lower.size
        return np.arange(first, self.n_columns)

    def _rows(self, matrix, lower, upper):
        if matrix.shape[0]:
            self.rows.append(sparse.csr_array(matrix))
            self.row_lower.append(np.asarray(lower, dtype=float))
            self.row_upper.append(np.asarray(upper, dtype=float))

    def _affine(self, layer):
        """A layer's pre-activations as rows over all columns so far."""
        matrix = sparse.csr_array((layer.size, self.n_columns))
        constant = np.array(layer.bias)
        for (source, post), w in zip(layer.sources, layer.weights, strict=True):
            if source == INPUT:
                inner, shift = self._x, None
            else:
                inner, shift = (self._post if post else self._pre)[source]
            w = sparse.csr_array(w)
            matrix = matrix + w @ _wide(inner, self.n_columns)
            if shift is not None:
                constant = constant + w @ shift
        return sparse.csr_array(matrix), constant

    def _add_network(self, hidden):
        n = self.problem.n_inputs
        self._x = sparse.csr_array(sparse.eye_array(n, self.n_columns))
        self._pre, self._post = [], []
        for layer, lo, hi in zip(
            self.problem.network.layers[:-1], *hidden, strict=True
        ):
            C, d = self._affine(layer)
            self._pre.append((C, d))
            self._post.append(self._activation(layer, C, d, lo, hi))

    def _activation(self, layer, C, d, lo, hi):
        """Post-activations as rows; adds what the unstable neurons need."""
        top = np.full(lo.shape, np.inf) if layer.ceiling is None else layer.ceiling
        dead, full = hi <= 0, (lo >= top) & (hi > 0)
        active = (lo >= 0) & (hi <= top) & ~dead
        free = np.flatnonzero(~(dead | full | active))
        keep = sparse.diags_array(active.astype(float))
        constant = np.where(active, d, np.where(full, top, 0.0))
        if not free.size:
            return sparse.csr_array(keep @ C), constant
        lo, hi, top = lo[free], hi[free], top[free]
        x = self._columns(np.maximum(lo, 0.0), np.minimum(hi, top))
        v, shift = C[free], d[free]
        none = np.full(free.size, -np.inf)
        clipped = hi > top
        z = self._columns((lo >= 0).astype(float), np.ones(free.size), True)
        q = self._columns(np.zeros(free.size), clipped.astype(float), True)
        X, Z, Q = (self._unit(columns) for columns in (x, z, q))
        v = _wide(v, self.n_columns)
        over = sparse.diags_array(np.where(clipped, hi - top, 0.0))
        under = sparse.diags_array(np.minimum(lo, 0.0))
        reach = np.minimum(hi, top)
        self._rows(X - sparse.diags_array(reach) @ Z, none, np.zeros(free.size))
        self._rows(v - X - over @ Q, none, -shift)
        self._rows(X - v - under @ Z, none, shift - np.minimum(lo, 0.0))
        at = np.flatnonzero(clipped)
        if at.size:
            cap = sparse.diags_array(top[at])
            self._rows(cap @ Q[at] - X[at], none[at], np.zeros(at.size))
        place = sparse.csr_array(
            (np.ones(free.size), (free, x)), shape=(layer.size, self.n_columns)
        )
        return sparse.csr_array(_wide(keep @ C, self.n_columns) + place), constant

    def _unit(self, columns):
        return sparse.csr_array(
            (np.ones(columns.size), (np.arange(columns.size), columns)),
            shape=(columns.size, self.n_columns),
        )


def _wide(matrix, n):
    """The matrix with zero columns appended up to ``n``."""
    matrix = sparse.csr_array(matrix)
    if matrix.shape[1] == n:
        return matrix
    return sparse.csr_array(
        (matrix.data, matrix.indices, matrix.indptr), shape=(matrix.shape[0], n)
    )
