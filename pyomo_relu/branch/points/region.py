"""The best point of one linear region of all networks together, by an LP."""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings
from pyomo_relu.network.pieces import region_rows


class RegionLP:
    """``min g_0`` over the linear region that a point lies in.

    On the region every row function is affine, so the problem is a linear program in
    x and z: no hidden neuron is a column, each is one row that keeps its state.
    ``search.walk.solve_region`` optimises over the modeller's columns instead, outputs
    and free integers among them: a MILP in place of many LPs in one session.

    Parameters
    ----------
    problem : BranchProblem
    """

    def __init__(self, problem):
        settings = Settings("relu.branch", presolve=True, rays=False)
        self._session = HighsSession(settings=settings)
        self.problem = problem
        self._rest = problem.rest.toarray()
        self._plain = problem.plain.toarray()

    def solve(self, point, time_limit=None):
        """Best point of the region of ``point``, or None if the rows leave none.

        Parameters
        ----------
        point : numpy.ndarray, shape (n,)
            Integer columns stay at their rounded values.
        """
        p = self.problem
        n = p.n_inputs
        lower, upper = p.lower.copy(), p.upper.copy()
        at_integers = np.clip(np.round(point[p.integer]), *self._ends(p.integer))
        lower[p.integer] = upper[p.integer] = at_integers
        rows, low, high, C, d = region_rows(p.network, point[:n])
        C, d = p.functions(C, d)
        functions = self._rest.copy()
        functions[:, :n] += C
        states = np.zeros((len(low), lower.size))
        states[:, :n] = rows
        matrix = np.concatenate([states, functions[1:], self._plain])
        row_lower = np.concatenate([low, p.function_lower - d[1:], p.plain_lower])
        row_upper = np.concatenate([high, p.function_upper - d[1:], p.plain_upper])
        self._session.load(
            LinearModel(sparse.csr_array(matrix), row_lower, row_upper, lower, upper)
        )
        every = np.arange(lower.size)
        answer = self._session.minimize(every, functions[0], time_limit)
        return answer.primal if answer.status is Status.OPTIMAL else None

    def _ends(self, which):
        return self.problem.lower[which], self.problem.upper[which]
