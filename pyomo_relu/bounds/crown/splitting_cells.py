"""The cells that one input box is split into: which are worth it, what was found."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pyomo_relu.bounds.neuron_bounds import NeuronBounds
from pyomo_relu.linear.rounding import NEGLIGIBLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyomo_relu.common.types import FloatArray

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


class Halves(NamedTuple):
    """A round's halved cells: where they go, their boxes, what is known, points."""

    at: NDArray[np.intp]
    lower: FloatArray
    upper: FloatArray
    known: tuple[FloatArray, FloatArray]
    points: FloatArray


class CellSplitting:
    """The cells, flat over all layers, and what was attained at points."""

    def __init__(self, kernel, base, max_cells, neurons, tolerance):
        self.network = network = kernel.network
        self.stopped = None
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
        sample([self], [self._first_points(base.input_lower, base.input_upper)])
        self.batch = batch_size(kernel)

    def next_round(self, deadline):
        """Halves of the cells that are worst, or None once a limit is reached."""
        chosen = self._choose()
        room = min(self.batch, self.max_cells - self.n_cells)
        if not chosen.size:
            self.stopped = "tolerance"
        elif room <= 0:
            self.stopped = "cells"
        elif deadline.passed():
            self.stopped = "time"
        else:
            return self._halves(chosen[:room])
        return None

    def result(self, base):
        """The union over the cells, the cells and what was attained."""
        n = self.n_cells
        low, high = self.low[:n], self.high[:n]
        box = base.input_lower, base.input_upper
        union = NeuronBounds(
            self.network,
            self.layers(low.min(axis=0)),
            self.layers(high.max(axis=0)),
            "split",
            *box,
        )
        cells = Cells(
            self.box_lower[:n].copy(),
            self.box_upper[:n].copy(),
            [a.copy() for a in self.layers(low)],
            [a.copy() for a in self.layers(high)],
        )
        return SplitResult(
            base.intersect(union),
            cells,
            self.layers(self.attained_low),
            self.layers(self.attained_high),
            self.stopped,
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

    def _halves(self, chosen):
        """Both halves of the chosen cells, with their parents' bounds."""
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
        known = self.low[parents], self.high[parents]
        at = np.concatenate([chosen, self.n_cells + np.arange(chosen.size)])
        return Halves(at, lower, upper, known, self._points(lower, upper))

    def take(self, halves, low, high, influence):
        """Put halves and their bounds in the place of the cells that were halved."""
        at, lower, upper = halves[:3]
        n = self.n_cells + at.size // 2
        self._reserve(n)
        self.box_lower[at], self.box_upper[at] = lower, upper
        self.low[at], self.high[at] = low, high
        # Interval arithmetic gives no influence: then the longest edge is split.
        none = ~(influence * (upper - lower) > 0).any(axis=1)
        self.influence[at] = np.where(none[:, None], 1.0, influence)
        self.n_cells = n

    def _reserve(self, n):
        for name in ("box_lower", "box_upper", "low", "high", "influence"):
            old = getattr(self, name)
            if len(old) < n:
                new = np.empty((min(self.max_cells, 2 * n), old.shape[1]))
                new[: self.n_cells] = old[: self.n_cells]
                setattr(self, name, new)

    def layers(self, flat):
        """Parts of an array over all neurons, by layer."""
        return [flat[..., part] for part in self.slices]

    # -- points --------------------------------------------------------------------

    def attain(self, values):
        """Take note of values at points, shape (N, all neurons and outputs)."""
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


def batch_size(kernel):
    """Cells per round: enough for fast products, few enough to stay best-first."""
    network = kernel.network
    sizes = [network.n_inputs] + [m.size for m in network.layers]
    work = sum(
        2 * sizes[k] * sizes[j] * sizes[j - 1]
        for k in range(2, len(sizes))
        for j in range(1, k)
    )
    return int(np.clip(_ROUND / max(work, 1), 16, 512))


def sample(splittings, points):
    """Evaluate points of each of some splittings of one network."""
    values = splittings[0].network.propagate(np.concatenate(points))[0]
    values, at = np.concatenate(values, axis=1), 0
    for splitting, own in zip(splittings, points, strict=True):
        splitting.attain(values[at : at + len(own)])
        at += len(own)


def _corners(lower, upper):
    """All corners of the boxes, shape (B 2^k, n) where k inputs vary in some box."""
    free = np.flatnonzero((lower < upper).any(axis=0))
    bits = np.zeros((2**free.size, lower.shape[1]), dtype=int)
    bits[:, free] = (np.arange(2**free.size)[:, None] >> np.arange(free.size)) & 1
    return np.where(bits[:, None, :], lower, upper).reshape(-1, lower.shape[1])
