"""Linear models as arrays, and how they are put together."""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from pyomo_relu.common.matrices import maxima
from pyomo_relu.common.powers import power_of_two
from pyomo_relu.errors import BoundsError


@dataclass(frozen=True)
class LinearModel:
    """The set ``row_lower <= matrix x <= row_upper, lower <= x <= upper``.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array, shape (m, n)
        Entries that are given twice are added up.
    row_lower, row_upper : numpy.ndarray, shape (m,)
        ``-inf`` and ``inf`` for a side that does not bind.
    lower, upper : numpy.ndarray, shape (n,)
    integer : numpy.ndarray of bool, shape (n,)
        Columns that take integer values; relaxations ignore them.
    names : sequence of str, optional
        Column names for messages.
    in_unit_range : bool
        Whether columns and rows are scaled already; see ``unit_range``.

    Raises
    ------
    BoundsError
        If shapes do not fit together or a number is NaN.
    """

    matrix: sparse.csr_array
    row_lower: np.ndarray
    row_upper: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    integer: np.ndarray = None
    names: tuple = field(default=None, compare=False)
    in_unit_range: bool = field(default=False, compare=False)

    def __post_init__(self):
        set_ = object.__setattr__
        try:
            set_(self, "matrix", _canonical(self.matrix))
            for name in ("row_lower", "row_upper", "lower", "upper"):
                set_(self, name, np.asarray(getattr(self, name), dtype=float))
            m, n = self.matrix.shape
            if self.integer is None:
                set_(self, "integer", np.zeros(n, dtype=bool))
            set_(self, "integer", np.asarray(self.integer, dtype=bool))
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            raise BoundsError(
                "a linear model takes a sparse matrix, arrays of numbers and an array "
                f"of bool ({error})."
            ) from None
        shapes = (self.row_lower.shape, self.row_upper.shape)
        if shapes != ((m,), (m,)) or any(
            a.shape != (n,) for a in (self.lower, self.upper, self.integer)
        ):
            raise BoundsError(
                f"a linear model of {m} rows and {n} columns needs two bounds per row "
                f"and per column, got rows {shapes} and columns "
                f"{(self.lower.shape, self.upper.shape, self.integer.shape)}."
            )
        for what, array in (
            ("a coefficient", self.matrix.data),
            ("a row bound", self.row_lower),
            ("a row bound", self.row_upper),
            ("a column bound", self.lower),
            ("a column bound", self.upper),
        ):
            if np.any(np.isnan(array)):
                raise BoundsError(f"{what} of the linear model is NaN; give a number.")
        if not np.all(np.isfinite(self.matrix.data)):
            raise BoundsError("a coefficient of the linear model is infinite.")

    @property
    def n_rows(self):
        """Number of rows."""
        return self.matrix.shape[0]

    @property
    def n_columns(self):
        """Number of columns."""
        return self.matrix.shape[1]

    def name(self, column):
        """The column's name for messages."""
        return f"column {column}" if self.names is None else str(self.names[column])

    def replace(self, **changes):
        """A copy with other arrays."""
        arrays = {
            "matrix": self.matrix,
            "row_lower": self.row_lower,
            "row_upper": self.row_upper,
            "lower": self.lower,
            "upper": self.upper,
            "integer": self.integer,
            "names": self.names,
        }
        return LinearModel(**{**arrays, **changes})

    def with_row(self, columns, coefficients, lower, upper):
        """The model with one more row ``lower <= coefficients . x[columns] <= upper``."""
        row = sparse.csr_array(
            (
                np.asarray(coefficients, dtype=float),
                (np.zeros(len(columns), dtype=int), np.asarray(columns, dtype=int)),
            ),
            shape=(1, self.n_columns),
        )
        return self.with_rows(row, lower, upper)

    def with_rows(self, matrix, lower, upper):
        """The model with the rows ``lower <= matrix x <= upper`` behind its own."""
        return self.replace(
            matrix=sparse.vstack([self.matrix, matrix], format="csr"),
            row_lower=np.append(self.row_lower, lower),
            row_upper=np.append(self.row_upper, upper),
        )

    def equilibrated(self):
        """The model in columns and rows scaled by powers of two, hence without error.

        Solver tolerances are absolute; a network with weights of size 1e-3 computes
        numbers far below them and one with weights of size 1e3 far above.  A column
        becomes ``x_j = scale_j x'_j`` with a box of size about one, a row's largest
        coefficient lies in [1, 2).  Integer columns keep their scale.

        Returns
        -------
        model : LinearModel
        scale : numpy.ndarray, shape (n,)
            Column scales, powers of two.
        """
        largest = np.maximum(
            np.where(np.isfinite(self.lower), np.abs(self.lower), 0.0),
            np.where(np.isfinite(self.upper), np.abs(self.upper), 0.0),
        )
        scale = np.where(self.integer, 1.0, power_of_two(largest))
        matrix = self.matrix @ sparse.diags_array(scale)
        row_scale = 1.0 / power_of_two(_row_maximum(matrix))
        matrix = sparse.csr_array(sparse.diags_array(row_scale) @ matrix)
        model = LinearModel(
            matrix,
            self.row_lower * row_scale,
            self.row_upper * row_scale,
            self.lower / scale,
            self.upper / scale,
            self.integer,
            self.names,
            in_unit_range=True,
        )
        return model, scale


