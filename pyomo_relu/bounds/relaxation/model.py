"""Networks inside a linear model: one relaxation of both.

The surrounding model's columns keep their indices in the joint relaxation; networks'
columns come behind them.  No solver in here.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.relaxation.network import add_network, affine
from pyomo_relu.common.arguments import each, instance, is_sequence, numbers
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import BoundsError, InfeasibleError, NetworkError
from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.network.network import Network


@dataclass(frozen=True)
class EmbeddedNetwork:
    """A network between columns of a LinearModel.

    Parameters
    ----------
    network : Network
    inputs : array_like of int, shape (n_inputs,)
        Columns that hold the network's inputs.
    outputs : array_like of int, shape (n_outputs,)
    name : str, optional
        For messages and statistics; default the network's.
    """

    network: object
    inputs: np.ndarray
    outputs: np.ndarray
    name: str = None

    def __post_init__(self):
        set_ = object.__setattr__
        instance("EmbeddedNetwork: network", self.network, Network, NetworkError)
        for name in ("inputs", "outputs"):
            set_(self, name, _column_numbers(name, getattr(self, name)))
        if self.name is None:
            set_(self, "name", self.network.name)
        expected = (self.network.n_inputs,), (self.network.n_outputs,)
        if (self.inputs.shape, self.outputs.shape) != expected:
            raise BoundsError(
                f"{self.name}: the network has "
                f"{counted(self.network.n_inputs, 'input')} and "
                f"{counted(self.network.n_outputs, 'output')}, but got "
                f"columns for {self.inputs.size} and {self.outputs.size}."
            )


def _column_numbers(what, value):
    array = numbers(f"EmbeddedNetwork: {what}", value, BoundsError)
    if not np.all((array >= 0) & (array == np.rint(array)) & np.isfinite(array)):
        raise BoundsError(f"EmbeddedNetwork: {what} must be column numbers: {array}.")
    return array.astype(int)


def checked_networks(networks, cls, linear, length):
    """Tuples (record of a network, input columns, output columns, ...) of a model."""
    test = each(
        lambda what, entry, error: _columns_of(what, entry, cls, linear, length)
    )
    return test("networks", networks, BoundsError)


def _columns_of(what, entry, cls, linear, length):
    if not is_sequence(entry) or len(entry) != length:
        raise BoundsError(f"{what} must be a tuple of {length} entries.")
    record = instance(f"{what}[0]", entry[0], cls, BoundsError)
    net = EmbeddedNetwork(record.network, entry[1], entry[2])
    if max([*net.inputs, *net.outputs]) >= linear.n_columns:
        raise BoundsError(
            f"{what}: the model has {counted(linear.n_columns, 'column')}, counted "
            "from 0."
        )
    return (record, net.inputs, net.outputs, *entry[3:])


def relax_model(model, embedded, bounds):
    """The joint relaxation of a linear model and the networks in it.

    Parameters
    ----------
    model : LinearModel
    embedded : sequence of EmbeddedNetwork
    bounds : sequence of (NeuronBounds or None)
        A network without bounds is left out: its outputs are then free.

    Returns
    -------
    relaxation : LinearModel
    columns : list of (NetworkColumns or None)
    """
    builder = ModelBuilder()
    lower, upper = np.array(model.lower), np.array(model.upper)
    for net, b in zip(embedded, bounds, strict=True):
        if b is not None:
            np.maximum.at(lower, net.inputs, b.input_lower)
            np.minimum.at(upper, net.inputs, b.input_upper)
            np.maximum.at(lower, net.outputs, b.lower[-1])
            np.minimum.at(upper, net.outputs, b.upper[-1])
    crossed = np.flatnonzero(lower > upper)
    if crossed.size:
        raise InfeasibleError(
            f"{model.name(crossed[0])} must lie in [{lower[crossed[0]]}, "
            f"{upper[crossed[0]]}], which is empty: the model's constraints and "
            "bounds contradict the networks."
        )
    everything = builder.add_columns(lower, upper, model.integer)
    builder.add_rows([(everything, model.matrix)], model.row_lower, model.row_upper)
    result = []
    for net, b in zip(embedded, bounds, strict=True):
        result.append(None if b is None else _add(builder, net, b, lower, upper))
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
