"""The record of pre-activation bounds, and checks of the input boxes they hold on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from pyomo_relu.bounds.layer_table import LAYER_HEADER, layer_rows
from pyomo_relu.bounds.neuron_states import NeuronStates
from pyomo_relu.common.arguments import INFINITE, instance
from pyomo_relu.common.html import table_html
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import BoundsError, NetworkError
from pyomo_relu.network.layer import INPUT
from pyomo_relu.network.network import Network

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from pyomo_relu.common.types import FloatArray


class NeuronBounds(NeuronStates):
    """Proven bounds ``lower[k] <= v^k <= upper[k]`` over an input box.

    One array per activation layer in graph order, then one for the outputs.

    Parameters
    ----------
    network : Network
        The network that the bounds belong to.
    lower, upper : sequence of array_like, shapes (layer size,)
    source : str or sequence of array_like of str, shapes (layer size,)
        Method that proved each neuron's bounds: "interval", "crown", "split", "lp",
        "milp", "model", "given".
    input_lower, input_upper : array_like, shape (n_inputs,)
        The input box on which the bounds were proven.

    Raises
    ------
    BoundsError
        If shapes do not fit the network, a bound is NaN, or lower > upper.
    """

    network: Network
    lower: tuple[FloatArray, ...]
    upper: tuple[FloatArray, ...]
    source: tuple[NDArray[np.str_], ...]
    input_lower: FloatArray
    input_upper: FloatArray

    def __init__(
        self,
        network: Network,
        lower: Iterable[ArrayLike],
        upper: Iterable[ArrayLike],
        source: str | Iterable[ArrayLike],
        input_lower: ArrayLike,
        input_upper: ArrayLike,
    ) -> None:
        self.network = instance("network", network, Network, NetworkError)
        try:
            self.lower = tuple(_frozen(a) for a in lower)
            self.upper = tuple(_frozen(a) for a in upper)
            if isinstance(source, str):
                source = [np.full(a.shape, source) for a in self.lower]
            self.source = tuple(_frozen(a, dtype=str) for a in source)
            self.input_lower = _frozen(input_lower)
            self.input_upper = _frozen(input_upper)
        except (TypeError, ValueError) as error:
            raise BoundsError(
                f"{network.name}: bounds are one array of numbers per layer, sources "
                f"likewise of str, and the input box two arrays ({error})."
            ) from None
        box = self.input_lower.shape, self.input_upper.shape
        if box != ((network.n_inputs,), (network.n_inputs,)):
            raise BoundsError(
                f"{network.name}: the ends of the input box must have shape "
                f"({network.n_inputs},), not {box}."
            )
        sizes = [(layer.size,) for layer in network.layers]
        for arrays in (self.lower, self.upper, self.source):
            if [a.shape for a in arrays] != sizes:
                raise BoundsError(
                    f"{network.name}: bounds of shapes {[a.shape for a in arrays]} "
                    f"do not fit layers of shapes {sizes}."
                )
        for k, (lo, hi) in enumerate(zip(self.lower, self.upper, strict=True)):
            bad = np.flatnonzero(~(lo <= hi))
            if bad.size:
                i = bad[0]
                raise BoundsError(
                    f"{network.name}: neuron {i} of layer {k} "
                    f"('{network.layers[k].name}') has bounds [{lo[i]}, {hi[i]}]."
                )

    @classmethod
    def of_checked(
        cls,
        network: Network,
        lower: tuple[FloatArray, ...],
        upper: tuple[FloatArray, ...],
        source: tuple[NDArray[np.str_], ...],
        input_lower: FloatArray,
        input_upper: FloatArray,
    ) -> NeuronBounds:
        """Of read-only arrays that were checked before, without copies."""
        new = object.__new__(cls)
        new.network = network
        new.lower, new.upper, new.source = lower, upper, source
        new.input_lower, new.input_upper = input_lower, input_upper
        return new

    def covers(self, input_lower: ArrayLike, input_upper: ArrayLike) -> bool:
        """True if the given box lies within the one these bounds were proven on."""
        return bool(
            np.all(self.input_lower <= np.asarray(input_lower))
            and np.all(np.asarray(input_upper) <= self.input_upper)
        )

    @property
    def n_varying(self) -> int:
        """Number of inputs that the box does not fix."""
        return int(np.count_nonzero(self.input_lower < self.input_upper))

    @property
    def content(self) -> tuple[Any, ...]:
        """Hashable, and equal for records that are equal to the last bit."""
        arrays = *self.lower, *self.upper, *self.source
        box = self.input_lower, self.input_upper
        return self.network, *(a.tobytes() for a in (*arrays, *box))

    def intersect(self, other: NeuronBounds) -> NeuronBounds:
        """The tighter of the two bounds per neuron and side.

        Both must hold on the same box (or each on a larger one that contains the
        result's box): the result carries the intersection of the two boxes.  Where
        ``other`` is no tighter on either side the source stays this record's.
        """
        if self.network != other.network:
            raise BoundsError(
                f"bounds of {self.network.name} and of {other.network.name} cannot "
                "be combined: they belong to different networks."
            )
        lower, upper, source = [], [], []
        for k in range(len(self.lower)):
            lo = np.maximum(self.lower[k], other.lower[k])
            hi = np.minimum(self.upper[k], other.upper[k])
            tighter = (lo > self.lower[k]) | (hi < self.upper[k])
            lower.append(lo)
            upper.append(hi)
            source.append(np.where(tighter, other.source[k], self.source[k]))
        return NeuronBounds(
            self.network,
            lower,
            upper,
            source,
            np.maximum(self.input_lower, other.input_lower),
            np.minimum(self.input_upper, other.input_upper),
        )

    # -- what the bounds say -------------------------------------------------------

    def range_of(self, source):
        """Bounds of what a layer reads: the inputs, a layer's post- or pre-activation."""
        if source.layer == INPUT:
            return self.input_lower, self.input_upper
        if source.post:
            return self.post_bounds(source.layer)
        return self.lower[source.layer], self.upper[source.layer]

    @property
    def n_stable(self) -> int:
        """Number of stable neurons over all activation layers."""
        return sum(int(self.stable(k).sum()) for k in range(len(self.lower) - 1))

    @property
    def n_unstable(self) -> int:
        """Number of unstable neurons over all activation layers."""
        return self.network.n_neurons - self.n_stable

    def mean_width(self, k: int) -> float:
        """Mean of ``upper[k] - lower[k]``."""
        return float(np.mean(self.upper[k] - self.lower[k]))

    def __deepcopy__(self, memo: object) -> NeuronBounds:
        return self

    def __repr__(self) -> str:
        widths = ", ".join(f"{self.mean_width(k):.3g}" for k in range(len(self.lower)))
        return (
            f"NeuronBounds({self.network.name}: {self.n_stable} of "
            f"{counted(self.network.n_neurons, 'neuron')} stable, mean widths {widths})"
        )

    def _repr_html_(self) -> str:
        stable = (
            f"{self.n_stable} of {counted(self.network.n_neurons, 'neuron')} stable"
        )
        caption = f"Bounds of {self.network.name}: {stable}"
        return table_html(LAYER_HEADER, layer_rows(self), caption)


def _frozen(given: ArrayLike, dtype: DTypeLike = float) -> NDArray[Any]:
    array = np.array(given, dtype=dtype)
    array.setflags(write=False)
    return array


def check_boxes(network, lower, upper):
    """Input boxes as two float64 arrays of shape (B, n_inputs).

    Parameters
    ----------
    network : Network
    lower, upper : array_like, shape (B, n_inputs)

    Raises
    ------
    BoundsError
        If a shape is wrong, or a bound is NaN, infinite (1e20 and more is, as for
        solvers) or reversed; the message names the input.
    """
    instance("network", network, Network, NetworkError)
    lower, upper = (_array(network, a) for a in (lower, upper))
    n = network.n_inputs
    if lower.ndim != 2 or lower.shape != upper.shape or lower.shape[1] != n:
        raise BoundsError(
            f"{network.name}: the boxes' lower and upper ends must both have shape "
            f"(B, {n}), one row per box and one column per input, but have shapes "
            f"{lower.shape} and {upper.shape}."
        )
    finite = (np.abs(lower) < INFINITE) & (np.abs(upper) < INFINITE)
    if not finite.all():
        raise BoundsError(
            f"{_where(network, lower, upper, ~finite)}: bounds over an unbounded set of "
            "inputs are infinite. Give the input finite lower and upper bounds, below "
            f"{INFINITE:.0e}."
        )
    if not (lower <= upper).all():
        raise BoundsError(
            f"{_where(network, lower, upper, lower > upper)}: the lower bound exceeds "
            "the upper bound. Swap or correct them."
        )
    return lower, upper


def check_box(network, lower, upper):
    """One input box as two arrays of shape (1, n_inputs); scalars are broadcast.

    Parameters
    ----------
    lower, upper : array_like, shape (n_inputs,) or a number for all inputs
    """
    n = instance("network", network, Network, NetworkError).n_inputs
    arrays = []
    for what, a in (("lower", lower), ("upper", upper)):
        a = _array(network, a)
        if a.shape not in ((), (n,)):
            raise BoundsError(
                f"{network.name}: the inputs' {what} bounds must be a number or have "
                f"shape ({n},), one per input, but have shape {a.shape}. Give all lower "
                "ends first, then all upper ones."
            )
        arrays.append(np.broadcast_to(a, (n,))[None])
    return check_boxes(network, *arrays)


def _array(network, ends):
    try:
        return np.asarray(ends, dtype=float)
    except (TypeError, ValueError):
        raise BoundsError(
            f"{network.name}: the inputs' bounds must be numbers, not {ends!r:.80}."
        ) from None


def _where(network, lower, upper, bad):
    box, i = np.argwhere(bad)[0]
    which = f" in box {box}" if len(lower) > 1 else ""
    return (
        f"{network.name}: input {network.input_index()[i]}{which} has bounds "
        f"[{lower[box, i]}, {upper[box, i]}]"
    )
