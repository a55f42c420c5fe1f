"""A linear model's relaxation with cells for its networks.

The relaxation joins the model's linear rows with, for each network, the cells in
disaggregated form (one weight and one scaled input per cell).  No Pyomo in here.
"""

import itertools
from typing import NamedTuple

import numpy as np
from scipy import sparse

from pyomo_relu.common.arguments import checked, kind
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.choice import session_class
from pyomo_relu.linear.sessions.session import Settings

#: Of a cell of smaller weight the relaxation has no point.
_WEIGHT = 1e-7


#: Solved once: HiGHS' dual simplex method without presolve takes a third of the primal
#: one's time on 200 networks, with HiGHS 1.16.
_SETTINGS = Settings("relu.cells")


class CellColumns(NamedTuple):
    """Where one network's cells are in the relaxation.

    Columns of the weights (C,) and the scaled inputs (C, n_inputs); row numbers of the
    weights' sum, of the inputs, of the lower and of the upper lines.
    """

    weight: np.ndarray
    inner: np.ndarray
    one: int
    joined: np.ndarray
    below: np.ndarray
    above: np.ndarray


@checked(BoundsError, cells=kind("bounds.cells.partition", "CellPartition", "Boxes"))
def output_terms(cells):
    """Coefficients of the cells' weights and scaled inputs in the output rows.

    With cell c at ``x = lower + width * d`` the lines are ``base + step . d``.

    Parameters
    ----------
    cells : Boxes or CellPartition

    Returns
    -------
    list of (base, step)
        For the lower and the upper lines; shapes (C, n_outputs) and
        (C, n_outputs, n_inputs).
    """
    A_low, c_low, A_high, c_high = cells.lines
    width = cells.upper - cells.lower
    return [
        (
            np.einsum("con,cn->co", A, cells.lower) + c,
            A * width[:, None, :],
        )
        for A, c in ((A_low, c_low), (A_high, c_high))
    ]


def add_cells(builder, embedded, partition):
    """Add the relaxation of one network's cells between input and output columns.

    Parameters
    ----------
    builder : ModelBuilder
    embedded : EmbeddedNetwork
    partition : CellPartition

    Returns
    -------
    CellColumns
    """
    C, n = partition.lower.shape
    # implied upper bounds would take part of the prices
    weight = builder.add_columns(np.zeros(C), np.full(C, np.inf))
    inner = builder.add_columns(np.zeros(C * n), np.full(C * n, np.inf))
    first = [builder.n_rows]
    builder.add_rows([(weight, np.ones((1, C)))], [1.0], [1.0])
    first.append(builder.n_rows)
    width = (partition.upper - partition.lower).ravel()
    which = np.tile(np.arange(n), C)
    spread = sparse.csr_array((width, (which, np.arange(C * n))), shape=(n, C * n))
    builder.add_rows(
        [(embedded.inputs, -1.0), (weight, partition.lower.T), (inner, spread)],
        np.zeros(n),
        np.zeros(n),
    )
    for sign, (base, step) in zip((1.0, -1.0), output_terms(partition), strict=True):
        n_out = base.shape[1]
        steps = step.transpose(1, 0, 2).reshape(n_out, C * n)
        first.append(builder.n_rows)
        builder.add_rows(
            [
                (embedded.outputs, sign),
                (weight, -sign * base.T),
                (inner, -sign * steps),
            ],
            np.zeros(n_out),
            np.full(n_out, np.inf),
        )
    first.append(builder.n_rows)
    builder.add_rows(
        [(inner, 1.0), (np.repeat(weight, n), -1.0)],
        np.full(C * n, -np.inf),
        np.zeros(C * n),
    )
    if partition.rows is not None:
        _add_cell_rows(builder, partition, weight, inner)
    rows = [np.arange(*ends) for ends in itertools.pairwise(first[1:])]
    return CellColumns(weight, inner.reshape(C, n), first[0], *rows)


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


class Prices(NamedTuple):
    """The relaxation's row duals of one network's cells: what using a cell costs.

    Of the weights' sum, of the inputs (n_inputs,), and of the lower and the upper
    lines (n_outputs,).
    """

    one: float
    joined: np.ndarray
    below: np.ndarray
    above: np.ndarray

    def reduced_costs(self, cells):
        """Least reduced cost over a cell's points, shape (C,).

        With the duals kept, the relaxation's value is a lower bound as long as no
        cell's is negative: cells may be split or merged at will, and those of positive
        reduced cost are of no use to the relaxation.

        Parameters
        ----------
        cells : Boxes
        """
        (low, low_step), (high, high_step) = output_terms(cells)
        weight = low @ self.below - high @ self.above
        weight -= self.one + cells.lower @ self.joined
        inner = np.einsum("con,o->cn", low_step, self.below)
        inner -= np.einsum("con,o->cn", high_step, self.above)
        inner -= (cells.upper - cells.lower) * self.joined
        return weight + np.minimum(inner, 0.0).sum(axis=1)

    @property
    def outputs(self):
        """What an error of one costs, per output."""
        return np.maximum(np.abs(self.below), np.abs(self.above))


class CellUse(NamedTuple):
    """What the relaxation makes of one network's cells.

    Weights (C,), points (C, n_inputs) and Prices.
    """

    weight: np.ndarray
    point: np.ndarray
    prices: Prices


class CellRelaxation:
    """The linear relaxation of a model whose networks are replaced by their cells.

    Parameters
    ----------
    model : EmbeddedModel
        Integer columns are relaxed.
    partitions : list of CellPartition
        One per function of the model.
    solver : str or Session class
    """

    def __init__(self, model, partitions, solver="highs"):
        builder = ModelBuilder(model.linear.replace(integer=None))
        self._partitions = partitions
        self._columns = [
            add_cells(builder, *pair)
            for pair in zip(model.functions, partitions, strict=True)
        ]
        self._model = builder.build()
        self._costs, self._solver = model.costs, solver

    @property
    def n_columns(self):
        """Number of columns of the relaxation."""
        return self._model.n_columns

    def solve(self):
        """Minimise.

        Returns
        -------
        (float, list of CellUse) or None
            Its value and how it uses each network's cells; None if it has no optimum.
            ``unit`` is then the size that the solver's tolerances refer to.
        """
        at = np.flatnonzero(self._costs)
        named = {"settings": _SETTINGS} if isinstance(self._solver, str) else {}
        with session_class(self._solver)(self._model, **named) as session:
            answer = session.minimize(at, self._costs[at])
        if answer.status != Status.OPTIMAL:
            return None
        self.unit = answer.unit
        pairs = zip(self._partitions, self._columns, strict=True)
        return answer.objective, [_use(answer, *pair) for pair in pairs]


def _use(answer, partition, columns):
    weight = answer.primal[columns.weight]
    used = (weight > _WEIGHT)[:, None]
    inner = answer.primal[columns.inner] / np.where(used, weight[:, None], 1.0)
    inner = np.where(used, np.clip(inner, 0.0, 1.0), 0.5)
    rows = (columns.one, columns.joined, columns.below, columns.above)
    prices = Prices(*(answer.duals[row] for row in rows))
    edge = partition.upper - partition.lower
    return CellUse(weight, partition.lower + inner * edge, prices)
