"""The cells that input boxes are split into: which are worth it, what was found."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pyomo_relu.bounds.crown.splitting_points import AttainedRanges, Halves
from pyomo_relu.linear.rounding import NEGLIGIBLE

if TYPE_CHECKING:
    from pyomo_relu.bounds.neuron_bounds import NeuronBounds
    from pyomo_relu.common.types import FloatArray

#: Multiply-adds of one round; a round bounds its cells in one batch.
_ROUND = 2e8

#: A sign still open is worth a tolerance this much smaller.
_SIGN = 0.05

#: Most entries of what the cells of several boxes hold.
_STORED = 1 << 24


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


class CellSplitting:
    """Cells of B boxes of one network, flat over layers, and what points attained.

    Each box's cells, points and choices are those that it has alone.

    Parameters
    ----------
    kernel : BackwardPass
    bases : BoundsOfBoxes
    max_cells : int
        Per box.
    neurons, tolerance
        See ``split_bounds``.

    Attributes
    ----------
    attained : AttainedRanges
    stopped : numpy.ndarray of object, shape (B,)
        Why each box is done; None before.
    open : numpy.ndarray of int
        The boxes that are not.
    union_low, union_high : numpy.ndarray, shape (B, neurons and outputs)
        Over the cells of each box, as of its last round.
    """

    #: Arrays with a row per cell.
    _CELLS = ("box_lower", "box_upper", "low", "high", "influence", "owner")
    #: Arrays with a row per box.
    _BOXES = ("open_high", "open_low", "stopped", "union_high", "union_low", "width")

    def __init__(self, kernel, bases, max_cells, neurons, tolerance):
        self.network = network = kernel.network
        self.neurons, self.tolerance = neurons, tolerance
        self.max_cells, self.batch = max_cells, batch_size(kernel)
        ends = np.cumsum([0] + [layer.size for layer in network.layers])
        self.slices = [slice(*pair) for pair in itertools.pairwise(ends)]
        count = len(bases)
        self.stopped = np.full(count, None, dtype=object)
        self.open = np.arange(count)
        self.n_cells, self.owner = count, np.arange(count)
        self.box_lower = bases.input_lower.copy()
        self.box_upper = bases.input_upper.copy()
        self.low = np.concatenate(bases.lower, axis=1)
        self.high = np.concatenate(bases.upper, axis=1)
        self.influence = np.ones(bases.input_lower.shape)
        self.union_low, self.union_high = self.low.copy(), self.high.copy()
        self.open_low, self.open_high = np.zeros((2, *self.low.shape), dtype=bool)
        self.width = np.ones(self.low.shape)
        self.attained = AttainedRanges(network, self.slices, bases)

    def next_round(self, deadline):
        """Halves of the cells that are worst; None once every box is at a limit."""
        if not self.open.size:
            return None
        cells, starts, local = self._cells_of_open()
        score = self._scores(cells, starts, local)
        counts = np.diff(np.append(starts, cells.size))
        order = np.lexsort((-score, local))  # box by box, the worst first
        worth = score[order] > 0
        room = np.minimum(self.batch, self.max_cells - counts)
        chosen = worth & (np.arange(cells.size) - starts[local] < room[local])
        some_worth = np.bincount(local[worth], minlength=starts.size) > 0
        late = deadline.passed()
        reasons = [~some_worth, room <= 0, np.full(starts.size, late)]
        done = np.any(reasons, axis=0)
        why = np.select(reasons, ["tolerance", "cells", "time"], "")
        self.stopped[self.open[done]] = why[done]
        chosen &= ~done[local]
        at = cells[order[chosen]]
        boxes, self.open = self.open, self.open[~done]
        if not self.open.size:
            return None
        self.attained.rounds += 1
        return self._halves(at, boxes[local[chosen]])

    def result(self, base: NeuronBounds, bounds: NeuronBounds):
        """SplitResult of the only box: the union, the cells and what was attained."""
        n = self.n_cells
        cells = Cells(
            self.box_lower[:n].copy(),
            self.box_upper[:n].copy(),
            [a.copy() for a in self.layers(self.low[:n])],
            [a.copy() for a in self.layers(self.high[:n])],
        )
        ends = self.attained.low[0], self.attained.high[0]
        attained = map(self.layers, ends)
        return SplitResult(base.intersect(bounds), cells, *attained, self.stopped[0])

    # -- fewer boxes -----------------------------------------------------------------

    @property
    def too_large(self):
        """Whether the cells take much memory, and fewer boxes would take less."""
        return self.open.size > 1 and self.low.size > _STORED

    def part(self, boxes):
        """The same of some open boxes only, to go on with and to ``absorb``."""
        other = copy.copy(self)
        number = np.full(len(self.stopped), -1)
        number[boxes] = np.arange(boxes.size)
        keep = np.flatnonzero(number[self.owner[: self.n_cells]] >= 0)
        for name in self._CELLS:
            setattr(other, name, getattr(self, name)[keep])
        for name in self._BOXES:
            setattr(other, name, getattr(self, name)[boxes])
        other.attained = self.attained.part(boxes)
        other.owner, other.n_cells = number[other.owner], keep.size
        other.open = np.arange(boxes.size)
        return other

    def absorb(self, boxes, part):
        """Take what a part found for the boxes that it was made of."""
        for name in self._BOXES:
            getattr(self, name)[boxes] = getattr(part, name)
        self.attained.absorb(boxes, part.attained)

    def release(self):
        """Forget all cells, whose boxes parts have taken over."""
        for name in self._CELLS:
            setattr(self, name, getattr(self, name)[:0])
        self.n_cells, self.open = 0, self.open[:0]

    # -- choice --------------------------------------------------------------------

    def _cells_of_open(self):
        """The open boxes' cells, box by box, where each begins, and whose each is."""
        owner = self.owner[: self.n_cells]
        if len(self.stopped) == 1:
            return np.arange(owner.size), np.zeros(1, dtype=int), owner
        is_open = np.zeros(len(self.stopped), dtype=bool)
        is_open[self.open] = True
        cells = np.flatnonzero(is_open[owner])
        cells = cells[np.argsort(owner[cells], kind="stable")]
        local = np.searchsorted(self.open, owner[cells])
        starts = np.searchsorted(local, np.arange(self.open.size))
        return cells, starts, local

    def _scores(self, cells, starts, local):
        """How much each cell is worth splitting; sets unions and what is open."""
        boxes, alone = self.open, starts.size == 1
        # no copies where there is one box
        rows = slice(cells.size) if len(self.stopped) == 1 else cells
        low, high = self.low[rows], self.high[rows]
        union_low = np.minimum.reduceat(low, starts, axis=0)
        union_high = np.maximum.reduceat(high, starts, axis=0)
        self.union_low[boxes], self.union_high[boxes] = union_low, union_high
        allowed_low, allowed_high, width = self._allowed(boxes, union_low, union_high)
        targets = self._targets(union_low, union_high)
        self.open_low[boxes] = open_low = targets & (union_low < allowed_low)
        self.open_high[boxes] = open_high = targets & (union_high > allowed_high)
        self.width[boxes] = width
        score = np.zeros(cells.size)
        for bounds, allowed, is_open, sign in (
            (low, allowed_low, open_low, -1.0),
            (high, allowed_high, open_high, 1.0),
        ):
            at = np.flatnonzero(is_open.any(axis=0))
            if at.size:
                of_cell = slice(None) if alone else local
                limit, size = allowed[:, at][of_cell], width[:, at][of_cell]
                excess = sign * (bounds[:, at] - limit) / size
                if not alone:
                    excess[~is_open[:, at][local]] = 0.0
                score = np.maximum(score, excess.max(axis=1))
        lower, upper = self.box_lower[cells], self.box_upper[cells]
        middle = 0.5 * lower + 0.5 * upper
        divisible = (lower < middle) & (middle < upper)
        score[~divisible.any(axis=1)] = 0.0
        return score

    def _allowed(self, boxes, union_low, union_high):
        """Bounds that are good enough, and the range attained, per box and neuron."""
        low, high = self.attained.low[boxes], self.attained.high[boxes]
        size = np.maximum(np.abs(low), np.abs(high))
        width = np.maximum(high - low, np.maximum(1e-9 * size, NEGLIGIBLE))
        slack = self.tolerance * width
        sign_low = (low >= 0) & (union_low < 0)
        sign_high = (high <= 0) & (union_high > 0)
        slack_low = np.where(sign_low, _SIGN * slack, slack)
        slack_high = np.where(sign_high, _SIGN * slack, slack)
        return low - slack_low, high + slack_high, width

    def _targets(self, union_low, union_high):
        """The neurons and outputs that drive the splitting, per box."""
        targets = np.full(union_low.shape, self.neurons == "all")
        targets[:, self.slices[-1]] = True
        if self.neurons == "unstable":
            for part, layer in zip(
                self.slices, self.network.activation_layers, strict=False
            ):
                low, high = union_low[:, part], union_high[:, part]
                crosses = (low < 0) | (high > layer.ceilings)
                targets[:, part] = crosses & (high > 0) & (low < layer.ceilings)
        return targets

    # -- one round -----------------------------------------------------------------

    def _halves(self, chosen, boxes):
        """Both halves of the chosen cells, next to each other."""
        lower, upper = self.box_lower[chosen], self.box_upper[chosen]
        middle = 0.5 * lower + 0.5 * upper
        divisible = (lower < middle) & (middle < upper)
        gain = np.where(divisible, self.influence[chosen] * (upper - lower), -1.0)
        each, edge = np.arange(chosen.size), gain.argmax(axis=1)
        lower, upper = np.repeat(lower, 2, axis=0), np.repeat(upper, 2, axis=0)
        upper[2 * each, edge] = lower[2 * each + 1, edge] = middle[each, edge]
        at = np.empty(2 * chosen.size, dtype=int)
        at[::2], at[1::2] = chosen, self.n_cells + each
        self._reserve(self.n_cells + chosen.size)
        starts = np.flatnonzero(np.append(True, boxes[1:] != boxes[:-1]))
        parents = np.repeat(chosen, 2)
        self.owner[at[1::2]] = boxes
        self.n_cells += chosen.size
        return Halves(boxes[starts], 2 * starts, at, parents, lower, upper)

    def known(self, halves):
        """The parents' bounds by layer, lower and upper ones."""
        return [self.layers(a[halves.parents]) for a in (self.low, self.high)]

    def weights(self, halves):
        """Which neurons are open, (G, size), and each half's weights, (H, 2, size)."""
        boxes = halves.boxes
        low, high = self.open_low[boxes], self.open_high[boxes]
        weight = np.stack([low, high], axis=1) / self.width[boxes][:, None]
        counts = np.diff(np.append(halves.starts, halves.at.size))
        return self.layers(low | high), self.layers(np.repeat(weight, counts, axis=0))

    def take(self, halves, low, high, influence):
        """Put halves and their bounds in the place of the cells that were halved."""
        at, lower, upper = halves.at, halves.lower, halves.upper
        self.box_lower[at], self.box_upper[at] = lower, upper
        for part, lo, hi in zip(self.slices, low, high, strict=True):
            self.low[at, part], self.high[at, part] = lo, hi
        # Interval arithmetic gives no influence: then the longest edge is split.
        none = ~(influence * (upper - lower) > 0).any(axis=1)
        self.influence[at] = np.where(none[:, None], 1.0, influence)

    def _reserve(self, n):
        most = self.max_cells * len(self.stopped)
        for name in self._CELLS:
            old = getattr(self, name)
            if len(old) < n:
                shape = max(n, min(most, 2 * n)), *old.shape[1:]
                new = np.empty(shape, dtype=old.dtype)
                new[: self.n_cells] = old[: self.n_cells]
                setattr(self, name, new)

    def layers(self, flat):
        """Parts of an array over all neurons, by layer."""
        return [flat[..., part] for part in self.slices]


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
