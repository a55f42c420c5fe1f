"""Lines of all row functions of a problem: what is bounded in which way.

A network of one input is a curve whose pieces can be listed once, so that on every box
its range is exact and lines that touch its envelope cost a few comparisons.  All others
are bounded by CROWN; where rows make inputs sums of other columns, CROWN sees those sums
as well as the inputs' box.
"""

import itertools

import numpy as np

from pyomo_relu.branch.bounding.lines.lines import FunctionLines, LineBounder, Lines
from pyomo_relu.branch.bounding.lines.repeated_lines import RepeatedLineBounder
from pyomo_relu.branch.problem.joint_parts import Substitution, only_outputs
from pyomo_relu.linear.rounding import OF_INTERPOLATING, TINY
from pyomo_relu.network.pieces import breakpoints
from pyomo_relu.network.repeated import RepeatedNetworks

#: Lines per side: parallel to the chord, and touching the envelope at both ends.
LINES = 3

#: Curves with more pieces stay with CROWN.
_PIECES = 600

#: What the distance where two lines cross counts, next to that at vertices: such a
#: point is a single one, and measured on problems of four inputs 1 took 6% more boxes.
_CROSSING = 0.1


class MixedBounder:
    """Lines of a problem's directions over boxes of all its columns.

    Parameters
    ----------
    problem : BranchProblem
        With finite bounds on x.

    Attributes
    ----------
    curves : Curves
    n_further : numpy.ndarray of int, shape (n_directions,)
        How many of the further lines each direction has.
    """

    def __init__(self, problem):
        self.network = network = problem.network
        n = self.network.n_inputs
        self.curves = Curves(network, problem.lower[:n], problem.upper[:n])
        self._others = np.setdiff1d(np.arange(network.n_outputs), self.curves.outputs)
        self._bounder = self._summed = None
        if self._others.size:
            some = only_outputs(network, self._others) if len(self.curves) else network
            self._bounder = line_bounder(some)
            if not problem.is_large:
                self._substitution = Substitution(problem, some)
                if self._substitution.useful:
                    self._bounder = LineBounder(some)
                    self._summed = LineBounder(self._substitution.network)
            if self._summed is None and isinstance(self._bounder, LineBounder):
                box = problem.lower[:n], problem.upper[:n]
                self._bounder = self._bounder.folded(*box)
        self.n_further = np.zeros(network.n_outputs, dtype=int)
        self.n_further[self.curves.outputs] = LINES - 1

    @property
    def of_all(self):
        """The LineBounder of all outputs, whose ``hidden`` the lines have, or None."""
        alone = isinstance(self._bounder, LineBounder) and not len(self.curves)
        return self._bounder if alone and not self._bounder.kernel.sparse else None

    def lines(self, lower, upper):
        """FunctionLines over boxes of the problem's; ``hidden`` see ``of_all``.

        Parameters
        ----------
        lower, upper : numpy.ndarray, shape (B, n_columns)
        """
        by_crown = self._by_crown(lower, upper)
        if not len(self.curves):
            return by_crown
        B, m, n = len(lower), self.network.n_outputs, self.network.n_inputs
        each = [_no_lines(B, m, n) for _ in range(LINES)]
        errors = np.zeros((B, 2 * m, n))
        unstable = np.zeros(B, dtype=int)
        if by_crown is not None:
            at = self._others
            for name, array in zip(Lines._fields, each[0], strict=True):
                array[:, at] = getattr(by_crown, name)
            errors[:, np.concatenate([at, m + at])] = by_crown.errors
            unstable += by_crown.unstable
        curves = zip(
            self.curves.curves, self.curves.outputs, self.curves.inputs, strict=True
        )
        for curve, k, j in curves:
            *of_curve, below, above = curve.lines(lower[:, j], upper[:, j])
            errors[:, k, j], errors[:, m + k, j] = below, above
            for line, lines in enumerate(each):
                lines.low[:, k, j], lines.low_const[:, k] = (
                    a[:, line] for a in of_curve[:2]
                )
                lines.high[:, k, j], lines.high_const[:, k] = (
                    a[:, line] for a in of_curve[2:]
                )
            ends = np.searchsorted(curve.kinks, [lower[:, j], upper[:, j]])
            unstable += np.maximum(ends[1] - ends[0], 0)
        return FunctionLines(*each[0], unstable, errors, ((), ()), tuple(each[1:]))

    def _by_crown(self, lower, upper):
        if self._bounder is None:
            return None
        n = self.network.n_inputs
        if self._summed is None:
            return self._bounder.lines(lower[:, :n], upper[:, :n])
        at = self._substitution.columns
        known = self._summed.hidden_bounds(lower[:, at], upper[:, at])
        known = tuple(side[1:] for side in known)
        return self._bounder.lines(lower[:, :n], upper[:, :n], known)


def line_bounder(network):
    """What bounds a network, members of repeated ones in batches."""
    if isinstance(network, RepeatedNetworks):
        return RepeatedLineBounder(network)
    return LineBounder(network)


def _no_lines(B, m, n):
    return Lines(
        np.zeros((B, m, n)), np.zeros((B, m)), np.zeros((B, m, n)), np.zeros((B, m))
    )


