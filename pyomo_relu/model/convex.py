r"""Rows that say of a convex quadratic form in products that it is convex.

Products are bounded one by one; a form ``x'Q x`` with Q positive semidefinite is more
than the sum of its products.  With ``Q = L D L'`` it is ``sum_k d_k (l_k'x)^2``, of which
every tangent is a valid line.  So squares of the linear forms ``l_k'x`` become columns
and a row says that the products' sum is at least theirs.  The model stays what it was:
the row holds at every point of it.

Rounding: with ``E = Q - L D L'`` the two sums differ by at most ``sum |E_ij| R_i R_j``,
R being the largest magnitudes that the Vars' bounds permit.  Both Q and its factors are
rounded to within a few units of ``|L| |D| |L'|`` (Higham, Accuracy and Stability of
Numerical Algorithms, 2nd ed., section 10.1); the row's side is moved by ``OF_MANY_TERMS``
times that instead.

Vars without bounds leave no room for rounding: a row is one only if the polynomial that
it says to be at least 0, in exact arithmetic, is nowhere negative (``polynomials``).  The
factors' rounding is made up for by a share taken off every d_k: with ``d (1 - delta)``
what remains is ``E + delta L D L'``.  Where such a form is bounded, by ``form <= u``,

    sum_k d_k (l_k'(x - c))^2 + the form's terms in other columns <= u - constant

with its least point c follows and is a row, too: it bounds the Vars, as their squares are
bounded one by one.
"""

from fractions import Fraction

import numpy as np

from pyomo_relu.linear.atoms.atom import OneColumn, Product, Sum
from pyomo_relu.linear.atoms.shapes import Power
from pyomo_relu.linear.rounding import OF_MANY_TERMS
from pyomo_relu.model.form import Form
from pyomo_relu.model.polynomials import ONE, Polynomial

#: Forms in more columns are left as they are: the factors are dense.
_MOST = 60

#: Pivots below this share of the largest diagonal entry count as zero.
_ZERO = 1e-11

#: Forms in more columns without bounds are left as they are: exact factors are long.
_MOST_EXACT = 12

#: Shares taken off the squares of a form without bounds, one after the other.
_LESS = 0.0, 2.0**-40, 2.0**-30

#: What is so much smaller than what it was computed from is rounding.
_ROUNDED = 1e-14


