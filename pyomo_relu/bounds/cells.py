"""Cells of the input box with linear functions below and above the outputs on each.

Which cells a model needs is decided elsewhere (``cells_model``); no Pyomo in here.
"""

import numpy as np

from pyomo_relu.bounds.crown import crown_batch, output_lines
from pyomo_relu.errors import BoundsError, InfeasibleError

#: Breakpoints closer than this, relative to the box, count as one.
_SAME_POINT = 1e-11

#: A piece of an output that deviates less than this, relative to its range, is straight.
_STRAIGHT = 1e-12

#: Slack of the model's rows on cells, relative to max(1, size of a row's terms): no
#: less than what solvers' feasibility tolerances accept.
_FEASIBLE = 1e-6

#: A split point is kept away from a cell's ends by this share of its edge.
_MARGIN = 0.15


class CellPartition:
    """Boxes that cover the input box, refined on request, with CROWN's output lines.

    On cell c every input x satisfies
    ``A_low[c] x + c_low[c] <= f(x) <= A_high[c] x + c_high[c]``.

    Parameters
    ----------
    bounds : NeuronBounds
        Proven bounds on the input box; the cells' bounds start from them.

    Attributes
    ----------
    lower, upper : numpy.ndarray, shape (C, n_inputs)
    lowers, uppers : list of numpy.ndarray, shapes (C, layer size)
        Proven pre-activation bounds on each cell, the outputs' last.
    lines : tuple of numpy.ndarray
        ``A_low, c_low, A_high, c_high``, shapes (C, n_outputs, n_inputs) and
        (C, n_outputs).
    paths : list of tuple of int
        Per cell, the sides (0 or 1) taken at the splits that led to it.
    exact : bool
        True if the lines are the network itself, to rounding.
    """

    def __init__(self, bounds, rows=None):
        self.network = bounds.network
        self.rows = rows
        self.lower = bounds.input_lower[None].copy()
        self.upper = bounds.input_upper[None].copy()
        start = [a[None] for a in bounds.lower], [a[None] for a in bounds.upper]
        self.lowers, self.uppers, self.lines = self._bound(
            self.lower, self.upper, start
        )
        self.paths = [()]
        self.exact = False
        self._check_rows()
        width = self.uppers[-1][0] - self.lowers[-1][0]
        self.weight = 1.0 / np.maximum(width, 1e-12 * (1.0 + abs(self.uppers[-1][0])))

    def __len__(self):
        return len(self.lower)

    def _bound(self, lower, upper, start):
        lowers, uppers = crown_batch(
            self.network, lower, upper, start, unstable_only=True
        )
        lines = output_lines(self.network, lower, upper, lowers, uppers)
        return lowers, uppers, lines

    # -- what is known -------------------------------------------------------------

    def gaps(self):
        """Per cell, the largest distance between the lines, shape (C,).

        In units of each output's proven range on the whole box; the largest output
        counts.
        """
        return _largest_gaps(self.lower, self.upper, self.lines, self.weight)

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
        base -= _FEASIBLE * np.maximum(size, 1.0)
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
        at = np.flatnonzero(keep)
        self.lower, self.upper = self.lower[at], self.upper[at]
        self.lowers = [a[at] for a in self.lowers]
        self.uppers = [a[at] for a in self.uppers]
        self.lines = tuple(a[at] for a in self.lines)
        self.paths = [self.paths[c] for c in at]

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
        gaps = _largest_gaps(both[0], both[1], both[4], self.weight)
        score = np.full(divisible.shape, np.inf)
        score[cell, dim] = gaps[: cell.size] + gaps[cell.size :]
        # longer edges win ties: lines of equal quality say nothing else
        relative = edge / np.maximum(self.upper - self.lower, 1e-300).max(axis=0)
        score = score * (1.0 + 1e-6) - 1e-9 * relative
        best = score.argmin(axis=1)
        at = np.flatnonzero(best[cell] == dim)
        self._put(chosen, both, np.concatenate([at, at + cell.size]))
        return chosen.size

    def _halves(self, parents, dim, at):
        """Both halves of parent cells: all that is known, left halves first."""
        each = np.arange(parents.size)
        lower, upper = self.lower[parents], self.upper[parents]
        left_upper, right_lower = upper.copy(), lower.copy()
        left_upper[each, dim] = right_lower[each, dim] = at
        lower = np.concatenate([lower, right_lower])
        upper = np.concatenate([left_upper, upper])
        twice = np.concatenate([parents, parents])
        start = [a[twice] for a in self.lowers], [a[twice] for a in self.uppers]
        return lower, upper, *self._bound(lower, upper, start)

    def _put(self, chosen, both, at):
        """Replace cells by left halves and append right halves."""
        lower, upper, lowers, uppers, lines = both
        left, right = at[: chosen.size], at[chosen.size :]
        _replace = lambda old, new: _replaced(old, chosen, new[left], new[right])
        self.lower, self.upper = _replace(self.lower, lower), _replace(
            self.upper, upper
        )
        self.lowers = [_replace(a, b) for a, b in zip(self.lowers, lowers)]
        self.uppers = [_replace(a, b) for a, b in zip(self.uppers, uppers)]
        self.lines = tuple(_replace(a, b) for a, b in zip(self.lines, lines))
        parents = [self.paths[c] for c in chosen]
        for c, path in zip(chosen, parents):
            self.paths[c] = (*path, 0)
        self.paths += [(*path, 1) for path in parents]
        self._check_rows()

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

    def set_pieces(self, points, values):
        """Make the cells the intervals between ``points``, on which f is affine.

        Parameters
        ----------
        points : numpy.ndarray, shape (C + 1,)
            Ascending; the network has one input.
        values : numpy.ndarray, shape (C + 1, n_outputs)
            The outputs at the points.
        """
        lower, upper = points[:-1, None], points[1:, None]
        n = len(lower)
        start = (
            [np.repeat(a[:1], n, axis=0) for a in self.lowers],
            [np.repeat(a[:1], n, axis=0) for a in self.uppers],
        )
        self.lowers, self.uppers, _ = self._bound(lower, upper, start)
        width = np.where(upper > lower, upper - lower, 1.0)
        slope = np.diff(values, axis=0) / width
        constant = values[:-1] - slope * lower
        self.lower, self.upper = lower, upper
        self.lines = (slope[:, :, None], constant) * 2
        self.paths = _balanced_paths(n)
        self.exact = True
        self._check_rows()


