"""Layers and the names of tensors: what a network is made of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
from scipy import sparse

from pyomo_relu.common.matrices import dense
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import NetworkError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from pyomo_relu.common.types import FloatArray, Matrix


#: ``Source.layer`` of the network's inputs.
INPUT: int = -1

#: States of a neuron in an activation pattern.
INACTIVE: int = 0
ACTIVE: int = 1
AT_CEILING: int = 2


class Tensor(NamedTuple):
    """Name and shape (without the batch axis) of a network input or output."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    def index(self) -> list[int] | list[tuple[int, ...]]:
        """Entries' indices in C order: ints for up to one axis, else tuples."""
        if len(self.shape) <= 1:
            return list(range(self.size))
        return list(itertools.product(*(range(n) for n in self.shape)))


class Source(NamedTuple):
    """What a layer reads: the inputs, or a layer's post- or pre-activation.

    Parameters
    ----------
    layer : int
        Position in ``Network.layers`` of an earlier layer, or ``INPUT``.
    post : bool
        True for the post-activation x, False for the pre-activation v (a leaky ReLU
        is ``alpha v + (1 - alpha) max(0, v)``).  Always True for the inputs.
    """

    layer: int
    post: bool = True

    def label(self):
        """What it is called in messages."""
        if self.layer == INPUT and self.post:
            return "the inputs"
        return f"the {'post' if self.post else 'pre'}-activations of layer {self.layer}"

    def of(self, inputs, pre, post):
        """What is known of this tensor: one of the inputs, the layers' v and x."""
        if self.layer == INPUT:
            return inputs
        return (post if self.post else pre)[self.layer]


class Layer:
    """An affine map of earlier tensors followed by an activation.

    The pre-activation is ``v = sum_s W_s t_s + b`` over the sources s, the
    post-activation ``x = min(max(0, v), ceiling)``, or ``x = v`` for the output layer.

    Parameters
    ----------
    sources : sequence of Source
        What the layer reads, each source once.
    weights : sequence of numpy.ndarray or scipy.sparse array
        One matrix per source, shape (size, size of the source).
    bias : array_like, shape (size,)
    activation : {"relu", "clipped", "identity"}
    ceiling : array_like, shape (size,), optional
        Positive ceilings of a clipped ReLU; ``inf`` leaves a neuron unclipped.
    name : str
        Where the layer comes from, for error messages (an ONNX tensor name).
    """

    __slots__ = ("activation", "bias", "ceiling", "name", "sources", "weights")

    sources: tuple[Source, ...]
    weights: tuple[Matrix, ...]
    bias: FloatArray
    activation: str
    ceiling: FloatArray | None
    name: str

    def __init__(
        self,
        sources: Iterable[Source | tuple[int] | tuple[int, bool]],
        weights: Iterable[ArrayLike | Matrix],
        bias: ArrayLike,
        activation: str = "relu",
        ceiling: ArrayLike | None = None,
        name: str = "",
    ) -> None:
        label = f"layer '{name}'"
        read = _sources(label, sources)
        matrices, vector = _arrays(label, weights, bias)
        if len(read) != len(matrices) or len(set(read)) != len(read):
            raise NetworkError(f"{label}: one weight matrix per distinct source.")
        for source, w in zip(read, matrices, strict=True):
            if w.ndim != 2 or w.shape[0] != vector.size:
                raise NetworkError(
                    f"{label}: weights of {source.label()} have shape {w.shape}, "
                    f"but the bias has {counted(vector.size, 'entry')}."
                )
        known = "relu", "clipped", "identity"
        if not isinstance(activation, str) or activation not in known:
            raise NetworkError(
                f"{label}: unknown activation {activation!r:.80}; choose from {known}."
            )
        if (activation == "clipped") != (ceiling is not None):
            raise NetworkError(f"{label}: ceilings go with activation 'clipped'.")
        ceilings = None if ceiling is None else _ceilings(label, ceiling, vector.shape)
        set_ = object.__setattr__
        set_(self, "sources", read)
        set_(self, "weights", matrices)
        set_(self, "bias", vector)
        set_(self, "activation", activation)
        set_(self, "ceiling", ceilings)
        set_(self, "name", name)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Layer is immutable (attribute '{name}').")

    def __deepcopy__(self, memo: object) -> Layer:
        return self

    def __reduce__(self) -> tuple[type[Layer], tuple[Any, ...]]:
        return Layer, (
            self.sources,
            self.weights,
            self.bias,
            self.activation,
            self.ceiling,
            self.name,
        )

    def __repr__(self) -> str:
        size = counted(self.size, "neuron")
        return f"Layer('{self.name}', {size}, {self.activation})"

    def table_row(self, k: int) -> tuple[str, int, str, str, int]:
        """A row of a network's table, of the layer at position ``k``.

        Returns
        -------
        tuple
            Position and name, neurons, activation, what it reads, nonzero weights.
        """
        reads = [
            "inputs" if s.layer == INPUT else f"{s.layer}{'' if s.post else ' (pre)'}"
            for s in self.sources
        ]
        nonzero = sum(
            w.nnz if sparse.issparse(w) else int(np.count_nonzero(w))
            for _, w in self.terms
        )
        name = f"{k} {self.name}".strip()
        return name, self.size, self.activation, ", ".join(reads) or "-", nonzero

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.bias.size

    @property
    def terms(self) -> Iterator[tuple[Source, Any]]:
        """Pairs of a source s and its weights W_s, dense or sparse."""
        return zip(self.sources, self.weights, strict=True)

    @property
    def ceilings(self) -> FloatArray:
        """Ceiling of each neuron, inf where it has none; shape (size,)."""
        return np.full(self.size, np.inf) if self.ceiling is None else self.ceiling

    def replace(self, **changes: Any) -> Layer:
        """A copy with other arguments."""
        names = Layer.__slots__
        return Layer(**{**{name: getattr(self, name) for name in names}, **changes})

    def activate(self, v: FloatArray) -> FloatArray:
        """Post-activation of the pre-activation ``v``, shape (..., size)."""
        if self.activation == "identity":
            return v
        return np.clip(v, 0.0, self.ceiling)

    def pattern(self, v: FloatArray) -> NDArray[np.int8]:
        """State of each neuron at ``v``: INACTIVE, ACTIVE or AT_CEILING (int8)."""
        state = (np.asarray(v) > 0).astype(np.int8)
        if self.ceiling is not None:
            state[v >= self.ceiling] = AT_CEILING
        return state

    def affine(
        self, x0: FloatArray, pre: Sequence[FloatArray], post: Sequence[FloatArray]
    ) -> FloatArray:
        """Pre-activation from batches of the inputs and of earlier layers' values.

        Parameters
        ----------
        x0 : numpy.ndarray, shape (N, n_inputs)
        pre, post : sequence of numpy.ndarray, shapes (N, layer size)
        """
        if not self.sources:
            return np.tile(self.bias, (x0.shape[0], 1))
        v = self.bias
        for source, w in self.terms:
            v = v + (w @ source.of(x0, pre, post).T).T
        return v

    def magnitude(
        self, x0: FloatArray, pre: Sequence[FloatArray], post: Sequence[FloatArray]
    ) -> FloatArray:
        """``sum_s |W_s| |t_s| + |b|``: what rounding errors are proportional to.

        Parameters
        ----------
        x0, pre, post : as in ``affine``
            Values or, where they are ranges, the largest absolute ones.

        Returns
        -------
        numpy.ndarray, shape (N, size)
        """
        total = np.broadcast_to(np.abs(self.bias), (x0.shape[0], self.size))
        for source, w in self.terms:
            total = total + (abs(w) @ np.abs(source.of(x0, pre, post)).T).T
        return total


