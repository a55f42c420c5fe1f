"""Boxes that cover what parts can do, with proven lines on each.

Parts with networks of one architecture are a *family*: their boxes stand in the same arrays, so that one
expression bounds all of them, whatever linear function is asked for.
"""

from dataclasses import dataclass, replace

import numpy as np

from pyomo_relu.branch.bounding.lines.lines import FunctionLines
from pyomo_relu.linear.rounding import NEGLIGIBLE, gamma, rounding

#: Covers the rounding of error bounds, as in ``linear.certificate``.
_MARGIN = 1.0 + 1e-6

#: Boxes get new lines where an edge becomes shorter than this share of it.
_SHRUNK = 0.95


@dataclass(frozen=True, eq=False)
class Cover:
    """B boxes of the inputs of a family's parts; together they contain all points.

    Parameters
    ----------
    owner : numpy.ndarray of int, shape (B,)
        Position of each box's part in the family.
    lower, upper : numpy.ndarray, shape (B, n)
    lines : FunctionLines
        Of all outputs, over the boxes or larger ones.
    """

    owner: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    lines: FunctionLines

    @classmethod
    def of_boxes(cls, networks, owner, lower, upper):
        """With lines made by the MemberNetworks."""
        owner = np.asarray(owner, dtype=int)
        lines = networks.lines(owner, lower, upper)
        lines.hidden = ((), ())
        return cls(owner, lower, upper, lines)

    def __len__(self):
        return self.owner.size

    def __getitem__(self, boxes):
        return Cover(
            self.owner[boxes], self.lower[boxes], self.upper[boxes], self.lines[boxes]
        )

    def of_owners(self, first, last):
        """The boxes of some parts, which are counted from 0 on."""
        some = self[(self.owner >= first) & (self.owner < last)]
        return replace(some, owner=some.owner - first)

    def with_owners_from(self, first):
        """The boxes as those of parts that are counted from ``first`` on."""
        return replace(self, owner=self.owner + first) if first else self

    def least(self, bounds, n_parts):
        """The least of the boxes' values of each part, shape (n_parts,)."""
        least = np.full(n_parts, np.inf)
        np.minimum.at(least, self.owner, bounds)
        return least

    @staticmethod
    def joined(covers):
        """The boxes of several covers."""
        if len(covers) == 1:
            return covers[0]
        return Cover(
            np.concatenate([c.owner for c in covers]),
            np.concatenate([c.lower for c in covers]),
            np.concatenate([c.upper for c in covers]),
            FunctionLines.joined([c.lines for c in covers]),
        )

    def bounds(self, costs):
        """Proven lower bounds of linear functions of inputs and outputs on each box.

        Parameters
        ----------
        costs : numpy.ndarray, shape (K, n + m)
            One function per part of the family.

        Returns
        -------
        bounds : numpy.ndarray, shape (B,)
        minimisers : numpy.ndarray, shape (B, n)
            Of the lines, corners of the boxes.
        """
        c = costs[self.owner]
        each = [self._combined(c, lines) for lines in (self.lines, *self.lines.further)]
        size = sum(s for _, _, s in each)
        # beside sums over inputs and outputs, what mixing two lines takes
        error = _MARGIN * gamma(2 * c.shape[1] + 16) * size + NEGLIGIBLE
        (slope, constant, _), *others = each
        if others:
            value, minimisers = _best_mixture(
                self.lower, self.upper, slope, constant, *others[0][:2]
            )
        else:
            minimisers = np.where(slope > 0, self.lower, self.upper)
            value = (slope * minimisers).sum(axis=1) + constant
        return value - error, minimisers

    def _combined(self, c, lines):
        """Slopes, constants and sizes of the terms of the lines' sum with weights."""
        n = self.lower.shape[1]
        up, down = np.maximum(c[:, None, n:], 0.0), np.minimum(c[:, None, n:], 0.0)
        slope = c[:, :n] + (up @ lines.low + down @ lines.high)[:, 0]
        up_, down_ = up[:, 0], down[:, 0]
        constant = (up_ * lines.low_const + down_ * lines.high_const).sum(axis=1)
        size = np.abs(c[:, :n])
        size = size + (up @ np.abs(lines.low) - down @ np.abs(lines.high))[:, 0]
        reach = np.maximum(np.abs(self.lower), np.abs(self.upper))
        of_constants = up_ * np.abs(lines.low_const) - down_ * np.abs(lines.high_const)
        return slope, constant, (size * reach).sum(axis=1) + of_constants.sum(axis=1)

    def ranges(self):
        """Proven least and largest value of each output on each box, shapes (B, m)."""
        found = []
        for slope, constant, sign in (
            (self.lines.low, self.lines.low_const, 1),
            (self.lines.high, self.lines.high_const, -1),
        ):
            low, high = self.lower[:, None], self.upper[:, None]
            at = np.where(sign * slope > 0, low, high)
            value = (slope * at).sum(axis=2) + constant
            reach = np.maximum(np.abs(low), np.abs(high))
            size = (np.abs(slope) * reach).sum(axis=2) + np.abs(constant)
            terms = slope.shape[2] + 4
            found.append(value - sign * rounding(size, operations=terms))
        return tuple(found)

    def within(self, networks, lower, upper):
        """What of the boxes lies within boxes of inputs and outputs.

        Boxes that get much smaller get new lines; those whose outputs all lie outside
        are left out.

        Parameters
        ----------
        networks : MemberNetworks
        lower, upper : numpy.ndarray, shape (K, n + m)
            Of each part.
        """
        n = self.lower.shape[1]
        low = np.maximum(self.lower, lower[self.owner, :n])
        high = np.minimum(self.upper, upper[self.owner, :n])
        inside = (low <= high).all(axis=1)
        width = self.upper - self.lower
        smaller = ((high - low < _SHRUNK * width) & (width > 0)).any(axis=1)
        clipped = Cover(self.owner, low, high, self.lines)
        if not inside.all():
            clipped, smaller = clipped[inside], smaller[inside]
        if smaller.any():
            some = clipped[smaller]
            new = Cover.of_boxes(networks, some.owner, some.lower, some.upper)
            clipped = Cover.joined([clipped[~smaller], new])
        least, most = clipped.ranges()
        owner = clipped.owner
        inside = (most >= lower[owner, n:]) & (least <= upper[owner, n:])
        inside = inside.all(axis=1)
        return clipped if inside.all() else clipped[inside]

    def hull(self, n_parts):
        """Box of each part's inputs and outputs, shapes (K, n + m); crossed if empty."""
        least, most = self.ranges()
        low = np.full((n_parts, self.lower.shape[1] + least.shape[1]), np.inf)
        high = -low
        np.minimum.at(low, self.owner, np.concatenate([self.lower, least], axis=1))
        np.maximum.at(high, self.owner, np.concatenate([self.upper, most], axis=1))
        return low, high

    def merged(self, networks, n_parts):
        """One box per part, around all of its boxes."""
        low, high = self.hull(n_parts)
        n = self.lower.shape[1]
        at = np.flatnonzero((low <= high).all(axis=1))
        return Cover.of_boxes(networks, at, low[at, :n], high[at, :n])

    def contains(self, owner, X):
        """Whether points of parts lie in a box of theirs, shape (N,)."""
        found = np.zeros(len(X), dtype=bool)
        owners = np.unique(owner)
        of_points, of_boxes = np.argsort(owner), np.argsort(self.owner)
        points = _groups(owner[of_points], owners)
        boxes = _groups(self.owner[of_boxes], owners)
        for some, mine in zip(points, boxes, strict=True):
            at, mine = of_points[some], of_boxes[mine]
            x = X[at, None, :]
            inside = (x >= self.lower[mine]) & (x <= self.upper[mine])
            found[at] = inside.all(axis=2).any(axis=1)
        return found

    def halves(self, networks, integer, costs):
        """All boxes halved along the input that most of their lines' error is due to.

        Parameters
        ----------
        networks : MemberNetworks
        integer : numpy.ndarray of bool, shape (K, n)
            Inputs that are whole numbers: halves leave out what is between these.
        costs : numpy.ndarray, shape (K, n + m)
            The lines' weights.

        Returns
        -------
        Cover or None
            None if no box can be halved.
        stuck : numpy.ndarray of bool, shape (B,)
            Boxes that cannot.
        """
        n = self.lower.shape[1]
        c = costs[self.owner, n:]
        weights = np.concatenate([np.maximum(c, 0.0), np.maximum(-c, 0.0)], axis=1)
        score = (weights[:, None, :] @ self.lines.errors)[:, 0]
        width = self.upper - self.lower
        whole = integer[self.owner]
        middle = 0.5 * (self.lower + self.upper)
        middle = np.where(whole, np.floor(middle), middle)
        first = np.where(whole, middle + 1.0, middle)
        can = (width > 0) & (middle < self.upper) & (first > self.lower)
        can &= whole | ((middle > self.lower) & (middle < self.upper))
        none = (np.where(can, score, 0.0) <= 0).all(axis=1)
        score[none] = width[none]
        score[~can] = -1.0
        j = score.argmax(axis=1)
        rows = np.arange(len(self))
        stuck = ~can[rows, j]
        if stuck.all():
            return None, stuck
        rows, j = rows[~stuck], j[~stuck]
        some = np.arange(rows.size)
        left, right = self.upper[rows], self.lower[rows]
        left[some, j], right[some, j] = middle[rows, j], first[rows, j]
        lower = np.concatenate([self.lower[rows], right])
        upper = np.concatenate([left, self.upper[rows]])
        owner = np.concatenate([self.owner[rows]] * 2)
        return Cover.of_boxes(networks, owner, lower, upper), stuck


