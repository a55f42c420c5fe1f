"""Comparing affine tensors entry by entry: is one a multiple of the other?"""

import numpy as np
from scipy import sparse

from pyomo_relu.common.matrices import dense
from pyomo_relu.network.onnx.tensors.tensors import AffineTensor


def entrywise_abs(tensor):
    """The tensor with the absolute values of its coefficients and offsets."""
    terms = {s: abs(m) for s, m in tensor.terms.items()}
    return AffineTensor(tensor.shape, terms, np.abs(tensor.offset))


def has_coefficients(tensor):
    """Which entries have a coefficient other than 0, bool of shape (size,)."""
    return leading(tensor)[2] != 0


def leading(tensor):
    """Source, column and value of each entry's largest coefficient in magnitude.

    Returns
    -------
    source : numpy.ndarray of int
        Position among ``sorted(tensor.terms)``.
    column : numpy.ndarray of int
    value : numpy.ndarray
        0 where an entry has no coefficients.
    """
    n = tensor.size
    source, column, value = np.zeros(n, int), np.zeros(n, int), np.zeros(n)
    for k, s in enumerate(sorted(tensor.terms)):
        matrix = tensor.terms[s]
        places = _largest_columns(matrix)
        found = _entries(matrix, places)
        larger = np.abs(found) > np.abs(value)
        source[larger], column[larger] = k, places[larger]
        value[larger] = found[larger]
    return source, column, value


def multiple(tensor, base, sizes, tolerance):
    """The numbers a, c of ``tensor = a base + c``, entry by entry.

    Parameters
    ----------
    tensor, base : AffineTensor
        Of the same number of entries.
    sizes : AffineTensor
        Magnitudes, of the same shape as ``tensor``, that rounding errors of its
        coefficients are relative to.
    tolerance : float

    Returns
    -------
    slope, constant : numpy.ndarray, shape (size,)
    fails : numpy.ndarray of bool
        Entries for which there are no such numbers.
    slack : numpy.ndarray
        Rounding error that ``constant`` may have.
    """
    which, column, value = leading(base)
    slope = np.zeros(base.size)
    for k, s in enumerate(sorted(base.terms)):
        rows = np.flatnonzero((which == k) & (value != 0))
        if s in tensor.terms and len(rows):
            matrix = tensor.terms[s]
            slope[rows] = _entries(matrix, column, rows) / value[rows]
    fitted = base.reshape(tensor.shape).scale(slope)
    rest = tensor - fitted
    allowed = sizes + entrywise_abs(fitted)
    fails = np.zeros(base.size, dtype=bool)
    for s, matrix in rest.terms.items():
        excess = abs(matrix) - tolerance * allowed.terms[s]
        largest = excess.max(axis=1)
        largest = dense(largest)
        fails |= ~(np.asarray(largest).reshape(-1) <= 0)  # NaN fails
    return slope, rest.offset, fails, tolerance * allowed.offset


def _largest_columns(matrix):
    """Column of each row's largest entry in magnitude."""
    if not sparse.issparse(matrix):
        return np.argmax(np.abs(matrix), axis=1)
    size, counts = np.abs(matrix.data), np.diff(matrix.indptr)
    filled = np.flatnonzero(counts)
    places = np.zeros(matrix.shape[0], dtype=int)
    if len(filled):
        largest = np.maximum.reduceat(size, matrix.indptr[filled])
        row = np.repeat(np.arange(len(filled)), counts[filled])
        found = np.flatnonzero(size == largest[row])
        places[filled[row[found]]] = matrix.indices[found]
    return places


def _entries(matrix, columns, rows=None):
    """``matrix[i, columns[i]]`` for the given rows, or all."""
    rows = np.arange(matrix.shape[0]) if rows is None else rows
    return np.asarray(matrix[rows, columns[rows]]).reshape(-1)
