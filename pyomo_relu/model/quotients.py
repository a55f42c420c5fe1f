r"""Rows with quotients multiplied out; ranges of quotients whose denominator may be small.

A quotient ``w = a / b`` has no range where b comes near 0, whatever its lines say.  Two
things are known of it all the same where the sign of b is known, b >= 0 say, for it is
defined where b > 0 only:

- A row ``lo <= c w + r <= hi`` says ``lo b <= c a + r b <= hi b``: linear where r is a
  constant, else with a product of columns.  If all rows that w is in are of this kind, w
  itself needs no lines; its row stays, and points are checked by it (``Checked``).

- With ``a = sum_j a_j x_j``, ``b = sum_j b_j x_j`` and no ``b_j x_j`` negative, a / b is a
  mean of the ratios a_j / b_j, weighted by ``b_j x_j / b``: between the least and the
  largest of them (the mediant inequality).  A share, x / (x + y), is between 0 and 1.

The closure of a row multiplied out contains points with b = 0.  None of them is ever
returned, as the quotient has no value there; bounds hold with them or without.
"""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.implied import implied_bounds
from pyomo_relu.errors import InfeasibleError, ModelError
from pyomo_relu.linear.atoms.atom import Checked, OneColumn, Product, Quotient, Sum
from pyomo_relu.linear.atoms.shapes import Power
from pyomo_relu.linear.embedded import EmbeddedModel
from pyomo_relu.linear.rounding import down, up

_RECIPROCAL, _SQUARE = Power(-1), Power(2)

#: A denominator's share of its terms' sizes that counts as zero.
_NOTHING = 1e-12


def multiplied_out(model, name):
    """A model with its quotients' rows multiplied out where that is needed.

    Parameters
    ----------
    model : EmbeddedModel
        In the modeller's units.
    name : str
        Who asks, for messages.

    Returns
    -------
    model : EmbeddedModel
        With more rows, and columns after the given ones.
    names : list of str
        Of the new rows.

    Raises
    ------
    ModelError
        If a denominator is 0 wherever the rows hold.
    """
    if all(hasattr(f, "network") for f in model.functions):
        return model, []
    read = _read_by_functions(model)
    read[model.linear.matrix.indices] = True
    functions = [
        _checked(f)
        if isinstance(f, OneColumn | Product | Quotient) and not read[f.outputs[0]]
        else f
        for f in model.functions
    ]
    model = replace(model, functions=functions)
    quotients = [at for at, f in enumerate(functions) if _is_quotient(f)]
    if not quotients:
        return model, []
    try:
        lower, upper = implied_bounds(model)
    except InfeasibleError:  # for a solver to prove
        return model, []
    work = _Rewriting(model, lower, upper)
    for at in quotients:
        work.take(at, name)
    return work.done(), work.names


def _is_quotient(f):
    """Whether a function is a quotient, or a reciprocal."""
    return isinstance(f, Quotient) or (
        isinstance(f, OneColumn) and f.shape.key == _RECIPROCAL.key
    )


def _read_by_functions(model):
    """Columns that functions or costs read, bool (n,)."""
    read = model.costs != 0
    for f in model.functions:
        read[f.inputs] = True
    return read


def _checked(f, reach=np.inf):
    return Checked(f.name, f.inputs, f.outputs, f.scale, f.size, of=f, reach=reach)


