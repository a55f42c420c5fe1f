r"""Encodings over copies of inputs, neurons and outputs whose units are far from 1.

Inputs and outputs with ranges that solvers do not resolve get copies in unit range
(``unit_copies``), neurons in such units likewise (``neuron_copies``), and the network's
rows are written between the copies::

    x_j = offset_j + factor_j u_j        y_o = offset_o + factor_o w_o
    network' : u -> w, the same network with offsets and factors folded in

Factors are powers of two, so scaling rounds nothing.  Where all units are ordinary there
are no copies and no further rows.

Presolve has to eliminate ``x_j``: what is left of it in the LP has the reduced cost of
``u_j`` divided by ``factor_j``, which at 1e8 is below the dual tolerance of 1e-7, whatever
multiple of the row is written, and simplex ends at points that are not optimal.  SCIP
eliminates no Var by a factor of more than 1e6, so as long as the copy stays within
``_WIDEST`` factors are smaller than that, and the copy wider than unit range.
"""

import copy

from pyomo.common.collections import ComponentMap
from pyomo.common.dependencies import numpy as np
from pyomo.common.dependencies import scipy

from pyomo_relu import bounds as bounds_
from pyomo_relu import network as network_
from pyomo_relu.block.rows import affine_rows
from pyomo_relu.common.matrices import maxima
from pyomo_relu.model.surrounding import modellers_rows
from pyomo_relu.model.unit_copies import copy_of
from pyomo_relu.model.unit_rows import RewrittenRows, add_sizes, linear_rows
from pyomo_relu.transform.parts.copied_vars import CopiedVars
from pyomo_relu.transform.parts.neuron_copies import NeuronCopies
from pyomo_relu.transform.parts.resolution import refuse_far_factors
from pyomo_relu.transform.parts.row_builder import RowView

#: Half-ranges of inputs, and sizes of outputs, of which a solver sees the Var itself.
_INPUT_RANGE = 2.0**-4, 2.0**6
_OUTPUT_RANGE = 2.0**-5, 2.0**10

#: Weights of the last layer that do not change units.
_OUTPUT_WEIGHT = 2.0**-5, 2.0**7

#: An input's midpoint may be so many half-ranges away from zero.
_FAR = 2.0**10

#: Weights between copies are between this and its inverse.
_WEIGHT = 2.0**14

#: Factors stay within this and its inverse; what lies beyond is left to the solver.
_LARGEST_FACTOR = 2.0**60

#: The largest factor by which SCIP eliminates a Var is 1e6, the inverse of its feasibility
#: tolerance; copies may be so wide for a factor below it.
_ELIMINATED = 2.0**19
_WIDEST = 2.0**10


