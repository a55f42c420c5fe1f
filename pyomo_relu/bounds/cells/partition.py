"""Cells of the input box with linear functions below and above the outputs on each.

Which cells a model needs is decided elsewhere (``cells.refinement``); no Pyomo in here.
"""

import heapq
from dataclasses import dataclass

import numpy as np

from pyomo_relu.bounds.crown.crown import crown_batch, output_lines
from pyomo_relu.common.arguments import bounds_record, checked
from pyomo_relu.errors import BoundsError, InfeasibleError
from pyomo_relu.linear.rounding import NEGLIGIBLE, OF_MANY_TERMS
from pyomo_relu.linear.unit_range import factors

#: Slack of the model's rows on cells, relative to the size of a row's terms (or to 1
#: where that is alike): no less than what solvers' feasibility tolerances accept.
_FEASIBLE = 1e-6

#: A split point is kept away from a cell's ends by this share of its edge.
_MARGIN = 0.15


@dataclass
class Boxes:
    """Boxes of the inputs with all that is known on each.

    Attributes
    ----------
    lower, upper : numpy.ndarray, shape (N, n_inputs)
    lowers, uppers : list of numpy.ndarray, shapes (N, layer size)
        Proven pre-activation bounds, the outputs' last.
    lines : tuple of numpy.ndarray
        ``A_low, c_low, A_high, c_high``, shapes (N, n_outputs, n_inputs) and
        (N, n_outputs).
    """

    lower: np.ndarray
    upper: np.ndarray
    lowers: list
    uppers: list
    lines: tuple

    def __len__(self):
        return len(self.lower)

    def __getitem__(self, at):
        return Boxes(
            self.lower[at],
            self.upper[at],
            [a[at] for a in self.lowers],
            [a[at] for a in self.uppers],
            tuple(a[at] for a in self.lines),
        )

    def joined(self, other):
        """These boxes, then the others."""
        pair = lambda a, b: np.concatenate([a, b])
        return Boxes(
            pair(self.lower, other.lower),
            pair(self.upper, other.upper),
            [pair(a, b) for a, b in zip(self.lowers, other.lowers, strict=True)],
            [pair(a, b) for a, b in zip(self.uppers, other.uppers, strict=True)],
            tuple(pair(a, b) for a, b in zip(self.lines, other.lines, strict=True)),
        )

    def gaps(self, weight):
        """Largest distance between the lines, outputs weighted, shape (N,)."""
        A_low, c_low, A_high, c_high = self.lines
        slope = A_high - A_low
        centre = 0.5 * (self.lower + self.upper)
        radius = 0.5 * (self.upper - self.lower)
        gap = np.einsum("con,cn->co", slope, centre) + c_high - c_low
        gap += np.einsum("con,cn->co", np.abs(slope), radius)
        return (gap * weight).max(axis=1)


