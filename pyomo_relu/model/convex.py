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
"""

import numpy as np

from pyomo_relu.linear.atoms.atom import OneColumn, Product, Sum
from pyomo_relu.linear.atoms.shapes import Power
from pyomo_relu.linear.rounding import OF_MANY_TERMS
from pyomo_relu.model.form import Form

#: Forms in more columns are left as they are: the factors are dense.
_MOST = 60

#: Pivots below this share of the largest diagonal entry count as zero.
_ZERO = 1e-11


def convex_rows(form, atoms, square, reach):
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

    Returns
    -------
    list of (Form, float)
        ``form >= side``.
    """
    quadratic, linear = {}, {}
    for j, c in form.terms.items():
        atom = atoms[-1 - j] if j < 0 else None
        if isinstance(atom, Product):
            p, q = atom.inputs.tolist()
            quadratic[p, q] = quadratic.get((p, q), 0.0) + c
            linear.setdefault((p, q), Form()).terms[j] = c
        elif isinstance(atom, OneColumn) and atom.shape.key == Power(2).key:
            x, a, b = _affine(int(atom.inputs[0]), atoms)
            quadratic[x, x] = quadratic.get((x, x), 0.0) + c * a * a
            # c (a x + b)^2 without c a^2 x^2
            rest = Form({j: c}).plus(Form({x: 2.0 * c * a * b}, c * b * b), -1.0)
            linear[x, x] = linear.get((x, x), Form()).plus(rest)
    rows = []
    for columns in _components(quadratic):
        within = {ij for ij in quadratic if ij[0] in columns}
        n = len(columns)
        reaches = np.array([reach(j) for j in columns])
        if n > _MOST or not np.isfinite(reaches).all():
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
            for k in np.flatnonzero(d > 0):
                terms = {columns[i]: L[i, k] for i in np.flatnonzero(L[:, k])}
                row = row.plus(square(Form(terms)), -d[k])
            size = size + np.abs(L) * d @ np.abs(L).T
            slack = OF_MANY_TERMS * float(reaches @ size @ reaches)
            slack += OF_MANY_TERMS * abs(row.constant)
            rows.append((Form(row.terms), -row.constant - slack))
    return rows


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
