"""Input splitting: bounds over cells of the input box; each cell's bounds are CROWN's."""

from __future__ import annotations

import itertools
from numbers import Real
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from pyomo_relu.bounds.crown.backward import BackwardPass
from pyomo_relu.bounds.crown.crown import bound_layers, crown_bounds
from pyomo_relu.bounds.neuron_bounds import NeuronBounds, check_box
from pyomo_relu.common.arguments import checked, optional, seconds
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.rounding import NEGLIGIBLE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.common.types import FloatArray
    from pyomo_relu.network.network import Network


#: Multiply-adds of one round; a round bounds its cells in one batch.
_ROUND = 2e8

#: A sign still open is worth a tolerance this much smaller.
_SIGN = 0.05

#: All corners of a cell, or of the box, are evaluated up to this many varying inputs.
_ALL_CORNERS, _FIRST_CORNERS = 4, 8


class Cells(NamedTuple):
    """Boxes that together cover the input box, and the bounds on each.

    Attributes
    ----------
    lower, upper : numpy.ndarray, shape (C, n_inputs)
    lowers, uppers : list of numpy.ndarray, shapes (C, layer size)
        Proven pre-activation bounds on each cell, one array per layer, the outputs'
        last.
    """

    lower: FloatArray
    upper: FloatArray
    lowers: list[FloatArray]
    uppers: list[FloatArray]


class SplitResult(NamedTuple):
    """What ``split_bounds`` found.

    Attributes
    ----------
    bounds : NeuronBounds
        The union over the cells, within the bounds that splitting started from.
    cells : Cells
    attained_lower, attained_upper : list of numpy.ndarray, shapes (layer size,)
        Least and greatest values met at sampled points: the exact range contains them.
    stopped : str
        Why splitting ended: "tolerance" (all that drives it is met), "cells" or "time".
    """

    bounds: NeuronBounds
    cells: Cells
    attained_lower: list[FloatArray]
    attained_upper: list[FloatArray]
    stopped: str


@checked(BoundsError, time_limit=optional(seconds))
def split_bounds(
    network: Network,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    max_cells: int = 4096,
    time_limit: float | None = None,
    start: NeuronBounds | None = None,
    neurons: Literal["all", "unstable", "outputs"] = "all",
    tolerance: float = 0.02,
) -> SplitResult:
    """Bounds by branching the input box into cells.

    A neuron's bound over the box is the worst of its bounds over the cells, so only the
    cells that attain it need splitting, and none once it lies within ``tolerance`` of a
    value attained at some point.  Each round splits the cells with the largest excess
    over that, each across the input with the largest influence (the inputs' coefficients
    in CROWN's lines of what is still open, times the edge's length), and bounds all
    halves in one batch, starting from their parents' bounds.

    Parameters
    ----------
    network : Network
    lower, upper : array_like, shape (n_inputs,), or numbers
        The input box; finite.
    max_cells : int
        The most cells to keep.
    time_limit : float, optional
        Seconds after which no further round starts.
    start : NeuronBounds, optional
        Bounds already proven on a box that contains this one.
    neurons : {"all", "unstable", "outputs"}
        What drives the splitting: every neuron, the outputs and the neurons still
        unstable, or the outputs only.
    tolerance : float
        Excess allowed on either side, relative to the range attained; a twentieth of
        that while a sign is open that no sampled point contradicts.

    Returns
    -------
    SplitResult

    Raises
    ------
    BoundsError
        If the box is infinite, reversed or of the wrong shape, or an option is invalid.
    """
    deadline = Deadline(time_limit)
    lower, upper = check_box(network, lower, upper)
    if not isinstance(neurons, str) or neurons not in ("all", "unstable", "outputs"):
        raise BoundsError(
            f"neurons={neurons!r:.80}: splitting is driven by 'all' neurons, by the "
            "'unstable' ones and the outputs, or by the 'outputs'."
        )
    numbers_ = all(isinstance(a, Real) for a in (max_cells, tolerance))
    if not numbers_ or not 1 <= max_cells < np.inf or not tolerance >= 0:
        raise BoundsError(
            f"max_cells={max_cells!r:.40} must be a number of at least 1 and "
            f"tolerance={tolerance!r:.40} "
            "must not be negative."
        )
    base = crown_bounds(network, lower[0], upper[0], start)
    splitting = _Splitting(network, base, int(max_cells), neurons, tolerance)
    stopped = splitting.run(deadline)
    return splitting.result(base, stopped)


