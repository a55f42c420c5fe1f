"""Smaller networks that compute the same function on an input box.

Every tensor of the network is written as an affine function of what is kept.  A neuron
is left out if, on the box,

* it is inactive, at its ceiling, or constant: its value joins the biases;
* it is active and its row can be folded into the layers that read it (always if the
  whole layer is stable, else if that takes no more nonzeros);
* its row is a multiple c of another unstable neuron's: ``x_i = c x_j`` for c > 0,
  ``x_i = |c| (x_j - v_j)`` for c < 0 (both without a ceiling that is reached);
* nothing that is kept reads it.

Source: Serra, Kumar and Ramalingam, "Lossless compression of deep neural networks",
CPAIOR 2020; merging unstable neurons with proportional rows follows from
``max(0, c v) = c max(0, v)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from pyomo_relu.common.arguments import a_network, bounds_record, checked
from pyomo_relu.common.matrices import maxima
from pyomo_relu.errors import NetworkError
from pyomo_relu.network.layer import INPUT, Source
from pyomo_relu.network.network import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyomo_relu.bounds.neuron_bounds import NeuronBounds
    from pyomo_relu.common.types import FloatArray, Neuron


#: Rows are multiples of each other if they differ by less than this share.
_SAME = 1e-13

#: Weights denser than this are stored dense.
_DENSE = 0.3


@dataclass(frozen=True)
class Reduction:
    """A reduced network and where its neurons come from.

    Attributes
    ----------
    network : Network
    lower, upper, source : tuple of numpy.ndarray
        The bounds of what is kept, one array per layer, the outputs' last.
    kept : tuple of (int, numpy.ndarray)
        Per layer of the reduced network without the output layer: the original layer
        and the neurons of it.
    merged : dict
        {(layer, neuron): (layer, neuron, factor)}: an unstable neuron that was left
        out and the kept one whose row it is ``factor`` times.
    removed : dict
        Number of neurons left out, by reason: "inactive", "constant", "folded",
        "merged", "unread".
    """

    network: Network
    lower: tuple[FloatArray, ...]
    upper: tuple[FloatArray, ...]
    source: tuple[NDArray[np.str_], ...]
    kept: tuple[tuple[int, NDArray[np.intp]], ...]
    merged: dict[Neuron, tuple[int, int, float]]
    removed: dict[str, int]


@checked(NetworkError, network=a_network, bounds=bounds_record)
def reduce_network(network: Network, bounds: NeuronBounds) -> Reduction:
    """Leave out neurons that the function on the bounds' input box does not need.

    Parameters
    ----------
    network : Network
    bounds : NeuronBounds
        Proven on the input box; the reduced network is equal to the original there
        (to rounding) and may differ elsewhere.

    Returns
    -------
    Reduction

    Raises
    ------
    NetworkError
        If ``network`` or ``bounds`` is something else.
    """
    reducer = _Reducer(network, bounds)
    for k in range(len(network.layers)):
        reducer.add_layer(k)
    return reducer.result()


class _Reducer:
    """Kept layers, and every original tensor in terms of them.

    A form is (parts, constant): a dict from Source in kept layers to a csr matrix, and
    a vector.
    """

    def __init__(self, network, bounds):
        self.network, self.bounds = network, bounds
        eye = sparse.eye_array(network.n_inputs, format="csr")
        self.forms = {Source(INPUT): ({Source(INPUT): eye}, np.zeros(network.n_inputs))}
        self.layers = []  # (form of the rows, original layer, neurons)
        self.merged = {}
        self.removed: dict[str, int] = dict.fromkeys(
            ("inactive", "constant", "folded", "merged", "unread"), 0
        )
        self.readers = _reader_rows(network)

    def add_layer(self, k):
        layer = self.network.layers[k]
        rows = self._rows(layer)
        if layer.activation == "identity":
            self.layers.append((rows, k, np.arange(layer.size)))
            return
        bounds = self.bounds
        inactive, at_ceiling = bounds.inactive(k), bounds.at_ceiling(k)
        constant = _constant_rows(rows) & ~inactive & ~at_ceiling
        active = bounds.active(k) & ~constant
        unstable = bounds.unstable(k) & ~constant
        if not unstable.any() or self._folding_pays(k, rows, active):
            folded = active
        else:
            folded = np.zeros_like(active)
        merged = self._merge(k, rows, np.flatnonzero(unstable))
        kept = (active & ~folded) | unstable
        kept[list(merged)] = False
        at = np.flatnonzero(kept)
        fixed = np.zeros(layer.size)
        if layer.ceiling is not None:
            fixed[at_ceiling] = layer.ceiling[at_ceiling]
        fixed[constant] = layer.activate(rows[1])[constant]
        for reason, some in (
            ("inactive", inactive),
            ("constant", at_ceiling | constant),
            ("folded", folded),
        ):
            self.removed[reason] += int(some.sum())
        self.removed["merged"] += len(merged)
        self._settle(k, rows, at, folded, fixed, merged)

    def _rows(self, layer):
        """The layer's pre-activations as a form."""
        parts, constant = {}, layer.bias.copy()
        for source, w in layer.terms:
            form, offset = self.forms[source]
            w = sparse.csr_array(w)
            constant += w @ offset
            for key, matrix in form.items():
                product = sparse.csr_array(w @ matrix)
                parts[key] = parts[key] + product if key in parts else product
        for matrix in parts.values():
            matrix.eliminate_zeros()
        return parts, constant

    def _folding_pays(self, k, rows, active):
        """True if reading through the active neurons takes no more nonzeros."""
        n_active = int(active.sum())
        if not n_active:
            return False
        at = np.flatnonzero(active)
        n_columns = sum(
            np.unique(sparse.csr_array(m[at]).indices).size for m in rows[0].values()
        )
        own = sum(sparse.csr_array(m[at]).nnz for m in rows[0].values())
        readers = self.readers[k]
        return readers * n_columns <= own + readers * n_active

    def _merge(self, k, rows, unstable):
        """{neuron: (kept neuron, factor)} of proportional rows."""
        if unstable.size < 2:
            return {}
        joined = [sparse.csr_array(m[unstable]) for m in rows[0].values()]
        joined.append(sparse.csr_array(rows[1][unstable][:, None]))
        joined = sparse.csr_array(sparse.hstack(joined))
        norm = np.sqrt(np.asarray(joined.multiply(joined).sum(axis=1)).ravel())
        found, groups = {}, _look_alike(joined, norm)
        while groups:
            sizes = [group.size - 1 for group in groups]
            first = np.repeat([group[0] for group in groups], sizes)
            others = np.concatenate([group[1:] for group in groups])
            factor, same = _multiples(joined, norm, first, others)
            pairs = zip(
                unstable[others].tolist(), unstable[first].tolist(), strict=True
            )
            for at, (i, j) in enumerate(pairs):
                same[at] = same[at] and self._same(k, i, j, factor[at])
                if same[at]:
                    found[i] = j, float(factor[at])
            # those that are no multiples of the first may be so of each other
            left = [o[~m] for o, m in zip(*_split(others, same, sizes), strict=True)]
            groups = [group for group in left if group.size > 1]
        for i, (j, factor) in found.items():
            self.merged[k, i] = (k, j, factor)
        return found

    def _same(self, k, i, j, factor):
        """True if the ceilings of i and j allow one to stand for the other."""
        ceiling = self.network.layers[k].ceiling
        if ceiling is None:
            return True
        reached = [ceiling[n] < self.bounds.upper[k][n] for n in (i, j)]
        if not any(reached):
            return True
        return factor > 0 and np.isclose(
            ceiling[i], factor * ceiling[j], rtol=_SAME, atol=0.0
        )

    def _settle(self, k, rows, at, folded, fixed, merged):
        """Record the kept neurons and the forms of the layer's pre and post."""
        size = len(fixed)
        new = len(self.layers)
        parts, constant = {}, fixed.copy()
        if folded.any():
            mask = sparse.diags_array(folded.astype(float))
            for key, matrix in rows[0].items():
                parts[key] = sparse.csr_array(mask @ matrix)
            constant[folded] = rows[1][folded]
        if at.size:
            position = {int(i): n for n, i in enumerate(at)}
            post = [(i, n, 1.0) for i, n in position.items()]
            post += [(i, position[j], abs(c)) for i, (j, c) in merged.items()]
            pre = [(i, position[j], c) for i, (j, c) in merged.items() if c < 0]
            parts[Source(new)] = _matrix(post, size, at.size)
            if pre:
                parts[Source(new, False)] = _matrix(pre, size, at.size)
            self.layers.append((_some_rows(rows, at), k, at))
        self.forms[Source(k)] = parts, constant
        self.forms[Source(k, False)] = rows

    # -- the result ----------------------------------------------------------------

    def result(self):
        needed = self._needed()
        self.removed["unread"] = sum(int((~mask).sum()) for mask in needed)
        numbers, layers, kept = {}, [], []
        for n, ((parts, constant), k, at) in enumerate(self.layers):
            rows = np.flatnonzero(needed[n])
            if not rows.size:
                continue
            numbers[n] = len(layers)
            original = self.network.layers[k]
            sources, weights = [], []
            for (layer, post), matrix in parts.items():
                matrix = sparse.csr_array(matrix[rows])
                if layer != INPUT:
                    matrix = matrix[:, np.flatnonzero(needed[layer])]
                if matrix.nnz:
                    number = INPUT if layer == INPUT else numbers[layer]
                    sources.append(Source(number, post))
                    weights.append(_stored(matrix))
            at = at[rows]
            ceiling = None if original.ceiling is None else original.ceiling[at]
            layers.append(
                original.replace(
                    sources=sources,
                    weights=weights,
                    bias=constant[rows],
                    ceiling=ceiling,
                )
            )
            kept.append((k, at))
        network = Network(
            layers, self.network.inputs, self.network.outputs, self.network.name
        )
        bounds = self.bounds
        lower, upper, source = (
            tuple(array[k][at] for k, at in kept)
            for array in (bounds.lower, bounds.upper, bounds.source)
        )
        merged = {
            key: value
            for key, value in self.merged.items()
            if any(k == value[0] and value[1] in at for k, at in kept)
        }
        return Reduction(
            network, lower, upper, source, tuple(kept[:-1]), merged, self.removed
        )

    def _needed(self):
        """Per kept layer, the neurons that the outputs depend on."""
        needed = [np.zeros(len(at), dtype=bool) for _, _, at in self.layers]
        needed[-1][:] = True
        for n in range(len(self.layers) - 1, -1, -1):
            rows = np.flatnonzero(needed[n])
            for (layer, _), matrix in self.layers[n][0][0].items():
                if layer != INPUT:
                    needed[layer][sparse.csr_array(matrix[rows]).indices] = True
        return needed


