"""What neurons attain at points of the boxes and cells that splitting works on."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pyomo_relu.common.matrices import slices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyomo_relu.common.types import FloatArray

#: All corners of a cell, or of the box, are evaluated up to this many varying inputs.
_ALL_CORNERS, _FIRST_CORNERS = 4, 8

#: Points at the start: times the square of the varying inputs, and at most.
_POINTS, _MOST_POINTS = 100, 1000

#: Most entries of an array with a row per point.
_ENTRIES = 1 << 18


class Halves(NamedTuple):
    """A round's halved cells, those of one input box next to each other.

    Attributes
    ----------
    boxes : numpy.ndarray of int, shape (G,)
        Which input boxes.
    starts : numpy.ndarray of int, shape (G,)
        Where each one's halves begin.
    at, parents : numpy.ndarray of int, shape (H,)
        Where they go, and the cells that they are halves of.
    lower, upper : numpy.ndarray, shape (H, n_inputs)
    """

    boxes: NDArray[np.intp]
    starts: NDArray[np.intp]
    at: NDArray[np.intp]
    parents: NDArray[np.intp]
    lower: FloatArray
    upper: FloatArray

    def pieces(self, most):
        """The same in pieces of about ``most`` halves, each of whole boxes."""
        ends = np.append(self.starts[1:], self.at.size)
        cuts = np.flatnonzero(np.diff(ends // most)) + 1
        for some in np.split(np.arange(self.boxes.size), cuts):
            first = self.starts[some[0]]
            rows = slice(first, ends[some[-1]])
            starts = self.starts[some] - first
            yield Halves(self.boxes[some], starts, *(a[rows] for a in self[2:]))


class AttainedRanges:
    """Least and greatest values at points that are the same with or without other boxes.

    Parameters
    ----------
    network : Network
    slices : list of slice
        Of the layers, in arrays over all neurons and outputs.
    bases : BoundsOfBoxes

    Attributes
    ----------
    low, high : numpy.ndarray, shape (B, neurons and outputs)
    rounds : int
        Rounds of splitting so far.
    """

    def __init__(self, network, slices, bases):
        self.network, self.slices, self.rounds = network, slices, 0
        self.lower, self.upper = bases.input_lower, bases.input_upper
        shape = len(bases), slices[-1].stop
        self.low, self.high = np.full(shape, np.inf), np.full(shape, -np.inf)
        self._first_points()

    def part(self, boxes):
        """The same of some boxes only."""
        other = copy.copy(self)
        for name in ("lower", "upper", "low", "high"):
            setattr(other, name, getattr(self, name)[boxes])
        return other

    def absorb(self, boxes, part):
        """Take what a part found for the boxes that it was made of."""
        self.low[boxes], self.high[boxes] = part.low, part.high

    def _attain(self, points, boxes, starts):
        """Take note of values at points, those of each box from its start on."""
        for part, v in zip(self.slices, self.network.propagate(points)[0], strict=True):
            for attained, reduce in (
                (self.low, np.minimum),
                (self.high, np.maximum),
            ):
                found = reduce.reduceat(v, starts, axis=0)
                attained[boxes, part] = reduce(attained[boxes, part], found)

    def _first_points(self):
        """Values at random points of each box, and its corners where these are few."""
        lower, upper = self.lower, self.upper
        n_varying = np.count_nonzero(lower < upper, axis=1)
        entries = max(lower.shape[1], *(s.stop - s.start for s in self.slices))
        for n in np.unique(n_varying).tolist():
            count = min(_MOST_POINTS, _POINTS * n * n)
            X = np.random.default_rng(0).uniform(size=(count, lower.shape[1]))
            boxes = np.flatnonzero(n_varying == n)
            most = count + (2**n if n <= _FIRST_CORNERS else 0)
            for part in slices(boxes.size, _ENTRIES // (most * entries)):
                some = boxes[part]
                lo, hi = lower[some][:, None], upper[some][:, None]
                points = np.minimum(lo + X * (hi - lo), hi)
                if n <= _FIRST_CORNERS:
                    corners = _corners(lower[some], upper[some], n)
                    points = np.concatenate([points, corners], axis=1)
                starts = np.arange(some.size) * points.shape[1]
                self._attain(points.reshape(-1, lower.shape[1]), some, starts)

    def sample(self, halves):
        """Values at the halves' centres and corners, or at some of the corners."""
        lower, upper = halves.lower, halves.upper
        varying = (self.lower < self.upper)[halves.boxes]
        n_varying = np.count_nonzero(varying, axis=1)
        counts = np.diff(np.append(halves.starts, halves.at.size))
        for few in (True, False):
            which = np.flatnonzero((n_varying <= _ALL_CORNERS) == few)
            if not which.size:
                continue
            rows = np.flatnonzero(np.repeat((n_varying <= _ALL_CORNERS) == few, counts))
            lo, hi = lower[rows], upper[rows]
            points = [(0.5 * lo + 0.5 * hi)[:, None]]
            if few:
                order = np.argsort(~varying[which], axis=1, kind="stable")
                order = np.repeat(order, counts[which], axis=0)
                points.append(_corners(lo, hi, int(n_varying[which].max()), order))
            else:
                # the first rows of a table that depends on the round alone
                table = np.random.default_rng(self.rounds).random(
                    (int(counts[which].max()), 4, lo.shape[1])
                )
                own = np.concatenate([np.arange(n) for n in counts[which].tolist()])
                pick = table[own] < 0.5
                points.append(np.where(pick, lo[:, None], hi[:, None]))
            points = np.concatenate(points, axis=1)
            starts = np.append(0, np.cumsum(counts[which])[:-1]) * points.shape[1]
            flat = points.reshape(-1, lo.shape[1])
            self._attain(flat, halves.boxes[which], starts)


def _corners(lower, upper, k, order=None):
    """All corners of boxes in k of their inputs, shape (B, 2^k, n).

    ``order`` has each box's inputs with the varying ones first; by default found here.
    """
    if order is None:
        order = np.argsort(~(lower < upper), axis=1, kind="stable")
    bits = ((np.arange(2**k)[:, None] >> np.arange(k)) & 1).astype(bool)
    corners = np.repeat(lower[:, None], 2**k, axis=1)
    columns = order[:, None, :k]
    ends = [
        np.take_along_axis(a, order[:, :k], axis=1)[:, None] for a in (lower, upper)
    ]
    np.put_along_axis(corners, columns, np.where(bits, ends[1], ends[0]), axis=2)
    return corners
