"""A linear model that rows are added to, and bounds proven over boxes of its columns."""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.certificate import Certifier, dual_bounds, proven_empty
from pyomo_relu.linear.rounding import down


class GrowingModel:
    """The rows so far, and what multipliers of an LP over them prove.

    Parameters
    ----------
    linear : LinearModel
    costs : numpy.ndarray, shape (n,)
    constant : float

    Attributes
    ----------
    rows : int
        Added ones.
    """

    def __init__(self, linear, costs, constant):
        self._costs, self._constant = costs[None], constant
        self._all, self._certifier, self._waiting = linear, None, []
        self.rows = 0

    def add(self, matrix, lower, upper):
        """Add rows behind the others."""
        self._waiting.append((matrix, lower, upper))
        self.rows += lower.size

    @property
    def linear(self):
        """The LinearModel with all rows."""
        if self._waiting:
            matrices, *sides = zip(*self._waiting, strict=True)
            self._all = self._all.with_rows(
                sparse.vstack(matrices), *map(np.concatenate, sides)
            )
            self._waiting, self._certifier = [], None
        return self._all

    def bound(self, box, duals):
        """The lower bound of the objective that multipliers prove over a box.

        Parameters
        ----------
        box : tuple of numpy.ndarray, shapes (n,)
        duals : numpy.ndarray, shape (m,)
        """
        value = self._bounds(box, self._costs, duals[None])[0] + self._constant
        return float(down(value)) if np.isfinite(value) else -np.inf

    def empty(self, box, ray):
        """Whether multipliers prove that a box holds no point."""
        if ray.shape != (self.linear.n_rows,):
            return False
        zero = np.zeros_like(self._costs)
        return bool(proven_empty(ray[None], lambda y: self._bounds(box, zero, y))[0])

    def _bounds(self, box, costs, duals):
        linear = self.linear
        if self._certifier is None:
            self._certifier = Certifier(linear)
        y = self._certifier.project(duals)
        with np.errstate(over="ignore", invalid="ignore"):
            residuals = self._certifier.residuals(costs, y)
            return dual_bounds(residuals, y, (linear.row_lower, linear.row_upper), box)
