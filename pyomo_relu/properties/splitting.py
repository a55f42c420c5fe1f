"""Deciding a property by splitting boxes of the inputs until every case is refuted."""

import itertools

import numpy as np

from pyomo_relu.common.matrices import slices
from pyomo_relu.properties.bounding import RowBounder
from pyomo_relu.properties.regions import Region

#: Boxes bounded together, at most.
BATCH = 512

#: Rows of a case along which its box is shrunk, and how often.
_SHRINKING_ROWS, _SHRINKING_ROUNDS = 16, 2

#: Entries of one array over boxes and cases.
_LARGEST = 1 << 22


class Splitting:
    """Open boxes, each with the cases that are not refuted there.

    A case is refuted on a box where one of its rows is proven positive; a box is closed
    when all of its cases are.  All cases share the boxes and the bounds of the network.
    Boxes are shrunk to what the lines leave of their open cases, and split across the
    input to which most of the open rows' error is due.

    Parameters
    ----------
    network : Network
        Whose outputs are the property's rows.
    prop : Property
    allowance : numpy.ndarray, shape (n_rows,)
        A row counts as positive above this (``composition_error``).
    offer : callable
        Called with points, shape (N, n_inputs), on the way; True ends the search.

    Attributes
    ----------
    nodes : int
        Boxes bounded.
    """

    def __init__(self, network, prop, allowance, offer):
        self._root = RowBounder(network)
        self.prop = prop
        self.allowance = allowance
        self.offer = offer
        self.nodes = 0
        self._per_batch = 8
        self._stuck = np.inf
        self._refuted = np.inf
        self._rows, self._padded = _row_table(prop)
        self._open = self._roots()

    def __len__(self):
        return len(self._open[2])

    @property
    def bound(self):
        """Proven lower bound of the property's margin over all cases.

        Of closed boxes it counts what refuted them, and 0 of what was cut off.
        """
        least = self._open[2].min(initial=np.inf)
        return float(min(least, self._stuck, self._refuted))

    @property
    def stuck(self):
        """Whether boxes were left that cannot be split."""
        return np.isfinite(self._stuck) or self._stuck == -np.inf

    def _roots(self):
        boxes = {}
        for k, case in enumerate(self.prop.cases):
            key = case.lower.tobytes(), case.upper.tobytes()
            boxes.setdefault(key, []).append(k)
        n, cases = self.prop.n_inputs, self.prop.cases
        lower, upper = np.empty((2, len(boxes), n))
        alive = np.zeros((len(boxes), len(cases)), dtype=bool)
        for i, some in enumerate(boxes.values()):
            lower[i], upper[i] = cases[some[0]].lower, cases[some[0]].upper
            alive[i, some] = True
        regions = np.empty(len(boxes), dtype=object)
        for i in range(len(boxes)):
            regions[i] = Region(lower[i], upper[i], self._root)
        return lower, upper, np.full(len(boxes), -np.inf), alive, regions

    def work(self):
        """One batch of the open boxes of least bound; True if ``offer`` ended it."""
        lower, upper, _, alive, regions = self._pop()
        self.nodes += len(lower)
        for region in regions:
            region.count(1)
        margins = {}

        def is_open(part, least):
            margins[part.start] = m = self._margins(least, alive[part])
            return (m <= 0).any(axis=1)

        lines = regions[0].bounder.lines(lower, upper, is_open)
        margin = self._margins(lines.least, alive)
        self._book(margin)
        still = np.flatnonzero((margin <= 0).any(axis=1))
        if not still.size:
            return False
        lines = type(lines)(*(a[still] for a in lines))
        lower, upper, margin = lower[still], upper[still], margin[still]
        regions = regions[still]
        alive = margin <= 0
        if self.offer(_points(lower, upper, lines, self._rows, alive)):
            self._put((lower, upper, margin.min(axis=1), alive, regions))
            return True
        ends = lower, upper
        lower, upper, alive = self._shrunk(lower, upper, lines, alive)
        keep = alive.any(axis=1)
        if (lower > ends[0]).any() or (upper < ends[1]).any():
            self._refuted = min(self._refuted, 0.0)  # all that is known of what went
        bound = np.where(alive, margin, np.inf).min(axis=1)
        self._split(
            lower[keep],
            upper[keep],
            bound[keep],
            alive[keep],
            self._error(lines, alive)[keep],
            regions[keep],
        )
        return False

    # -- the open boxes ---------------------------------------------------------------

    def _pop(self):
        """Open boxes of least bound that are bounded with one network."""
        lower, upper, bound, _, regions = self._open
        best = int(bound.argmin())
        regions[best] = regions[best].of_box(lower[best], upper[best])
        if regions[best].due:
            regions[best].fold()
        bounder = regions[best].bounder
        same = np.array(
            [r.bounder is bounder and not r.due for r in regions], dtype=bool
        )
        some = np.flatnonzero(same)
        count = min(self._per_batch, some.size)
        self._per_batch = min(BATCH, 2 * self._per_batch)
        some = some[np.argpartition(bound[some], count - 1)[:count]]
        for i in some.tolist():
            regions[i] = regions[i].of_box(lower[i], upper[i])
        batch = tuple(a[some] for a in self._open)
        self._open = tuple(np.delete(a, some, axis=0) for a in self._open)
        return batch

    def _put(self, boxes):
        self._open = tuple(
            np.concatenate(pair) for pair in zip(self._open, boxes, strict=True)
        )

    def _book(self, margin):
        """Note the least margin by which cases were refuted."""
        positive = margin[(margin > 0) & np.isfinite(margin)]
        self._refuted = min(self._refuted, positive.min(initial=np.inf))

    def _margins(self, least, alive):
        """Largest proven row of each open case, (B, cases); inf for those not open."""
        least = least - self.allowance
        padded = np.concatenate([least, np.full((len(least), 1), -np.inf)], axis=1)
        result = np.full(alive.shape, np.inf)
        for part in slices(len(least), _LARGEST // max(1, self._padded.size)):
            largest = padded[part][:, self._padded].max(axis=2)
            result[part] = np.where(alive[part], largest, np.inf)
        return result

    # -- smaller boxes ----------------------------------------------------------------

    def _shrunk(self, lower, upper, lines, alive):
        """The hull of what the lines leave of each open case; cases without any close."""
        new_lower = np.full_like(lower, np.inf)
        new_upper = np.full_like(upper, -np.inf)
        alive = alive.copy()
        for k in np.flatnonzero(alive.any(axis=0)):
            some = np.flatnonzero(alive[:, k])
            lo, hi = lower[some], upper[some]
            for _, i in itertools.product(
                range(_SHRINKING_ROUNDS), self._rows[k][:_SHRINKING_ROWS]
            ):
                c = lines.c[some, i] - self.allowance[i]
                lo, hi = _cut(lo, hi, lines.A[some, i], c)
            left = (lo <= hi).all(axis=1)
            alive[some[~left], k] = False
            some, lo, hi = some[left], lo[left], hi[left]
            new_lower[some] = np.minimum(new_lower[some], lo)
            new_upper[some] = np.maximum(new_upper[some], hi)
        return new_lower, new_upper, alive

    def _error(self, lines, alive):
        """Error of the rows of open cases by input, (B, n)."""
        weight = np.zeros(lines.least.shape)
        for k in np.flatnonzero(alive.any(axis=0)):
            rows = self._rows[k]
            if not rows.size:
                continue
            # the row that is nearest to refuting the case
            near = rows[lines.least[:, rows].argmax(axis=1)]
            at = np.flatnonzero(alive[:, k])
            weight[at, near[at]] = 1.0
        return np.einsum("br,brn->bn", weight, lines.errors)

    def _split(self, lower, upper, bound, alive, error, regions):
        middle = 0.5 * lower + 0.5 * upper
        divisible = (lower < middle) & (middle < upper)
        width = upper - lower
        # where no line errs the widest input, in its own units, is as good as any
        gain = np.where(divisible, error, -1.0)
        none = ~(gain > 0).any(axis=1)
        gain[none] = np.where(divisible, width, -1.0)[none]
        each, edge = np.arange(len(lower)), gain.argmax(axis=1)
        stuck = ~divisible.any(axis=1)
        if stuck.any():
            self._stuck = min(self._stuck, bound[stuck].min())
        left_upper, right_lower = upper.copy(), lower.copy()
        left_upper[each, edge] = right_lower[each, edge] = middle[each, edge]
        go = ~stuck
        self._put(
            (
                np.concatenate([lower[go], right_lower[go]]),
                np.concatenate([left_upper[go], upper[go]]),
                np.concatenate([bound[go], bound[go]]),
                np.concatenate([alive[go], alive[go]]),
                np.concatenate([regions[go], regions[go]]),
            )
        )


def _row_table(prop):
    """Rows of each case, and as one array filled up with ``n_rows``."""
    rows = [case.rows for case in prop.cases]
    longest = max((r.size for r in rows), default=0)
    padded = np.full((len(rows), max(1, longest)), len(prop.constants))
    for k, r in enumerate(rows):
        padded[k, : r.size] = r
    return rows, padded


def _cut(lower, upper, a, c):
    """Ends of boxes shrunk to where ``a x + c <= 0`` may hold, a of shape (B, n).

    Each end is moved by what the others leave at most; the result is widened by far
    more than these few operations err by.
    """
    size = np.abs(a) * np.maximum(np.abs(lower), np.abs(upper))
    least = c + np.where(a > 0, a * lower, a * upper).sum(axis=1)
    least -= 1e-14 * (np.abs(c) + size.sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        room = -least[:, None] / np.abs(a)
    room = np.where(np.isfinite(room), room, np.inf)
    room = room + 1e-12 * (np.abs(room) + np.maximum(np.abs(lower), np.abs(upper)))
    new_upper = np.where(a > 0, np.minimum(upper, lower + room), upper)
    new_lower = np.where(a < 0, np.maximum(lower, upper - room), lower)
    return new_lower, new_upper


def _points(lower, upper, lines, rows, alive):
    """Centres, and where the nearest rows' lines are least."""
    middle = 0.5 * lower + 0.5 * upper
    score = np.where(alive, 0.0, -np.inf)
    case = score.argmax(axis=1)
    most = np.array(
        [
            rows[k][lines.least[b, rows[k]].argmax()] if rows[k].size else 0
            for b, k in enumerate(case)
        ],
        dtype=int,
    )
    A = lines.A[np.arange(len(lower)), most]
    return np.concatenate([middle, np.where(A > 0, lower, upper)])
