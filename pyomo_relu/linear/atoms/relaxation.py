r"""All atoms of a model over many boxes at once: propagation, rows of lines, errors.

Products and quotients are one relation ``r = p q`` (of ``w = a / b``: ``a = w b``), with
the four lines of McCormick (Computability of global solutions to factorable nonconvex
programs, 1976): over ``p in [p, P]``, ``q in [q, Q]`` the products of the differences
from two ends are nonnegative, for instance ``(p - p_)(q - q_) >= 0``, which is
``r >= p_ q + q_ p - p_ q_``.  Only the constant is rounded.  Functions of one column:
see ``lines``.
"""

from dataclasses import dataclass

import numpy as np

from pyomo_relu.linear.atoms.atom import OneColumn, Product, Quotient
from pyomo_relu.linear.atoms.groups import ShapeGroup, mixed_error
from pyomo_relu.linear.atoms.intervals import divided, times
from pyomo_relu.linear.rounding import TINY, rounding

#: Another round of propagation follows if some edge came to less than this share of it.
_WORTHWHILE = 0.99

#: Lines of a product: two below and two above.
_OF_PRODUCT = 4


@dataclass
class AtomRows:
    """Rows ``lower <= A_b x <= upper`` of all atoms per box, over one pattern.

    Attributes
    ----------
    data : numpy.ndarray, shape (B, nnz)
    lower, upper : numpy.ndarray, shape (B, R)
    errors : numpy.ndarray, shape (B, R)
        Largest distance of an atom from the nearest line of the row's side.
    """

    data: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    errors: np.ndarray

    def __getitem__(self, boxes):
        every = self.data, self.lower, self.upper, self.errors
        return AtomRows(*(a[boxes] for a in every))

    def __setitem__(self, boxes, rows):
        for name in ("data", "lower", "upper", "errors"):
            getattr(self, name)[boxes] = getattr(rows, name)


