r"""Rows of relu.cells for exact pieces of one varying input: increments.

With pieces from (l_c, y_c) to (l_{c+1}, y_{c+1}), in order::

    x = l_0 + sum_c (l_{c+1} - l_c) inner_c        y = y_0 + sum_c (y_{c+1} - y_c) inner_c
    1 >= inner_0 >= begun_1 >= inner_1 >= begun_2 >= ... >= inner_C >= 0

``begun_c`` is binary: piece c is begun only once the one before it is used up.  Without
the integrality the rows describe the convex hull of the curve, and HiGHS and Gurobi prove
models of many curves several times sooner than with a binary per piece.

Source: Markowitz and Manne 1957; Vielma, Ahmed and Nemhauser, Operations Research 58,
2010.
"""

from pyomo.common.dependencies import numpy as np
from pyomo.core.base.set_types import Binary

from pyomo_relu.transform.parts.row_builder import linear_row


def is_curve(partition):
    """Whether the cells are the pieces of functions of one input, and nothing else."""
    varies = (partition.lower < partition.upper).any(axis=0)
    return partition.exact and partition.rows is None and varies.sum() == 1


def encode_pieces(rows, partition):
    """Add the increments of a partition for which ``is_curve`` holds.

    Parameters
    ----------
    rows : RowBuilder
    partition : CellPartition
    """
    from pyomo_relu.bounds.cells.relaxation import output_terms

    units, (C, n) = rows.units, partition.lower.shape
    free = int((partition.upper - partition.lower).max(axis=0).argmax())
    order = np.argsort(partition.lower[:, free])
    new_inner = rows.new_columns("inner", bounds=(0.0, 1.0))
    new_begun = rows.new_columns("begun", Binary)
    inner = [new_inner[c] for c in range(C)]
    within = rows.new_rows("within")
    for c in range(1, C):
        begun = new_begun[c]
        within[c, "begins"] = linear_row([1.0, -1.0], [begun, inner[c - 1]], upper=0.0)
        within[c, "goes_on"] = linear_row([1.0, -1.0], [inner[c], begun], upper=0.0)
    lower = units.of_inputs(partition.lower)[order]
    width = ((partition.upper - partition.lower) / units.input_factor)[order]
    input_rows, output_rows = rows.new_rows("input_rows"), rows.new_rows("output_rows")
    for j in range(n):
        x, first = rows.columns.inputs[j], float(lower[0, j])
        some = inner if width[:, j].any() else []
        coefs = [1.0, *(-width[: len(some), j]).tolist()]
        input_rows[j] = linear_row(coefs, [x, *some], first, first)
    base, step = output_terms(partition)[0]
    base = units.of_outputs(base)[order]
    step = (step.sum(axis=2) / units.output_factor)[order]
    for o, y in enumerate(rows.columns.pre[-1]):
        coefs, first = [1.0, *(-step[:, o]).tolist()], float(base[0, o])
        output_rows[o, "lower"] = linear_row(coefs, [y, *inner], first, first)
    rows.replaced += list(rows.block.affine.values())


def set_pieces(reformulation, x, lower, upper):
    """Values of the increments and binaries at an input.

    Parameters
    ----------
    reformulation : Block
    x : numpy.ndarray, shape (n_inputs,)
    lower, upper : numpy.ndarray, shape (C, n_inputs)
        The pieces.
    """
    j = int((upper - lower).max(axis=0).argmax())
    order = np.argsort(lower[:, j])
    left, width = lower[order, j], (upper - lower)[order, j]
    share = np.clip((x[j] - left) / np.where(width > 0, width, 1.0), 0.0, 1.0).tolist()
    for c, var in reformulation.inner.items():
        var.set_value(share[c], skip_validation=True)
    for c, var in reformulation.begun.items():
        var.set_value(int(share[c - 1] >= 1.0), skip_validation=True)
