"""Good points of problems with very many neurons: LPs over tangents in a trust region.

The linear regions of a sum of thousands of networks are tiny, but the sum itself is
nearly smooth: its tangent is a better guide over a stretch of the box than one region's
rows.  Each step minimises over tangents within a box around the point, then over all
other columns with the inputs fixed where it went, so that rows hold for what the networks
really compute there.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.common.deadline import Deadline
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings

#: Half edges of the box around a point, relative to the inputs' widths: first, least.
_FIRST, _LEAST = 0.2, 1e-4

#: Most steps.
_STEPS = 16

#: Values this close, relative, are one: the best point itself is worth steps.
_SAME = 1e-9


class TangentLP:
    """Successive LPs over tangents; as ``RegionLP``.

    Parameters
    ----------
    problem : BranchProblem
        With a RepeatedNetworks and finite bounds on x.
    """

    def __init__(self, problem):
        settings = Settings("relu.branch", presolve=True, rays=False)
        self._session = HighsSession(settings=settings)
        self.problem = problem

    def solve(self, point, time_limit=None, cutoff=np.inf):
        """The best point on the way from ``point``, or None if the rows leave none.

        Parameters
        ----------
        point : numpy.ndarray, shape (n,)
            Integer columns stay at their rounded values.
        time_limit : float, optional
            Seconds.
        cutoff : float
            No step is made from a point where the rows hold, but with more than this.
        """
        p, clock = self.problem, Deadline(time_limit)
        n, whole = p.n_inputs, p.integer
        lower, upper = p.lower.copy(), p.upper.copy()
        lower[whole] = upper[whole] = np.clip(
            np.round(point[whole]), lower[whole], upper[whole]
        )
        x = np.clip(point[:n], lower[:n], upper[:n])
        best, value, radius = None, np.inf, _FIRST
        found = self._at(x, p.network.forward(x), lower, upper, clock)
        if found is not None:
            best, value = found
            if value > cutoff + _SAME * (1.0 + abs(cutoff)):
                return best
        for _ in range(_STEPS):
            C, u = p.network.tangents(x)
            width = radius * (p.upper[:n] - p.lower[:n])
            near = np.maximum(lower[:n], x - width), np.minimum(upper[:n], x + width)
            step = self._minimum(C, u - C @ x, *near, lower, upper, clock)
            if step is None or clock.passed():
                break
            new = np.clip(step[0][:n], *near)
            found = self._at(new, p.network.forward(new), lower, upper, clock)
            if found is not None and found[1] < value:
                x, (best, value) = new, found
                continue
            if best is None:
                x = new  # towards the rows
            radius *= 0.35
            if radius < _LEAST:
                break
        return best

    def _at(self, x, u, lower, upper, clock):
        """(point, value) of the best values of the other columns, or None."""
        p = self.problem
        if p.n_columns == p.n_inputs and p.is_box:
            _, constant = p.functions(sparse.csr_array((u.size, x.size)), u)
            return x.copy(), float(p.rest[[0]].toarray()[0] @ x + constant[0])
        C = sparse.csr_array((u.size, p.n_inputs))
        return self._minimum(C, u, x, x, lower, upper, clock)

    def _minimum(self, C, d, x_lower, x_upper, lower, upper, clock):
        """(point, value) of the least objective where u = C x + d, or None."""
        p, n = self.problem, self.problem.n_inputs
        C, d = p.functions(sparse.csr_array(C), d)
        C = sparse.csr_array(C)
        wide = (C.data, C.indices, C.indptr)
        functions = sparse.csr_array(wide, shape=p.rest.shape) + p.rest
        lower, upper = lower.copy(), upper.copy()
        lower[:n], upper[:n] = x_lower, x_upper
        costs = functions[[0]].toarray()[0]
        if p.is_box:
            point = np.where(costs > 0, lower, upper)
            return point, float(costs @ point + d[0])
        matrix = sparse.vstack([functions[1:], p.plain], format="csr")
        row_lower = np.concatenate([p.function_lower - d[1:], p.plain_lower])
        row_upper = np.concatenate([p.function_upper - d[1:], p.plain_upper])
        self._session.load(
            LinearModel(sparse.csr_array(matrix), row_lower, row_upper, lower, upper)
        )
        answer = self._session.minimize(np.arange(lower.size), costs, clock.left())
        if answer.status is not Status.OPTIMAL:
            return None
        return answer.primal, float(costs @ answer.primal + d[0])
