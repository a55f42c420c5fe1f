"""Networks that stand many times in one model, and combinations of all their outputs.

One network with many inputs' values, ``u = sum_s M_s f(x_s)``, where each member's inputs
x_s are entries of x or constants.  Only f, the members' inputs and the sparse M are
stored; nothing has the size of all neurons squared, and evaluation and bounds treat
members like further points or boxes of f.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from pyomo_relu.common.matrices import dense, slices
from pyomo_relu.network.fixed_inputs import fix_inputs
from pyomo_relu.network.gradients import gradient
from pyomo_relu.network.layer import INPUT, Layer, Source, Tensor
from pyomo_relu.network.network import Network

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from pyomo_relu.common.types import BoolArray, FloatArray

#: Most entries of an array with a row per point and member.
_ENTRIES = 1 << 21


@dataclass(frozen=True, eq=False)
class Repetition:
    """One network with the inputs of its members, and what of their outputs counts.

    Parameters
    ----------
    network : Network
        Of d inputs and r outputs.
    columns : numpy.ndarray of int, shape (S, d)
        Which joint input each member's input is; -1 where it is a constant.
    constants : sequence of dict
        Per member the constant inputs' exact values, by position.
    matrix : scipy.sparse.csr_array, shape (n_outputs, S r)
        The joint outputs as sums of members' outputs.
    """

    network: Network
    columns: NDArray[np.intp]
    constants: Sequence[dict[int, Fraction]]
    matrix: sparse.csr_array

    @property
    def n_members(self) -> int:
        """Number of members S."""
        return len(self.columns)

    @cached_property
    def ends(self) -> tuple[FloatArray, FloatArray]:
        """Floats around the constants, shapes (S, d); zero where there are none."""
        lower, upper = np.zeros(self.columns.shape), np.zeros(self.columns.shape)
        for s, known in enumerate(self.constants):
            for i, exact in known.items():
                near = float(exact)
                lower[s, i] = near if exact >= near else np.nextafter(near, -np.inf)
                upper[s, i] = near if exact <= near else np.nextafter(near, np.inf)
        return lower, upper

    @cached_property
    def values(self) -> FloatArray:
        """The constants rounded to the nearest float, shape (S, d)."""
        values = np.zeros(self.columns.shape)
        for s, known in enumerate(self.constants):
            for i, exact in known.items():
                values[s, i] = float(exact)
        return values

    @cached_property
    def selection(self) -> sparse.csr_array:
        """Sums members' derivatives by joint input, shape (n, S d); see ``n_columns``."""
        at = np.flatnonzero(self.columns.ravel() >= 0)
        rows = self.columns.ravel()[at]
        return sparse.csr_array(
            (np.ones(at.size), (rows, at)),
            shape=(int(rows.max(initial=-1)) + 1, self.columns.size),
        )

    def inputs(self, X: FloatArray, constants: FloatArray) -> FloatArray:
        """Members' inputs, shape (N, S, d), where the joint ones are X, shape (N, n)."""
        return np.where(self.columns >= 0, X[:, self.columns], constants)

    def part(self, rows: ArrayLike) -> Repetition | None:
        """Only some of the joint outputs, and the members that they need."""
        matrix = sparse.csr_array(self.matrix[np.asarray(rows, dtype=int)])
        r = self.network.n_outputs
        needed = np.unique(matrix.indices // r)
        if not needed.size:
            return None
        at = (needed[:, None] * r + np.arange(r)).ravel()
        return Repetition(
            self.network,
            self.columns[needed],
            [self.constants[s] for s in needed.tolist()],
            sparse.csr_array(matrix[:, at]),
        )


class RepeatedNetworks(Network):
    """Combinations of the outputs of networks that stand many times in a model.

    Parameters
    ----------
    repetitions : sequence of Repetition
    n_inputs, n_outputs : int
        Of all together.
    name : str

    Attributes
    ----------
    layers : tuple of Layer
        Those of all members one by one, for methods that need them; made when first
        asked for.
    """

    def __init__(
        self,
        repetitions: Sequence[Repetition],
        n_inputs: int,
        n_outputs: int,
        name: str = "networks",
    ) -> None:
        self.name = name
        self.repetitions = tuple(repetitions)
        self.inputs = (Tensor("x", (n_inputs,)),)
        self.outputs = (Tensor("u", (n_outputs,)),)
        self.fixed_batch = None
        self._hash = None

    # -- shape ---------------------------------------------------------------------

    @property
    def n_outputs(self) -> int:
        """Number of joint outputs."""
        return self.outputs[0].size

    @property
    def n_members(self) -> int:
        """Number of members of all repetitions."""
        return sum(one.n_members for one in self.repetitions)

    @property
    def n_neurons(self) -> int:
        """Number of neurons of all members."""
        return sum(r.n_members * r.network.n_neurons for r in self.repetitions)

    def support(self) -> BoolArray:
        """Which inputs each output depends on, bool (n_outputs, n_inputs)."""
        reads = np.zeros((self.n_outputs, self.n_inputs), dtype=bool)
        for one in self.repetitions:
            coo, found = one.matrix.tocoo(), one.network.support()
            member, output = np.divmod(coo.col, one.network.n_outputs)
            columns, used = one.columns[member], found[output]
            for i in range(columns.shape[1]):
                some = used[:, i] & (columns[:, i] >= 0)
                reads[coo.row[some], columns[some, i]] = True
        return reads

    def inputs_read(self) -> BoolArray:
        """Which inputs some output depends on, bool (n_inputs,)."""
        return np.asarray(self.support().any(axis=0))

    def only(self, outputs: ArrayLike) -> RepeatedNetworks:
        """Some outputs only, and the members that these need."""
        rows = np.asarray(outputs, dtype=int)
        parts = [one.part(rows) for one in self.repetitions]
        return RepeatedNetworks(
            [p for p in parts if p is not None], self.n_inputs, rows.size, self.name
        )

    # -- evaluation ----------------------------------------------------------------

    def forward(self, X: ArrayLike) -> FloatArray:
        """Outputs at points: (N, n_inputs) to (N, n_outputs), or of one point."""
        points = np.atleast_2d(np.asarray(X, dtype=float))
        total = np.zeros((len(points), self.n_outputs))
        for one in self.repetitions:
            for at, inputs in self._batches(one, points):
                y = one.network.forward(inputs).reshape(at.stop - at.start, -1)
                total[at] += (one.matrix @ y.T).T
        return total[0] if np.ndim(X) == 1 else total

    def value_and_gradient(
        self, X: FloatArray, costs: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """``costs . u`` and its gradient, (N,) and (N, n); costs of shape (N, n_outputs)."""
        values, slope = np.zeros(len(X)), np.zeros(X.shape)
        for one in self.repetitions:
            r, select = one.network.n_outputs, one.selection
            for at, inputs in self._batches(one, X):
                weights = (one.matrix.T @ costs[at].T).T
                pre, post = one.network.propagate(inputs)
                count = len(weights)
                values[at] += (post[-1].reshape(count, -1) * weights).sum(axis=1)
                slopes = gradient(one.network, pre, weights.reshape(-1, r))
                found = np.asarray((select @ slopes.reshape(count, -1).T).T)
                slope[at, : found.shape[1]] += found
        return values, slope

    def tangents(self, x: FloatArray) -> tuple[sparse.csr_array, FloatArray]:
        """Outputs' derivatives (n_outputs, n_inputs), and ``u(x)``, at one point."""
        total = sparse.csr_array((self.n_outputs, self.n_inputs))
        values = np.zeros(self.n_outputs)
        for one in self.repetitions:
            r, d = one.network.n_outputs, one.network.n_inputs
            inputs = one.inputs(x[None], one.values)[0]
            jacobian = np.empty((one.n_members, r, d))
            pre, post = one.network.propagate(inputs)
            for i in range(r):
                seed = np.tile(np.arange(r) == i, (one.n_members, 1)).astype(float)
                jacobian[:, i] = gradient(one.network, pre, seed)
            values += one.matrix @ post[-1].ravel()
            columns = np.broadcast_to(one.columns[:, None, :], jacobian.shape).ravel()
            at = np.flatnonzero(columns >= 0)
            rows = sparse.csr_array(
                (jacobian.ravel()[at], (at // d, columns[at])),
                shape=(one.n_members * r, self.n_inputs),
            )
            total = total + one.matrix @ rows
        return sparse.csr_array(total), values

    def _batches(
        self, one: Repetition, points: FloatArray
    ) -> Iterator[tuple[slice, FloatArray]]:
        """Points with all members' inputs at them, (points S, d), a few at a time."""
        widest = max([one.network.n_inputs, *(m.size for m in one.network.layers)])
        for at in slices(len(points), _ENTRIES // (one.n_members * widest)):
            inputs = one.inputs(points[at], one.values)
            yield at, inputs.reshape(-1, one.network.n_inputs)

    # -- as one network ------------------------------------------------------------

    def whole(self) -> Network:
        """The same as a Network of its own layers."""
        return Network(self.layers, self.inputs, self.outputs, self.name)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of all members, then their combinations."""
        layers: list[Layer] = []
        last: dict[Source, Any] = {}
        bias = np.zeros(self.n_outputs)
        for one in self.repetitions:
            r = one.network.n_outputs
            for s, known in enumerate(one.constants):
                network = fix_inputs(one.network, known)
                columns = one.columns[s][one.columns[s] >= 0]
                block = one.matrix[:, s * r : (s + 1) * r].toarray()
                self._append(layers, last, network, columns, block)
                bias += block @ network.layers[-1].bias
        sources = sorted(last)
        weights = [last[source] for source in sources]
        layers.append(Layer(sources, weights, bias, "identity", name="directions"))
        return tuple(layers)

    def _append(self, layers, last, network, columns, block):
        """Add one member's hidden layers, and its outputs to the last layer's rows."""
        offset, n = len(layers), self.n_inputs
        for layer in network.layers:
            parts = {}
            for source, w in layer.terms:
                if source.layer == INPUT:
                    wide = sparse.csr_array(
                        (np.ones(columns.size), (np.arange(columns.size), columns)),
                        shape=(columns.size, n),
                    )
                    parts[Source(INPUT)] = np.asarray((wide.T @ dense(w).T).T)
                else:
                    parts[Source(source.layer + offset, source.post)] = w
            if layer is network.layers[-1]:
                for source, w in parts.items():
                    part = dense(block @ w)
                    last[source] = last[source] + part if source in last else part
            else:
                layers.append(
                    Layer(
                        list(parts),
                        list(parts.values()),
                        layer.bias,
                        layer.activation,
                        layer.ceiling,
                        f"{network.name}: {layer.name}",
                    )
                )