def _balanced_paths(n):
    """Paths of n leaves of a balanced binary tree, from left to right."""
    if n == 1:
        return [()]
    half = n // 2
    left, right = _balanced_paths(half), _balanced_paths(n - half)
    return [(0, *p) for p in left] + [(1, *p) for p in right]


def _replaced(old, at, left, right):
    new = np.concatenate([old, right])
    new[at] = left
    return new


def _largest_gaps(lower, upper, lines, weight):
    A_low, c_low, A_high, c_high = lines
    slope = A_high - A_low
    centre, radius = 0.5 * (lower + upper), 0.5 * (upper - lower)
    gap = np.einsum("con,cn->co", slope, centre) + c_high - c_low
    gap += np.einsum("con,cn->co", np.abs(slope), radius)
    return (gap * weight).max(axis=1)


def breakpoints(network, lower, upper):
    """Points between which a network of one input is affine.

    Layer by layer: between two neighbouring points all earlier layers are affine, so a
    neuron's pre-activation is a straight line there and crosses zero (or its ceiling)
    at most once.

    Parameters
    ----------
    network : Network
        With one input.
    lower, upper : float
        The input's range.

    Returns
    -------
    numpy.ndarray, shape (P + 1,)
        Ascending, from ``lower`` to ``upper``.
    """
    points = np.array([lower, upper], dtype=float)
    if lower == upper:
        return points
    for k, layer in enumerate(network.activation_layers):
        v = network.propagate(points[:, None])[0][k]
        levels = [np.zeros(layer.size)]
        if layer.ceiling is not None:
            levels.append(np.where(np.isfinite(layer.ceiling), layer.ceiling, 0.0))
        new = [points]
        for level in levels:
            left, right = v[:-1] - level, v[1:] - level
            at, i = np.nonzero(left * right < 0)
            share = left[at, i] / (left[at, i] - right[at, i])
            new.append(points[at] + share * (points[at + 1] - points[at]))
        points = _distinct(np.concatenate(new), lower, upper)
    return points


def _distinct(points, lower, upper):
    points = np.unique(np.clip(points, lower, upper))
    apart = _SAME_POINT * (upper - lower)
    keep = np.concatenate([[True], np.diff(points) > apart])
    points = points[keep]
    points[-1] = upper
    return points


def affine_pieces(bounds, max_cells, rows=None):
    """The cells of a network of one input on which its outputs are affine.

    Neighbouring pieces on one straight line are one cell.

    Parameters
    ----------
    bounds : NeuronBounds
        Of a network with one input.
    max_cells : int

    Returns
    -------
    CellPartition or None
        With ``exact`` True; None if there are more than ``max_cells`` pieces.

    Raises
    ------
    BoundsError
        If the network has several inputs.
    """
    network = bounds.network
    if network.n_inputs != 1:
        raise BoundsError(
            f"{network.name}: affine pieces are listed for networks of one input, and "
            f"this one has {network.n_inputs}. Use CellPartition.refine."
        )
    points = breakpoints(network, bounds.input_lower[0], bounds.input_upper[0])
    values = network.forward(points[:, None])
    at = _corners_of(points, values)
    if len(at) - 1 > max_cells:
        return None
    partition = CellPartition(bounds, rows)
    partition.set_pieces(points[at], values[at])
    return partition


def _corners_of(points, values):
    """Indices of the ends and of the points where some output bends."""
    span = np.maximum(np.ptp(values, axis=0), 1e-300)
    size = np.abs(values).max(axis=0)
    allowed = _STRAIGHT * np.maximum(span, size)
    kept = [0]
    last = len(points) - 1
    for j in range(1, last):
        a, b = kept[-1], j + 1
        inner = np.arange(a + 1, b)
        share = ((points[inner] - points[a]) / (points[b] - points[a]))[:, None]
        straight = values[a] + share * (values[b] - values[a])
        if np.any(np.abs(straight - values[inner]) > allowed):
            kept.append(j)
    return [*kept, last]