class UnitRange:
    """Offsets and factors of a network's inputs and outputs; 0 and 1 without a copy.

    Parameters
    ----------
    bounds : NeuronBounds
    inputs, outputs : list of VarData
        Vars that have a copy already keep its offset and factor.

    Attributes
    ----------
    input_offset, input_factor : numpy.ndarray, shape (n_inputs,)
    output_offset, output_factor : numpy.ndarray, shape (n_outputs,)
    neurons : list of numpy.ndarray, shapes (layer size,), or None
        How many times a neuron its copy is; None if no neuron has one.
    """

    def __init__(self, bounds, inputs, outputs):
        from pyomo_relu.bounds.neuron_units import neuron_factors

        self.neurons = neuron_factors(bounds)
        bounds = self._over_neurons(bounds)
        low, high = bounds.input_lower, bounds.input_upper
        half, middle = 0.5 * high - 0.5 * low, 0.5 * low + 0.5 * high
        hidden, last = bounds.network.layers[:-1], bounds.network.layers[-1]
        weights = _largest_weights(bounds.network, hidden)
        if np.any((half < _INPUT_RANGE[0]) & (half > 0) & ~_ordinary(weights * half)):
            weights = np.maximum(weights, _weights_through_active(bounds))
        # small ranges, and those that the network undoes, are units; what remains may
        # be large because bounds are loose
        units = np.where(
            (half < _INPUT_RANGE[0]) | _ordinary(weights * half), half, 1.0
        )
        size = np.maximum(np.abs(bounds.lower[-1]), np.abs(bounds.upper[-1]))
        weight = _row_maxima(last, units)
        tiny = size < _OUTPUT_RANGE[0]
        # that an output is tiny says that its inputs' ranges, however wide, are units
        weight = np.where(tiny, _row_maxima(last, half), weight)
        odd = tiny & (weight < _OUTPUT_WEIGHT[0])
        odd |= (size > _OUTPUT_RANGE[1]) & (weight > _OUTPUT_WEIGHT[1])
        odd &= _ordinary(weight / np.where(size > 0, size, np.inf))
        zero = np.zeros(size.shape)
        self.output_offset, self.output_factor = _units(odd, zero, size, outputs)
        odd = (half < _INPUT_RANGE[0]) | (half > _INPUT_RANGE[1])
        odd |= np.abs(middle) > _FAR * half
        direct = _largest_weights(bounds.network, [last], 1.0 / self.output_factor)
        odd &= (half > 0) & _ordinary(np.maximum(weights, direct) * half)
        self.input_offset, self.input_factor = _units(odd, middle, half, inputs)

    @property
    def trivial(self):
        """True if no copies are needed."""
        parts = (
            self.input_offset,
            self.input_factor - 1.0,
            self.output_offset,
            self.output_factor - 1.0,
        )
        return self.neurons is None and not any(part.any() for part in parts)

    def with_neurons(self, factors):
        """The same ones, but these factors of neurons."""
        other = copy.copy(self)
        other.neurons = factors if any(np.any(s != 1.0) for s in factors) else None
        return other

    def of_neurons(self, k, values):
        """The copies of layer k's neurons at their values, along the last axis."""
        return values if self.neurons is None else values * self.neurons[k]

    def of_terms(self, source, size):
        """(offset, factor) of what a layer reads, arrays of this size."""
        if source.layer == network_.INPUT:
            return self.input_offset, self.input_factor
        own = None if self.neurons is None else self.neurons[source.layer]
        return np.zeros(size), np.ones(size) if own is None else 1.0 / own

    def of_inputs(self, x):
        """The inputs' copies at input values ``x``, along the last axis."""
        return (x - self.input_offset) / self.input_factor

    def of_outputs(self, y):
        """The outputs' copies at output values ``y``, along the last axis."""
        return (y - self.output_offset) / self.output_factor

    def bounds(self, bounds):
        """The same bounds, of the network between the copies."""
        from pyomo_relu.linear.rounding import OF_SHIFTING

        bounds = self._over_neurons(bounds)
        f, g = self.input_factor, self.output_factor
        network = bounds.network.with_scaling(
            (-self.input_offset / f, 1.0 / f), (-self.output_offset / g, 1.0 / g)
        )
        lower, upper = list(bounds.lower), list(bounds.upper)
        wider = OF_SHIFTING * np.abs(self.output_offset) / g
        lower[-1] = self.of_outputs(lower[-1]) - wider
        upper[-1] = self.of_outputs(upper[-1]) + wider
        wider = OF_SHIFTING * np.abs(self.input_offset) / f
        return bounds_.NeuronBounds(
            network,
            lower,
            upper,
            bounds.source,
            self.of_inputs(bounds.input_lower) - wider,
            self.of_inputs(bounds.input_upper) + wider,
        )

    def _over_neurons(self, bounds):
        from pyomo_relu.bounds.neuron_units import rescaled_bounds

        if self.neurons is None:
            return bounds
        return rescaled_bounds(bounds, self.neurons)


class UnitRangeView(RowView):
    """Rows as written by formulations: what has a copy in unit range is the copy."""

    def __init__(self, rows, protected):
        columns = rows.columns.copy()
        super().__init__(rows, rows.units.bounds(rows.bounds), columns)
        copied = CopiedVars(self.units, columns.inputs, columns.pre[-1])
        self._ends_copied = bool(copied.ends)
        copies = copied.make(self.bounds, protected)
        rows.copied = copied
        places = {"input": columns.inputs, "output": columns.pre[-1]}
        for (side, j), copy_ in copies.items():
            places[side][j] = copy_
        if self.units.neurons is not None:
            rows.neurons = NeuronCopies(rows, self.units.neurons)
            rows.neurons.make(self, protected)

    def add_affine_rows(self):
        """The network's rows between the copies, where the block's are in force."""
        block, columns = self.block, self.columns
        gone = {id(row) for row in self.replaced}
        written = [
            (k, i, row)
            for k, layer in enumerate(self.network.layers)
            for i, row in self._changed_rows(k, layer, columns)
            if id(block.affine[k, i]) not in gone
        ]
        if written:
            affine = self.new_rows("affine")
            for k, i, row in written:
                affine[k, i] = row
                self.replaced.append(block.affine[k, i])
        if self.root.neurons is not None:
            self.root.neurons.link()

    def _changed_rows(self, k, layer, columns):
        """(neuron, row) of a layer's rows that read, or make, what has a copy."""
        last = k == len(self.network.layers) - 1
        reads = any(s.layer == network_.INPUT for s in layer.sources)
        changed = np.full(layer.size, self._ends_copied and (reads or last))
        factors = self.units.neurons
        if factors is not None:
            if not last:
                changed |= factors[k] != 1.0
            for source, w in layer.terms:
                if source.layer != network_.INPUT:
                    changed |= (w != 0) @ (factors[source.layer] != 1.0)
        if changed.any():
            for i, row in enumerate(affine_rows(layer, columns, columns.pre[k])):
                if changed[i]:
                    yield i, row


