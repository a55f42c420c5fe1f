"""Columns that can take one value only, and functions without those inputs."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from pyomo_relu.network.fixed_inputs import fix_inputs

#: Sweeps over the rows; each follows equations that the last one has made plain.
_SWEEPS = 20

#: Values beyond this are left to those who refuse them.
_LARGEST = 1e100


def fixed_columns(linear):
    """Columns with equal bounds, and those that equations make numbers.

    In a row ``a_k x_k + sum_j a_j x_j = b`` whose other columns are known, x_k is
    ``(b - sum_j a_j x_j) / a_k``; in rational arithmetic, so that nothing is rounded.
    A value outside the column's own bounds is not taken: such a model has no point,
    and others say so.

    Parameters
    ----------
    linear : LinearModel

    Returns
    -------
    dict
        From column to Fraction.
    """
    at = np.flatnonzero((linear.lower == linear.upper) & np.isfinite(linear.lower))
    known = {
        j: Fraction(v)
        for j, v in zip(at.tolist(), linear.lower[at].tolist(), strict=True)
    }
    sides = linear.row_lower
    equations = np.flatnonzero((sides == linear.row_upper) & np.isfinite(sides))
    if not equations.size:
        return known
    open_ = np.ones(linear.n_columns, dtype=bool)
    open_[at] = False
    matrix = linear.matrix[equations]
    pattern = (matrix != 0).astype(float)
    for _ in range(_SWEEPS):
        single = np.flatnonzero(pattern @ open_.astype(float) == 1)
        found = _solved(matrix, sides[equations], single, known)
        for j, v in found.items():
            open_[j] = False
            if linear.lower[j] <= v <= linear.upper[j] and abs(v) < _LARGEST:
                known[j] = v
        if not found:
            break
    return known


def _solved(matrix, sides, rows, known):
    """{column: value} of the one column in each row that is not known."""
    found = {}
    for r in rows.tolist():
        entries = slice(matrix.indptr[r], matrix.indptr[r + 1])
        pairs = zip(
            matrix.indices[entries].tolist(), matrix.data[entries].tolist(), strict=True
        )
        total, last = Fraction(sides[r]), None
        for j, a in pairs:
            if j in known:
                total -= Fraction(a) * known[j]
            elif a:
                last = None if last else (j, a)
                if last is None:
                    break
        if last is not None:
            found[last[0]] = total / Fraction(last[1])
    return found


def without_fixed_inputs(model):
    """The same columns and rows with functions of those inputs that are not fixed.

    Inputs with equal bounds, or that equations make numbers, become part of the
    functions (``network.fixed_inputs``, which states the rounding), so that these have
    fewer ``inputs``.  What another function computes stays an input: it has its value
    up to a tolerance only.

    Parameters
    ----------
    model : EmbeddedModel
        Functions without a method ``with_fixed(known, seen)`` stay as they are.

    Returns
    -------
    EmbeddedModel
        ``model`` itself where nothing is fixed.
    """
    inputs = set(model.input_columns().tolist())
    known = {j: v for j, v in fixed_columns(model.linear).items() if j in inputs}
    if not known:
        return model
    seen = {}
    functions = [
        f.with_fixed(known, seen) if hasattr(f, "with_fixed") else f
        for f in model.functions
    ]
    return replace(model, functions=functions)


def with_fixed(embedded, known, seen):
    """A network between columns as a function of those inputs that are not known.

    Parameters
    ----------
    embedded : EmbeddedNetwork
        One of its inputs is kept in any case.
    known : dict
        From columns to their values, as Fractions.
    seen : dict
        Smaller networks made before, which is added to: equal ones are one object.

    Returns
    -------
    EmbeddedNetwork
    """
    columns = embedded.inputs.tolist()
    fixed = {i: known[j] for i, j in enumerate(columns) if j in known}
    if len(fixed) == len(columns):
        fixed.pop(0)
    if not fixed:
        return embedded
    key = embedded.network, tuple(fixed.items())
    if key not in seen:
        seen[key] = fix_inputs(embedded.network, fixed)
    inputs = np.delete(embedded.inputs, list(fixed))
    return replace(embedded, network=seen[key], inputs=inputs)
