"""The parts that a model is taken apart into: networks, or several joined into one."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pyomo_relu.branch.problem.joint import joined_functions
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.model import LinearModel

#: Most inputs of a part that joins several networks.
_GROUPED_INPUTS = 2


@dataclass(frozen=True, eq=False)
class Part:
    """A network between columns, apart from everything else.

    Parameters
    ----------
    network : Network
    inputs, outputs : numpy.ndarray of int
        Columns, each once.
    """

    network: object
    inputs: np.ndarray
    outputs: np.ndarray

    @property
    def columns(self):
        """Inputs, then outputs."""
        return np.concatenate([self.inputs, self.outputs])

    def graph(self, X):
        """Points of the network's graph, shape (N, n_inputs + n_outputs)."""
        X = np.asarray(X, dtype=float)
        return np.concatenate([X, self.network.forward(X)], axis=1)


@dataclass(frozen=True, eq=False)
class Parts:
    """A linear model and the networks between its columns.

    The first columns are those of the EmbeddedModel; others hold outputs whose column
    something else determines already, and rows say that both are equal.

    Parameters
    ----------
    linear : LinearModel
    costs : numpy.ndarray, shape (n,)
    constant : float
    parts : tuple of Part
    """

    linear: LinearModel
    costs: np.ndarray
    constant: float
    parts: tuple


def take_apart(model, grouped_inputs=_GROUPED_INPUTS):
    """The Parts of a model.

    Functions of which one reads what the other computes are joined as long as what is
    joined has no more than ``grouped_inputs`` inputs: over both together a bound knows
    which states the first one can really leave.

    Parameters
    ----------
    model : EmbeddedModel
        Of networks only.

    Raises
    ------
    BoundsError
        If a function is not a network, or there is none.
    """
    check_functions(model)
    parts, extra = [], []
    n = model.n_columns
    for group in _groups(model, grouped_inputs):
        part, copies = _part(model, group, n + len(extra))
        parts.append(part)
        extra += copies
    linear = _with_copies(model.linear, extra)
    costs = np.concatenate([model.costs, np.zeros(len(extra))])
    return Parts(linear, costs, float(model.constant), tuple(parts))


def check_functions(model):
    """Refuse models without functions, or of functions that are not networks.

    Raises
    ------
    BoundsError
    """
    if not model.functions:
        raise BoundsError(
            "relu.decompose: the model has no network to be taken apart. Use a MILP "
            "solver."
        )
    for f in model.functions:
        if not hasattr(f, "network"):
            raise BoundsError(
                f"relu.decompose: function '{f.name}' is not a network; only networks "
                "are taken apart. Use relu.branch."
            )


def _groups(model, most):
    """Positions of the functions that are joined."""
    functions = model.functions
    fixed = model.linear.lower == model.linear.upper
    order = model.order()
    groups = []
    if model.circular or most <= 0:
        return [[i] for i in order]
    reads = [set(f.inputs[~fixed[f.inputs]].tolist()) for f in functions]
    writes = [set(f.outputs.tolist()) for f in functions]
    for at in range(len(order)):
        group, own, written = [order[at]], set(reads[order[at]]), set(writes[order[at]])
        for i in order[at + 1 :]:
            together = own | (reads[i] - written)
            if written & reads[i] and len(together) <= most:
                group.append(i)
                own, written = together, written | writes[i]
        # what lies within a group that is there already adds nothing
        if not any(set(group) <= set(other) for other in groups):
            groups.append(group)
    return groups


def _part(model, group, first):
    """One Part, and the columns whose copies, from ``first`` on, it computes."""
    functions = [model.functions[i] for i in group]
    f = functions[0]
    columns = np.concatenate([f.inputs, f.outputs])
    plain = np.unique(columns).size == columns.size
    if len(group) == 1 and plain and not model.linear.integer[f.outputs].any():
        return Part(f.network, f.inputs, f.outputs), []
    network, inputs, outputs, copies = joined_functions(model, functions)
    outputs = np.concatenate([outputs, first + np.arange(len(copies))]).astype(int)
    return Part(network, inputs, outputs), list(copies)


def _with_copies(linear, copied):
    """The model with a column for each of these, and rows that make both equal."""
    more = len(copied)
    if not more:
        return linear
    n, every = linear.n_columns, np.arange(more)
    matrix = sparse.csr_array(linear.matrix)
    matrix = sparse.csr_array(
        (matrix.data, matrix.indices, matrix.indptr), shape=(linear.n_rows, n + more)
    )
    signs = np.concatenate([np.ones(more), -np.ones(more)])
    at = np.concatenate([every, every]), np.concatenate([copied, n + every])
    equal = sparse.csr_array((signs, at), shape=(more, n + more))
    none = np.zeros(more)
    return linear.replace(
        matrix=sparse.vstack([matrix, equal], format="csr"),
        row_lower=np.concatenate([linear.row_lower, none]),
        row_upper=np.concatenate([linear.row_upper, none]),
        lower=np.concatenate([linear.lower, np.full(more, -np.inf)]),
        upper=np.concatenate([linear.upper, np.full(more, np.inf)]),
        integer=np.concatenate([linear.integer, none.astype(bool)]),
        names=None
        if linear.names is None
        else (*linear.names, *(linear.name(j) for j in copied)),
    )