class _Splitting:
    """The cells, flat over all layers, and what was attained at points."""

    def __init__(self, network, base, max_cells, neurons, tolerance):
        self.network = network
        self.kernel = BackwardPass(network)
        self.neurons = neurons
        self.tolerance = tolerance
        self.max_cells = max_cells
        ends = np.cumsum([0] + [layer.size for layer in network.layers])
        self.slices = [slice(*pair) for pair in itertools.pairwise(ends)]
        self.n_cells = 1
        self.rng = np.random.default_rng(0)
        d = network.n_inputs
        self.box_lower, self.box_upper = np.empty((2, 1, d))
        self.low, self.high = np.empty((2, 1, ends[-1]))
        self.influence = np.empty((1, d))
        self.box_lower[0], self.box_upper[0] = base.input_lower, base.input_upper
        self.low[0] = np.concatenate(base.lower)
        self.high[0] = np.concatenate(base.upper)
        self.influence[0] = 1.0
        self.attained_low = np.full(ends[-1], np.inf)
        self.attained_high = np.full(ends[-1], -np.inf)
        self._sample(self._first_points(base.input_lower, base.input_upper))
        self.batch = self._batch_size()

    def run(self, deadline):
        """Split until the tolerance is met or a limit is reached; says which."""
        while True:
            chosen = self._choose()
            if not chosen.size:
                return "tolerance"
            room = min(self.batch, self.max_cells - self.n_cells)
            if room <= 0:
                return "cells"
            if deadline.passed():
                return "time"
            self._split(chosen[:room])

    def result(self, base, stopped):
        """The union over the cells, the cells and what was attained."""
        n = self.n_cells
        low, high = self.low[:n], self.high[:n]
        box = base.input_lower, base.input_upper
        union = NeuronBounds(
            self.network,
            self._layers(low.min(axis=0)),
            self._layers(high.max(axis=0)),
            "split",
            *box,
        )
        cells = Cells(
            self.box_lower[:n].copy(),
            self.box_upper[:n].copy(),
            [a.copy() for a in self._layers(low)],
            [a.copy() for a in self._layers(high)],
        )
        return SplitResult(
            base.intersect(union),
            cells,
            self._layers(self.attained_low),
            self._layers(self.attained_high),
            stopped,
        )

    # -- choice --------------------------------------------------------------------

    def _choose(self):
        """Cells worth splitting, the worst first; sets what is open."""
        n = self.n_cells
        low, high = self.low[:n], self.high[:n]
        union_low, union_high = low.min(axis=0), high.max(axis=0)
        allowed_low, allowed_high, width = self._allowed(union_low, union_high)
        targets = self._targets(union_low, union_high)
        self.open_low = targets & (union_low < allowed_low)
        self.open_high = targets & (union_high > allowed_high)
        self.width = width
        score = np.zeros(n)
        for bounds, allowed, is_open, sign in (
            (low, allowed_low, self.open_low, -1.0),
            (high, allowed_high, self.open_high, 1.0),
        ):
            at = np.flatnonzero(is_open)
            if at.size:
                excess = sign * (bounds[:, at] - allowed[at]) / width[at]
                score = np.maximum(score, excess.max(axis=1))
        middle = 0.5 * self.box_lower[:n] + 0.5 * self.box_upper[:n]
        divisible = (self.box_lower[:n] < middle) & (middle < self.box_upper[:n])
        score[~divisible.any(axis=1)] = 0.0
        order = np.argsort(-score, kind="stable")
        return order[: np.count_nonzero(score > 0)]

    def _allowed(self, union_low, union_high):
        """Bounds that are good enough, and the range attained, per neuron."""
        low, high = self.attained_low, self.attained_high
        size = np.maximum(np.abs(low), np.abs(high))
        width = np.maximum(high - low, np.maximum(1e-9 * size, NEGLIGIBLE))
        slack = self.tolerance * width
        sign_low = (low >= 0) & (union_low < 0)
        sign_high = (high <= 0) & (union_high > 0)
        slack_low = np.where(sign_low, _SIGN * slack, slack)
        slack_high = np.where(sign_high, _SIGN * slack, slack)
        return low - slack_low, high + slack_high, width

    def _targets(self, union_low, union_high):
        """The neurons and outputs that drive the splitting."""
        targets = np.full(union_low.size, self.neurons == "all")
        targets[self.slices[-1]] = True
        if self.neurons == "unstable":
            for part, layer in zip(
                self.slices, self.network.activation_layers, strict=False
            ):
                low, high = union_low[part], union_high[part]
                crosses = (low < 0) | (high > layer.ceilings)
                targets[part] = crosses & (high > 0) & (low < layer.ceilings)
        return targets

    # -- one round -----------------------------------------------------------------

    def _split(self, chosen):
        """Halve the chosen cells and bound the halves from their parents' bounds."""
        lower, upper = self.box_lower[chosen], self.box_upper[chosen]
        middle = 0.5 * lower + 0.5 * upper
        divisible = (lower < middle) & (middle < upper)
        gain = np.where(divisible, self.influence[chosen] * (upper - lower), -1.0)
        edge = gain.argmax(axis=1)
        each = np.arange(chosen.size)
        left_upper, right_lower = upper.copy(), lower.copy()
        left_upper[each, edge] = right_lower[each, edge] = middle[each, edge]
        lower = np.concatenate([lower, right_lower])
        upper = np.concatenate([left_upper, upper])
        parents = np.concatenate([chosen, chosen])
        self._sample(self._points(lower, upper))
        start = self._layers(self.low[parents]), self._layers(self.high[parents])
        weight = np.stack([self.open_low, self.open_high]) / self.width
        wanted = self.open_low | self.open_high
        (lowers, uppers), state = bound_layers(
            self.kernel,
            lower,
            upper,
            start,
            wanted=self._layers(wanted),
            importance=self._layers(weight),
        )
        n = self.n_cells + chosen.size
        self._reserve(n)
        at = np.concatenate([chosen, np.arange(self.n_cells, n)])
        self.box_lower[at], self.box_upper[at] = lower, upper
        self.low[at] = np.concatenate(lowers, axis=1)
        self.high[at] = np.concatenate(uppers, axis=1)
        # Interval arithmetic gives no influence: then the longest edge is split.
        none = ~(state.influence * (upper - lower) > 0).any(axis=1)
        state.influence[none] = 1.0
        self.influence[at] = state.influence
        self.n_cells = n

    def _reserve(self, n):
        for name in ("box_lower", "box_upper", "low", "high", "influence"):
            old = getattr(self, name)
            if len(old) < n:
                new = np.empty((min(self.max_cells, 2 * n), old.shape[1]))
                new[: self.n_cells] = old[: self.n_cells]
                setattr(self, name, new)

    def _layers(self, flat):
        return [flat[..., part] for part in self.slices]

    def _batch_size(self):
        """Cells per round: enough for fast products, few enough to stay best-first."""
        sizes = [self.network.n_inputs] + [m.size for m in self.network.layers]
        work = sum(
            2 * sizes[k] * sizes[j] * sizes[j - 1]
            for k in range(2, len(sizes))
            for j in range(1, k)
        )
        return int(np.clip(_ROUND / max(work, 1), 16, 512))

    # -- points --------------------------------------------------------------------

    def _sample(self, points):
        values = np.concatenate(self.network.propagate(points)[0], axis=1)
        np.minimum(self.attained_low, values.min(axis=0), out=self.attained_low)
        np.maximum(self.attained_high, values.max(axis=0), out=self.attained_high)

    def _first_points(self, lower, upper):
        X = self.rng.uniform(lower, upper, size=(1000, lower.size))
        if np.count_nonzero(lower < upper) <= _FIRST_CORNERS:
            X = np.concatenate([X, _corners(lower[None], upper[None])])
        return X

    def _points(self, lower, upper):
        centre = 0.5 * lower + 0.5 * upper
        if np.count_nonzero((lower < upper).any(axis=0)) <= _ALL_CORNERS:
            return np.concatenate([centre, _corners(lower, upper)])
        pick = self.rng.random((4, *lower.shape)) < 0.5
        some = np.where(pick, lower, upper).reshape(-1, lower.shape[1])
        return np.concatenate([centre, some])


def _corners(lower, upper):
    """All corners of the boxes, shape (B 2^k, n) where k inputs vary in some box."""
    free = np.flatnonzero((lower < upper).any(axis=0))
    bits = np.zeros((2**free.size, lower.shape[1]), dtype=int)
    bits[:, free] = (np.arange(2**free.size)[:, None] >> np.arange(free.size)) & 1
    return np.where(bits[:, None, :], lower, upper).reshape(-1, lower.shape[1])
