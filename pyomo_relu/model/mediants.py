r"""Signs of columns that atoms compute, and quotients as means of ratios.

With ``a = sum_j a_j x_j``, ``b = sum_j b_j x_j`` and no ``b_j x_j`` negative, a / b is a
mean of the ratios a_j / b_j, weighted by ``b_j x_j / b``: between the least and the largest
of them (the mediant inequality).  A share, x / (x + y), is between 0 and 1.  A product
``x_j y`` in a counts as x_j with the coefficient y.  All in rational arithmetic, but for
bounds of columns, which are proven and rounded outward.
"""

import math
from fractions import Fraction

from pyomo_relu.linear.atoms.atom import OneColumn, Product, Quotient, Sum
from pyomo_relu.linear.rounding import OF_FEW_TERMS, down, up


class Denominators:
    """What is known of columns of a model and of quotients of them.

    Parameters
    ----------
    model : EmbeddedModel
        In the modeller's units.
    lower, upper : numpy.ndarray, shape (n_columns,)
        Bounds of all columns that rows and functions imply.
    """

    def __init__(self, model, lower, upper):
        self._linear, self.lower, self.upper = model.linear, lower, upper
        self._by_output = {int(f.outputs[0]): f for f in model.functions}
        #: whether the second factor of a product is looked for before the first
        self._swapped = False

    def sign(self, j):
        """1 if a column is nowhere negative, -1 if nowhere positive, 0 if not known."""
        if self.lower[j] >= 0.0:
            return 1
        if self.upper[j] <= 0.0:
            return -1
        # bounds of what is computed are rounded: zero is not an end of theirs
        f = self._by_output.get(j)
        if isinstance(f, Sum):
            terms, constant = self._expanded(j)
            factors = {i: [c, c] for i, c in terms.items() if not self._is_product(i)}
            for i, c in terms.items():
                if self._is_product(i):
                    # x - x y is x (1 - y)
                    at, other = self._weighted(i, factors.keys() - {i})
                    ends = (
                        self._ends(Fraction(0), {other: c})
                        if at is not None
                        else [c, c]
                    )
                    have = factors.get(i if at is None else at, [0, 0])
                    factors[i if at is None else at] = [
                        v + end for v, end in zip(have, ends, strict=True)
                    ]
            signs = {
                self.sign(i) * ((low >= 0) - (high <= 0))
                for i, (low, high) in factors.items()
            }
            if constant:
                signs.add(1 if constant > 0 else -1)
            return signs.pop() if len(signs) == 1 else 0
        if isinstance(f, Product | Quotient):
            return self.sign(int(f.inputs[0])) * self.sign(int(f.inputs[1]))
        if isinstance(f, OneColumn):
            x = int(f.inputs[0])
            if f.shape.increasing > 0 and f.shape.value(0.0) == 0.0:
                return self.sign(x)
            return 1 if f.shape.positive else 0
        return 0

    def _is_product(self, j):
        return isinstance(self._by_output.get(j), Product)

    def size(self, j):
        """How large the terms of a column may be, by the bounds that Vars were given."""
        terms, constant = self._expanded(j)
        linear = self._linear
        ends = [max(-linear.lower[i], linear.upper[i]) for i in terms]
        sizes = [abs(float(c)) * v for c, v in zip(terms.values(), ends, strict=True)]
        return sum((v for v in sizes if math.isfinite(v)), abs(float(constant)))

    def ratios(self, f, b):
        """What a quotient is a mean of: [(constant, {column: factor}), ...], or None.

        Each is a ratio ``constant + sum factor column``; with it (lowest, highest), the
        ends that terms of the numerator alone leave open: infinite where they do.
        """
        (above, a0), (below, b0) = (self._expanded(int(j)) for j in (f.inputs[0], b))
        sign = self.sign(b)
        if sign * b0 < 0 or any(sign * self.sign(j) * c <= 0 for j, c in below.items()):
            return None
        found = {j: [Fraction(0), {}] for j in below}
        open_ends = set()
        if b0:
            found[None] = [a0 / b0, {}]
        elif a0:
            open_ends.add(1 if sign * a0 > 0 else -1)
        for j, c in above.items():
            i, other = self._weighted(j, below)
            if i is None:
                way = sign * self.sign(j) * c
                open_ends |= {1} if way > 0 else {-1} if way < 0 else {-1, 1}
            elif other is None:
                found[i][0] += c / below[i]
            else:
                self.add(found[i][1], other, c / below[i])
        return [tuple(one) for one in found.values()], open_ends

    def mediants(self, f, b):
        """(least, largest) value of a quotient, infinite where it is not known."""
        if not isinstance(f, Quotient) or (ratios := self.ratios(f, b)) is None:
            return -math.inf, math.inf
        ends = [self._ends(*one) for one in ratios[0]]
        low = -math.inf if -1 in ratios[1] else float(min(low for low, _ in ends))
        high = math.inf if 1 in ratios[1] else float(max(high for _, high in ends))
        return down(low), up(high)

    def needed(self, f, b):
        """Rows ``(terms, lower, upper)`` on ratios that alone can be what w is at least.

        A mean is at least L only if one of its parts is: if all others are less at all
        points, that one.  With b = 0 all parts count nothing, and what is multiplied out
        says nothing: ``x y / (x + y) >= 1`` holds there, multiplied by x + y, and this
        says that x >= 1 and y >= 1.
        """
        if not isinstance(f, Quotient):
            return []
        w, rows = int(f.outputs[0]), []
        for swapped in (False, True):
            self._swapped = swapped
            if (ratios := self.ratios(f, b)) is None:
                continue
            for way, end in ((1, self.lower[w]), (-1, self.upper[w])):
                if not math.isfinite(end) or way in ratios[1]:
                    continue
                able = []
                for one in ratios[0]:
                    low, high = self._ends(*one)
                    if (high if way > 0 else -low) >= way * Fraction(end):
                        able.append(one)
                if len(able) != 1 or not able[0][1]:
                    continue
                ((constant, factors),) = able
                terms = {j: float(c) for j, c in factors.items()}
                size = abs(end) + sum(
                    abs(c) * max(abs(self.lower[j]), abs(self.upper[j]))
                    for j, c in terms.items()
                )
                side = end - float(constant) - way * OF_FEW_TERMS * size
                if math.isfinite(side):
                    inf = math.inf
                    rows.append((terms, *((side, inf) if way > 0 else (-inf, side))))
        self._swapped = False
        return rows

    def _ends(self, constant, factors):
        """Least and largest value of a ratio."""
        low = high = constant
        for j, c in factors.items():
            ends = [
                c * (Fraction(v) if math.isfinite(v) else v)
                for v in map(float, (self.lower[j], self.upper[j]))
            ]
            low, high = low + min(ends), high + max(ends)
        return low, high

    def _weighted(self, j, below):
        """(i, other) such that a column is x_i, or x_i times another column.

        Of a column i of the denominator; (None, None) if there is none.
        """
        if j in below:
            return j, None
        f = self._by_output.get(j)
        if isinstance(f, Product):
            pairs = [tuple(map(int, f.inputs)), tuple(map(int, f.inputs[::-1]))]
            for i, other in pairs[::-1] if self._swapped else pairs:
                if i in below:
                    return i, other
        return None, None

    def _expanded(self, column):
        """(terms, constant) of a column, sums taken apart, in rational numbers."""
        f = self._by_output.get(column)
        if not isinstance(f, Sum):
            return {column: Fraction(1)}, Fraction(0)
        terms, constant = {}, Fraction(f.constant)
        for j, c in zip(f.inputs.tolist(), f.coefficients.tolist(), strict=True):
            inner, more = self._expanded(j)
            constant += Fraction(c) * more
            for i, v in inner.items():
                self.add(terms, i, Fraction(c) * v)
        return {j: c for j, c in terms.items() if c}, constant

    @staticmethod
    def add(terms, column, c):
        """Add a term to a form, in place."""
        terms[column] = terms.get(column, 0.0) + c
