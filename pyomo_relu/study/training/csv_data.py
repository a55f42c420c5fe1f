"""Tables in CSV files as training data; no training in here.

The first column numbers the rows, the last one is the value, those between are inputs.
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pyomo_relu.common.wording import counted


@dataclass(frozen=True)
class Table:
    """Samples of a function: what ``train`` needs in place of a Problem.

    ``lower`` and ``upper`` are the box on which the network will be used; it may be
    larger or smaller than the range of the samples.
    """

    name: str
    X: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    lower: tuple
    upper: tuple

    @property
    def dimension(self):
        """Number of inputs."""
        return self.X.shape[1]


def read_table(path, lower=None, upper=None):
    """Read a CSV file.

    Parameters
    ----------
    path : path
    lower, upper : sequence of float, optional
        The box; default the samples' range.

    Returns
    -------
    Table

    Raises
    ------
    ValueError
        If a line has the wrong length or something is not a number.
    """
    path = Path(path)
    with path.open(newline="", encoding="utf-8") as stream:
        header, *lines = csv.reader(stream)
    try:
        rows = np.array([[float(v) for v in line[1:]] for line in lines if line])
    except ValueError as error:
        raise ValueError(f"{path}: {error}. Every entry must be a number.") from None
    if rows.ndim != 2 or rows.shape[1] != len(header) - 1 or rows.shape[1] < 2:
        raise ValueError(
            f"{path}: the header names {counted(len(header) - 1, 'column')} behind "
            "the row "
            "number; every line must have them, the last one being the value."
        )
    X, y = rows[:, :-1], rows[:, -1]
    lower = X.min(axis=0) if lower is None else np.asarray(lower, dtype=float)
    upper = X.max(axis=0) if upper is None else np.asarray(upper, dtype=float)
    return Table(path.stem, X, y, tuple(lower.tolist()), tuple(upper.tolist()))


def table_data(table, held_out=0.2, seed=0):
    """Normalised samples of a table, split at random, as ``train`` takes them.

    Parameters
    ----------
    table : Table
    held_out : float
        Share of the rows kept for the error estimate; at least one row.
    seed : int

    Returns
    -------
    Data
    """
    from pyomo_relu.study.training.training import split_data

    order = np.random.default_rng(seed).permutation(len(table.y))
    n = len(order) - max(1, round(held_out * len(order)))
    X, y = table.X[order], table.y[order]
    return split_data(X, y, table.lower, table.upper, n)