def _groups(ascending, values):
    """Where each of some values stands in an ascending array, as slices."""
    first = np.searchsorted(ascending, values)
    last = np.searchsorted(ascending, values, side="right")
    return [slice(*ends) for ends in zip(first, last, strict=True)]


def _best_mixture(lower, upper, slope, constant, slope_2, constant_2):
    """Largest least value over boxes of a mixture of two linear functions.

    For ``(1 - t) f + t g`` it is concave and piecewise linear in t, with kinks where a
    slope becomes zero; there the function is least where f and g are equal.

    Parameters
    ----------
    lower, upper, slope, slope_2 : numpy.ndarray, shape (B, n)
    constant, constant_2 : numpy.ndarray, shape (B,)

    Returns
    -------
    values : numpy.ndarray, shape (B,)
        To rounding.
    minimisers : numpy.ndarray, shape (B, n)
    """
    B = len(slope)
    turn, rise = slope_2 - slope, constant_2 - constant
    with np.errstate(divide="ignore", invalid="ignore"):
        kinks = -slope / turn
    kinks = np.where((kinks > 0) & (kinks < 1), kinks, 0.0)
    t = np.concatenate([np.tile([0.0, 1.0], (B, 1)), kinks], axis=1)
    slopes = slope[:, None] + t[:, :, None] * turn[:, None]
    at = np.where(slopes > 0, lower[:, None], upper[:, None])
    values = (slopes * at).sum(axis=2) + constant[:, None] + t * rise[:, None]
    rows, best = np.arange(B), values.argmax(axis=1)
    minimisers = at[rows, best]
    inner = np.flatnonzero((best >= 2) & (t[rows, best] > 0))
    j = best[inner] - 2
    x, apart = minimisers[inner], turn[inner, j]
    others = (
        (turn[inner] * x).sum(axis=1) + rise[inner] - apart * x[np.arange(j.size), j]
    )
    equal = np.clip(-others / apart, lower[inner, j], upper[inner, j])
    minimisers[inner, j] = equal
    return values[rows, best], minimisers
