"""Parts of a joint network and changes of its inputs."""

import numpy as np

from pyomo_relu.common.powers import is_power_of_two
from pyomo_relu.network.layer import INPUT, Layer
from pyomo_relu.network.network import Network
from pyomo_relu.network.repeated import RepeatedNetworks

#: Networks of more members than these stay apart from each other.
_FEW_MEMBERS = 4


def only_outputs(network, outputs):
    """The network with some outputs only, and only the neurons that these need.

    Parameters
    ----------
    network : Network
    outputs : array_like of int

    Returns
    -------
    Network
        Of the same inputs.
    """
    outputs = np.asarray(outputs, dtype=int)
    if isinstance(network, RepeatedNetworks):
        part = network.only(outputs)
        return part if part.n_members > _FEW_MEMBERS else part.whole()
    last = network.layers[-1]
    needed = {len(network.layers) - 1: np.zeros(last.size, dtype=bool)}
    needed[len(network.layers) - 1][outputs] = True
    for k in range(len(network.layers) - 1, -1, -1):
        if k not in needed:
            continue
        layer = network.layers[k]
        for (source, _), w in zip(layer.sources, layer.weights, strict=True):
            if source != INPUT:
                reads = abs(w[np.flatnonzero(needed[k])]).sum(axis=0)
                reads = np.asarray(reads).ravel() > 0
                if reads.any():
                    needed[source] = needed.get(source, False) | reads
    new, layers = {}, []
    for k in sorted(needed):
        layer = network.layers[k]
        rows = outputs if layer is last else np.flatnonzero(needed[k])
        sources, weights = [], []
        for (source, post), w in zip(layer.sources, layer.weights, strict=True):
            part = w[rows]
            if source != INPUT:
                if source not in new:
                    continue
                part = part[:, np.flatnonzero(needed[source])]
            sources.append((INPUT if source == INPUT else new[source], post))
            weights.append(part)
        if not sources:
            sources, weights = (
                [(INPUT, True)],
                [np.zeros((rows.size, network.n_inputs))],
            )
        ceiling = None if layer.ceiling is None else layer.ceiling[rows]
        new[k] = len(layers)
        layers.append(
            Layer(
                sources,
                weights,
                layer.bias[rows],
                layer.activation,
                ceiling,
                layer.name,
            )
        )
    return Network(
        layers,
        network.inputs,
        [("outputs", (outputs.size,))],
        network.name,
    )


class Substitution:
    """Inputs replaced by the sums of other columns that rows make them.

    A row ``x_k + sum_j a_j t_j = b`` makes input x_k a function of other columns t.
    Over a box of t several such inputs form a zonotope that can be far smaller than the
    box of x: two sums of the same columns are correlated.

    Parameters
    ----------
    problem : BranchProblem
    network : Network
        Of the problem's inputs.

    Attributes
    ----------
    useful : bool
        Two inputs that the network reads depend on the same column.
    columns : numpy.ndarray of int
        The problem's columns t.
    network : Network
        The same outputs as functions of t. Its first layer is x, which is only read
        before its activation; so rounding is accounted for like any layer's.
    """

    def __init__(self, problem, network):
        sums = _defining_rows(problem, network)
        n = network.n_inputs
        read = np.flatnonzero(network.support().any(axis=0))
        columns = [j for j in read if j not in sums]
        for k in sums:
            columns += [j for j in sums[k][0] if j not in columns]
        self.columns = np.array(columns, dtype=int)
        matrix, constant = np.zeros((n, self.columns.size)), np.zeros(n)
        place = {j: i for i, j in enumerate(columns)}
        for k in read:
            others, values, constant[k] = sums.get(k, ([k], [1.0], 0.0))
            matrix[k, [place[j] for j in others]] = values
        self.useful = bool(sums) and bool((np.count_nonzero(matrix, 0) > 1).any())
        self.network = (
            self._composed(network, matrix, constant) if self.useful else None
        )

    def _composed(self, network, matrix, constant):
        layers = [Layer([(INPUT, True)], [matrix], constant, name="sums")]
        for layer in network.layers:
            sources = [
                (0, False) if source == INPUT else (source + 1, post)
                for source, post in layer.sources
            ]
            layers.append(
                Layer(
                    sources,
                    layer.weights,
                    layer.bias,
                    layer.activation,
                    layer.ceiling,
                    layer.name,
                )
            )
        inputs = [("t", (self.columns.size,))]
        return Network(layers, inputs, network.outputs, network.name)


def _defining_rows(problem, network):
    """{input: (columns, coefficients, constant)} from equality rows.

    Only where no coefficient is rounded by it: that of the input is a power of two.
    """
    p = problem
    read = network.support().any(axis=0)
    found, used = {}, set()
    for r in np.flatnonzero(p.plain_lower == p.plain_upper):
        row = p.plain[[r]]
        bounded = np.isfinite(p.lower[row.indices]) & np.isfinite(p.upper[row.indices])
        if not bounded.all() or used & set(row.indices.tolist()):
            continue
        for k, a in zip(row.indices.tolist(), row.data, strict=True):
            exact = is_power_of_two(abs(a))
            if k >= network.n_inputs or not read[k] or k in found or not exact:
                continue
            others = [j for j in row.indices.tolist() if j != k]
            if any(j in found for j in others):
                continue
            values = [
                -v / a for j, v in zip(row.indices, row.data, strict=True) if j != k
            ]
            found[k] = others, values, p.plain_lower[r] / a
            # a column that a sum stands for must not stand in another one
            used.add(k)
            break
    return found