def weights_of_neuron(
    layer: Layer, i: int
) -> Iterator[tuple[Source, list[int], list[float]]]:
    """The nonzero weights of neuron i: per source, which entries and their weights."""
    for source, w in layer.terms:
        row = dense(w[[i]]).ravel()
        at = np.flatnonzero(row)
        yield source, at.tolist(), row[at].tolist()


def _sources(label, given) -> tuple[Source, ...]:
    try:
        return tuple(_source(s) for s in given)
    except (TypeError, ValueError):
        raise NetworkError(
            f"{label}: sources must be a sequence of Source(layer, post), not "
            f"{given!r:.80}."
        ) from None


def _arrays(label, weights, bias) -> tuple[tuple[Any, ...], FloatArray]:
    """The weights and the bias, read-only and finite; the bias a vector."""
    try:
        vector = _frozen(bias)
        matrices = tuple(_frozen(w) for w in weights)
    except (TypeError, ValueError, RuntimeError) as error:
        raise NetworkError(
            f"{label}: weights and biases must be arrays of numbers ({error}). Of "
            "a PyTorch layer take weight.detach().numpy()."
        ) from None
    if vector.ndim != 1 or vector.size == 0:
        raise NetworkError(f"{label}: the bias must be a vector, not {vector.shape}.")
    for array in (vector, *matrices):
        data = array.data if sparse.issparse(array) else array
        if not np.all(np.isfinite(data)):
            raise NetworkError(
                f"{label}: weights or biases are NaN or infinite. Training "
                "diverged or the file is damaged; export the network again."
            )
    return matrices, vector


def _ceilings(label, given, shape) -> FloatArray:
    """A positive ceiling for each of the layer's neurons, read-only."""
    try:
        tops = np.broadcast_to(np.asarray(given, dtype=float), shape)
    except (TypeError, ValueError):
        raise NetworkError(
            f"{label}: the ceiling must be a number or one per neuron "
            f"({shape[0]}), not {given!r:.80}."
        ) from None
    if not np.all(tops > 0):
        raise NetworkError(f"{label}: ceilings must be positive.")
    return _frozen(tops)


def _source(given) -> Source:
    layer, post = given if len(given) == 2 else (*given, True)
    if not isinstance(layer, Integral) or post not in (True, False):
        raise TypeError
    return Source(int(layer), bool(post))


def _frozen(array) -> Any:
    """A read-only float64 copy; sparse matrices as canonical CSR without zeros."""
    if sparse.issparse(array):
        array = sparse.csr_array(array, dtype=float, copy=True)
        array.sum_duplicates()
        array.eliminate_zeros()
        for part in (array.data, array.indices, array.indptr):
            part.setflags(write=False)
        return array
    array = np.array(array, dtype=float, order="C")
    array.setflags(write=False)
    return array
