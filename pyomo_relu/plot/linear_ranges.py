"""What linear relaxations leave of an output at given inputs, and convex envelopes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from pyomo_relu.analysis.arguments import is_block
from pyomo_relu.analysis.regions.count import count_regions
from pyomo_relu.bounds.relaxation.network import add_big_m_network
from pyomo_relu.errors import ModelError, SolverError
from pyomo_relu.linear.model import LinearModel, ModelBuilder
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession

#: Linear regions up to which a convex envelope is computed.
_MOST_REGIONS = 20_000


class RelaxedOutput(NamedTuple):
    """A linear model with columns of a network's inputs and of one output.

    Attributes
    ----------
    model : LinearModel
    inputs : numpy.ndarray of int, shape (n_inputs,)
        -1 where an input is no column.
    output : int
    """

    model: LinearModel
    inputs: np.ndarray
    output: int


def relaxed_network(bounds, i):
    """The big-M relaxation of a network with these bounds, and its output i."""
    builder = ModelBuilder()
    inputs = builder.add_columns(bounds.input_lower, bounds.input_upper)
    outputs = builder.add_columns(bounds.lower[-1], bounds.upper[-1])
    add_big_m_network(builder, bounds, inputs, outputs)
    return RelaxedOutput(builder.build(), inputs, int(outputs[i]))


def is_encoded(given):
    """Whether it is a network block with a formulation in force."""
    return is_block(given) and given.record.encoding is not None


def encoded_rows(block, i):
    """The rows that are in force on a block, without integrality, and its output i.

    With those that link inputs in far units to their copies, which stand outside.
    """
    from pyomo.common.errors import InvalidConstraintError
    from pyomo.core.base import ConcreteModel, Constraint
    from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

    from pyomo_relu.model.unit_copies import copies_beside

    outside = {
        id(c): c for c in map(copies_beside, block.input_vars()) if c is not None
    }
    together = ConcreteModel()
    rows = [
        row.expr
        for part in (block, *outside.values())
        for row in part.component_data_objects(Constraint, active=True)
    ]
    together.rows = Constraint(range(len(rows)), rule=lambda _, i: rows[i])
    try:
        form = LinearStandardFormCompiler().write(together, mixed_form=True)
    except InvalidConstraintError:
        raise ModelError(
            f"relaxation_slice: rows of {block.name} are not linear "
            f"({block.record.encoding.formulation.NAME}), so that there is no linear "
            "relaxation of them. Take a formulation with linear rows, such as relu.bigm."
        ) from None
    columns = {id(var): n for n, var in enumerate(form.columns)}
    kinds, right = np.array([row.bound_type for row in form.rows]), np.asarray(form.rhs)
    ends = np.array(
        [
            [
                -np.inf if end is None else end
                for end in (var.lb for var in form.columns)
            ],
            [
                np.inf if end is None else end
                for end in (var.ub for var in form.columns)
            ],
        ],
        dtype=float,
    )
    model = LinearModel(
        form.A,
        np.where(kinds <= 0, right, -np.inf),
        np.where(kinds >= 0, right, np.inf),
        *ends,
    )
    inputs = [columns.get(id(var), -1) for var in block.input_vars()]
    return RelaxedOutput(model, np.array(inputs), columns[id(block.output_vars()[i])])


def ranges_along(relaxed, X):
    """Least and greatest value of the output at inputs X.

    Parameters
    ----------
    relaxed : RelaxedOutput
    X : numpy.ndarray, shape (N, n_inputs)

    Returns
    -------
    low, high : numpy.ndarray, shape (N,)
        Up to the tolerance of the linear programmes (1e-9).
    """
    present = relaxed.inputs >= 0
    at, ends = relaxed.inputs[present], np.empty((2, len(X)))
    with HighsSession(relaxed.model) as session:
        for side, sign in enumerate((1.0, -1.0)):
            for n, x in enumerate(X):
                session.set_bounds(at, x[present], x[present])
                answer = session.minimize(np.array([relaxed.output]), np.array([sign]))
                ends[side, n] = sign * _optimum(answer)
    return ends[0], ends[1]


def convex_envelope(network, box, i, X):
    """Convex and concave envelope of output i over a box, at points X.

    A piecewise linear function has the envelope of its values at the corners of its
    linear regions.

    Returns
    -------
    low, high : numpy.ndarray, shape (N,)
        None if more than two inputs vary, or the regions are too many.
    """
    if box.dimension > 2:
        return None
    count = count_regions(network, box.lower, box.upper, max_regions=_MOST_REGIONS)
    corners = [r.vertices for r in count.regions if r.vertices is not None]
    if not count.exact or not corners:
        return None
    corners = np.unique(np.concatenate(corners), axis=0)
    values, n = network.forward(corners)[:, i], box.dimension
    matrix = np.vstack([corners[:, box.free].T, np.ones(len(corners))])
    zero, one = np.zeros(len(corners)), np.ones(len(corners))
    start = np.append(corners[0, box.free], 1.0)
    model = LinearModel(sparse.csr_array(matrix), start, start, zero, one)
    ends, every = np.empty((2, len(X))), np.arange(len(corners))
    with HighsSession(model) as session:
        for side, sign in enumerate((1.0, -1.0)):
            for at, x in enumerate(X[:, box.free]):
                session.set_rows(np.arange(n), x, x)
                ends[side, at] = sign * _optimum(session.minimize(every, sign * values))
    return ends[0], ends[1]


def _optimum(answer):
    if answer.status != Status.OPTIMAL:
        raise SolverError(
            f"a linear programme of the picture ended with '{answer.outcome}'."
        )
    return answer.objective