class Curve:
    """A function of one input between two piecewise linear ones.

    Parameters
    ----------
    points : numpy.ndarray, shape (P,)
        Increasing; from the lower to the upper end of the input.
    low, high : numpy.ndarray, shape (P,)
        The function is at least the interpolation of ``low`` and at most that of
        ``high``.
    """

    def __init__(self, points, low, high):
        self.points = points
        self.low, self.high = low, high
        self.kinks = points[1:-1]
        # of interpolating: a short piece may join far larger values than it is asked for
        largest = np.maximum(np.abs(low), np.abs(high)).max()
        self._error = OF_INTERPOLATING * largest + TINY

    def range(self, lower, upper):
        """Least and largest value on each interval, rounded outward, shapes (B,)."""
        at = np.clip(self.points, lower[:, None], upper[:, None])
        low = np.interp(at, self.points, self.low)
        high = np.interp(at, self.points, self.high)
        return low.min(axis=1) - self._error, high.max(axis=1) + self._error

    def lines(self, lower, upper):
        """``LINES`` lines below and as many above the curve on each interval.

        Parameters
        ----------
        lower, upper : numpy.ndarray, shape (B,)

        Returns
        -------
        slope_low, const_low, slope_high, const_high : shapes (B, LINES)
        gap_low, gap_high : numpy.ndarray, shape (B,)
            Largest distance of the curve's vertices from the best of its lines, or a
            share of it between vertices; zero only where the lines are the curve.
        """
        at = np.clip(self.points, lower[:, None], upper[:, None])
        low = _above(at, lambda x: -np.interp(x, self.points, self.low))
        high = _above(at, lambda x: np.interp(x, self.points, self.high))
        error = self._error
        return -low[0], -low[1] - error, high[0], high[1] + error, low[2], high[2]


def _above(at, curve):
    """Lines above a curve with vertices at (B, P) points; their distance from it.

    For any slope the least constant that keeps the line above all vertices is proven;
    the slopes are those of the chord and of the concave envelope at both ends.
    """
    values = curve(at)
    first, last = at[:, :1], at[:, -1:]
    start, end = values[:, :1], values[:, -1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        rise = np.where(at > first, (values - start) / (at - first), -np.inf)
        fall = np.where(at < last, (end - values) / (last - at), np.inf)
        chord = ((end - start) / (last - first))[:, 0]
    slopes = np.stack([chord, rise.max(axis=1), fall.min(axis=1)], axis=1)
    slopes[~np.isfinite(slopes)] = 0.0
    over = values[:, None, :] - slopes[:, :, None] * at[:, None, :]
    constants = over.max(axis=2)
    gap = (constants[:, :, None] - over).min(axis=1).max(axis=1)
    crossing = _gap_between(slopes, constants, first, last, curve)
    gap = np.maximum(gap, _CROSSING * crossing)
    size = np.abs(values).max(axis=1)[:, None]
    reach = np.maximum(np.abs(first), np.abs(last))
    constants += OF_INTERPOLATING * (size + np.abs(slopes) * reach) + TINY
    return slopes, constants, gap


def _gap_between(slopes, constants, first, last, curve):
    """Largest distance of the curve from the lines where two of these cross."""
    gap = 0.0
    for i, j in itertools.combinations(range(LINES), 2):
        with np.errstate(invalid="ignore", divide="ignore"):
            x = (constants[:, j] - constants[:, i]) / (slopes[:, i] - slopes[:, j])
        x = np.clip(np.where(np.isfinite(x), x, first[:, 0]), first[:, 0], last[:, 0])
        lines = slopes * x[:, None] + constants
        gap = np.maximum(gap, lines.min(axis=1) - curve(x))
    return gap


class Curves:
    """Those outputs of a network that depend on a single input.

    Parameters
    ----------
    network : Network
    lower, upper : numpy.ndarray, shape (n_inputs,)
        The largest box that is asked for.

    Attributes
    ----------
    outputs, inputs : numpy.ndarray of int
        The outputs that are curves and the inputs that they depend on.
    curves : list of Curve
    """

    def __init__(self, network, lower, upper):
        reads = network.support()
        outputs = np.flatnonzero(reads.sum(axis=1) == 1)
        self.curves, kept = [], []
        for k in outputs:
            j = int(reads[k].argmax())
            curve = _curve(network, k, j, lower, upper)
            if curve is not None:
                kept.append((k, j))
                self.curves.append(curve)
        self.outputs = np.array([k for k, _ in kept], dtype=int)
        self.inputs = np.array([j for _, j in kept], dtype=int)

    def __len__(self):
        return len(self.curves)

    def ranges(self, lower, upper):
        """Ranges of all curves over boxes, shapes (B, len(self))."""
        low, high = np.empty((2, len(lower), len(self)))
        for c, (curve, j) in enumerate(zip(self.curves, self.inputs, strict=True)):
            low[:, c], high[:, c] = curve.range(lower[:, j], upper[:, j])
        return low, high


def _curve(network, k, j, lower, upper):
    """Output k as a Curve over input j, or None if it has too many pieces."""
    if not lower[j] < upper[j]:
        return None
    part = only_outputs(network, [k])
    points = breakpoints(part, lower, upper, j, _PIECES)
    if points is None:
        return None
    left, right = np.tile(lower, (2, points.size - 1, 1))
    left[:, j], right[:, j] = points[:-1], points[1:]
    lines = LineBounder(part).lines(left, right)
    ends = np.stack([points[:-1], points[1:]], axis=1)
    low = lines.low[:, 0, j, None] * ends + lines.low_const[:, :1]
    high = lines.high[:, 0, j, None] * ends + lines.high_const[:, :1]
    reach = np.abs(points).max()
    for values, slope, sign in ((low, lines.low, -1), (high, lines.high, 1)):
        size = np.abs(slope[:, 0, j, None]) * reach + np.abs(values)
        values += sign * (OF_INTERPOLATING * size + TINY)
    # at a kink the two pieces' lines may differ by rounding: the outer one counts
    low = np.minimum(np.append(low[:, 0], np.inf), np.append(np.inf, low[:, 1]))
    high = np.maximum(np.append(high[:, 0], -np.inf), np.append(-np.inf, high[:, 1]))
    return Curve(points, low, high)