def _canonical(matrix):
    """The matrix as CSR with one entry per row and column; the given one is kept.

    Solvers refuse two entries in one place, e.g. of one Var given as two inputs.
    """
    matrix = sparse.csr_array(matrix, dtype=float)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix


def _row_maximum(matrix):
    matrix = abs(sparse.csr_array(matrix))
    if matrix.shape[1] == 0:
        return np.zeros(matrix.shape[0])
    return maxima(matrix, axis=1)


class ModelBuilder:
    """Collects columns and rows block by block and joins them into a LinearModel.

    Parameters
    ----------
    start : LinearModel, optional
        Its columns and rows are the first ones.
    n_columns : int
        Number of columns that are in another builder, to which this one's are appended.
    """

    def __init__(self, start=None, n_columns=0):
        self._columns = []
        self._rows = []
        self._entries = []
        self.n_columns = n_columns
        self.n_rows = 0
        if start is not None:
            columns = self.add_columns(start.lower, start.upper, start.integer)
            self.add_rows([(columns, start.matrix)], start.row_lower, start.row_upper)

    def add_columns(self, lower, upper, integer=False):
        """Add columns; returns their indices."""
        lower = np.asarray(lower, dtype=float)
        integer = np.broadcast_to(np.asarray(integer, dtype=bool), lower.shape)
        self._columns.append((lower, np.asarray(upper, dtype=float), integer))
        first, self.n_columns = self.n_columns, self.n_columns + lower.size
        return np.arange(first, self.n_columns)

    def add_rows(self, blocks, lower, upper):
        """Add rows ``lower <= sum_b matrix_b x[columns_b] <= upper``.

        A block's matrix is sparse or dense of shape (rows, columns), or a vector (or
        scalar) for a diagonal one.
        """
        size = np.size(lower)
        for columns, matrix in blocks:
            if np.ndim(matrix) < 2 and not sparse.issparse(matrix):
                data = np.broadcast_to(np.asarray(matrix, dtype=float), (size,))
                row, col = np.arange(size), columns
            else:
                coo = sparse.coo_array(matrix)
                row, col, data = coo.row, columns[coo.col], coo.data
            self._entries.append((row + self.n_rows, col, data))
        self._rows.append(
            (np.asarray(lower, dtype=float), np.asarray(upper, dtype=float))
        )
        self.n_rows += size

    def collected(self):
        """Columns, rows and entries so far, each as arrays; for ``append``."""
        return (
            _joined(self._columns, 3),
            _joined(self._rows, 2),
            _joined(self._entries, 3),
        )

    def append(self, collected, n_columns):
        """Add what another builder collected behind ``n_columns`` of this one's.

        Returns
        -------
        int
            How much higher its own columns' numbers are here.
        """
        columns, rows, (row, column, data) = collected
        shift = self.n_columns - n_columns
        column = np.where(column < n_columns, column, column + shift)
        self._entries.append((row + self.n_rows, column, data))
        self._columns.append(columns)
        self._rows.append(rows)
        self.n_columns += columns[0].size
        self.n_rows += rows[0].size
        return shift

    def build(self, names=None):
        """The model that was collected."""
        lower, upper, integer = _joined(self._columns, 3)
        row_lower, row_upper = _joined(self._rows, 2)
        row, col, data = _joined(self._entries, 3)
        matrix = sparse.csr_array(
            (data, (row.astype(np.int64), col.astype(np.int64))),
            shape=(self.n_rows, self.n_columns),
        )
        return LinearModel(
            matrix, row_lower, row_upper, lower, upper, integer.astype(bool), names
        )


def _joined(parts, n):
    return [
        np.concatenate([np.atleast_1d(p[i]) for p in parts]) if parts else np.zeros(0)
        for i in range(n)
    ]
