"""Bounds of one network over many input boxes, as arrays with a row per box."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyomo_relu.bounds.neuron_bounds import NeuronBounds
from pyomo_relu.bounds.neuron_states import NeuronStates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from pyomo_relu.common.types import FloatArray
    from pyomo_relu.network.network import Network


class BoundsOfBoxes(NeuronStates):
    """What a ``NeuronBounds`` is for one input box, for B boxes of one network.

    Parameters
    ----------
    network : Network
    lower, upper : list of numpy.ndarray, shapes (B, layer size)
    source : str or list of numpy.ndarray of str, shapes (B, layer size)
    input_lower, input_upper : numpy.ndarray, shape (B, n_inputs)

    Raises
    ------
    BoundsError
        If a lower bound exceeds the upper one.
    """

    lower: list[FloatArray]
    upper: list[FloatArray]
    source: list[NDArray[np.str_]]

    def __init__(
        self,
        network: Network,
        lower: Sequence[FloatArray],
        upper: Sequence[FloatArray],
        source: str | Sequence[NDArray[np.str_]],
        input_lower: FloatArray,
        input_upper: FloatArray,
    ) -> None:
        self.network = network
        self.lower, self.upper = list(lower), list(upper)
        if isinstance(source, str):
            source = [np.full(a.shape, source) for a in self.lower]
        self.source = list(source)
        self.input_lower, self.input_upper = input_lower, input_upper
        for lo, hi in zip(self.lower, self.upper, strict=True):
            bad = np.flatnonzero(~(lo <= hi).all(axis=1))
            if bad.size:
                self._checked(int(bad[0]))  # names the neuron

    @classmethod
    def of(cls, records: Sequence[NeuronBounds]) -> BoundsOfBoxes:
        """Records of one network, one after the other."""
        return cls(
            records[0].network,
            [
                np.stack(layer)
                for layer in zip(*(r.lower for r in records), strict=True)
            ],
            [
                np.stack(layer)
                for layer in zip(*(r.upper for r in records), strict=True)
            ],
            [
                np.stack(layer)
                for layer in zip(*(r.source for r in records), strict=True)
            ],
            np.stack([r.input_lower for r in records]),
            np.stack([r.input_upper for r in records]),
        )

    @classmethod
    def joined(cls, parts: Sequence[BoundsOfBoxes]) -> BoundsOfBoxes:
        """Parts of one network, one after the other."""
        if len(parts) == 1:
            return parts[0]
        layers = range(len(parts[0].lower))
        return cls(
            parts[0].network,
            [np.concatenate([p.lower[k] for p in parts]) for k in layers],
            [np.concatenate([p.upper[k] for p in parts]) for k in layers],
            [np.concatenate([p.source[k] for p in parts]) for k in layers],
            np.concatenate([p.input_lower for p in parts]),
            np.concatenate([p.input_upper for p in parts]),
        )

    def __len__(self) -> int:
        return len(self.input_lower)

    def __getitem__(
        self, at: slice | Sequence[int] | NDArray[np.intp]
    ) -> BoundsOfBoxes:
        """Some of the boxes."""
        return BoundsOfBoxes(
            self.network,
            [a[at] for a in self.lower],
            [a[at] for a in self.upper],
            [a[at] for a in self.source],
            self.input_lower[at],
            self.input_upper[at],
        )

    def put(self, at: ArrayLike, other: BoundsOfBoxes) -> BoundsOfBoxes:
        """The same with other bounds of some of the boxes."""
        rows = np.asarray(at, dtype=np.intp)

        def put_in(mine: list[NDArray[Any]], others: list[NDArray[Any]]):
            layers = []
            for a, b in zip(mine, others, strict=True):
                layer = a.astype(np.result_type(a, b))  # which copies
                layer[rows] = b
                layers.append(layer)
            return layers

        return BoundsOfBoxes(
            self.network,
            put_in(self.lower, other.lower),
            put_in(self.upper, other.upper),
            put_in(self.source, other.source),
            self.input_lower,
            self.input_upper,
        )

    def intersect(
        self,
        lower: Sequence[FloatArray],
        upper: Sequence[FloatArray],
        source: str | Sequence[NDArray[np.str_]],
    ) -> BoundsOfBoxes:
        """With the tighter of two bounds per neuron and side; see ``NeuronBounds``."""
        los, his, sources = [], [], []
        for k, ends in enumerate(zip(lower, upper, strict=True)):
            lo = np.maximum(self.lower[k], ends[0])
            hi = np.minimum(self.upper[k], ends[1])
            tighter = (lo > self.lower[k]) | (hi < self.upper[k])
            new = source if isinstance(source, str) else source[k]
            los.append(lo)
            his.append(hi)
            sources.append(np.where(tighter, new, self.source[k]))
        box = self.input_lower, self.input_upper
        return BoundsOfBoxes(self.network, los, his, sources, box[0], box[1])

    def content(self, b: int, whole: bool = True) -> tuple[bytes, ...]:
        """Hashable, and equal for boxes with bounds that are equal to the last bit.

        With ``whole`` false by the box alone, for bounds that the box alone decides.
        """
        arrays = *self.lower, *self.upper, *self.source
        box = self.input_lower, self.input_upper
        return tuple(a[b].tobytes() for a in ((*arrays, *box) if whole else box))

    def n_varying(self) -> NDArray[np.intp]:
        """Number of inputs that each box does not fix, shape (B,)."""
        return np.count_nonzero(self.input_lower < self.input_upper, axis=1)

    def records(self) -> list[NeuronBounds]:
        """One NeuronBounds per box; they share this one's arrays."""
        box = self.input_lower.copy(), self.input_upper.copy()  # may be the caller's
        for a in (*self.lower, *self.upper, *self.source, *box):
            a.setflags(write=False)
        return [
            NeuronBounds.of_checked(
                self.network,
                tuple(a[b] for a in self.lower),
                tuple(a[b] for a in self.upper),
                tuple(a[b] for a in self.source),
                box[0][b],
                box[1][b],
            )
            for b in range(len(self))
        ]

    def _checked(self, b):
        """The NeuronBounds of one box by way of all checks."""
        return NeuronBounds(
            self.network,
            [a[b] for a in self.lower],
            [a[b] for a in self.upper],
            [a[b] for a in self.source],
            self.input_lower[b],
            self.input_upper[b],
        )
