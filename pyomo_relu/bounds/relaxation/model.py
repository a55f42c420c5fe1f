"""Networks inside a linear model: one relaxation of both.

The surrounding model's columns keep their indices in the joint relaxation; networks'
columns come behind them.  No solver in here.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.relaxation.network import add_network, affine
from pyomo_relu.common.arguments import each, instance, is_sequence, vector
from pyomo_relu.errors import BoundsError, InfeasibleError
from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import ModelBuilder


def embedded_records(linear, costs, networks, cls, n_more=0):
    """The EmbeddedModel of networks that come with records of them.

    Parameters
    ----------
    linear : LinearModel
    costs : array_like, shape (linear.n_columns,)
    networks : sequence of tuple
        Each of a record with a ``network``, input columns, output columns and
        ``n_more`` entries.
    cls : type
        Of the records.

    Returns
    -------
    model : EmbeddedModel
    records : list of cls
    more : list of tuple
        The entries behind the columns.
    """

    def check(what, entry, error):
        if not is_sequence(entry) or len(entry) != 3 + n_more:
            raise error(f"{what} must be a tuple of {3 + n_more} entries.")
        record = instance(f"{what}[0]", entry[0], cls, error)
        return EmbeddedNetwork(record.network, *entry[1:3]), record, tuple(entry[3:])

    found = each(check)("networks", networks, BoundsError)
    functions, records, more = ([entry[i] for entry in found] for i in range(3))
    costs = vector("costs", costs, linear.n_columns, BoundsError)
    return EmbeddedModel(linear, functions, costs), records, more


def relax_model(model, bounds, parts=None):
    """The joint relaxation of a linear model and the networks in it.

    Parameters
    ----------
    model : EmbeddedModel
    bounds : sequence of (NeuronBounds or None)
        A network without bounds is left out: its outputs are then free.
    parts : dict, optional
        What earlier calls for the same functions made of networks with the same
        NeuronBounds object; added to.

    Returns
    -------
    relaxation : LinearModel
    columns : list of (NetworkColumns or None)
    """
    linear = model.linear
    lower, upper = np.array(linear.lower), np.array(linear.upper)
    for net, b in zip(model.functions, bounds, strict=True):
        if b is not None:
            np.maximum.at(lower, net.inputs, b.input_lower)
            np.minimum.at(upper, net.inputs, b.input_upper)
            np.maximum.at(lower, net.outputs, b.lower[-1])
            np.minimum.at(upper, net.outputs, b.upper[-1])
    crossed = np.flatnonzero(lower > upper)
    if crossed.size:
        raise InfeasibleError(
            f"{linear.name(crossed[0])} must lie in [{lower[crossed[0]]}, "
            f"{upper[crossed[0]]}], which is empty: the model's constraints and "
            "bounds contradict the networks."
        )
    builder, result = ModelBuilder(linear.replace(lower=lower, upper=upper)), []
    parts, n = {} if parts is None else parts, linear.n_columns
    for at, (net, b) in enumerate(zip(model.functions, bounds, strict=True)):
        if b is None:
            result.append(None)
            continue
        known = parts.get(at)
        if known is None or known[0] is not b:
            alone = ModelBuilder(n_columns=n)
            columns = _add(alone, net, b, lower, upper)
            known = b, alone.collected(), columns
            if np.unique([*net.inputs, *net.outputs]).size == b.network.n_inputs + (
                b.network.n_outputs
            ):  # else copies of the model's columns are among them, with their bounds
                parts[at] = known
        shift = builder.append(known[1], n)
        result.append(known[2].shifted(n, shift))
    return builder.build(), result


def _add(builder, net, bounds, lower, upper):
    layers = range(len(net.network.layers) - 1)
    inputs = _distinct(builder, net.inputs, np.zeros(0, dtype=int), lower, upper)
    columns = add_network(builder, net.network, bounds, inputs, layers)
    outputs = _distinct(builder, net.outputs, inputs, lower, upper)
    last = net.network.output_layer
    blocks = [(c, -w) for c, w in affine(last, columns, np.arange(last.size))]
    builder.add_rows([(outputs, 1.0), *blocks], last.bias, last.bias)
    return columns


def _distinct(builder, columns, taken, lower, upper):
    """The columns, with an equal copy of each that occurs before or in ``taken``.

    Two coefficients on one column would have to be added, hence rounded.
    """
    columns = np.array(columns)
    first = np.zeros(columns.size, dtype=bool)
    first[np.unique(columns, return_index=True)[1]] = True
    again = np.flatnonzero(~first | np.isin(columns, taken))
    if again.size:
        original = columns[again]
        copies = builder.add_columns(lower[original], upper[original])
        zero = np.zeros(again.size)
        builder.add_rows([(original, 1.0), (copies, -1.0)], zero, zero)
        columns[again] = copies
    return columns


def unit_costs(columns, n_columns):
    """Rows that each pick one column, csr (len(columns), n_columns)."""
    size = len(columns)
    return sparse.csr_array(
        (np.ones(size), (np.arange(size), np.asarray(columns))),
        shape=(size, n_columns),
    )
