"""Matrices that are stored dense or sparse, read alike; many rows, a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyomo_relu.common.types import FloatArray


def dense(matrix: Any) -> FloatArray:
    """A numpy array or scipy sparse array as numpy array, not copied if it is one."""
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix


def maxima(matrix: Any, axis: int) -> FloatArray:
    """The largest entry of each row (axis 1) or column (axis 0), zeros included.

    Parameters
    ----------
    matrix : numpy.ndarray or scipy sparse array, shape (m, n)
        ``axis`` has at least one entry.
    axis : int

    Returns
    -------
    numpy.ndarray, shape (m,) or (n,)
    """
    return dense(matrix.max(axis=axis)).ravel()


def slices(n: int, size: int) -> list[slice]:
    """Slices of n rows, in order, of at most ``size`` each, and of one at the least."""
    size = max(1, size)
    return [slice(at, min(at + size, n)) for at in range(0, n, size)]
