"""A linear model that rows are added to, and bounds proven over boxes of its columns."""

import numpy as np
from scipy import sparse

from pyomo_relu.common.matrices import dense
from pyomo_relu.linear.certificate import Certifier, dual_bounds
from pyomo_relu.linear.rounding import FEASIBILITY, down


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
        """What multipliers prove of the objective over a box.

        Parameters
        ----------
        box : tuple of numpy.ndarray, shapes (n,)
        duals : numpy.ndarray, shape (m,)

        Returns
        -------
        bound : float
        low, high : numpy.ndarray, shape (n,)
            Ends of the columns' reduced costs.
        """
        y, rows = self._certifier.project(duals[None]), self._certifier.rows
        with np.errstate(over="ignore", invalid="ignore"):
            reduced = self._certifier.residuals(self._costs, y)
            value = dual_bounds(reduced, y, rows, box)[0] + self._constant
        bound = float(down(value)) if np.isfinite(value) else -np.inf
        return bound, reduced[0][0], reduced[1][0]

    def may_move(self, point, columns, steps):
        """Which columns can move by a step each, one at a time, with all rows kept.

        Parameters
        ----------
        point : numpy.ndarray, shape (n,)
        columns : numpy.ndarray of int, shape (k,)
        steps : numpy.ndarray, shape (k,)

        Returns
        -------
        numpy.ndarray of bool, shape (k,)
        """
        certifier = self._certifier
        matrix = certifier.transposed
        now, (lower, upper) = point @ matrix, certifier.rows
        by = matrix[columns]
        by = dense(by)
        after = now + steps[:, None] * by
        off = np.maximum(lower - after, after - upper)
        return (off <= np.maximum(lower - now, now - upper).clip(FEASIBILITY)).all(1)

    def empty(self, box, ray):
        """Whether multipliers prove that a box holds no point."""
        return self._certifier.proves_infeasible(ray, box)