def in_unit_range(name, rows, protected, units):
    """What a formulation is to write with: ``rows``, or their view in unit range.

    Parameters
    ----------
    name : str
        Of the formulation, for messages.
    rows : RowBuilder
    protected : set of int
        ids of Vars to which the bounds do not apply.
    units : UnitRange
    """
    refuse_far_factors(name, rows.block, units.neurons)
    rows.units = units
    return rows if units.trivial else UnitRangeView(rows, protected)


def rewrite_modellers_rows(encodings):
    """Bring the modeller's rows and objective into units that solvers resolve.

    Parameters
    ----------
    encodings : list of Encoding
        Those of one call, in force.
    """
    if not encodings:
        return
    sizes = ComponentMap()
    for encoding in encodings:
        ends = encoding.bounds.lower[-1], encoding.bounds.upper[-1]
        largest = np.maximum(np.abs(ends[0]), np.abs(ends[1])).tolist()
        sizes.update(zip(encoding.block.output_vars(), largest, strict=True))
    rewritten = encodings[-1].rewritten = RewrittenRows()
    model, rows = encodings[-1].block.model(), []
    if any(e.copied is not None or e.neurons is not None for e in encodings):
        rows = linear_rows(modellers_rows(model))
        add_sizes(rows, sizes)
    rewritten.multiply_objective(model, sizes)
    rewritten.rewrite(rows, sizes)


def _units(odd, offset, size, variables):
    """Offsets and factors; those of copies that are there, and for odd units."""
    from pyomo_relu.network.rescale import power_of_two

    (factor,) = power_of_two([np.where(odd, size, 1.0)], up=True)
    factor = np.clip(factor, 1.0 / _LARGEST_FACTOR, _LARGEST_FACTOR)
    factor[(factor > _ELIMINATED) & (factor <= _WIDEST * _ELIMINATED)] = _ELIMINATED
    offset = np.where(odd, offset, 0.0)
    for j, var in enumerate(variables):
        found = copy_of(var)
        if found is not None:
            _, offset[j], factor[j] = found
    return offset, factor


def _ordinary(weight):
    """Where weights between copies are such that the copies serve: the network undoes
    the units.  A network that works in them itself keeps its Vars."""
    return (weight >= 1.0 / _WEIGHT) & (weight <= _WEIGHT)


def _largest_weights(network, layers, factors=1.0):
    """The largest absolute weight by which ``layers`` read each input.

    Parameters
    ----------
    network : Network
    layers : sequence of Layer
    factors : float or numpy.ndarray
        Times which the layers' rows count.

    Returns
    -------
    numpy.ndarray, shape (n_inputs,)
    """
    largest = np.zeros(network.n_inputs)
    for layer in layers:
        rows = scipy.sparse.diags_array(np.broadcast_to(factors, layer.size))
        for source, w in layer.terms:
            if source.layer == network_.INPUT and w.shape[0]:
                largest = np.maximum(largest, maxima(rows @ abs(w), axis=0))
    return largest


def _weights_through_active(bounds):
    """The largest absolute weight of each input behind active neurons, shape (n_inputs,).

    Where those are folded into their readers, rows have these weights.
    """
    network, through = bounds.network, []
    largest = np.zeros(network.n_inputs)
    for layer in network.layers[:-1]:
        total = scipy.sparse.csr_array((layer.size, network.n_inputs))
        for source, w in layer.terms:
            if source.layer == network_.INPUT:
                part = w
            elif source.post:
                on = bounds.active(source.layer).astype(float)
                part = w @ scipy.sparse.diags_array(on) @ through[source.layer]
            else:
                part = w @ through[source.layer]
            total = total + scipy.sparse.csr_array(part)
        through.append(total)
        if layer.size:
            largest = np.maximum(largest, maxima(abs(total), axis=0))
    return largest


def _row_maxima(layer, units):
    """The largest absolute weight of each neuron of a layer, shape (size,).

    Weights of inputs count times the inputs' ``units``.
    """
    largest = np.zeros(layer.size)
    for source, w in layer.terms:
        if w.shape[1]:
            size = abs(w)
            if source.layer == network_.INPUT:
                size = size @ scipy.sparse.diags_array(units)
            largest = np.maximum(largest, maxima(size, axis=1))
    return largest
