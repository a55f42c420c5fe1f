"""Networks of one architecture whose weights differ, evaluated together.

What is looked up once per network and layer is so once per layer: the matrices of D
networks stand in one array (D, size, q).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from pyomo_relu.common.matrices import dense
from pyomo_relu.network.layer import ACTIVE, AT_CEILING, INACTIVE, INPUT

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from numpy.typing import NDArray

    from pyomo_relu.common.types import BoolArray, FloatArray
    from pyomo_relu.network.network import Network

#: Entries of the largest matrix of networks that are put together: with larger ones the
#: products take the time, not the calls, and a box needs a copy of each.
_MOST_ENTRIES = 1 << 13

#: Most entries of an array with a row per point and network.
_ENTRIES = 1 << 18


def architecture(network: Network) -> Hashable:
    """Equal for networks that can be put together; the network itself if it stays alone.

    Alone are networks with sparse or large matrices, and those with layers that read
    pre- and post-activations of the same layer.
    """
    for layer in network.layers:
        read = [source.layer for source in layer.sources]
        if len(set(read)) < len(read) or any(
            sparse.issparse(w) or w.size > _MOST_ENTRIES for w in layer.weights
        ):
            return network
    return (
        network.n_inputs,
        *(
            (
                layer.sources,
                layer.activation,
                layer.size,
                None if layer.ceiling is None else layer.ceiling.tobytes(),
            )
            for layer in network.layers
        ),
    )


def stacked(
    networks: Sequence[Network],
) -> list[tuple[NetworkStack, NDArray[np.intp], NDArray[np.intp]]]:
    """Networks put together by architecture, equal ones once.

    Returns
    -------
    list of (NetworkStack, members, which)
        Positions of the networks that a stack has, and which of its networks each is.
    """
    groups: dict[Hashable, list[int]] = {}
    for k, network in enumerate(networks):
        groups.setdefault(architecture(network), []).append(k)
    found = []
    for members in groups.values():
        numbers: dict[Network, int] = {}
        which = [numbers.setdefault(networks[k], len(numbers)) for k in members]
        found.append((NetworkStack(list(numbers)), np.array(members), np.array(which)))
    return found


class Regions(NamedTuple):
    """Linear regions of N points; see ``NetworkStack.regions``."""

    rows: FloatArray
    lower: FloatArray
    upper: FloatArray
    C: FloatArray
    d: FloatArray


class NetworkStack:
    """D networks of one architecture.

    Parameters
    ----------
    networks : sequence of Network
        Of the same ``architecture``.

    Attributes
    ----------
    first : Network
        The first of those that the stack was made of: sources, activations, ceilings.
    alone : bool
        Whether it was made of a single network.
    weights : list of list of arrays
        By layer and source: shape (D, size, q), or a single network's as they are.
    biases : list of numpy.ndarray, shapes (D, size)
    """

    first: Network
    alone: bool
    weights: list[list[Any]]
    biases: list[FloatArray]

    def __init__(self, networks: Sequence[Network]) -> None:
        self.first, self.alone = networks[0], len(networks) == 1
        together = [network.layers for network in networks]
        self.biases = [
            np.stack([layer.bias for layer in layers])
            for layers in zip(*together, strict=True)
        ]
        if self.alone:
            self.weights = [list(layer.weights) for layer in self.first.layers]
        else:
            self.weights = [
                [np.stack(w) for w in zip(*(m.weights for m in layers), strict=True)]
                for layers in zip(*together, strict=True)
            ]

    def __len__(self) -> int:
        return len(self.biases[0])

    def __getitem__(self, at: NDArray[np.intp]) -> NetworkStack:
        """Some of several networks."""
        other = object.__new__(NetworkStack)
        other.first, other.alone = self.first, False
        other.weights = [[w[at] for w in layer] for layer in self.weights]
        other.biases = [b[at] for b in self.biases]
        return other

    def forward(self, which: NDArray[np.intp], X: FloatArray) -> FloatArray:
        """Outputs at points, each of its own network: (N, n_inputs) to (N, n_outputs).

        Parameters
        ----------
        which : numpy.ndarray of int, shape (N,)
            The network of each point.
        X : numpy.ndarray, shape (N, n_inputs)
        """
        if self.alone:
            return self.first.propagate(X)[1][-1]
        found = np.empty((len(X), self.first.n_outputs))
        for nets, at, there in self._batches(which):
            found[at[there]] = self._propagate(nets, X[at])[-1][there]
        return found

    def _batches(
        self, which: NDArray[np.intp]
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], BoolArray]]:
        """Networks (G,), numbers of their points (G, P), and which of these count.

        Networks of about as many points are together, the others' last point is
        repeated.
        """
        order = np.argsort(which, kind="stable")
        counts = np.bincount(which, minlength=len(self))
        first = np.cumsum(counts) - counts
        widest = max(layer.size for layer in self.first.layers)
        nets = np.argsort(-counts, kind="stable")
        nets, begin = nets[counts[nets] > 0], 0
        while begin < nets.size:
            most = counts[nets[begin]]
            step = max(1, _ENTRIES // int(most * widest))
            some = nets[begin : begin + step]
            some = some[counts[some] * 2 > most]
            places = np.arange(int(most))
            within = np.minimum(places, counts[some][:, None] - 1)
            yield (
                some,
                order[first[some][:, None] + within],
                places < counts[some][:, None],
            )
            begin += some.size

    def _propagate(self, nets, X):
        """Pre-activations of all layers at points (G, P, n) of G networks."""
        pre, post = [], []
        for layer, weights, bias in zip(
            self.first.layers, self.weights, self.biases, strict=True
        ):
            v = np.array(
                np.broadcast_to(bias[nets][:, None], (*X.shape[:2], layer.size))
            )
            for source, w in zip(layer.sources, weights, strict=True):
                v += source.of(X, pre, post) @ w[nets].transpose(0, 2, 1)
            pre.append(v)
            post.append(layer.activate(v))
        return pre

    def regions(self, which: NDArray[np.intp], X: FloatArray) -> Regions:
        """Of each point its linear region ``lower <= rows x <= upper`` and outputs there.

        As ``pieces.region_rows``, but rows without coefficients stay, without ends.

        Parameters
        ----------
        which : numpy.ndarray of int, shape (N,)
        X : numpy.ndarray, shape (N, n_inputs)

        Returns
        -------
        Regions
            Of shapes (N, neurons, n_inputs), (N, neurons), (N, neurons),
            (N, n_outputs, n_inputs) and (N, n_outputs).
        """
        N, n = X.shape
        values, maps, parts = ([], []), ([], []), []
        C, d = np.zeros((N, 0, n)), np.zeros((N, 0))
        for k, layer in enumerate(self.first.layers):
            v = np.array(self._of_points(self.biases[k], which, N))
            d, C = v.copy(), np.zeros((N, layer.size, n))
            for source, w in zip(layer.sources, self.weights[k], strict=True):
                w = self._matrices(w, which)
                v += np.matmul(w, source.of(X, *values)[:, :, None])[:, :, 0]
                if source.layer == INPUT:
                    C = C + w
                else:
                    inner, shift = source.of([], *maps)
                    C = C + np.matmul(w, inner)
                    d += np.matmul(w, shift[:, :, None])[:, :, 0]
            values[0].append(v)
            values[1].append(layer.activate(v))
            maps[0].append((C, d))
            if layer.activation == "identity":
                break
            state, ceiling = layer.pattern(v), layer.ceilings
            low = np.select(
                [state == ACTIVE, state == AT_CEILING], [0.0, ceiling], -np.inf
            )
            high = np.select(
                [state == INACTIVE, state == ACTIVE], [0.0, ceiling], np.inf
            )
            parts.append((C, low - d, high - d))
            on = state == ACTIVE
            fixed = np.where(state == AT_CEILING, ceiling, 0.0)
            maps[1].append((on[:, :, None] * C, np.where(on, d, fixed)))
        none = np.zeros((N, 0, n)), np.zeros((N, 0)), np.zeros((N, 0))
        rows, low, high = (
            np.concatenate(part, axis=1) for part in zip(none, *parts, strict=True)
        )
        size = np.abs(rows).max(axis=2, initial=0.0)
        flat, size = size == 0, np.where(size > 0, size, 1.0)
        return Regions(
            rows / size[:, :, None],
            np.where(flat, -np.inf, low / size),
            np.where(flat, np.inf, high / size),
            C,
            d,
        )

    def _of_points(self, bias, which, N):
        if self.alone:
            return np.broadcast_to(bias, (N, bias.shape[1]))
        return bias[which]

    def _matrices(self, w, which):
        """A matrix of each point, or the one of all."""
        if not self.alone:
            return w[which]
        return dense(w)
