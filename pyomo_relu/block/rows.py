"""A network block's Vars and rows before any formulation, straight from the weights."""

import functools
import itertools
import math

from pyomo.common.dependencies import numpy as np
from pyomo.common.dependencies import scipy
from pyomo.core.base.constraint import Constraint
from pyomo.core.base.set_types import Any, Reals
from pyomo.core.base.var import Var
from pyomo.core.expr.numeric_expr import (
    AbsExpression,
    LinearExpression,
    ProductExpression,
    SumExpression,
)
from pyomo.core.expr.relational_expr import EqualityExpression

from pyomo_relu import network as network_
from pyomo_relu.block.pyomo_private import add_rows, members

#: Weights of a network whose rows' numbers are kept for its next block.
_MOST_KEPT = 1 << 20


class NetworkColumns:
    """The VarData of a network block by role, looked up once.

    Attributes
    ----------
    inputs : list of VarData
    pre, post : list of list of VarData
        One list per layer; ``pre`` ends with the outputs, ``post`` does without them.
    """

    def __init__(self, block):
        sizes = [layer.size for layer in block.network.activation_layers]
        self.inputs = block.input_vars()
        self.pre = [*_by_layer(block.pre, sizes), block.output_vars()]
        self.post = _by_layer(block.post, sizes)

    def copy(self):
        """The same VarData in lists of its own."""
        other = object.__new__(NetworkColumns)
        other.inputs = list(self.inputs)
        other.pre = [list(layer) for layer in self.pre]
        other.post = [list(layer) for layer in self.post]
        return other

    def of(self, source):
        """The VarData that a Source of a layer stands for."""
        if source.layer == network_.INPUT:
            return self.inputs
        return (self.post if source.post else self.pre)[source.layer]


def _by_layer(var, sizes):
    """The VarData of ``var[layer, neuron]`` in one list per layer."""
    found, start = members(var), 0
    layers = []
    for size in sizes:
        layers.append(found[start : start + size])
        start += size
    return layers


def affine_rows(layer, columns, results, entries=None):
    """Rows ``sum_s W_s t_s - result == -b``, one (expression, rhs) pair per neuron.

    ``entries`` are the layer's ``_matrix_rows``, if they are known.

    LinearExpression from Python floats is what Pyomo reads fastest; exact zeros are
    left out because Pyomo would carry them into every writer.
    """
    variables = [var for source in layer.sources for var in columns.of(source)]
    ids = {id(v) for v in variables}
    repeated = len(ids) < len(variables) or any(id(v) in ids for v in results)
    if entries is None:
        entries = _matrix_rows(_joined(layer.weights), layer.size)
    rhs = (-layer.bias).tolist()
    for i, (coefs, at) in enumerate(entries):
        terms = variables if at is None else [variables[j] for j in at]
        coefs, terms = [*coefs, -1.0], [*terms, results[i]]
        if repeated:
            coefs, terms = _merge(coefs, terms)
        yield LinearExpression(linear_coefs=coefs, linear_vars=terms), rhs[i]


# members of an indexed block share Python's numbers, which take more room than numpy's
@functools.lru_cache(maxsize=2)
def _entries(network):
    """``_matrix_rows`` of all layers, or Nones where that would be much to keep."""
    size = sum(
        w.nnz if scipy.sparse.issparse(w) else w.size
        for layer in network.layers
        for w in layer.weights
    )
    if size > _MOST_KEPT:
        return [None] * len(network.layers)
    return [
        list(_matrix_rows(_joined(layer.weights), layer.size))
        for layer in network.layers
    ]


def _joined(weights):
    if not weights:
        return None
    if len(weights) == 1:
        return weights[0]
    if any(scipy.sparse.issparse(w) for w in weights):
        return scipy.sparse.hstack(
            [scipy.sparse.csr_array(w) for w in weights], format="csr"
        )
    return np.hstack(weights)


def _matrix_rows(matrix, size):
    """(coefficients, columns) per row as lists; columns None means all of them."""
    if matrix is None:
        yield from (([], []) for _ in range(size))
    elif scipy.sparse.issparse(matrix):
        data, at = matrix.data.tolist(), matrix.indices.tolist()
        ends = matrix.indptr.tolist()
        for start, end in itertools.pairwise(ends):
            yield data[start:end], at[start:end]
    elif np.all(matrix):
        yield from ((row, None) for row in matrix.tolist())
    else:
        for row in matrix:
            at = np.flatnonzero(row)
            yield row[at].tolist(), at.tolist()


def _merge(coefs, terms):
    """Add up coefficients of variables that occur more than once."""
    total, first = {}, {}
    for c, v in zip(coefs, terms, strict=True):
        total[id(v)] = total.get(id(v), 0.0) + c
        first.setdefault(id(v), v)
    return list(total.values()), list(first.values())


def ceilings(layer):
    """A layer's ceilings as floats; inf where there is none."""
    if layer.ceiling is None:
        return [math.inf] * layer.size
    return layer.ceiling.tolist()


def exact_activation(v, x, ceiling):
    """The exact nonlinear row of one neuron, as a Pyomo expression."""
    if math.isfinite(ceiling):
        return x == 0.5 * (abs(v) - abs(v - ceiling) + ceiling)
    # what ``x == 0.5 * (v + abs(v))`` gives, without asking four times what v may be
    positive = SumExpression([v, AbsExpression((v,))])
    return EqualityExpression((x, ProductExpression((0.5, positive))))


def add_neurons(block):
    """Vars ``pre`` and ``post``, affine rows and exact activation rows of a network."""
    network = block._network
    neurons = [
        (k, i)
        for k, layer in enumerate(network.activation_layers)
        for i in range(layer.size)
    ]
    block.pre = Var(neurons, domain=Reals)
    # one Set: to fill it takes as long as to make a tenth of the block
    block.post = Var(block.pre.index_set(), domain=Reals)
    block.affine = Constraint(Any)
    block.activation = Constraint(Any)
    columns, entries = NetworkColumns(block), _entries(network)
    for k, layer in enumerate(network.layers):
        rows = affine_rows(layer, columns, columns.pre[k], entries[k])
        add_rows(
            block.affine,
            (((k, i), EqualityExpression(row)) for i, row in enumerate(rows)),
        )
        if layer.activation == "identity":
            continue
        ends = zip(columns.pre[k], columns.post[k], ceilings(layer), strict=True)
        add_rows(block.activation, _activation_rows(k, ends))


def _activation_rows(k, ends):
    """((layer, neuron), exact activation row) pairs; sets bounds of post-activations."""
    for i, (v, x, ceiling) in enumerate(ends):
        x.setlb(0.0)
        if math.isfinite(ceiling):
            x.setub(ceiling)
        yield (k, i), exact_activation(v, x, ceiling)