def convex_rows(form, atoms, square, reach, sides=(-np.inf, np.inf)):
    """Rows for the convex (or concave) parts of a form.

    Parameters
    ----------
    form : Form
        Over Vars' columns and those of ``atoms``, numbered from -1 downwards.
    atoms : list of Atom
    square : callable
        The Form that is the square of a Form; may add atoms.
    reach : callable
        Largest magnitude of a column, infinite if it is not known.
    sides : (float, float)
        Between which the form is, in the model.

    Returns
    -------
    list of (Form, float)
        ``form >= side``.
    """
    quadratic, linear, meaning = {}, {}, {}
    for j, c in form.terms.items():
        atom = atoms[-1 - j] if j < 0 else None
        if isinstance(atom, Product):
            p, q = atom.inputs.tolist()
            quadratic[p, q] = quadratic.get((p, q), 0.0) + c
            linear.setdefault((p, q), Form()).terms[j] = c
            meaning[j] = Polynomial({(min(p, q), max(p, q)): Fraction(1)})
        elif isinstance(atom, OneColumn) and atom.shape.key == Power(2).key:
            x, a, b = _affine(int(atom.inputs[0]), atoms)
            quadratic[x, x] = quadratic.get((x, x), 0.0) + c * a * a
            meaning[j] = Polynomial.square({x: a}, b)
            # c (a x + b)^2 without c a^2 x^2
            rest = Form({j: c}).plus(Form({x: 2.0 * c * a * b}, c * b * b), -1.0)
            linear[x, x] = linear.get((x, x), Form()).plus(rest)
    rows = []
    for columns in _components(quadratic):
        within = {ij for ij in quadratic if ij[0] in columns}
        n = len(columns)
        reaches = np.array([reach(j) for j in columns])
        bounded = np.isfinite(reaches).all()
        if n > (_MOST if bounded else _MOST_EXACT):
            continue
        place = {j: i for i, j in enumerate(columns)}
        Q = np.zeros((n, n))
        for p, q in within:
            Q[place[p], place[q]] += 0.5 * quadratic[p, q]
            Q[place[q], place[p]] += 0.5 * quadratic[p, q]
        for sign in (1.0, -1.0):
            factors = _factors(sign * Q)
            if factors is None:
                continue
            L, d = factors
            row, size = Form(), np.abs(Q)
            for ij in within:
                row = row.plus(linear[ij], sign)
            if not bounded:
                if not (np.isfinite(L).all() and np.isfinite(d).all()):
                    continue
                squares = [
                    (Form(terms), float(d[k]))
                    for k, terms in _linear_forms(L, d, columns)
                ]
                rows += _exact_row(row, squares, meaning, square)
                upper = sides[1] if sign > 0 else -sides[0]
                if np.isfinite(upper):
                    rows += _bounding_row(
                        form.times(sign), row, upper, columns, factors, meaning, square
                    )
                continue
            for k, terms in _linear_forms(L, d, columns):
                row = row.plus(square(Form(terms)), -d[k])
            size = size + np.abs(L) * d @ np.abs(L).T
            slack = OF_MANY_TERMS * float(reaches @ size @ reaches)
            slack += OF_MANY_TERMS * abs(row.constant)
            rows.append((Form(row.terms), -row.constant - slack))
    return rows


def _exact_row(own, squares, meaning, square):
    """The row on a form's squares, made a little smaller if need be, as a list.

    Parameters
    ----------
    own : Form
        Of the columns that are squared, as far as the form has it.
    squares : list of (Form, float)
        ``l_k`` and ``d_k``.
    meaning : dict of int to Polynomial
        What columns of products and squares are.
    square : callable
        As of ``convex_rows``.

    Returns
    -------
    list of (Form, float)
        Empty if exact arithmetic finds points at which it does not hold.
    """
    holds = _polynomial(own, meaning)
    sizes = _shrunk(squares, lambda total: total.add(holds, 1.0).nowhere_negative())
    if sizes is None:
        return []
    row, meaning = own, dict(meaning)
    for (inner, _), d in zip(squares, sizes, strict=True):
        row = row.plus(_named(inner, meaning, square), -d)
    new = Form(row.terms), -row.constant
    # sums of floats may have rounded on the way
    claim = _polynomial(new[0], meaning).add(ONE, -new[1])
    return [new] if claim.nowhere_negative() else []


