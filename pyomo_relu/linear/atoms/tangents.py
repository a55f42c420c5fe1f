"""Rows of atoms' lines over one box: those to begin with, and those that points violate."""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.atoms.groups import NO_ROWS
from pyomo_relu.linear.atoms.relaxation import AtomRelaxation

#: Shares of the box at which functions of one column are touched to begin with, besides
#: those where ``AtomRelaxation`` touches them by itself.
_TOUCHED = np.array([[0.0, 1.0, 0.33, 0.67]]).T


class Tangents:
    """Proven lines of all atoms on one box; points ask for more of them.

    Every line holds at all points of the box (``lines``), so rows of them cut off
    nothing of the model, whatever point they were made for.

    Parameters
    ----------
    atoms : sequence of Atom
    lower, upper : numpy.ndarray, shape (n,)
        The box of all columns.
    """

    def __init__(self, atoms, lower, upper):
        self._relaxation = AtomRelaxation(atoms, lower.size)
        self._lower, self._upper = lower, upper

    def first(self):
        """Rows to begin with.

        Returns
        -------
        matrix : scipy.sparse.csr_array, shape (R, n)
        lower, upper : numpy.ndarray, shape (R,)
        """
        lower, upper = self._lower, self._upper
        with np.errstate(invalid="ignore"):
            points = lower + _TOUCHED * (upper - lower)
        rows = self._rows(np.nan_to_num(points))
        known = np.isfinite(rows.lower) | np.isfinite(rows.upper)
        # lines that the points' boxes share come once
        known[1:] &= (rows.lower[1:] != rows.lower[:-1]) | (
            rows.upper[1:] != rows.upper[:-1]
        )
        return self._chosen(rows, known)

    def violated(self, points, least):
        """Rows of tangents that points violate by more than ``least``.

        Only atoms of one column have other lines than those to begin with, and no line
        is violated by more than its atom is.

        Parameters
        ----------
        points : numpy.ndarray, shape (B, n)
            With values of the atoms' columns that need not be right.
        least : float

        Returns
        -------
        As ``first``.
        """
        found, n = [NO_ROWS], self._lower.size
        for group in self._relaxation.groups:
            found.append(group.violated(self._lower, self._upper, points, least))
        columns, data, lower, upper = map(np.concatenate, zip(*found, strict=True))
        start = 2 * np.arange(lower.size + 1)
        entries = data.ravel(), columns.ravel(), start
        return sparse.csr_array(entries, shape=(lower.size, n)), lower, upper

    def _rows(self, points):
        """All lines of the box, touching at each point."""
        shape = points.shape
        lower = np.broadcast_to(self._lower, shape)
        upper = np.broadcast_to(self._upper, shape)
        return self._relaxation.rows(lower, upper, [points])

    def _chosen(self, rows, which):
        r, n = self._relaxation, self._lower.size
        number = np.cumsum(which.ravel()).reshape(which.shape) - 1
        entries = which[:, r.row]
        box, at = np.nonzero(entries)
        matrix = sparse.csr_array(
            (rows.data[box, at], (number[box, r.row[at]], r.column[at])),
            shape=(int(which.sum()), n),
        )
        return matrix, rows.lower[which], rows.upper[which]
