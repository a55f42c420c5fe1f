"""The network as a mathematical object: its graph and its evaluation."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from pyomo_relu.common.arguments import each, instance, is_sequence
from pyomo_relu.common.html import table_html
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import NetworkError
from pyomo_relu.network import pieces
from pyomo_relu.network.layer import INPUT, Layer, Source, Tensor
from pyomo_relu.network.scaling import scaled_layers
from pyomo_relu.network.transposed import transposed_hint

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from pyomo_relu.common.types import BoolArray, FloatArray, Index, Scaling


class Network:
    """An immutable directed acyclic graph of layers, in float64.

    ``layers[:-1]`` are the activation layers in graph order, ``layers[-1]`` is the
    output layer (activation ``"identity"``): the outputs y are affine in the inputs
    and in what the activation layers computed.

    Parameters
    ----------
    layers : sequence of Layer
        Each layer's sources come before it; the last one has activation "identity".
    inputs, outputs : sequence of Tensor
        The named tensors that the flat input and output vectors concatenate.
    name : str
        File or other origin, for messages.
    fixed_batch : (str, tuple), optional
        Name and shape of an input that the file fixes to a batch of several samples.
        The network then maps the whole batch at once; a block refuses it.

    Raises
    ------
    NetworkError
        If sizes do not fit together or the order is not topological.
    """

    layers: tuple[Layer, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    name: str
    fixed_batch: tuple[str, tuple[int, ...]] | None

    def __init__(
        self,
        layers: Sequence[Layer],
        inputs: Iterable[Tensor | tuple[str, Sequence[int]]],
        outputs: Iterable[Tensor | tuple[str, Sequence[int]]],
        name: str = "network",
        fixed_batch: tuple[str, tuple[int, ...]] | None = None,
    ) -> None:
        self.name = str(name)
        self.layers = tuple(each(_layer)(f"{name}: layers", layers, NetworkError))
        self.inputs = self._tensors("inputs", inputs)
        self.outputs = self._tensors("outputs", outputs)
        self.fixed_batch = fixed_batch
        self._hash = None
        self._check()

    @classmethod
    def sequential(
        cls,
        weights: Sequence[ArrayLike],
        biases: Sequence[ArrayLike],
        ceilings: Sequence[ArrayLike | None] | None = None,
        name: str = "network",
    ) -> Network:
        """A plain chain of dense layers, ReLU after each but the last.

        Parameters
        ----------
        weights : sequence of array_like, shapes (size, previous size)
        biases : sequence of array_like, shapes (size,)
        ceilings : sequence of (None | float | array_like), optional
            One per hidden layer; None leaves it an unclipped ReLU.

        Raises
        ------
        NetworkError
            If the shapes do not fit; it says so where transposed weights would.
        """
        for what, given in (("weights", weights), ("biases", biases)):
            if not is_sequence(given):
                raise NetworkError(
                    f"{name}: {what} must be a sequence with one array per layer, not "
                    f"{given!r:.80}."
                )
        n = len(weights)
        if n == 0:
            raise NetworkError(f"{name}: a network needs at least one weight matrix.")
        if not (ceilings is None or is_sequence(ceilings)):
            raise NetworkError(
                f"{name}: ceilings must be a sequence with one entry per hidden layer, "
                f"not {ceilings!r:.80}."
            )
        ceilings = [None] * (n - 1) if ceilings is None else list(ceilings)
        if len(biases) != n or len(ceilings) != n - 1:
            raise NetworkError(
                f"{name}: {counted(n, 'weight matrix')} need {counted(n, 'bias')} and "
                f"{counted(n - 1, 'ceiling')}, "
                f"got {len(biases)} and {len(ceilings)}."
            )
        try:
            return cls._sequential(weights, biases, ceilings, name)
        except NetworkError as error:
            raise NetworkError(f"{error}{transposed_hint(weights, biases)}") from None

    @classmethod
    def _sequential(cls, weights, biases, ceilings, name):
        n, layers = len(weights), []
        for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
            if k == n - 1:
                activation, ceiling = "identity", None
            else:
                ceiling = ceilings[k]
                activation = "relu" if ceiling is None else "clipped"
            layers.append(
                Layer([Source(k - 1)], [w], b, activation, ceiling, f"layer {k}")
            )
        n_in = layers[0].weights[0].shape[1]
        return cls(layers, [("x", (n_in,))], [("y", (layers[-1].size,))], name=name)

    def _tensors(self, side, given):
        try:
            return tuple(
                Tensor(str(n), tuple(map(operator.index, s))) for n, s in given
            )
        except (TypeError, ValueError):
            raise NetworkError(
                f"{self.name}: {side} must be a sequence of (name, shape), shapes of "
                f"whole numbers, not {given!r:.80}."
            ) from None

    def _check(self):
        if not self.layers or self.layers[-1].activation != "identity":
            raise NetworkError(f"{self.name}: the last layer must be the output layer.")
        if any(layer.activation == "identity" for layer in self.layers[:-1]):
            raise NetworkError(f"{self.name}: only the output layer may be affine.")
        if self.n_inputs == 0 and any(layer.sources for layer in self.layers):
            raise NetworkError(f"{self.name}: the network has no inputs.")
        if sum(t.size for t in self.outputs) != self.layers[-1].size:
            raise NetworkError(
                f"{self.name}: the output layer has "
                f"{counted(self.layers[-1].size, 'entry')}, the output tensors "
                f"{[tuple(t.shape) for t in self.outputs]}."
            )
        for k, layer in enumerate(self.layers):
            for (source, post), w in layer.terms:
                if not INPUT <= source < k or (source == INPUT and not post):
                    raise NetworkError(
                        f"{self.name}: layer {k} ('{layer.name}') cannot read "
                        f"{Source(source, post).label()}."
                    )
                if w.shape[1] != self.source_size(source):
                    raise NetworkError(
                        f"{self.name}: layer {k} ('{layer.name}') expects "
                        f"{counted(w.shape[1], 'entry')} of "
                        f"{Source(source, post).label()}, and there are "
                        f"{self.source_size(source)}. A weight matrix has a row for "
                        "each neuron and a column for each entry that it reads."
                    )

    # -- shape ---------------------------------------------------------------------

    @property
    def activation_layers(self) -> tuple[Layer, ...]:
        """The layers with an activation, in graph order."""
        return self.layers[:-1]

    @property
    def output_layer(self) -> Layer:
        """The affine layer that computes the outputs."""
        return self.layers[-1]

    @cached_property
    def n_inputs(self) -> int:
        """Number of scalar inputs, over all input tensors."""
        return sum(t.size for t in self.inputs)

    @property
    def n_outputs(self) -> int:
        """Number of scalar outputs, over all output tensors."""
        return self.layers[-1].size

    @cached_property
    def n_neurons(self) -> int:
        """Number of neurons with an activation."""
        return sum(layer.size for layer in self.activation_layers)

    def source_size(self, layer: int) -> int:
        """Number of entries of layer ``layer``, or of the inputs for ``INPUT``."""
        return self.n_inputs if layer == INPUT else self.layers[layer].size

    def input_index(self) -> Sequence[Index]:
        """Index of each scalar input, in flat order.

        One tensor: ints (up to one axis) or tuples.  Several tensors: the tensor's
        name comes first, as in ``("state", 0)``.
        """
        return _joint_index(self.inputs)

    def output_index(self) -> Sequence[Index]:
        """Index of each scalar output, in flat order; see ``input_index``."""
        return _joint_index(self.outputs)

    def inputs_read(self) -> BoolArray:
        """Which inputs have a nonzero weight somewhere, bool of shape (n_inputs,)."""
        read = np.zeros(self.n_inputs, dtype=bool)
        for layer in self.layers:
            for source, w in layer.terms:
                if source.layer == INPUT:
                    read |= np.asarray(abs(w).sum(axis=0)).ravel() > 0
        return read

    def support(self) -> BoolArray:
        """Which inputs each output may depend on, bool of shape (n_outputs, n_inputs)."""
        found: list[BoolArray] = []
        for layer in self.layers:
            reads = np.zeros((layer.size, self.n_inputs), dtype=bool)
            for source, w in layer.terms:
                inner = np.eye(self.n_inputs)
                if source.layer != INPUT:
                    inner = found[source.layer].astype(float)
                reads |= ((abs(w) > 0).astype(float) @ inner) > 0
            found.append(reads)
        return found[-1]

    # -- evaluation ----------------------------------------------------------------

    def propagate(self, X: ArrayLike) -> tuple[list[FloatArray], list[FloatArray]]:
        """Evaluate the network and keep what every layer computed.

        Parameters
        ----------
        X : array_like, shape (N, n_inputs)

        Returns
        -------
        pre, post : list of numpy.ndarray, shapes (N, layer size)
            One array per layer; the last of each are the outputs.
        """
        X = np.atleast_2d(np.asarray(X, dtype=float))
        if X.ndim != 2 or X.shape[1] != self.n_inputs:
            raise NetworkError(
                f"{self.name}: expected points of shape (N, {self.n_inputs}), "
                f"got {X.shape}."
            )
        pre, post = [], []
        for layer in self.layers:
            v = layer.affine(X, pre, post)
            pre.append(v)
            post.append(layer.activate(v))
        return pre, post

    def forward(self, X: ArrayLike) -> FloatArray:
        """Outputs at the points ``X``: (N, n_inputs) to (N, n_outputs).

        A single point of shape (n_inputs,) gives shape (n_outputs,).
        """
        y = self.propagate(X)[1][-1]
        return y[0] if np.ndim(X) == 1 else y

    def pre_activations(self, X: ArrayLike) -> list[FloatArray]:
        """Pre-activations at ``X``: one (N, size) array per activation layer."""
        return self.propagate(X)[0][:-1]

    def activation_pattern(self, X: ArrayLike) -> list[NDArray[np.int8]]:
        """States of all neurons at ``X``: one int8 (N, size) array per layer."""
        return [
            layer.pattern(v)
            for layer, v in zip(
                self.activation_layers, self.pre_activations(X), strict=True
            )
        ]

    def linear_piece(
        self, pattern: Sequence[ArrayLike]
    ) -> list[tuple[FloatArray, FloatArray]]:
        """The affine maps that the network follows on one linear region.

        Parameters
        ----------
        pattern : sequence of array_like, shapes (size,)
            State of each neuron, one array per activation layer.

        Returns
        -------
        list of (C, d)
            One pair per layer with ``v = C x + d`` for inputs x of the region; the
            last pair gives the outputs.  C has shape (size, n_inputs).
        """
        return pieces.linear_piece(self, pattern)

    # -- derived networks ----------------------------------------------------------

    def with_scaling(
        self,
        input_scaling: Scaling | None = None,
        output_scaling: Scaling | None = None,
    ) -> Network:
        """The same network between rescaled inputs and outputs.

        The result maps x to ``y_offset + y_factor * f((x - x_offset) / x_factor)``.

        Parameters
        ----------
        input_scaling, output_scaling : (offset, factor), optional
            Scalars or arrays of shape (n_inputs,) or (n_outputs,); factors nonzero.
        """
        if input_scaling is None and output_scaling is None:
            return self
        return Network(
            scaled_layers(self, input_scaling, output_scaling),
            self.inputs,
            self.outputs,
            self.name,
        )

    # -- identity ------------------------------------------------------------------

    @property
    def content_hash(self) -> str:
        """SHA-256 of everything that determines the function (hex string)."""
        if self._hash is None:
            digest = hashlib.sha256(repr((self.inputs, self.outputs)).encode())
            for layer in self.layers:
                digest.update(repr((layer.sources, layer.activation)).encode())
                for array in (*layer.weights, layer.bias, layer.ceiling):
                    for part in _parts(array):
                        digest.update(str(part.shape).encode())
                        digest.update(np.ascontiguousarray(part).tobytes())
            self._hash = digest.hexdigest()
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        return self is other or self.content_hash == other.content_hash

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __deepcopy__(self, memo: object) -> Network:
        return self

    def __copy__(self) -> Network:
        return self

    def __repr__(self) -> str:
        sizes = " -> ".join(
            str(n) for n in (self.n_inputs, *(layer.size for layer in self.layers))
        )
        return f"Network('{self.name}', {sizes})"

    def _repr_html_(self) -> str:
        header = "layer", "neurons", "activation", "reads", "nonzero weights"
        rows = [layer.table_row(k) for k, layer in enumerate(self.layers)]
        return table_html(header, rows, repr(self))


def _layer(what, value, error):
    return instance(what, value, Layer, error)


def _parts(array):
    if array is None:
        return ()
    if sparse.issparse(array):
        return (array.data, array.indices, array.indptr)
    return (array,)


def _joint_index(tensors):
    if len(tensors) == 1:
        return tensors[0].index()
    return [
        (t.name, *(i if isinstance(i, tuple) else (i,)))
        for t in tensors
        for i in t.index()
    ]
