"""The whole problem on the linear regions of its networks at one point."""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.model import LinearModel
from pyomo_relu.network.pieces import region_rows


def joint_region(problem, columns):
    """The problem with every network fixed to its linear region at ``columns``.

    Returns
    -------
    LinearModel
        The modeller's rows, each network's region rows, and
        ``outputs = C inputs + d``; a point of it is feasible for the whole problem.
    """
    linear = problem.linear
    blocks, lower, upper = [linear.matrix], [linear.row_lower], [linear.row_upper]
    for f in problem.functions:
        rows, lo, hi, C, d = region_rows(f.network, columns[f.inputs])
        blocks.append(spread(rows, f.inputs, problem.n_columns))
        blocks.append(output_rows(C, f.inputs, f.outputs, problem.n_columns))
        lower += [lo, d]
        upper += [hi, d]
    return LinearModel(
        sparse.vstack(blocks, format="csr"),
        np.concatenate(lower),
        np.concatenate(upper),
        linear.lower,
        linear.upper,
        linear.integer,
        linear.names,
    )


def spread(rows, columns, n_columns):
    """Dense ``rows`` over ``columns`` as a sparse matrix with ``n_columns`` columns.

    Columns that occur twice are added up.
    """
    m, n = rows.shape
    return sparse.csr_array(
        (
            np.ravel(rows),
            (np.repeat(np.arange(m), n), np.tile(np.asarray(columns), m)),
        ),
        shape=(m, n_columns),
    )


def output_rows(C, inputs, outputs, n_columns):
    """Rows of ``outputs - C inputs``."""
    return spread(
        np.hstack([np.eye(len(outputs)), -C]),
        np.concatenate([outputs, inputs]),
        n_columns,
    )
