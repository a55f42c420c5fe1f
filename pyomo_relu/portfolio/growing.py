"""A linear model that rows are added to, and bounds proven over boxes of its columns."""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.certificate import Certifier
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
        self._all, self._waiting = linear, []
        self._certifier = Certifier(linear)
        self.rows = 0

    def add(self, matrix, lower, upper):
        """Add rows behind the others."""
        self._waiting.append((matrix, lower, upper))
        self._certifier.add(matrix, lower, upper)
        self.rows += lower.size

    @property
    def linear(self):
        """The LinearModel with all rows."""
        if self._waiting:
            matrices, *sides = zip(*self._waiting, strict=True)
            self._all = self._all.with_rows(
                sparse.vstack(matrices), *map(np.concatenate, sides)
            )
            self._waiting = []
        return self._all

    def bound(self, box, duals):
        """The lower bound of the objective that multipliers prove over a box.

        Parameters
        ----------
        box : tuple of numpy.ndarray, shapes (n,)
        duals : numpy.ndarray, shape (m,)
        """
        proven = self._certifier.lower_bounds(self._costs, duals[None], box)[0]
        value = proven + self._constant
        return float(down(value)) if np.isfinite(value) else -np.inf

    def empty(self, box, ray):
        """Whether multipliers prove that a box holds no point."""
        return self._certifier.proves_infeasible(ray, box)
