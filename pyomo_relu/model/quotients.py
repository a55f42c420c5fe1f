r"""Rows with quotients multiplied out; ranges of quotients whose denominator may be small.

A quotient ``w = a / b`` has no range where b comes near 0, whatever its lines say.  Two
things are known of it all the same where the sign of b is known, b >= 0 say, for it is
defined where b > 0 only:

- A row ``lo <= c w + r <= hi`` says ``lo b <= c a + r b <= hi b``: linear where r is a
  constant, else with a product of columns.  If all rows that w is in are of this kind, w
  itself needs no lines; its row stays, and points are checked by it (``Checked``).

- It is a mean of ratios, and between the least and the largest of them (``mediants``).

The closure of a row multiplied out contains points with b = 0.  None of them is ever
returned, as the quotient has no value there; bounds hold with them or without, and rows on
the ratios keep them away where they can.
"""

from dataclasses import replace

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.implied import implied_bounds
from pyomo_relu.errors import InfeasibleError, ModelError
from pyomo_relu.linear.atoms.atom import Checked, OneColumn, Product, Quotient, Sum
from pyomo_relu.linear.atoms.shapes import Power
from pyomo_relu.linear.embedded import EmbeddedModel
from pyomo_relu.model.mediants import Denominators

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
        self._known = Denominators(model, lower, upper)
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
        if max(-self.lower[b], self.upper[b]) <= _NOTHING * self._known.size(b):
            raise ModelError(
                f"{name}: {f.name} divides by {self.model.linear.name(b)}, which is 0 "
                "wherever the model's bounds and linear rows hold. Give a Var in it a "
                "small lower bound, or leave out what divides by it."
            )
        sign = self._known.sign(b)
        if not sign and (self.lower[w] > 0.0 or self.upper[w] < 0.0):
            # a = w b, of which a and w have a sign
            above = self._known.sign(int(f.inputs[0])) if isinstance(f, Quotient) else 1
            sign = above if self.lower[w] > 0.0 else -above
        if not sign:
            return
        low, high = self._known.mediants(f, b)
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
        for row in self._known.needed(f, b):
            self._rows.append(row)
            self.names.append(f"a part of {f.name}")
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
            self._known.add(more, self._product(self._column(rest, name), b, name), 1.0)
        for j in terms.keys() - rest.keys():
            f = self._by_output[j]
            if isinstance(f, Quotient):
                self._known.add(more, int(f.inputs[0]), terms[j])
            else:
                constant += terms[j]
        low, high = float(linear.row_lower[row]), float(linear.row_upper[row])
        sides = [(low, 1.0)] if low == high else [(low, 1.0), (high, -1.0)]
        for side, way in sides:
            if not np.isfinite(side):
                continue
            new = {j: way * sign * v for j, v in more.items()}
            self._known.add(new, b, -way * sign * side)
            below = -way * sign * constant
            self._rows.append((new, below, below if low == high else np.inf))
            self.names.append(f"row times {name}")

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
