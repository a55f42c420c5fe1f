r"""Smaller networks with the same values on a box, and how far each row may be off.

On a box every tensor is an affine function of the inputs and of neurons that are kept,
z, and of small errors,

    t = F z + G e + f,    |z| <= reach,  |e| <= noise.

An inactive neuron is zero, an active one its pre-activation, one whose range is not
visibly wider than its error (the difference of equal terms) a number, and of unstable neurons
whose rows (F, f) are multiples of each other by a power of two one is kept: ``max(0, c v)
= c max(0, v)`` and ``max(0, -v) = max(0, v) - v``.  Unlike ``network.reduce``, whose
network is the same up to rounding, nothing is taken as equal that is not.  Each row of a
layer ``v = sum_s W_s t_s + b`` of n terms gets an error of its own,

    slack(n) (sum_s |W_s| (|F_s| reach + |G_s| noise + |f_s| + |t_s|) + |b|),

for forming F, G and f in float64, and for evaluating the given network.  Errors are
carried along like values, so that they cancel where those do.  A kept neuron's value is
itself: what its row may be off by, ``|G| noise``, goes no further.  Whoever bounds the
smaller network moves each row's bounds by that (``AffineMap.error``); they then hold for
the given network, in exact arithmetic and as evaluated.

The sums ``F z`` also bound the layers, tighter than interval arithmetic through the
given layers does.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from pyomo_relu.common.powers import power_of_two
from pyomo_relu.linear.rounding import TINY, UNDERFLOW, UNIT, slack
from pyomo_relu.network.layer import INPUT, Source
from pyomo_relu.network.network import Network

#: Matrices of at most so many entries are stored dense.
_DENSE_ENTRIES = 1 << 16

#: A layer's errors become one per row where G has more entries than the weights and this.
_MOST_ERRORS = 1 << 17


#: A range is visible where it is wider than a row's error times this.
_VISIBLE = 4.0


class Folded(NamedTuple):
    """A network on a box, and what its rows may differ by from the given one's.

    Attributes
    ----------
    network : Network
        Of the same inputs and outputs.
    errors : list of numpy.ndarray, shapes (layer size,)
    kept : list of (int, numpy.ndarray)
        Per layer of the network, the given one's layer and the neurons of it.
    """

    network: Network
    errors: list
    kept: list


class _Form(NamedTuple):
    """A tensor as ``[F, G] (z, e) + f``."""

    matrix: sparse.csr_array
    constant: np.ndarray


def work(network):
    """Neurons times nonzero weights: what a backward pass of all neurons costs."""
    nonzeros = sum(
        w.nnz if sparse.issparse(w) else np.count_nonzero(w)
        for layer in network.layers
        for w in layer.weights
    )
    return int(nonzeros) * sum(layer.size for layer in network.layers)


def fold(maps, network, lower, upper, lowers, uppers):
    """Leave out what is not needed on a box.

    Parameters
    ----------
    maps : list of AffineMap
        The network's.
    network : Network
    lower, upper : numpy.ndarray, shape (n_inputs,)
    lowers, uppers : list of numpy.ndarray, shapes (layer size,)
        Proven bounds of the hidden layers on the box.

    Returns
    -------
    Folded
    """
    folding = _Folding(maps, network, lower, upper, lowers, uppers)
    for k in range(len(network.layers)):
        folding.add_layer(k)
    return folding.result()


class _Folding:
    """Forms of all tensors.

    Columns are the inputs, all neurons in order, the errors of their rows, and those of
    taking one neuron's value for another's.
    """

    def __init__(self, maps, network, lower, upper, lowers, uppers):
        self.maps, self.network = maps, network
        self.lowers, self.uppers = lowers, uppers
        n = network.n_inputs
        sizes = [n, *(layer.size for layer in network.layers)]
        self.ends = np.cumsum([0, *sizes])
        self.n_values = int(self.ends[-1])
        self.n_columns = 3 * self.n_values
        #: centres and radii of z and e, and their largest magnitudes
        self.centre, self.radius, self.reach = np.zeros((3, self.n_columns))
        self._settle(0, np.arange(n), lower, upper)
        self.sizes = {Source(INPUT): self.reach[:n].copy()}
        eye = _matrix(np.arange(n), np.arange(n), np.ones(n), (n, self.n_columns))
        self.forms = {Source(INPUT): _Form(eye, np.zeros(n))}
        self.rows, self.kept = [], []
        self.readers = _readers(network)

    def _settle(self, first, at, lower, upper):
        """Ranges of some columns; ``first`` is the first of their layer."""
        columns = first + at
        centre = 0.5 * lower + 0.5 * upper
        self.centre[columns] = centre
        self.radius[columns] = np.maximum(upper - centre, centre - lower)
        self.reach[columns] = np.maximum(np.abs(lower), np.abs(upper))

    def _add_error(self, part, k, size):
        """Columns of a layer's errors, which get the given sizes."""
        columns = part * self.n_values + self.ends[k + 1] + np.arange(size.size)
        self.radius[columns] = self.reach[columns] = size
        return columns

    def add_layer(self, k):
        row = self._row(k)
        self.rows.append(row)
        layer = self.network.layers[k]
        if layer.activation == "identity":
            self.kept.append(np.ones(layer.size, dtype=bool))
            return
        lo, hi = self._range(k, row)
        ceilings = layer.ceilings
        inactive = hi <= 0
        fixed = ~inactive & (lo >= ceilings)
        active = ~inactive & ~fixed & (lo >= 0) & (hi <= ceilings)
        constant = ~inactive & ~fixed & ~active
        constant &= hi - lo <= _VISIBLE * self._errors_of(row.matrix)
        kept = ~inactive & ~fixed & ~active & ~constant
        folded = active & self._worth_folding(k, row.matrix, active, kept.any())
        merged = self._merged(row, kept & (hi <= ceilings))
        kept |= active & ~folded
        kept[merged[0]] = False
        self.kept.append(kept)
        low, high = layer.activate(lo), layer.activate(hi)
        spread = np.where(constant, (high - low) * (1.0 + 4 * UNIT), 0.0)
        post = self._post(k, row, kept, folded, merged, spread)
        post.constant[fixed] = ceilings[fixed]
        post.constant[constant] = low[constant]
        self.forms[Source(k)] = post
        self.forms[Source(k, False)] = row
        self.sizes[Source(k)] = high
        self.sizes[Source(k, False)] = np.maximum(np.abs(lo), np.abs(hi))
        at = np.flatnonzero(kept)
        self._settle(self.ends[k + 1], at, low[at], high[at])

    def _row(self, k):
        """The layer's pre-activations."""
        amap = self.maps[k]
        matrix = sparse.csr_array((amap.size, self.n_columns))
        constant, size = amap.bias.copy(), np.abs(amap.bias)
        for source, w, magnitude in zip(
            amap.sources, amap.weights, amap.abs_weights, strict=True
        ):
            form = self.forms[source]
            matrix = matrix + _sparse(w) @ form.matrix
            constant = constant + w @ form.constant
            summed = abs(form.matrix) @ self.reach + np.abs(form.constant)
            size = size + magnitude @ (summed + self.sizes[source])
        matrix = sparse.csr_array(matrix)
        matrix.eliminate_zeros()
        error = slack(amap.terms) * size + amap.error
        error += UNDERFLOW * (1.0 + self.reach.sum()) + TINY
        error *= 1.0 + slack(amap.terms + 64)  # the sums above are rounded, too
        of_values = matrix.indices < self.n_values
        if matrix.nnz - of_values.sum() > _MOST_ERRORS + of_values.sum():
            error += self._errors_of(matrix)
            matrix.data[~of_values] = 0.0
            matrix.eliminate_zeros()
        every = np.arange(amap.size)
        own = self._add_error(1, k, error)
        matrix = matrix + _matrix(every, own, np.ones(amap.size), matrix.shape)
        matrix = sparse.csr_array(matrix)
        matrix.sort_indices()
        return _Form(matrix, constant)

    def _errors_of(self, matrix):
        """``|G| noise`` of each row, rounded upward."""
        noise = np.where(np.arange(self.n_columns) < self.n_values, 0.0, self.reach)
        most = int(np.diff(matrix.indptr).max(initial=0))
        return (abs(matrix) @ noise) * (1.0 + slack(most)) + TINY

    def _range(self, k, row):
        """The layer's bounds: those given, and by the rows' own terms."""
        matrix, constant = row
        centre = matrix @ self.centre + constant
        radius, size = (abs(matrix) @ a for a in (self.radius, self.reach))
        most = int(np.diff(matrix.indptr).max(initial=0))
        radius += slack(most + 2) * (size + np.abs(constant)) + TINY
        lo, hi = centre - radius, centre + radius
        lo, hi = (
            np.where(np.isfinite(a), a, b) for a, b in ((lo, -np.inf), (hi, np.inf))
        )
        return np.maximum(self.lowers[k], lo), np.minimum(self.uppers[k], hi)

    def _worth_folding(self, k, matrix, active, some_kept):
        """Which active neurons take no more nonzeros where those read them whole."""
        if not some_kept or not active.any():
            return active
        of_values = matrix.indices < self.n_values
        counts = np.concatenate([[0], np.cumsum(of_values)])
        each = np.diff(counts[matrix.indptr])
        at = np.repeat(active, np.diff(matrix.indptr)) & of_values
        columns, count = np.unique(matrix.indices[at]).size, np.count_nonzero(active)
        n_readers = self.readers[k].max()
        if n_readers * columns <= at.sum() + n_readers * count:
            return active
        return active & (self.readers[k] * (each - 1) <= each + 1)

    def _merged(self, row, some):
        """Neurons whose rows are exact multiples: they, the kept ones and factors."""
        matrix, found, first = row.matrix, [], {}
        of_values = matrix.indices < self.n_values
        counts = np.concatenate([[0], np.cumsum(of_values)])[matrix.indptr]
        at = np.flatnonzero(some & (np.diff(counts) > 0))
        indices, data = matrix.indices[of_values], matrix.data[of_values]
        if at.size > 1:
            leading = data[counts[at]]
            factors = np.copysign(power_of_two(np.abs(leading)), leading)
            constants = row.constant[at] / factors + 0.0
            for i, factor, constant in zip(
                at.tolist(), factors.tolist(), constants.tolist(), strict=True
            ):
                part = slice(counts[i], counts[i + 1])
                scaled = data[part] / factor
                key = indices[part].tobytes(), scaled.tobytes(), constant
                j, other = first.setdefault(key, (i, factor))
                if j != i:
                    found.append((i, j, factor / other))
        i, j, factor = zip(*found, strict=True) if found else ((), (), ())
        return np.array(i, dtype=int), np.array(j, dtype=int), np.array(factor, float)

    def _post(self, k, row, kept, folded, merged, error):
        """The layer's post-activations."""
        size, shape = kept.size, (kept.size, self.n_columns)
        at, own = np.flatnonzero(folded), np.flatnonzero(kept)
        i, j, factor = merged
        negative = factor < 0
        through = _matrix(
            np.concatenate([at, i[negative]]),
            np.concatenate([at, j[negative]]),
            np.concatenate([np.ones(at.size), factor[negative]]),
            (size, size),
        )
        if i.size:
            # v_i - c v_j, of which only errors are left
            apart = _matrix(i, i, np.ones(i.size), (size, size))
            apart = apart - _matrix(i, j, factor, (size, size))
            error[i] = self._errors_of(sparse.csr_array(apart @ row.matrix))[i]
        columns = self._add_error(2, k, error)
        off = np.flatnonzero(error)
        first = self.ends[k + 1]
        values = _matrix(
            np.concatenate([own, i, off]),
            np.concatenate([first + own, first + j, columns[off]]),
            np.concatenate([np.ones(own.size), np.abs(factor), np.ones(off.size)]),
            shape,
        )
        matrix = sparse.csr_array(through @ row.matrix + values)
        return _Form(matrix, through @ row.constant)

    # -- the smaller network --------------------------------------------------------

    def result(self):
        network, n = self.network, self.network.n_inputs
        used = np.zeros(self.n_values, dtype=bool)
        used[:n] = True
        needed = []
        for k in range(len(network.layers) - 1, -1, -1):
            keep = self.kept[k]
            if k < len(network.layers) - 1:
                keep = keep & used[self.ends[k + 1] : self.ends[k + 2]]
            at = np.flatnonzero(keep)
            rows = sparse.csr_array(self.rows[k].matrix[at])
            part = sparse.csr_array(rows[:, : self.n_values])
            used[part.indices] = True
            needed.append((k, at, part, self._errors_of(rows)))
        number = np.cumsum(used) - 1
        ends, layers, errors, position = [(INPUT, 0, n)], [], [], n
        kept = []
        for k, at, part, error in reversed(needed):
            if not at.size:
                continue
            layers.append(self._layer(k, at, part, number, ends))
            errors.append(error)
            kept.append((k, at))
            ends.append((len(ends) - 1, position, position + at.size))
            position += at.size
        smaller = Network(layers, network.inputs, network.outputs, network.name)
        return Folded(smaller, errors, kept)

    def _layer(self, k, at, part, number, ends):
        original = self.network.layers[k]
        width = ends[-1][2]
        wide = sparse.csr_array(
            (part.data, number[part.indices], part.indptr), shape=(at.size, width)
        )
        if at.size * width <= _DENSE_ENTRIES:
            wide = wide.toarray()
        sources, weights = [], []
        for layer, first, last in ends:
            w = wide[:, first:last]
            if w.nnz if sparse.issparse(w) else w.any():
                sources.append(Source(layer))
                weights.append(w)
        if not sources:
            sources = [Source(INPUT)]
            weights = [np.zeros((at.size, self.network.n_inputs))]
        return original.replace(
            sources=sources,
            weights=weights,
            bias=self.rows[k].constant[at],
            ceiling=None if original.ceiling is None else original.ceiling[at],
        )


def _readers(network):
    """Per hidden layer, how many rows read each neuron."""
    counts = [np.zeros(layer.size) for layer in network.layers[:-1]]
    for layer in network.layers:
        for (source, _), w in layer.terms:
            if source != INPUT:
                counts[source] += np.asarray((w != 0).sum(axis=0)).ravel()
    return counts


def _matrix(rows, columns, data, shape):
    return sparse.csr_array((data, (rows, columns)), shape=shape)


def _sparse(w):
    return w if sparse.issparse(w) else sparse.csr_array(w)
