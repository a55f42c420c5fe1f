"""Along which direction a part meets the rest of the model."""

import numpy as np
from scipy import sparse

#: Rows count as multiples of another up to this, relative to their largest entry.
_SAME = 1e-12


def coupling_directions(linear, families, lower, upper):
    """The one linear function of each part that rows and other parts know of.

    Parameters
    ----------
    linear : LinearModel
    families : sequence of Family
    lower, upper : list of numpy.ndarray, shapes (K, n + m)
        What networks reach by themselves, by family: bounds of the model that cut it
        short couple a part, too.

    Returns
    -------
    list of numpy.ndarray, shapes (K, n + m)
        By family; largest entry 1, zeros for a part that nothing else reads, nan for
        one that is coupled along several directions.
    """
    matrix = sparse.csc_array(linear.matrix)
    every = np.concatenate([f.columns.ravel() for f in families])
    reads = np.bincount(every, minlength=linear.n_columns)
    found = []
    for f, low, high in zip(families, lower, upper, strict=True):
        cut = (linear.lower[f.columns] > low) | (linear.upper[f.columns] < high)
        cut[:, : f.n] = False  # boxes of inputs are the part's own
        cut[:, f.n :] |= linear.integer[f.columns[:, f.n :]]
        alone = cut | (reads[f.columns] > 1)
        found.append(
            np.array(
                [
                    _direction(_rows(matrix, columns), np.flatnonzero(single))
                    for columns, single in zip(f.columns, alone, strict=True)
                ]
            )
        )
    return found


def _rows(matrix, columns):
    """The rows' entries in some columns, those without any left out."""
    part = matrix[:, columns]
    return part[np.unique(part.indices)].toarray()


def _direction(rows, single):
    """The vector that all rows and unit vectors are multiples of."""
    rows = np.concatenate([rows, np.eye(rows.shape[1])[single]])
    if not len(rows):
        return np.zeros(rows.shape[1])
    largest = np.abs(rows).max(axis=1)
    rows = rows[largest > 0] / largest[largest > 0, None]
    first = rows[0]
    at = np.abs(first).argmax()
    first = first / first[at]
    multiples = rows[:, [at]] * first
    if (np.abs(rows - multiples) > _SAME).any():
        return np.full(first.size, np.nan)
    return first
