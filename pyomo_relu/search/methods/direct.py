"""Problems whose inputs decide everything: batched values, gradients, projections.

With constraints on inputs only and no other variables, a point of the inputs is a
solution, and thousands are evaluated at once.
"""

import numpy as np

from pyomo_relu.search.methods.ascent import value_and_gradient
from pyomo_relu.search.methods.projections import dykstra


def is_direct(problem, relaxed):
    """True if rows and costs concern only inputs and outputs, and rows only inputs.

    Parameters
    ----------
    problem : EmbeddedModel
    relaxed : LinearModel
        The modeller's rows with interval bounds of the networks on output columns.
    """
    linear, inputs = problem.linear, problem.input_columns()
    outputs = problem.output_columns()
    if np.any(linear.integer) or problem.circular:
        return False
    used = np.zeros(problem.n_columns, dtype=bool)
    used[linear.matrix.indices] = True
    used[inputs] = False
    priced = problem.costs != 0
    priced[inputs] = priced[outputs] = False
    # a bound on an output counts only if the network could violate it
    binding = (linear.lower >= relaxed.lower) & np.isfinite(linear.lower)
    binding |= (linear.upper <= relaxed.upper) & np.isfinite(linear.upper)
    several = sum(f.outputs.size for f in problem.functions) > outputs.size
    return not (used.any() or priced.any() or binding[outputs].any() or several)


class DirectProblem:
    """Batched evaluation of a direct problem in its input columns.

    Parameters
    ----------
    problem : EmbeddedModel
    lower, upper : numpy.ndarray, shape (n_inputs,)
        Finite box of ``problem.input_columns()``.
    clock : Deadline, optional
        Ends projections early.
    """

    def __init__(self, problem, lower, upper, clock=None):
        self.clock = clock
        self.problem = problem
        self.inputs = problem.input_columns()
        self.lower, self.upper = lower, upper
        rows = problem.linear.matrix[:, self.inputs].toarray()
        size = np.max(np.abs(rows), axis=1, initial=0.0)
        keep = size > 0
        self._rows = rows[keep] / size[keep, None]
        self._row_lower = problem.linear.row_lower[keep] / size[keep]
        self._row_upper = problem.linear.row_upper[keep] / size[keep]

    def columns(self, X):
        """Column values (N, n_columns) of input points (N, n_inputs)."""
        full = np.zeros((X.shape[0], self.problem.n_columns))
        full = np.clip(full, self.problem.linear.lower, self.problem.linear.upper)
        full[:, self.inputs] = X
        return self.problem.complete(full)

    def values(self, X):
        """Objective values (N,) of input points."""
        return self.problem.objective(self.columns(X))

    def evaluate(self, X):
        """Values and gradients, by the chain rule backwards through the networks."""
        problem, full = self.problem, self.columns(X)
        gradient = np.tile(problem.costs, (X.shape[0], 1))
        for f in (problem.functions[i] for i in reversed(problem.order())):
            _, back = value_and_gradient(
                f.network, full[:, f.inputs], gradient[:, f.outputs]
            )
            for j, column in enumerate(f.inputs):  # an input may be read twice
                gradient[:, column] += back[:, j]
        return problem.objective(full), gradient[:, self.inputs]

    def project(self, X):
        """Nearest points that the rows on inputs and the box allow."""
        if self._rows.shape[0] == 0:
            return np.clip(X, self.lower, self.upper)
        width = np.where(self.upper > self.lower, self.upper - self.lower, 1.0)
        scaled = dykstra(
            X / width,
            self._rows * width,
            self._row_lower,
            self._row_upper,
            self.lower / width,
            self.upper / width,
            clock=self.clock,
        )
        return np.clip(scaled * width, self.lower, self.upper)
