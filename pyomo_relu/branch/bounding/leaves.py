"""A box with few unstable neurons as a mixed-integer linear programme for HiGHS.

Stable neurons are folded away: what is left of a network are affine maps between x and
the unstable neurons' post-activations, which are encoded by big-M with the box's own
bounds.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.relaxation.bigm_rows import add_big_m
from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings

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
        self.builder = ModelBuilder()
        self.builder.add_columns(lower, upper, problem.integer)
        self.is_linear = not problem.integer.any()
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
        self._rows(problem.plain, problem.plain_lower, problem.plain_upper)
        self.costs = functions[:1].toarray()[0]
        self.constant = float(d[0])

    @property
    def n_columns(self):
        """Number of columns so far."""
        return self.builder.n_columns

    def linear(self, cutoff):
        """Everything as a LinearModel, with the row ``objective <= cutoff``."""
        if np.isfinite(cutoff):
            self._rows(
                sparse.csr_array(self.costs[None]),
                np.array([-np.inf]),
                np.array([cutoff - self.constant]),
            )
        model = self.builder.build()
        model.matrix.eliminate_zeros()
        return model

    def _rows(self, matrix, lower, upper):
        self.builder.add_rows([(np.arange(matrix.shape[1]), matrix)], lower, upper)

    def _affine(self, layer):
        """A layer's pre-activations as rows over all columns so far."""
        matrix = sparse.csr_array((layer.size, self.n_columns))
        constant = np.array(layer.bias)
        for source, w in layer.terms:
            inner, shift = source.of((self._x, None), self._pre, self._post)
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
        top = layer.ceilings
        dead, full = hi <= 0, (lo >= top) & (hi > 0)
        active = (lo >= 0) & (hi <= top) & ~dead
        free = np.flatnonzero(~(dead | full | active))
        keep = sparse.diags_array(active.astype(float))
        constant = np.where(active, d, np.where(full, top, 0.0))
        if not free.size:
            return sparse.csr_array(keep @ C), constant
        lo, hi, top = lo[free], hi[free], top[free]
        n = self.n_columns
        x = self.builder.add_columns(np.maximum(lo, 0.0), np.minimum(hi, top))
        pre = [(np.arange(n), C[free])]
        add_big_m(self.builder, pre, x, lo, hi, top, d[free], integer=True)
        self.is_linear = False
        place = sparse.csr_array(
            (np.ones(free.size), (free, x)), shape=(layer.size, self.n_columns)
        )
        return sparse.csr_array(_wide(keep @ C, self.n_columns) + place), constant


def _wide(matrix, n):
    """The matrix with zero columns appended up to ``n``."""
    matrix = sparse.csr_array(matrix)
    if matrix.shape[1] == n:
        return matrix
    return sparse.csr_array(
        (matrix.data, matrix.indices, matrix.indptr), shape=(matrix.shape[0], n)
    )