class CellPartition:
    """Boxes that cover the input box, refined on request, with CROWN's output lines.

    They are the leaves of a tree of halvings, which is kept: halves can be merged again.
    On cell c every input x satisfies
    ``A_low[c] x + c_low[c] <= f(x) <= A_high[c] x + c_high[c]``.

    Parameters
    ----------
    bounds : NeuronBounds
        Proven bounds on the input box; the cells' bounds start from them.

    Attributes
    ----------
    cells : Boxes
        The C cells; also as ``lower``, ``upper``, ``lowers``, ``uppers`` and ``lines``.
    exact : bool
        True if the lines are the network itself, to rounding.
    """

    @checked(BoundsError, bounds=bounds_record)
    def __init__(self, bounds, rows=None):
        self.network = bounds.network
        self.rows = None if rows is None else _checked_rows(bounds.network, rows)
        start = [a[None] for a in bounds.lower], [a[None] for a in bounds.upper]
        box = bounds.input_lower[None].copy(), bounds.input_upper[None].copy()
        self._tree = self._bound(*box, start)
        self._parent = np.array([-1])
        self._show(np.array([0]))
        self.exact = False
        self._check_rows()
        low, high = self._tree.lowers[-1][0], self._tree.uppers[-1][0]
        size = np.maximum(np.abs(low), np.abs(high))
        self.weight = 1.0 / np.maximum(
            high - low, OF_MANY_TERMS * (factors(size) + size)
        )

    def __len__(self):
        return len(self.cells)

    def _show(self, leaves):
        """Make nodes of the tree the cells."""
        self._leaves = leaves
        self.cells = cells = self._tree[leaves]
        self.lower, self.upper, self.lines = cells.lower, cells.upper, cells.lines
        self.lowers, self.uppers = cells.lowers, cells.uppers

    def _bound(self, lower, upper, start):
        lowers, uppers = crown_batch(
            self.network, lower, upper, start, unstable_only=True
        )
        lines = output_lines(self.network, lower, upper, lowers, uppers)
        return Boxes(lower, upper, lowers, uppers, lines)

    # -- what is known -------------------------------------------------------------

    def gaps(self):
        """Per cell, the largest distance between the lines, shape (C,).

        In units of each output's proven range on the whole box; the largest output
        counts.
        """
        return self.cells.gaps(self.weight)

    def gaps_at(self, points):
        """Distance between the lines at one point per cell, summed over outputs."""
        A_low, c_low, A_high, c_high = self.lines
        gap = np.einsum("con,cn->co", A_high - A_low, points) + c_high - c_low
        return np.maximum(gap, 0.0)

    def states(self):
        """Per activation layer, (inactive, active, at ceiling), bool (C, size) each."""
        found = []
        for k, layer in enumerate(self.network.activation_layers):
            lo, hi = self.lowers[k], self.uppers[k]
            inactive = hi <= 0
            active = (lo >= 0) & ~inactive
            fixed = np.zeros_like(active)
            if layer.ceiling is not None:
                fixed = (lo >= layer.ceiling) & ~inactive
                active &= (hi <= layer.ceiling) & ~fixed
            found.append((inactive, active, fixed))
        return found

    def cell_rows(self):
        """The model's rows on each cell, in its weight and scaled inputs.

        With cell c at ``x = lower + width * d`` row r reads
        ``base[c, r] + step[c, r] . d <= 0``; the outputs are replaced by the lines
        that make the row weakest.  Every row has a slack of the size that solvers
        accept as feasible: points that satisfy the model's own rows up to a tolerance,
        or up to the rounding in here, satisfy these.

        Returns
        -------
        base, step : numpy.ndarray, shapes (C, R) and (C, R, n_inputs)
        """
        on_inputs, on_outputs, rhs = self.rows
        A_low, c_low, A_high, c_high = self.lines
        plus, minus = np.maximum(on_outputs, 0.0), np.minimum(on_outputs, 0.0)
        slope = on_inputs + np.einsum("ro,con->crn", plus, A_low)
        slope += np.einsum("ro,con->crn", minus, A_high)
        base = c_low @ plus.T + c_high @ minus.T - rhs
        base += np.einsum("crn,cn->cr", slope, self.lower)
        size = np.abs(rhs) + np.abs(c_low) @ plus.T - np.abs(c_high) @ minus.T
        farthest = np.maximum(np.abs(self.lower), np.abs(self.upper))
        size += np.einsum("crn,cn->cr", np.abs(slope), farthest)
        base -= _FEASIBLE * np.maximum(size, factors(size.max(axis=0, initial=0.0)))
        return base, slope * (self.upper - self.lower)[:, None, :]

    def _check_rows(self):
        """Remove cells that the model's rows leave no point of."""
        if self.rows is None or not len(self.rows[2]):
            return
        base, step = self.cell_rows()
        least = base + np.minimum(step, 0.0).sum(axis=2)
        keep = ~(least > 0).any(axis=1)
        if keep.all():
            return
        if not keep.any():
            raise InfeasibleError(
                f"{self.network.name}: no point of the input box satisfies the rows "
                "and bounds on the network's inputs and outputs (proven). Check them."
            )
        self._show(self._leaves[keep])

    # -- refinement ----------------------------------------------------------------

    def split(self, chosen, points=None):
        """Split cells in two, each across the input that closes most of its gap.

        Parameters
        ----------
        chosen : array_like of int
            Cells; those of zero width are left as they are.
        points : numpy.ndarray, shape (len(chosen), n_inputs), optional
            Where to split, moved towards the middle if too close to an end.  Default:
            the middle.

        Returns
        -------
        int
            Number of cells that were split.
        """
        chosen = np.asarray(chosen, dtype=int)
        edge = self.upper[chosen] - self.lower[chosen]
        middle = self.lower[chosen] + 0.5 * edge
        divisible = (self.lower[chosen] < middle) & (middle < self.upper[chosen])
        keep = divisible.any(axis=1)
        chosen, edge, middle, divisible = (
            a[keep] for a in (chosen, edge, middle, divisible)
        )
        if not chosen.size:
            return 0
        if points is not None:
            middle = np.clip(
                points[keep],
                self.lower[chosen] + _MARGIN * edge,
                self.upper[chosen] - _MARGIN * edge,
            )
        cell, dim = np.nonzero(divisible)
        both = self._halves(chosen[cell], dim, middle[cell, dim])
        gaps = both.gaps(self.weight)
        score = np.full(divisible.shape, np.inf)
        score[cell, dim] = gaps[: cell.size] + gaps[cell.size :]
        # longer edges win ties: lines of equal quality say nothing else
        relative = edge / np.maximum(self.upper - self.lower, NEGLIGIBLE).max(axis=0)
        score = score * (1.0 + 1e-6) - 1e-9 * relative
        best = score.argmin(axis=1)
        at = np.flatnonzero(best[cell] == dim)
        self._put(chosen, both[np.concatenate([at, at + cell.size])])
        return chosen.size

    def _halves(self, parents, dim, at):
        """Both halves of cells, left halves first."""
        each = np.arange(parents.size)
        lower, upper = self.lower[parents], self.upper[parents]
        left_upper, right_lower = upper.copy(), lower.copy()
        left_upper[each, dim] = right_lower[each, dim] = at
        lower = np.concatenate([lower, right_lower])
        upper = np.concatenate([left_upper, upper])
        twice = np.concatenate([parents, parents])
        start = [a[twice] for a in self.lowers], [a[twice] for a in self.uppers]
        return self._bound(lower, upper, start)

    def _put(self, chosen, halves):
        """Replace cells by their left halves and append the right halves."""
        parents = self._leaves[chosen]
        new = len(self._tree) + np.arange(2 * chosen.size)
        self._tree = self._tree.joined(halves)
        self._parent = np.concatenate([self._parent, parents, parents])
        leaves = np.concatenate([self._leaves, new[chosen.size :]])
        leaves[chosen] = new[: chosen.size]
        self._show(leaves)
        self._check_rows()

    def merge(self, max_cells, value, idle=np.inf):
        """Undo halvings, those of the largest value first.

        Parameters
        ----------
        max_cells : int
            Goes on at least until there are so few.
        value : callable
            Of Boxes, shape (N,).
        idle : float
            Boxes of at least this value become one cell however few there are.
        """
        excess = len(self) - max_cells
        if self.exact or len(self) == 1:
            return
        leaves, parent = set(self._leaves.tolist()), self._parent.tolist()
        children = {}
        for node in range(1, len(parent)):
            children.setdefault(parent[node], []).append(node)
        inner = np.array(sorted(children))
        values = dict(
            zip(inner.tolist(), (-value(self._tree[inner])).tolist(), strict=True)
        )
        present = _present(children, leaves)
        # a node one of whose halves was found to be empty: merging saves no cell
        key = lambda node: (len(present[node]) < 2, values[node], node)
        ready = [key(n) for n in present if leaves.issuperset(present[n])]
        heapq.heapify(ready)
        while ready:
            single, negative, node = heapq.heappop(ready)
            if excess <= 0 and (single or -negative < idle):
                break
            leaves.difference_update(present[node])
            leaves.add(node)
            excess -= len(present[node]) - 1
            above = parent[node]
            if above >= 0 and leaves.issuperset(present[above]):
                heapq.heappush(ready, key(above))
        self._show(np.array(sorted(leaves)))

    def refine(self, max_cells, tolerance=1e-4):
        """Split the cells with the largest gap until there are ``max_cells``.

        Parameters
        ----------
        max_cells : int
        tolerance : float
            Cells whose gap is below this share of the output's range are not split.
        """
        while len(self) < max_cells:
            gaps = self.gaps()
            room = min(max_cells - len(self), max(1, len(self) // 4))
            worst = np.argsort(-gaps, kind="stable")[:room]
            worst = worst[gaps[worst] > tolerance]
            if not worst.size or not self.split(worst):
                return

    def set_pieces(self, points, values, column=0):
        """Make the cells the intervals between ``points``, on which f is affine.

        Parameters
        ----------
        points : numpy.ndarray, shape (C + 1,)
            Ascending values of the one input that varies.
        values : numpy.ndarray, shape (C + 1, n_outputs)
            The outputs at the points.
        column : int
            Which input that is.
        """
        root, n = self._tree, len(points) - 1
        lower, upper = (np.repeat(a[:1], n, axis=0) for a in (root.lower, root.upper))
        lower[:, column], upper[:, column] = points[:-1], points[1:]
        start = (
            [np.repeat(a[:1], n, axis=0) for a in root.lowers],
            [np.repeat(a[:1], n, axis=0) for a in root.uppers],
        )
        self._tree = self._bound(lower, upper, start)
        width = np.diff(points)[:, None]
        slope = np.diff(values, axis=0) / np.where(width > 0, width, 1.0)
        constant = values[:-1] - slope * points[:-1, None]
        lines = np.zeros((*slope.shape, self.network.n_inputs))
        lines[:, :, column] = slope
        self._tree.lines = (lines, constant) * 2
        self._parent = np.full(n, -1)
        self.exact = True
        self._show(np.arange(n))
        self._check_rows()


def _checked_rows(network, rows):
    """Rows ``a x + b y <= rhs`` as three arrays of shapes that fit the network."""
    try:
        a, b, rhs = (np.asarray(part, dtype=float) for part in rows)
    except (TypeError, ValueError):
        a = b = rhs = np.zeros(())
    shapes = (rhs.size, network.n_inputs), (rhs.size, network.n_outputs), (rhs.size,)
    if (a.shape, b.shape, rhs.shape) != shapes or not all(
        np.isfinite(part).all() for part in (a, b, rhs)
    ):
        raise BoundsError(
            f"{network.name}: rows must be three arrays (a, b, rhs) of finite numbers "
            f"with a x + b y <= rhs, of shapes (R, {network.n_inputs}), "
            f"(R, {network.n_outputs}) and (R,)."
        )
    return a, b, rhs


def _present(children, leaves):
    """Per inner node those halves that are not empty; nodes come after their parent."""
    there = set(leaves)
    present = {}
    for node in sorted(children, reverse=True):
        present[node] = [half for half in children[node] if half in there]
        if present[node]:
            there.add(node)
    return {node: halves for node, halves in present.items() if halves}
