"""Parts of a model that share no column, so that each can be solved by itself."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from pyomo_relu.linear.embedded import EmbeddedModel
from pyomo_relu.linear.unit_range import Units


class Component(NamedTuple):
    """A part of a model: which columns it has, and the model of these.

    Attributes
    ----------
    columns : numpy.ndarray of int, shape (n,)
        Column numbers in the whole model.
    model : EmbeddedModel
    """

    columns: np.ndarray
    model: EmbeddedModel


def components(model):
    """The parts of a model that neither a row nor a function joins.

    Fixed columns join nothing: each part that reads one has its own.

    Parameters
    ----------
    model : EmbeddedModel

    Returns
    -------
    list of Component
        Their objectives add up to the model's.  The first one has the constant, and
        what belongs to none: columns without rows, rows of fixed columns only.
    """
    n, linear = model.n_columns, model.linear
    free = linear.lower < linear.upper
    matrix = linear.matrix.tocoo()
    column = [matrix.col, *map(_columns, model.functions)]
    row = [matrix.row]
    row += [np.full(c.size, linear.n_rows + i) for i, c in enumerate(column[1:])]
    row, column = np.concatenate(row), np.concatenate(column)
    row, column = row[free[column]], column[free[column]]
    size = n + linear.n_rows + len(model.functions)
    graph = sparse.coo_array((np.ones(row.size), (column, n + row)), shape=(size, size))
    _, label = connected_components(graph, directed=False)
    joined = np.unique(label[n + row])
    if joined.size < 2:
        return [Component(np.arange(n), model)]
    label[~np.isin(label, joined)] = joined[0]
    return [_part(model, label == part, part == joined[0]) for part in joined]


def _columns(f):
    return np.concatenate([f.inputs, f.outputs])


def _part(model, own, first):
    """The model of some columns, rows and functions, marked in this order."""
    n, linear = model.n_columns, model.linear
    rows = np.flatnonzero(own[n : n + linear.n_rows])
    functions = [
        f
        for f, mine in zip(model.functions, own[n + linear.n_rows :], strict=True)
        if mine
    ]
    matrix = linear.matrix[rows]
    free = own[:n] & (linear.lower < linear.upper)
    used = [np.flatnonzero(own[:n] if first else free), matrix.indices]
    columns = np.unique(np.concatenate([*used, *map(_columns, functions)])).astype(int)
    place = np.full(n, -1)
    place[columns] = np.arange(columns.size)
    part = linear.replace(
        matrix=matrix[:, columns],
        row_lower=linear.row_lower[rows],
        row_upper=linear.row_upper[rows],
        lower=linear.lower[columns],
        upper=linear.upper[columns],
        integer=linear.integer[columns],
        names=linear.names and tuple(linear.names[j] for j in columns),
    )
    # the cost of a column that several parts have counts once
    costs = np.where(free[columns] | (first & own[columns]), model.costs[columns], 0.0)
    moved = [
        replace(f, inputs=place[f.inputs], outputs=place[f.outputs]) for f in functions
    ]
    constant = model.constant if first else 0.0
    known = Units.ones(part) if model.units.identity else None
    return Component(columns, EmbeddedModel(part, moved, costs, constant, known))
