r"""Whether a model's atoms are convex where they matter, so that tangents suffice.

An atom's column w that may always fall (``one_sided``) may as well be at least f(x); if f
is convex on its box, tangents say just that, in the limit of many.  The other way round
for columns that may always rise, and concave functions.

Products matter together: of ``sum_ij c_ij p_ij <= b``, with a row
``sum_ij c_ij p_ij >= sum_k d_k s_k + ...`` (``model.convex``) that says of the form that
it is convex, no product by itself is needed, only the squares ``s_k``: whatever the p are,
both rows together say that ``sum_k d_k s_k + ... <= b``, and the true products meet both.
"""

import numpy as np

from pyomo_relu.linear.atoms.atom import Atom, OneColumn, Product
from pyomo_relu.linear.atoms.shapes import CONCAVE, CONVEX
from pyomo_relu.portfolio.one_sided import OneSided

#: What is left of a row's coefficients, relative to the largest, counts as nothing.
_NOTHING = 1e-9

#: Random points at which a row is looked at, how far out they are at most, and what a
#: row that holds with equality may be off there: its side has room for rounding.
_POINTS, _FAR, _ROOM = 8, 10.0, 1e-6


def may_be_convex(model):
    """Whether atoms' kinds and the rows that they are in leave it open; False is cheap.

    A product is convex with others only, in a row that says so.
    """
    linear = model.linear
    below, above = np.isfinite(linear.row_lower), np.isfinite(linear.row_upper)
    entries = linear.matrix[below & ~above]
    said = np.zeros(linear.n_columns, dtype=bool)
    said[entries.indices[entries.data != 0]] = True
    return all(
        isinstance(f, OneColumn)
        or f.by_rows
        or (isinstance(f, Product) and said[f.outputs].all())
        for f in model.functions
        if isinstance(f, Atom)
    )


def convex(model, lower, upper):
    """Whether tangents to the atoms describe the model, in the limit.

    Parameters
    ----------
    model : EmbeddedModel
    lower, upper : numpy.ndarray, shape (n_columns,)
        Bounds of all columns that rows and functions imply.

    Returns
    -------
    bool
    """
    atoms = [f for f in model.functions if isinstance(f, Atom)]
    one_sided, together = OneSided(model, lower, upper), []
    for a in atoms:
        if a.by_rows:
            continue
        w, ends = int(a.outputs[0]), (lower[a.inputs], upper[a.inputs])
        if not np.isfinite(ends).all():
            return False
        if isinstance(a, Product):
            together.append(w)
            continue
        if not isinstance(a, OneColumn):
            return False
        low, high = (end * a.scale for end in ends)
        first, last = a.shape.domain
        curvature = a.shape.curvature(np.maximum(low, first), np.minimum(high, last))
        sign = int(one_sided.signs[w])
        if sign == 0 and curvature[0] == CONVEX:
            together.append(w)
        elif (sign, int(curvature[0])) not in ((1, CONVEX), (-1, CONCAVE)):
            return False
    return not together or _convex_forms(model, one_sided, atoms, np.array(together))


def _convex_forms(model, one_sided, atoms, columns):
    """Whether what columns matter for together is convex, as rows say.

    Parameters
    ----------
    columns : numpy.ndarray of int
        Of products, and of convex functions whose columns may not fall by themselves.
    """
    linear = model.linear
    outputs = [int(a.outputs[0]) for a in atoms if isinstance(a, Product)]
    products = np.isin(columns, outputs)
    matrix = linear.matrix.tocsc()[:, columns].toarray()
    below, above = np.isfinite(linear.row_lower), np.isfinite(linear.row_upper)
    touched = np.flatnonzero(matrix.any(axis=1))
    says = touched[
        _identities(model, touched[below[touched] & ~above[touched]], touched)
    ]
    forms = matrix[says]
    needs = [(model.costs[columns], 1.0)]
    for i in np.setdiff1d(touched, says):
        follows = one_sided.followed(i)
        if above[i] and not (linear.row_lower[i] == linear.row_upper[i] and follows[0]):
            needs.append((matrix[i], 1.0))
        if below[i] and not (linear.row_lower[i] == linear.row_upper[i] and follows[1]):
            needs.append((matrix[i], -1.0))
    return all(_covered(sign * row, forms, products) for row, sign in needs)


def _identities(model, candidates, among):
    """Which of the rows ``among`` are candidates that hold with equality everywhere.

    That is seen at random points: rows of a modeller's own may look alike.
    """
    linear, rng = model.linear, np.random.default_rng(0)
    low = np.clip(linear.lower, -_FAR, _FAR)
    high = np.clip(linear.upper, -_FAR, _FAR)
    points = model.complete(low + rng.random((_POINTS, low.size)) * (high - low))
    rows = linear.matrix[candidates]
    sides = linear.row_lower[candidates]
    off = np.abs((rows @ points.T).T - sides).max(axis=0, initial=0.0)
    size = (abs(rows) @ np.abs(points).T).T.max(axis=0, initial=0.0) + np.abs(sides)
    return np.isin(among, candidates[off <= _ROOM * size])


def _covered(row, forms, products):
    """Whether a row that must stay small is a sum of convex forms and of squares."""
    rest, size = row.copy(), np.abs(row).max(initial=0.0)
    left = np.abs(rest) > _NOTHING * size
    while (left & products).any():
        k = int(np.flatnonzero(left & products)[0])
        of = [f for f in forms if f[k] * rest[k] > 0]
        if not of:
            return False
        rest = rest - rest[k] / of[0][k] * of[0]
        rest[k] = 0.0
        before, left = left, np.abs(rest) > _NOTHING * size
        if (left & products).sum() >= (before & products).sum():
            return False
    return bool((rest >= -_NOTHING * size).all())
