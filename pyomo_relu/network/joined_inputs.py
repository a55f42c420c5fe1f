r"""Networks of which several inputs are one and the same number.

A layer that reads x in two places reads it once with the sum of both weights,

    w_i x + w_j x = (w_i + w_j) x,

each sum the exact value rounded once to the nearest float64.  As in ``fixed_inputs``, no
more than 2**-53 of the new weight is lost, one rounding of a term that
``linear.rounding`` counts already: bounds of the smaller network hold for the given one
in exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from pyomo_relu.network.layer import INPUT, Source, Tensor
from pyomo_relu.network.network import Network

if TYPE_CHECKING:
    from pyomo_relu.common.types import Matrix


def join_inputs(network: Network, same: Mapping[int, int]) -> Network:
    """The network as a function of the inputs that are not another one's.

    Parameters
    ----------
    network : Network
    same : mapping
        From positions of inputs that are left out to those of the equal ones, which
        stay.

    Returns
    -------
    Network
        ``network`` itself where ``same`` is empty; else of one input vector.
    """
    if not same:
        return network
    kept = np.setdiff1d(np.arange(network.n_inputs), list(same))
    groups: dict[int, list[int]] = {}
    for gone, stays in same.items():
        groups.setdefault(stays, [stays]).append(gone)
    layers = []
    for layer in network.layers:
        if Source(INPUT) in layer.sources:
            at, weights = layer.sources.index(Source(INPUT)), list(layer.weights)
            weights[at] = _joined(weights[at], groups, network.n_inputs)[:, kept]
            layer = layer.replace(weights=weights)
        layers.append(layer)
    inputs = [Tensor("x", (kept.size,))]
    return Network(layers, inputs, network.outputs, network.name)


def _joined(w: Matrix, groups: dict[int, list[int]], n_inputs: int) -> Matrix:
    """Weights with the sums of each group in the place of its first column."""
    first, sums = list(groups), []
    for group in groups.values():
        chosen = np.zeros((n_inputs, len(group)))
        chosen[group, np.arange(len(group))] = 1.0
        sums.append([fsum(row) for row in np.asarray(w @ chosen).tolist()])
    if isinstance(w, np.ndarray):
        joined = w.copy()
        joined[:, first] = np.array(sums).T
        return joined
    columns = sparse.lil_array(w)
    columns[:, first] = np.array(sums).T
    return sparse.csr_array(columns)
