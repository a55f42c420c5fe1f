"""Networks inside a linear model: one relaxation of both, and bounds by propagation.

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
from pyomo_relu.linear.rounding import gamma
from pyomo_relu.linear.unit_range import factors
from pyomo_relu.network.network import Network

#: What an integer column may miss an integer by.
_INTEGRALITY = 1e-6
_ROUNDS = 30


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


def propagate(model):
    """Bounds of columns that single rows imply (feasibility-based tightening).

    For ``sum_j a_j x_j <= r``: ``a_j x_j <= r - sum_{i != j} min a_i x_i``, rounded
    outward; repeated while bounds still move.

    Returns
    -------
    lower, upper : numpy.ndarray, shape (n,)

    Raises
    ------
    InfeasibleError
        If a column's bounds cross.
    """
    lower, upper = np.array(model.lower), np.array(model.upper)
    matrix = model.matrix
    if matrix.nnz == 0:
        return _rounded(model, lower, upper)
    entries = _Entries(matrix)
    for _ in range(_ROUNDS):
        before = lower.copy(), upper.copy()
        for sign, side in ((1.0, model.row_upper), (-1.0, -model.row_lower)):
            entries.tighten(sign, side, lower, upper)
        lower, upper = _rounded(model, lower, upper)
        if not _moved(before, (lower, upper)):
            break
    return lower, upper


class _Entries:
    """The nonzeros of a matrix, row by row."""

    def __init__(self, matrix):
        self.data, self.column = matrix.data, matrix.indices
        self.row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        self.n_rows = matrix.shape[0]
        longest = int(np.diff(matrix.indptr).max())
        self.gamma = 2 * gamma(longest + 4)

    def tighten(self, sign, side, lower, upper):
        """Use ``sign * (row) <= side``; changes lower and upper in place."""
        a = sign * self.data
        ends = np.where(a > 0, lower[self.column], upper[self.column])
        finite = np.isfinite(ends)
        least = a * np.where(finite, ends, 0.0)
        total = np.bincount(self.row, least, self.n_rows)
        size = np.bincount(self.row, np.abs(least), self.n_rows)
        infinite = np.bincount(self.row, ~finite, self.n_rows)
        known = np.isfinite(side)[self.row] & (infinite[self.row] - ~finite == 0)
        known &= a != 0
        row, column, a = self.row[known], self.column[known], a[known]
        room = side[row] - (total[row] - least[known])
        room = room + self.gamma * (size[row] + np.abs(side[row])) + 1e-300
        with np.errstate(over="ignore"):
            value = room / a
        value = value + np.where(a > 0, 4e-16, -4e-16) * np.abs(value)
        np.minimum.at(upper, column[a > 0], value[a > 0])
        np.maximum.at(lower, column[a < 0], value[a < 0])


def _rounded(model, lower, upper):
    """Integer columns' bounds rounded inward; InfeasibleError if bounds cross."""
    whole = model.integer
    lower = np.where(whole, np.ceil(lower - _INTEGRALITY), lower)
    upper = np.where(whole, np.floor(upper + _INTEGRALITY), upper)
    crossed = np.flatnonzero(lower > upper)
    if crossed.size:
        j = crossed[0]
        raise InfeasibleError(
            f"{model.name(j)} must lie in [{lower[j]}, {upper[j]}], which is empty: "
            "the model's bounds and constraints leave no feasible point."
        )
    return lower, upper


def _moved(before, after):
    for old, new in zip(before, after, strict=True):
        newly = np.isinf(old) & np.isfinite(new)
        both = np.isfinite(old) & np.isfinite(new)
        change, size = np.abs(new[both] - old[both]), np.abs(old[both])
        if newly.any() or np.any(change > 1e-3 * np.maximum(factors(size), size)):
            return True
    return False


def unit_costs(columns, n_columns):
    """Rows that each pick one column, csr (len(columns), n_columns)."""
    size = len(columns)
    return sparse.csr_array(
        (np.ones(size), (np.arange(size), np.asarray(columns))),
        shape=(size, n_columns),
    )
