"""Atoms of one shape over many boxes at once."""

import numpy as np

from pyomo_relu.linear.atoms.lines import lines_at, shape_range, sloped_lines
from pyomo_relu.linear.atoms.shapes import CONCAVE, CONVEX, MAXIMAL_ULPS
from pyomo_relu.linear.rounding import OF_MANY_TERMS, TINY, rounding

#: No rows, as ``ShapeGroup.violated`` gives them.
NO_ROWS = np.zeros((0, 2), dtype=int), np.zeros((0, 2)), *np.zeros((2, 0))


class ShapeGroup:
    """Atoms of one shape.

    Parameters
    ----------
    atoms : list of OneColumn
        Of shapes with the same key.

    Attributes
    ----------
    first : int
        Number of the group's first row.
    """

    def __init__(self, atoms):
        self.shape = atoms[0].shape
        self.inputs = np.array([a.inputs[0] for a in atoms], dtype=int)
        self.outputs = np.array([a.outputs[0] for a in atoms], dtype=int)
        self.scale = np.array([a.scale[0] for a in atoms])
        self.size = np.array([a.size for a in atoms])
        self.first = 0

    def _box(self, lower, upper):
        """The arguments' boxes within the domain."""
        lo, hi = lower[:, self.inputs] * self.scale, upper[:, self.inputs] * self.scale
        first, last = self.shape.domain
        return np.maximum(lo, first), np.minimum(hi, last)

    def tighten(self, lower, upper):
        """Shrink the boxes of arguments and values, in place; empty ones cross."""
        shape = self.shape
        lo, hi = self._box(lower, upper)
        B, n = lo.shape
        gone = lo > hi
        low, high = shape_range(shape, lo.ravel(), np.maximum(lo, hi).ravel())
        low, high = low.reshape(B, n), high.reshape(B, n)
        w_lo = np.maximum(low, lower[:, self.outputs] * self.size)
        w_hi = np.minimum(high, upper[:, self.outputs] * self.size)
        gone |= w_lo > w_hi
        # values as they are computed count, too
        margin = rounding(w_lo, operations=MAXIMAL_ULPS) + TINY
        far = rounding(w_hi, operations=MAXIMAL_ULPS) + TINY
        x_lo, x_hi = shape.inverse(w_lo - margin, w_hi + far, lo, hi)
        x_lo = x_lo - OF_MANY_TERMS * np.abs(x_lo) - TINY
        x_hi = x_hi + OF_MANY_TERMS * np.abs(x_hi) + TINY
        x_lo = np.fmax(x_lo, lo)
        x_hi = np.fmin(x_hi, hi)
        x_lo = np.where(gone, np.inf, x_lo)
        for k in range(n):
            x, w = self.inputs[k], self.outputs[k]
            for column, ends, factor in (
                (w, (w_lo, w_hi), self.size[k]),
                (x, (x_lo, x_hi), self.scale[k]),
            ):
                low, high = ends[0][:, k] / factor, ends[1][:, k] / factor
                np.fmax(lower[:, column], low, out=lower[:, column])
                np.fmin(upper[:, column], high, out=upper[:, column])

    def rows(self, lower, upper, near, start, data, row_lower, row_upper, errors):
        """Write the group's rows; returns where the next ones' data begin."""
        shape, n, B = self.shape, self.inputs.size, len(lower)
        lo, hi = self._box(lower, upper)
        near = [(x[:, self.inputs] * self.scale).ravel() for x in near]
        sides = sloped_lines(shape, lo.ravel(), hi.ravel(), near)
        count = shape.below + shape.above
        block = data[:, start : start + 2 * count * n].reshape(B, n, count, 2)
        rows = slice(self.first, self.first + count * n)
        lower_side = row_lower[:, rows].reshape(B, n, count)
        upper_side = row_upper[:, rows].reshape(B, n, count)
        error = errors[:, rows].reshape(B, n, count)
        at, factor = 0, (self.scale / self.size)[:, None]
        for side, (lines, out) in enumerate(
            zip(sides, (lower_side, upper_side), strict=True)
        ):
            k = lines.slope.shape[1]
            slope = lines.slope.reshape(B, n, k)
            constant = lines.constant.reshape(B, n, k) / self.size[:, None]
            known = np.isfinite(constant) & np.isfinite(slope)
            some = slice(at, at + k)
            block[:, :, some, 0] = np.where(known, 1.0, 0.0)
            block[:, :, some, 1] = np.where(known, -slope * factor, 0.0)
            endless = np.inf if side else -np.inf
            out[:, :, some] = np.where(known, constant, endless)
            error[:, :, some] = (lines.error.reshape(B, n) / self.size)[:, :, None]
            at += k
        row_lower[:, rows] = lower_side.reshape(B, -1)
        row_upper[:, rows] = upper_side.reshape(B, -1)
        errors[:, rows] = error.reshape(B, -1)
        return start + 2 * count * n

    def violated(self, lower, upper, points, least):
        """Lines over one box, touching at points that they cut off.

        Parameters
        ----------
        lower, upper : numpy.ndarray, shape (n,)
        points : numpy.ndarray, shape (B, n)
        least : float
            What rows must be violated by.

        Returns
        -------
        columns, data : numpy.ndarray, shapes (R, 2)
            Of the rows' entries.
        lower, upper : numpy.ndarray, shapes (R,)
        """
        w = points[:, self.outputs]
        with np.errstate(all="ignore"):
            missed = self.shape.value(points[:, self.inputs] * self.scale) / self.size
            # not a number where the function is not defined: lines may be violated
            box, k = np.nonzero(~(np.abs(missed - w) <= least))
            if not k.size:
                return NO_ROWS
            lo, hi = (end[0, k] for end in self._box(lower[None], upper[None]))
            x, scale, size = points[box, self.inputs[k]], self.scale[k], self.size[k]
            rows = []
            for sign, lines in zip(
                (1.0, -1.0), lines_at(self.shape, lo, hi, x * scale), strict=True
            ):
                slope = lines[0] * (scale / size)[:, None]
                constant = lines[1] / size[:, None]
                off = sign * (slope * x[:, None] + constant - w[box, k][:, None])
                at, line = np.nonzero(off > least)
                columns = np.stack([self.outputs[k[at]], self.inputs[k[at]]], axis=1)
                data = np.stack([np.ones(at.size), -slope[at, line]], axis=1)
                sides = constant[at, line], np.full(at.size, sign * np.inf)
                rows.append((columns, data, *sides[:: int(sign)]))
        return tuple(map(np.concatenate, zip(*rows, strict=True)))

    def endless(self, lower, upper):
        """(position, lower, upper) of an atom without lines on one side, or None."""
        lo, hi = self._box(lower, upper)
        for k in range(self.inputs.size):
            for side in sloped_lines(self.shape, lo[:, k], hi[:, k]):
                if not np.isfinite(side.constant).any():
                    return k, lo[0, k], hi[0, k]
        return None

    def add_promised(self, weights, lower, upper, points, out):
        """Add what tangents at the points promise to ``out``, shape (B,)."""
        shape, n = self.shape, self.inputs.size
        count = shape.below + shape.above
        k = slice(self.first, self.first + count * n)
        weight = weights[:, k].reshape(-1, n, count)
        curvature = shape.curvature(*self._box(lower, upper))
        x = points[:, self.inputs] * self.scale
        missed = shape.value(x) / self.size - points[:, self.outputs]
        below = np.where(curvature == CONVEX, np.maximum(missed, 0.0), 0.0)
        above = np.where(curvature == CONCAVE, np.maximum(-missed, 0.0), 0.0)
        gain = below * weight[:, :, : shape.below].sum(axis=2)
        gain += above * weight[:, :, shape.below :].sum(axis=2)
        out += np.where(np.isfinite(gain), gain, 0.0).sum(axis=1)

    def scores(self, weights, rows, points, share, out):
        """Add the arguments' scores to ``out``, shape (B, n_columns)."""
        shape, n = self.shape, self.inputs.size
        count = shape.below + shape.above
        k = slice(self.first, self.first + count * n)
        weight = weights[:, k].reshape(-1, n, count)
        error = rows.errors[:, k].reshape(-1, n, count)
        x = points[:, self.inputs] * self.scale
        missed = shape.value(x) / self.size - points[:, self.outputs]
        # the lines of one side are responsible for being missed on that side
        for some, sign in (
            (slice(0, shape.below), 1.0),
            (slice(shape.below, None), -1.0),
        ):
            worst = error[:, :, some].max(axis=2)
            off = np.maximum(sign * missed, 0.0)
            off = np.where(np.isnan(missed), np.nan, off)
            score = weight[:, :, some].sum(axis=2) * mixed_error(off, worst, share)
            for i in range(n):
                out[:, self.inputs[i]] += score[:, i]


def mixed_error(missed, error, share):
    """``share`` of what a point misses an atom by, the rest of the largest error."""
    missed = np.where(np.isfinite(missed), np.minimum(missed, error), error)
    return np.where(
        np.isfinite(error), share * missed + (1.0 - share) * error, np.finfo(float).max
    )