def _reader_rows(network):
    """Per layer, the number of neurons and outputs that read it."""
    readers = [0] * len(network.layers)
    for layer in network.layers:
        for source in {s for s, _ in layer.sources}:
            if source != INPUT:
                readers[source] += layer.size
    return readers


def _look_alike(rows, norm):
    """Positions of rows that may be multiples of each other, one array per group.

    Multiples have the same cosine, up to sign and rounding, with any vector; others
    hardly ever have it with one drawn at random.
    """
    size = rows.shape[1]
    vector = np.random.default_rng(0).normal(size=size)
    cosine = np.abs(rows @ (vector / np.linalg.norm(vector))) / norm
    order = np.argsort(cosine, kind="stable")
    apart = np.diff(cosine[order]) > 4 * _SAME * np.sqrt(size)
    groups = np.split(order, np.flatnonzero(apart) + 1)
    return [np.sort(group) for group in groups if group.size > 1]


def _multiples(rows, norm, first, others):
    """Which factors of the rows ``first`` the ``others`` would be, and if they are."""
    some, ones = rows[others], rows[first]
    cosines = np.asarray(some.multiply(ones).sum(axis=1)).ravel()
    factor = np.sign(cosines) * norm[others] / norm[first]
    apart = abs(some - sparse.csr_array(sparse.diags_array(factor) @ ones))
    largest = maxima(abs(some), axis=1)
    return factor, maxima(apart, axis=1) <= _SAME * largest


def _split(first, second, sizes):
    """Two arrays cut into parts of these sizes."""
    cuts = np.cumsum(sizes)[:-1]
    return np.split(first, cuts), np.split(second, cuts)


def _some_rows(form, at):
    parts, constant = form
    return {key: sparse.csr_array(m[at]) for key, m in parts.items()}, constant[at]


def _constant_rows(rows):
    parts, constant = rows
    count = np.zeros(len(constant), dtype=int)
    for matrix in parts.values():
        count += np.diff(matrix.indptr)
    return count == 0


def _matrix(entries, n_rows, n_columns):
    row, column, data = zip(*entries, strict=True)
    return sparse.csr_array((data, (row, column)), shape=(n_rows, n_columns))


def _stored(matrix):
    if matrix.nnz > _DENSE * matrix.shape[0] * matrix.shape[1]:
        return matrix.toarray()
    return matrix