class _Rewriting:
    """A model that is being rewritten, quotient by quotient."""

    def __init__(self, model, lower, upper):
        self.model, self.lower, self.upper = model, lower, upper
        self.names = []
        self._functions = list(model.functions)
        self._by_output = {int(f.outputs[0]): f for f in model.functions}
        self._rows, self._multiplied = [], set()
        n = model.n_columns
        self._n, self._new = n, []
        self._ends = model.linear.lower.copy(), model.linear.upper.copy()
        self._matrix = model.linear.matrix.tocsr()
        self._by_column = model.linear.matrix.tocsc()
        self._read = _read_by_functions(model)

    def take(self, at, name):
        """Do what is known of the quotient at a position of the functions."""
        f = self._functions[at]
        b, w = int(f.inputs[-1]), int(f.outputs[0])
        if max(-self.lower[b], self.upper[b]) <= _NOTHING * self._size(b):
            raise ModelError(
                f"{name}: {f.name} divides by {self.model.linear.name(b)}, which is 0 "
                "wherever the model's bounds and linear rows hold. Give a Var in it a "
                "small lower bound, or leave out what divides by it."
            )
        sign = self._sign(b)
        if not sign and (self.lower[w] > 0.0 or self.upper[w] < 0.0):
            # a = w b, of which a and w have a sign
            above = self._sign(int(f.inputs[0])) if isinstance(f, Quotient) else 1
            sign = above if self.lower[w] > 0.0 else -above
        if not sign:
            return
        low, high = self._mediants(f, b)
        self._ends[0][w] = max(self._ends[0][w], low)
        self._ends[1][w] = min(self._ends[1][w], high)
        low, high = max(low, self.lower[w]), min(high, self.upper[w])
        rows = self._rows_of(w)
        if rows is None:
            return
        more = any(self._rest(others, b) for _, others, _ in rows)
        if more and np.isfinite(low) and np.isfinite(high):
            return
        for row, others, c in rows:
            if (row, b) not in self._multiplied:
                self._multiplied.add((row, b))
                self._multiply(row, {w: c, **others}, b, sign)
        # the sign may rest on the row that is multiplied out
        if sign > 0:
            self._ends[0][b] = max(self._ends[0][b], 0.0)
        else:
            self._ends[1][b] = min(self._ends[1][b], 0.0)
        self._functions[at] = _checked(f, self._reach(rows))

    def done(self):
        """The model as it is now."""
        linear, n = self.model.linear, self._n
        more = n - linear.n_columns
        new = sparse.lil_array((len(self._rows), n))
        for i, (terms, _, _) in enumerate(self._rows):
            for j, c in terms.items():
                new[i, j] = c
        old = sparse.csr_array(
            (self._matrix.data, self._matrix.indices, self._matrix.indptr),
            shape=(linear.n_rows, n),
        )
        ends = np.full(more, -np.inf), np.full(more, np.inf)
        linear = linear.replace(
            matrix=sparse.vstack([old, new], format="csr"),
            row_lower=np.append(linear.row_lower, [row[1] for row in self._rows]),
            row_upper=np.append(linear.row_upper, [row[2] for row in self._rows]),
            lower=np.append(self._ends[0], ends[0]),
            upper=np.append(self._ends[1], ends[1]),
            integer=np.append(linear.integer, np.zeros(more, dtype=bool)),
            names=(*linear.names, *(f.name for f in self._new)),
        )
        costs = np.append(self.model.costs, np.zeros(more))
        functions = [*self._functions, *self._new]
        return EmbeddedModel(linear, functions, costs, self.model.constant)

    # -- rows ----------------------------------------------------------------------

    def _rows_of(self, w):
        """[(row, other terms, own coefficient)] of a quotient; None if more reads it."""
        if self._read[w]:
            return None
        by_column = self._by_column
        rows = []
        for i in by_column.indices[by_column.indptr[w] : by_column.indptr[w + 1]]:
            part = slice(self._matrix.indptr[i], self._matrix.indptr[i + 1])
            terms = dict(
                zip(
                    self._matrix.indices[part].tolist(),
                    self._matrix.data[part].tolist(),
                    strict=True,
                )
            )
            c = terms.pop(w)
            rows.append((int(i), terms, c))
        return rows

    def _rest(self, terms, b):
        """Those terms that are no quotients with b as their denominator."""
        return {
            j: c
            for j, c in terms.items()
            if not (_is_quotient(of := self._by_output.get(j)) and of.inputs[-1] == b)
        }

    def _multiply(self, row, terms, b, sign):
        """Add ``lo b <= c a + r b <= hi b``."""
        linear, more, constant = self.model.linear, {}, 0.0
        name, rest = self.model.linear.name(b), self._rest(terms, b)
        if rest:
            self._add(more, self._product(self._column(rest, name), b, name), 1.0)
        for j in terms.keys() - rest.keys():
            f = self._by_output[j]
            if isinstance(f, Quotient):
                self._add(more, int(f.inputs[0]), terms[j])
            else:
                constant += terms[j]
        low, high = float(linear.row_lower[row]), float(linear.row_upper[row])
        sides = [(low, 1.0)] if low == high else [(low, 1.0), (high, -1.0)]
        for side, way in sides:
            if not np.isfinite(side):
                continue
            new = {j: way * sign * v for j, v in more.items()}
            self._add(new, b, -way * sign * side)
            below = -way * sign * constant
            self._rows.append((new, below, below if low == high else np.inf))
            self.names.append(f"row times {name}")

    @staticmethod
    def _add(terms, column, c):
        terms[column] = terms.get(column, 0.0) + c

    def _column(self, terms, name):
        """A column that is a sum of terms."""
        if len(terms) == 1:
            ((j, c),) = terms.items()
            if c == 1.0:
                return j
        columns, new = sorted(terms), self._n
        coefficients = np.array([terms[j] for j in columns])
        name = f"what is multiplied by {name}"
        self._append(Sum(name, columns, [new], coefficients=coefficients))
        self._rows.append(({**terms, new: -1.0}, 0.0, 0.0))
        self.names.append(name)
        return new

    def _product(self, p, q, name):
        """The column of a product of two columns."""
        new = self._n
        if p == q:
            made = OneColumn(f"the square of {name}", [p], [new], shape=_SQUARE)
        else:
            made = Product(f"a product with {name}", sorted((p, q)), [new])
        self._append(made)
        return new

    def _append(self, function):
        self._new.append(function)
        self._n += 1

    def _reach(self, rows):
        """What a quotient's value is compared with in its rows."""
        linear, reach = self.model.linear, 0.0
        for i, others, c in rows:
            sides = np.abs([linear.row_lower[i], linear.row_upper[i]])
            size = sides[np.isfinite(sides)].max(initial=0.0)
            for j, r in others.items():
                size += abs(r) * max(abs(self.lower[j]), abs(self.upper[j]))
            reach = max(reach, size / abs(c))
        return reach or 1.0

    # -- signs and ranges ----------------------------------------------------------

    def _sign(self, j):
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
                    at, ends = self._weighted(i, factors.keys() - {i})
                    ends = sorted(c * end for end in ends or [Fraction(1)] * 2)
                    have = factors.get(i if at is None else at, [0, 0])
                    factors[i if at is None else at] = [
                        v + end for v, end in zip(have, ends, strict=True)
                    ]
            signs = {
                self._sign(i) * ((low >= 0) - (high <= 0))
                for i, (low, high) in factors.items()
            }
            if constant:
                signs.add(1 if constant > 0 else -1)
            return signs.pop() if len(signs) == 1 else 0
        if isinstance(f, Product | Quotient):
            return self._sign(int(f.inputs[0])) * self._sign(int(f.inputs[1]))
        if isinstance(f, OneColumn):
            x = int(f.inputs[0])
            if f.shape.increasing > 0 and f.shape.value(np.float64(0.0)) == 0.0:
                return self._sign(x)
            return 1 if f.shape.positive else 0
        return 0

    def _is_product(self, j):
        return isinstance(self._by_output.get(j), Product)

    def _size(self, j):
        """How large the terms of a column may be, by the bounds that Vars were given."""
        terms, constant = self._expanded(j)
        linear = self.model.linear
        ends = [max(-linear.lower[i], linear.upper[i]) for i in terms]
        sizes = [abs(float(c)) * v for c, v in zip(terms.values(), ends, strict=True)]
        return sum((v for v in sizes if math.isfinite(v)), abs(float(constant)))

    def _mediants(self, f, b):
        """(least, largest) value of a quotient, infinite where it is not known."""
        nothing = -np.inf, np.inf
        if not isinstance(f, Quotient):
            return nothing
        (above, a0), (below, b0) = (self._expanded(int(j)) for j in (f.inputs[0], b))
        sign = self._sign(b)
        if sign * b0 < 0 or any(
            sign * self._sign(j) * c <= 0 for j, c in below.items()
        ):
            return nothing
        ratios = {j: [Fraction(0), Fraction(0)] for j in below}
        low, high = [], []
        if b0:
            ratios[None] = [a0 / b0, a0 / b0]
        elif a0:
            (low, high)[sign * a0 > 0].append(math.copysign(math.inf, sign * a0))
        for j, c in above.items():
            i, ends = self._weighted(j, below)
            if i is None:
                way = sign * self._sign(j) * c
                low += [-math.inf] * (way <= 0)
                high += [math.inf] * (way >= 0)
                continue
            ends = sorted(end * (c / below[i]) for end in ends)
            ratios[i] = [r + end for r, end in zip(ratios[i], ends, strict=True)]
        low += [ends[0] for ends in ratios.values()]
        high += [ends[1] for ends in ratios.values()]
        return down(float(min(low))), up(float(max(high)))

    def _weighted(self, j, below):
        """(i, ends) such that column j is x_i times something between the ends.

        Of a column i of the denominator; (None, None) if there is none.
        """
        if j in below:
            return j, [Fraction(1)] * 2
        f = self._by_output.get(j)
        if isinstance(f, Product):
            for i, other in (f.inputs, f.inputs[::-1]):
                if int(i) in below:
                    ends = self.lower[other], self.upper[other]
                    return int(i), [
                        Fraction(v) if math.isfinite(v) else v for v in map(float, ends)
                    ]
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
                self._add(terms, i, Fraction(c) * v)
        return {j: c for j, c in terms.items() if c}, constant
