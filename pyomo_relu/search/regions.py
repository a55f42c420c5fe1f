"""Linear regions as rows of a linear programme."""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.model import LinearModel
from pyomo_relu.network.layer import ACTIVE, AT_CEILING, INACTIVE


def region_rows(network, x):
    """The linear region that contains ``x`` and the network's affine map on it.

    With the activation pattern at x fixed, every pre-activation is affine in the
    inputs, ``v = C x + d``, and the region is ``v <= 0`` for inactive neurons,
    ``0 <= v <= ceiling`` for active ones, ``v >= ceiling`` at a ceiling.  Rows are
    scaled to largest coefficient 1.

    Parameters
    ----------
    network : Network
    x : numpy.ndarray, shape (n_inputs,)

    Returns
    -------
    rows : numpy.ndarray, shape (m, n_inputs)
    lower, upper : numpy.ndarray, shape (m,)
    C : numpy.ndarray, shape (n_outputs, n_inputs)
    d : numpy.ndarray, shape (n_outputs,)
    """
    states = [s[0] for s in network.activation_pattern(x)]
    pieces = network.linear_piece(states)
    C, d = pieces[-1]
    if len(pieces) == 1:
        return np.zeros((0, network.n_inputs)), np.zeros(0), np.zeros(0), C, d
    rows = np.vstack([piece for piece, _ in pieces[:-1]])
    shift = np.concatenate([shift for _, shift in pieces[:-1]])
    state = np.concatenate(states)
    ceiling = np.concatenate(
        [
            np.full(layer.size, np.inf) if layer.ceiling is None else layer.ceiling
            for layer in network.activation_layers
        ]
    )
    lower = np.select([state == ACTIVE, state == AT_CEILING], [0.0, ceiling], -np.inf)
    upper = np.select([state == INACTIVE, state == ACTIVE], [0.0, ceiling], np.inf)
    size = np.max(np.abs(rows), axis=1)
    keep = np.flatnonzero(size > 0)
    scale = size[keep]
    return (
        rows[keep] / scale[:, None],
        (lower - shift)[keep] / scale,
        (upper - shift)[keep] / scale,
        C,
        d,
    )


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
    for network, inputs, outputs in zip(
        problem.networks, problem.inputs, problem.outputs, strict=True
    ):
        rows, lo, hi, C, d = region_rows(network, columns[inputs])
        blocks.append(spread(rows, inputs, problem.n_columns))
        blocks.append(output_rows(C, inputs, outputs, problem.n_columns))
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
