"""Refining cells where a linear model's relaxation needs it; the cells live elsewhere.

The relaxation joins the model's linear rows with, for each network, the cells in
disaggregated form (one weight and one scaled input per cell).  No Pyomo in here.
"""

import logging
import time
from typing import NamedTuple

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.relaxation_linear import ModelBuilder
from pyomo_relu.bounds.session import OPTIMAL
from pyomo_relu.bounds.session_choice import open_session

logger = logging.getLogger("pyomo.relu.bounds")

#: A cell of smaller weight in the relaxation's solution is not worth splitting.
_WEIGHT = 1e-7

#: Share of a round's largest error from which a cell is split.
_WORTH = 0.1


class CellColumns(NamedTuple):
    """Columns of one network's cells: weights (C,) and scaled inputs (C, n_inputs)."""

    weight: np.ndarray
    inner: np.ndarray


def output_terms(partition):
    """Coefficients of the cells' weights and scaled inputs in the output rows.

    With cell c at ``x = lower + width * d`` the lines are ``base + step . d``.

    Returns
    -------
    list of (base, step)
        For the lower and the upper lines; shapes (C, n_outputs) and
        (C, n_outputs, n_inputs).
    """
    A_low, c_low, A_high, c_high = partition.lines
    width = partition.upper - partition.lower
    return [
        (
            np.einsum("con,cn->co", A, partition.lower) + c,
            A * width[:, None, :],
        )
        for A, c in ((A_low, c_low), (A_high, c_high))
    ]


def add_cells(builder, partition, inputs, outputs):
    """Add the relaxation of one network's cells between input and output columns.

    Parameters
    ----------
    builder : ModelBuilder
    partition : CellPartition
    inputs, outputs : numpy.ndarray of int

    Returns
    -------
    CellColumns
    """
    C, n = partition.lower.shape
    weight = builder.add_columns(np.zeros(C), np.ones(C))
    inner = builder.add_columns(np.zeros(C * n), np.ones(C * n))
    builder.add_rows([(weight, np.ones((1, C)))], [1.0], [1.0])
    width = (partition.upper - partition.lower).ravel()
    which = np.tile(np.arange(n), C)
    spread = sparse.csr_array((width, (which, np.arange(C * n))), shape=(n, C * n))
    builder.add_rows(
        [(inputs, -1.0), (weight, partition.lower.T), (inner, spread)],
        np.zeros(n),
        np.zeros(n),
    )
    builder.add_rows(
        [(inner, 1.0), (np.repeat(weight, n), -1.0)],
        np.full(C * n, -np.inf),
        np.zeros(C * n),
    )
    for sign, (base, step) in zip((1.0, -1.0), output_terms(partition)):
        n_out = base.shape[1]
        steps = step.transpose(1, 0, 2).reshape(n_out, C * n)
        builder.add_rows(
            [(outputs, sign), (weight, -sign * base.T), (inner, -sign * steps)],
            np.zeros(n_out),
            np.full(n_out, np.inf),
        )
    if partition.rows is not None:
        _add_cell_rows(builder, partition, weight, inner)
    return CellColumns(weight, inner.reshape(C, n))


def _add_cell_rows(builder, partition, weight, inner):
    """The model's rows on those cells where they cut something off."""
    C, n = partition.lower.shape
    base, step = partition.cell_rows()
    cell, row = np.nonzero(base + np.maximum(step, 0.0).sum(axis=2) > 0)
    at = np.arange(cell.size)
    weights = sparse.csr_array((base[cell, row], (at, cell)), shape=(at.size, C))
    columns = cell[:, None] * n + np.arange(n)
    inners = sparse.csr_array(
        (step[cell, row].ravel(), (np.repeat(at, n), columns.ravel())),
        shape=(at.size, C * n),
    )
    builder.add_rows(
        [(weight, weights), (inner, inners)],
        np.full(at.size, -np.inf),
        np.zeros(at.size),
    )


class CellRefinement:
    """Splits the cells that the relaxation of the whole model uses.

    Parameters
    ----------
    linear : LinearModel
        The model around the networks; integer columns are relaxed.
    costs : numpy.ndarray, shape (linear.n_columns,)
        To be minimised.
    networks : list of (CellPartition, inputs, outputs, max_cells)
        Each with its input and output columns and the most cells it may have.
    solver : str or Session class
        For the relaxation.
    """

    def __init__(self, linear, costs, networks, solver="highs"):
        self.linear, self.costs = linear, np.asarray(costs, dtype=float)
        self.networks = networks
        self.solver = solver
        self.values = []

    def relax(self):
        """Solve the present relaxation.

        Returns
        -------
        (float, list of (weight, point)) or None
            Its value, and per network the cells' weights (C,) and points
            (C, n_inputs); None if it has no optimum.
        """
        builder = ModelBuilder()
        linear = self.linear
        first = builder.add_columns(linear.lower, linear.upper)
        builder.add_rows([(first, linear.matrix)], linear.row_lower, linear.row_upper)
        columns = [add_cells(builder, *network[:3]) for network in self.networks]
        model = builder.build()
        at = np.flatnonzero(self.costs)
        with open_session(self.solver, model) as session:
            answer = session.minimize(at, self.costs[at])
        if answer.status != OPTIMAL:
            return None
        found = []
        for (partition, *_), cells in zip(self.networks, columns):
            weight = answer.primal[cells.weight]
            inner = answer.primal[cells.inner] / np.maximum(weight, 1e-12)[:, None]
            edge = partition.upper - partition.lower
            point = partition.lower + np.clip(inner, 0.0, 1.0) * edge
            found.append((weight, point))
        return answer.objective, found

    def run(self, tolerance=1e-4, time_limit=None):
        """Refine until the bound is tight, or there are as many cells as allowed.

        Parameters
        ----------
        tolerance : float
            Error of a network at the relaxation's solution, relative to its output's
            range, that is as good as none.
        time_limit : float, optional
            Seconds.

        Returns
        -------
        str
            Why it ended: "tolerance", "cells", "time", "no optimum".
        """
        deadline = np.inf if time_limit is None else time.monotonic() + time_limit
        while True:
            solved = self.relax()
            if solved is None:
                return "no optimum"
            self.values.append(solved[0])
            errors = [
                weight * (partition.gaps_at(point) * partition.weight).max(axis=1)
                for (partition, *_), (weight, point) in zip(self.networks, solved[1])
            ]
            largest = max(e.max() for e in errors)
            if largest <= tolerance:
                return "tolerance"
            if time.monotonic() > deadline:
                return "time"
            if not self._split(solved[1], errors, max(_WORTH * largest, tolerance)):
                return "cells"

    def _split(self, solution, errors, worth):
        """Split the cells with errors above ``worth``; how many there were."""
        n_split = 0
        for (partition, _, _, limit), (weight, point), error in zip(
            self.networks, solution, errors
        ):
            if partition.exact:
                continue
            chosen = np.flatnonzero((error > worth) & (weight > _WEIGHT))
            chosen = chosen[np.argsort(-error[chosen], kind="stable")]
            chosen = chosen[: max(0, limit - len(partition))]
            n_split += partition.split(chosen, point[chosen])
        return n_split
