"""The best point of one linear region of all networks together, by an LP."""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.sessions.highs_runs import (
    make_highs,
    pass_model,
    run_on_own_thread,
)
from pyomo_relu.linear.unit_range import UnitRange
from pyomo_relu.network.layer import ACTIVE, AT_CEILING, INACTIVE


class RegionLP:
    """``min g_0`` over the linear region that a point lies in.

    On the region every row function is affine, so the problem is a linear program in
    x and z: no hidden neuron is a column, each is one row that keeps its state.

    Parameters
    ----------
    problem : BranchProblem
    """

    def __init__(self, problem):
        self._highs = make_highs({"primal_feasibility_tolerance": 1e-9}, "relu.branch")
        import highspy

        self._optimal = highspy.HighsModelStatus.kOptimal
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
        x = point[:n]
        lower, upper = p.lower.copy(), p.upper.copy()
        at_integers = np.clip(np.round(point[p.integer]), *self._ends(p.integer))
        lower[p.integer] = upper[p.integer] = at_integers
        pattern = [states[0] for states in p.network.activation_pattern(x[None])]
        pieces = p.network.linear_piece(pattern)
        rows, low, high = self._states(pattern, pieces)
        C, d = p.functions(*pieces[-1])
        functions = self._rest.copy()
        functions[:, :n] += C
        states = np.zeros((len(low), lower.size))
        states[:, :n] = rows
        matrix = np.concatenate([states, functions[1:], self._plain])
        row_lower = np.concatenate([low, p.function_lower - d[1:], p.plain_lower])
        row_upper = np.concatenate([high, p.function_upper - d[1:], p.plain_upper])
        return self._optimum(
            matrix, row_lower, row_upper, functions[0], lower, upper, time_limit
        )

    def _ends(self, which):
        return self.problem.lower[which], self.problem.upper[which]

    def _states(self, pattern, pieces):
        """Rows that keep every neuron in its state."""
        rows, low, high = [], [], []
        for layer, state, (C, d) in zip(
            self.problem.network.activation_layers, pattern, pieces[:-1], strict=True
        ):
            top = np.inf if layer.ceiling is None else layer.ceiling
            lower = np.select(
                [state == ACTIVE, state == AT_CEILING], [0.0, top], -np.inf
            )
            upper = np.select([state == INACTIVE, state == ACTIVE], [0.0, top], np.inf)
            rows.append(C)
            low.append(lower - d)
            high.append(upper - d)
        if not rows:
            return np.zeros((0, self.problem.n_inputs)), np.zeros(0), np.zeros(0)
        return np.concatenate(rows), np.concatenate(low), np.concatenate(high)

    def _optimum(self, matrix, row_lower, row_upper, costs, lower, upper, time_limit):
        h = self._highs
        rows = sparse.csr_array(matrix)
        scaled = UnitRange(LinearModel(rows, row_lower, row_upper, lower, upper))
        costs, _ = scaled.costs(np.arange(costs.size), costs)
        pass_model(h, scaled.model, costs)
        limit = np.inf if time_limit is None else h.getRunTime() + max(time_limit, 0.0)
        h.setOptionValue("time_limit", limit)
        run_on_own_thread(h)
        if h.getModelStatus() != self._optimal:
            return None
        return scaled.point(np.array(h.getSolution().col_value))