def _bounding_row(form, own, upper, columns, factors, meaning, square):
    """What ``form <= upper`` says of squares around the form's least point, as a list.

    With the least point c of what the form is in ``columns``, found in floats, the squares
    are ``(l_k'(x - c))^2``; that their sum and the form's terms in other columns are no
    more than the form, but for a constant, is shown in exact arithmetic.

    Parameters
    ----------
    form, own : Form
        The whole and its part in ``columns``.
    upper : float
    columns : list of int
    factors : (numpy.ndarray, numpy.ndarray), shapes (n, n) and (n,)
        L and d of ``_factors``.
    meaning, square
        As of ``_exact_row``.

    Returns
    -------
    list of (Form, float)
    """
    L, d = factors
    whole = _polynomial(form, meaning)
    others = Form(
        {j: c for j, c in form.terms.items() if not (j in own.terms or j in columns)}
    )
    slopes = np.array([float(whole.terms[(j,)]) for j in columns])
    least = np.linalg.lstsq(2.0 * (L * d) @ L.T, -slopes, rcond=None)[0]
    constant = float(whole.terms[()] + Fraction(0.5 * float(slopes @ least)))
    if not (np.isfinite(least).all() and np.isfinite(constant)):
        return []
    slack = OF_MANY_TERMS * (abs(constant) + abs(upper) + float(np.abs(slopes @ least)))
    side = constant - upper - slack
    # a constant that is nothing but rounding would pass for its column's size
    shift, sizes = L.T @ least, np.abs(L).T @ np.abs(least)
    shift[np.abs(shift) <= _ROUNDED * np.maximum(sizes, np.abs(least).max())] = 0.0
    squares = [
        (Form(terms, -float(shift[k])), float(d[k]))
        for k, terms in _linear_forms(L, d, columns)
    ]
    # form - upper >= -(row - side) wherever it is: so the row holds where form <= upper
    missing = _polynomial(form.plus(others, -1.0), meaning)
    missing.add(ONE, -upper).add(ONE, -side)
    sizes = _shrunk(squares, lambda total: total.add(missing, 1.0).nowhere_negative())
    if sizes is None:
        return []
    row = others.times(-1.0)
    for (inner, _), size in zip(squares, sizes, strict=True):
        row = row.plus(_named(inner, dict(meaning), square), -size)
    return [(row, side)]


def _linear_forms(L, d, columns):
    """(k, terms of ``l_k'x``) for each k with ``d_k > 0``."""
    for k in np.flatnonzero(d > 0):
        yield k, {columns[i]: float(L[i, k]) for i in np.flatnonzero(L[:, k])}


def _shrunk(squares, suits):
    """The least shrunk ``d_k`` with which ``-sum_k d_k l_k^2`` suits, or None."""
    values = [Polynomial.square(inner.terms, inner.constant) for inner, _ in squares]
    for less in _LESS:
        sizes = [d * (1.0 - less) for _, d in squares]
        total = Polynomial()
        for value, d in zip(values, sizes, strict=True):
            total.add(value, -d)
        if suits(total):
            return sizes
    return None


def _named(inner, meaning, square):
    """The Form that is a square's column, whose meaning is noted."""
    name = square(inner)
    (column,) = name.terms
    meaning[column] = Polynomial.square(inner.terms, inner.constant)
    return name


def _polynomial(form, meaning):
    """What a form is in the columns that products and squares are of."""
    total = Polynomial().add(ONE, form.constant)
    for j, c in form.terms.items():
        total.add(meaning.get(j, Polynomial({(j,): Fraction(1)})), c)
    return total


def _affine(column, atoms):
    """(x, a, b) of a column that is ``a x + b``."""
    atom = atoms[-1 - column] if column < 0 else None
    if isinstance(atom, Sum) and atom.inputs.size == 1:
        return int(atom.inputs[0]), float(atom.coefficients[0]), atom.constant
    return column, 1.0, 0.0


def _components(quadratic):
    """Sets of columns that products connect, each with at least one product."""
    parts = []
    for p, q in quadratic:
        if p == q:
            continue
        joined = {p, q}.union(*(part for part in parts if part & {p, q}))
        parts = [part for part in parts if not part & joined] + [joined]
    return [sorted(part) for part in parts]


def _factors(Q):
    """L (unit lower triangular) and d >= 0 with ``Q = L D L'``; None if there are none."""
    n, rest = len(Q), Q.copy()
    L, d = np.eye(n), np.zeros(n)
    zero = _ZERO * np.abs(np.diag(Q)).max(initial=0.0)
    for k in range(n):
        d[k] = rest[k, k]
        if d[k] <= zero:
            if d[k] < -zero or np.abs(rest[k + 1 :, k]).max(initial=0.0) > zero:
                return None
            d[k] = 0.0
            continue
        L[k + 1 :, k] = rest[k + 1 :, k] / d[k]
        rest[k + 1 :, k + 1 :] -= d[k] * np.outer(L[k + 1 :, k], L[k + 1 :, k])
    return L, d