class AtomRelaxation:
    """The atoms of a model over boxes of its columns.

    Parameters
    ----------
    atoms : sequence of Atom
        Sums among them are passed over: their rows are linear.
    n_columns : int

    Attributes
    ----------
    row, column : numpy.ndarray of int, shape (nnz,)
        Pattern of the rows, in row order.
    n_rows : int
    arguments : numpy.ndarray of int
        Columns in which some atom is not linear: splitting them makes lines exact.
    """

    def __init__(self, atoms, n_columns):
        self.n_columns = n_columns
        self.atoms = [a for a in atoms if isinstance(a, (Product, Quotient, OneColumn))]
        self._products = [a for a in self.atoms if not isinstance(a, OneColumn)]
        self._triples()
        self._group()
        inputs = [self._p, self._q, *(g.inputs for g in self.groups)]
        self.arguments = np.unique(np.concatenate(inputs))
        self._pattern()

    def _pattern(self):
        row, column, at, owner = [], [], 0, []
        for a in range(len(self._products)):
            for _ in range(_OF_PRODUCT):
                row += [at] * 3
                column += [self._r[a], self._p[a], self._q[a]]
                owner.append(a)
                at += 1
        for group in self.groups:
            group.first = at
            for x, w in zip(group.inputs, group.outputs, strict=True):
                for _ in range(group.shape.below + group.shape.above):
                    row += [at] * 2
                    column += [w, x]
                    at += 1
        self.row, self.column = np.array(row, dtype=int), np.array(column, dtype=int)
        self.n_rows = at

    def __len__(self):
        return len(self.atoms)

    def _triples(self):
        """Columns and factors of ``r = p q``: of products and of quotients."""
        n = len(self._products)
        self._p, self._q, self._r = np.zeros((3, n), dtype=int)
        self._sp, self._sq, self._sr = np.ones((3, n))
        for k, a in enumerate(self._products):
            ends = [*a.inputs, *a.outputs]
            factors = [*a.scale, a.size]
            if isinstance(a, Quotient):
                ends, factors = ends[::-1], factors[::-1]
                # w b = a: (output, denominator, numerator)
            self._p[k], self._q[k], self._r[k] = ends
            self._sp[k], self._sq[k], self._sr[k] = factors

    def _group(self):
        """Functions of one column by what they are."""
        found = {}
        for a in self.atoms:
            if isinstance(a, OneColumn):
                found.setdefault(a.shape.key, []).append(a)
        self.groups = [ShapeGroup(some) for some in found.values()]

    # -- propagation ---------------------------------------------------------------

    def tighten(self, lower, upper, rounds=2):
        """Shrink boxes so that every atom can still hold, in place.

        Parameters
        ----------
        lower, upper : numpy.ndarray, shape (B, n)
        rounds : int

        Returns
        -------
        numpy.ndarray of bool, shape (B,)
            Boxes that are proven to hold no point.
        """
        for left in reversed(range(rounds)):
            with np.errstate(all="ignore"):
                before = upper - lower
                if len(self._products):
                    self._tighten_products(lower, upper)
                for group in self.groups:
                    group.tighten(lower, upper)
                if left and not (upper - lower < _WORTHWHILE * before).any():
                    break
        return (lower > upper).any(axis=1)

    def _tighten_products(self, lower, upper):
        ends = {}
        for name, at, scale in (
            ("p", self._p, self._sp),
            ("q", self._q, self._sq),
            ("r", self._r, self._sr),
        ):
            ends[name] = [lower[:, at] * scale, upper[:, at] * scale]
        new = {"r": times(*ends["p"], *ends["q"])}
        r = [
            np.maximum(ends["r"][0], new["r"][0]),
            np.minimum(ends["r"][1], new["r"][1]),
        ]
        new["p"] = divided(*r, *ends["q"])
        p = [
            np.maximum(ends["p"][0], new["p"][0]),
            np.minimum(ends["p"][1], new["p"][1]),
        ]
        new["q"] = divided(*r, *p)
        for name, at, scale in (
            ("r", self._r, self._sr),
            ("p", self._p, self._sp),
            ("q", self._q, self._sq),
        ):
            low, high = new[name]
            for k, j in enumerate(at):
                np.maximum(lower[:, j], low[:, k] / scale[k], out=lower[:, j])
                np.minimum(upper[:, j], high[:, k] / scale[k], out=upper[:, j])

    # -- lines ---------------------------------------------------------------------

    def rows(self, lower, upper, near=()):
        """Lines of all atoms over boxes as rows.

        Parameters
        ----------
        lower, upper : numpy.ndarray, shape (B, n)
        near : sequence of numpy.ndarray, shapes (B, n)
            Points where tangents are worth most, the first ones most of all.

        Returns
        -------
        AtomRows
        """
        B = len(lower)
        data = np.zeros((B, self.row.size))
        row_lower = np.full((B, self.n_rows), -np.inf)
        row_upper = np.full((B, self.n_rows), np.inf)
        errors = np.zeros((B, self.n_rows))
        with np.errstate(all="ignore"):
            if len(self._products):
                self._product_rows(lower, upper, data, row_lower, row_upper, errors)
            start = 3 * _OF_PRODUCT * len(self._products)
            for group in self.groups:
                start = group.rows(
                    lower, upper, near, start, data, row_lower, row_upper, errors
                )
        return AtomRows(data, row_lower, row_upper, errors)

    def _product_rows(self, lower, upper, data, row_lower, row_upper, errors):
        n = len(self._products)
        pl, pu = lower[:, self._p] * self._sp, upper[:, self._p] * self._sp
        ql, qu = lower[:, self._q] * self._sq, upper[:, self._q] * self._sq
        known = np.isfinite(pl) & np.isfinite(pu) & np.isfinite(ql) & np.isfinite(qu)
        gap = 0.25 * (pu - pl) * (qu - ql) / self._sr
        gap = np.where(known, gap, np.inf)
        shape = (len(lower), n, _OF_PRODUCT, 3)
        block = data[:, : 3 * _OF_PRODUCT * n].reshape(shape)
        rows = slice(0, _OF_PRODUCT * n)
        for side, (a, b, below) in enumerate(
            ((pl, ql, True), (pu, qu, True), (pu, ql, False), (pl, qu, False))
        ):
            constant = a * b
            margin = rounding(constant, operations=4) + TINY
            coefficients = (
                np.ones_like(a),
                -b * self._sp / self._sr,
                -a * self._sq / self._sr,
            )
            for place, value in enumerate(coefficients):
                block[:, :, side, place] = np.where(known, value, 0.0)
            if below:
                value = np.where(known, (-constant - margin) / self._sr, -np.inf)
                row_lower[:, rows][:, side::_OF_PRODUCT] = value
            else:
                value = np.where(known, (-constant + margin) / self._sr, np.inf)
                row_upper[:, rows][:, side::_OF_PRODUCT] = value
            errors[:, rows][:, side::_OF_PRODUCT] = gap

    def endless(self, lower, upper):
        """(atom, lower, upper) of one that a single box gives no lines; else None."""
        for group in self.groups:
            found = group.endless(lower, upper)
            if found is not None:
                k, *ends = found
                a = next(a for a in self.atoms if a.outputs[0] == group.outputs[k])
                return a, *ends
        return None

    def promised(self, weights, lower, upper, points):
        """What tangents at minimisers may raise dual bounds by, shape (B,).

        Parameters
        ----------
        weights : numpy.ndarray, shape (B, R)
            Magnitudes of the rows' multipliers.
        lower, upper, points : numpy.ndarray, shape (B, n)
        """
        out = np.zeros(len(points))
        with np.errstate(all="ignore"):
            for group in self.groups:
                group.add_promised(weights, lower, upper, points, out)
        return out

    # -- where the error comes from ------------------------------------------------

    def scores(self, weights, rows, points, violation_share):
        """How much each column is responsible for what the lines miss.

        Parameters
        ----------
        weights : numpy.ndarray, shape (B, R)
            Of the rows.
        rows : AtomRows
        points : numpy.ndarray, shape (B, n)
            Minimisers of the relaxations.
        violation_share : float
            Share of what the point misses an atom by; the rest is the largest error.

        Returns
        -------
        numpy.ndarray, shape (B, n)
        """
        out = np.zeros(points.shape)
        with np.errstate(all="ignore"):
            n = len(self._products)
            if n:
                k = slice(0, _OF_PRODUCT * n)
                weight = weights[:, k].reshape(-1, n, _OF_PRODUCT).sum(axis=2)
                error = rows.errors[:, k].reshape(-1, n, _OF_PRODUCT)[:, :, 0]
                value = points[:, self._p] * self._sp * points[:, self._q] * self._sq
                missed = np.abs(value / self._sr - points[:, self._r])
                score = weight * mixed_error(missed, error, violation_share)
                for k in range(n):
                    out[:, self._p[k]] += score[:, k]
                    out[:, self._q[k]] += score[:, k]
            for group in self.groups:
                group.scores(weights, rows, points, violation_share, out)
        return out
