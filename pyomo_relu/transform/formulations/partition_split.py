"""Dividing a neuron's weighted sum into parts, with bounds on each."""

import math

from pyomo.common.dependencies import numpy as np
from pyomo.common.dependencies import scipy


class SourceTerms:
    """The terms ``w_j t_j`` of a layer's neurons over all of the layer's sources.

    Parameters
    ----------
    rows : RowBuilder
    k : int
        Activation layer.
    """

    def __init__(self, rows, k):
        layer, bounds = rows.network.layers[k], rows.bounds
        self.variables = [v for s in layer.sources for v in rows.columns.of(s)]
        self.matrices = [
            scipy.sparse.csr_array(w) if scipy.sparse.issparse(w) else w
            for w in layer.weights
        ]
        self.offsets = np.cumsum([0, *(w.shape[1] for w in layer.weights)])
        ranges = [bounds.range_of(s) for s in layer.sources]
        self.lower = np.concatenate([low for low, _ in ranges])
        self.upper = np.concatenate([high for _, high in ranges])
        self._row = -1, np.zeros(0, dtype=int), np.zeros(0)

    def row(self, i):
        """(columns, weights) of the nonzero weights of neuron i."""
        if self._row[0] != i:
            columns, weights = [], []
            for w, offset in zip(self.matrices, self.offsets, strict=False):
                if scipy.sparse.issparse(w):
                    part = slice(w.indptr[i], w.indptr[i + 1])
                    at, values = w.indices[part], w.data[part]
                else:
                    at = np.flatnonzero(w[i])
                    values = w[i][at]
                columns.append(at + offset)
                weights.append(values)
            self._row = i, np.concatenate(columns), np.concatenate(weights)
        return self._row[1:]

    def of(self, i, part):
        """Coefficients and VarData of the terms of neuron i numbered in ``part``.

        A Var that occurs twice (a modeller may pass one Var for two inputs) is merged.
        """
        columns, weights = self.row(i)
        merged = {}
        for j, w in zip(columns[part].tolist(), weights[part].tolist(), strict=True):
            var = self.variables[j]
            merged[id(var)] = (var, merged.get(id(var), (var, 0.0))[1] + w)
        return [c for _, c in merged.values()], [v for v, _ in merged.values()]

    def range_of(self, i, part):
        """Interval of the sum of these terms, rounded outward.

        ``math.fsum`` rounds correctly, each product errs by at most half an ulp of it;
        one ulp per product and one for the sum cover both.
        """
        from pyomo_relu.linear.rounding import down, up

        columns, weights = self.row(i)
        w, low, high = (
            weights[part],
            self.lower[columns[part]],
            self.upper[columns[part]],
        )
        least = np.where(w > 0, w * low, w * high)
        most = np.where(w > 0, w * high, w * low)
        total_low = math.fsum(down(least).tolist())
        total_high = math.fsum(up(most).tolist())
        return float(down(total_low)), float(up(total_high))


def split_terms(terms, i, n_parts, split):
    """Divide neuron i's nonzero terms, sorted by weight, into at most n_parts parts.

    Parameters
    ----------
    terms : SourceTerms
    i : int
    n_parts : int or None
        None, or more than there are terms: one part per term.
    split : {"equal_size", "equal_range"}

    Returns
    -------
    list of numpy.ndarray of int
        Positions among the neuron's nonzero terms; none is empty.
    """
    weights = terms.row(i)[1]
    n_parts = weights.size if n_parts is None else min(n_parts, weights.size)
    if n_parts <= 1:
        return [np.arange(weights.size)]
    order = np.argsort(weights, kind="stable")
    if split == "equal_size":
        return np.array_split(order, n_parts)
    low, high = np.quantile(weights, [0.05, 0.95])
    if n_parts == 2:
        edges = np.array([0.5 * (low + high)])
    else:
        edges = np.linspace(low, high, n_parts - 1)
    part_of = np.searchsorted(edges, weights[order], side="left")
    parts = [order[part_of == p] for p in range(n_parts)]
    return [part for part in parts if part.size]
