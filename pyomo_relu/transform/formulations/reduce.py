r"""relu.reduce: exact reductions of the network, then the rows of ``relu.bigm``.

On the input box the network equals a smaller one (``network.reduce_network``): inactive
and constant neurons join the biases, active ones are folded into the layers that read
them where that takes no more nonzeros, unstable ones with proportional rows share one
indicator, and what nothing reads is left out.  Only the kept neurons are encoded::

    pre[l, i] = (row of the reduced network)        post[l, i] = big-M rows of pre[l, i]

with the pre- and post-activations of the original neuron; all other affine rows go out
of force, and the Vars of neurons that were left out are no part of the model.  They get
their values from ``initialize()``, like all others.

With ``drop_minimised=True`` last-layer neurons that the objective pushes down anyway
lose their indicators.  If the objective minimises ``sum_o c_o y_o`` over outputs that
appear nowhere else, and ``sum_o c_o W_oi > 0``, then ``x_i >= v_i, x_i >= 0`` suffices:
every optimal solution has ``x_i = max(0, v_i)``.  A solution that is optimal only up to
a gap has its outputs right only up to that gap.

The rows and variables of all other neurons go.  Choose it for networks with many stable
neurons; solvers' presolve does much of it, but not the merging, nor the dropping.

Sources: Serra, Kumar and Ramalingam, "Lossless compression of deep neural networks",
CPAIOR 2020; Plate et al., arXiv 2502.03016, eq. (5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyomo.common.collections import ComponentMap
from pyomo.common.config import Bool, ConfigValue, document_class_CONFIG
from pyomo.common.dependencies import numpy as np
from pyomo.core.base import TransformationFactory

from pyomo_relu import bounds as bounds_
from pyomo_relu import network as network_
from pyomo_relu.block.records.encoding import Encoding
from pyomo_relu.block.rows import affine_rows
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import TransformationError
from pyomo_relu.model.blocks import in_disjunct
from pyomo_relu.model.options import declare
from pyomo_relu.model.reads import (
    absent_neuron_read,
    neurons_read,
    variables_read,
)
from pyomo_relu.model.surrounding import read_surrounding
from pyomo_relu.transform.base import NetworkFormulation, source_of
from pyomo_relu.transform.declaration import Adds
from pyomo_relu.transform.formulations.bigm import encode_big_m
from pyomo_relu.transform.parts.given_m import tightened_by_given_m
from pyomo_relu.transform.parts.plan import Plan, outputs_bounded
from pyomo_relu.transform.parts.row_builder import RowView

if TYPE_CHECKING:
    from pyomo.common.config import ConfigDict
    from pyomo.core.base.component import ComponentData
    from pyomo.core.base.constraint import ConstraintData
    from pyomo.core.base.var import VarData


def _declare_reduce(config):
    config.declare(
        "drop_minimised",
        ConfigValue(
            default=False,
            domain=Bool,
            description="drop indicators of neurons that the objective pushes down",
            doc="""
            Needs a linear objective, and outputs that nothing else in the model reads;
            otherwise an error says what reads them.  The encoding is then valid for
            this objective only.""",
        ),
    )
    return config


@dataclass(frozen=True)
class ReductionPlan(Plan):
    """Costs of the outputs of the blocks whose minimised neurons are dropped."""

    weights: ComponentMap


class ReducedEncoding(Encoding):
    """Of what exact reductions left of a network.

    Parameters
    ----------
    reduction : Reduction
    dropped : set of tuple
        (layer, neuron) of those without an indicator because the objective pushes them
        down.
    weights : numpy.ndarray or None, shape (n_outputs,)
        Costs of the outputs, if indicators were to be dropped.
    """

    __slots__ = ("_inputs_read", "dropped", "merged", "n_kept", "removed", "weights")

    def __init__(self, formulation, rows, reduction, dropped, weights):
        super().__init__(formulation, rows)
        self.merged, self.removed = self._merged(reduction), reduction.removed
        self.n_kept = reduction.network.n_neurons
        self.dropped, self.weights = dropped, weights
        self._inputs_read = reduction.network.inputs_read()

    def _merged(self, reduction):
        """{neuron: (layer, neuron, factor)} in the units of the network."""
        own = self.in_own_units
        return {
            key: (k, i, factor * own(k, i, 1.0) / own(key[0], key[1], 1.0))
            for key, (k, i, factor) in reduction.merged.items()
        }

    def inputs_read(self):
        """Which inputs the reduced network reads, shape (n_inputs,)."""
        return self._inputs_read

    def outdated(self, reading=None):
        """What the reduction rests on and the model no longer has, too."""
        reason = super().outdated(reading)
        if reason is None and self.weights is not None:
            reason = self._other_objective()
        return reason or absent_neuron_read(self.block)

    def _other_objective(self):
        surrounding = read_surrounding(self.block.model(), [self.block])
        try:
            now = _objective_weights(Reduce.NAME, self.bounds, surrounding, 0)
        except TransformationError as error:
            return f"the model was changed ({error})"
        if not np.array_equal(np.sign(now), np.sign(self.weights)):
            return "the objective was changed"
        return None

    def remark(self):
        """What was left out, by reason."""
        reasons = [f"{n} {why}" for why, n in self.removed.items() if n]
        if self.dropped:
            reasons.append(f"{counted(len(self.dropped), 'indicator')} dropped")
        return ", ".join([f"; {counted(self.n_kept, 'neuron')} kept", *reasons])


@TransformationFactory.register(
    "relu.reduce", doc="Reduce ReLU network blocks exactly, then big-M rows"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
class Reduce(NetworkFormulation):
    """Encode what exact reductions leave of a network; see the module's docstring.

    Examples
    --------
    >>> from pyomo_relu.transform.parts.one_neuron import show_rows
    >>> show_rows("relu.reduce")
    above: 0  <=  post - pre
    active: post - pre + 2*indicator  <=  2
    inactive: post - 4*indicator  <=  0
    affine[0,0]: inputs[0] + 2*inputs[1] - pre  ==  -1
    affine[1,0]: post - outputs[0]  ==  0
    """

    NAME = "relu.reduce"
    ADDS = (
        Adds("unstable neuron that is kept", binaries=1, rows=3),
        Adds("neuron of `drop_minimised=True`", rows=1),
    )
    SOURCE = "Serra et al. 2020"
    USE = (
        "many stable or duplicate neurons, which are folded, merged and dropped "
        "exactly; `drop_minimised=True`"
    )
    CONFIG: ConfigDict = _declare_reduce(declare(NetworkFormulation.CONFIG(), "bigM"))
    HANDLES_CEILINGS = True

    def _prepare(self, model, blocks, plan):
        weights, reading = ComponentMap(), plan.call.reading
        surrounding = read_surrounding(model.model(), blocks, plan.fixed_permanent)
        read = variables_read(surrounding)
        with outputs_bounded(reading) as note:
            for at, block in enumerate(blocks):
                bounds = plan.neuron_bounds(block)
                note(block, bounds)
                var = neurons_read(block, read, reading)
                if var is not None:
                    raise TransformationError(
                        f"{self.NAME}: the model reads '{var.name}', which a reduced "
                        "network may not have. Use relu.bigm for this block."
                    )
                if plan.config.drop_minimised:
                    weights[block] = _objective_weights(
                        self.NAME, bounds, surrounding, at
                    )
        return ReductionPlan(plan.config, plan.call, weights)

    def _bounds(self, block, plan):
        bounds, _ = super()._bounds(block, plan)
        return tightened_by_given_m(block, bounds, plan.config.bigM)

    def _encode(self, rows, plan):
        reduction = network_.reduce_network(rows.network, rows.bounds)
        weights = plan.weights.get(rows.block)
        if weights is not None:
            weights = weights * rows.units.output_factor
        view = _ReducedView(rows, reduction)
        dropped = view.droppable(weights) if weights is not None else set()
        view.add_affine_rows()
        for k in range(len(view.network.layers) - 1):
            for i in view.encode_stable(k):
                if (k, i) in dropped:
                    v, x = view.columns.pre[k][i], view.columns.post[k][i]
                    view.add_row((k, i, "above"), [1.0, -1.0], [x, v], lower=0.0)
                else:
                    encode_big_m(view, k, i)
        rows.replaced += list(rows.block.affine.values())
        dropped = {view.original(*key) for key in dropped}
        return ReducedEncoding(type(self), rows, reduction, dropped, weights)

    # -- look-ups ------------------------------------------------------------------

    def get_representative(
        self, src_constraint: ConstraintData
    ) -> tuple[ConstraintData, float]:
        """The activation row whose neuron stands for another's, and the factor.

        Returns
        -------
        (ConstraintData, float)
            The row itself and 1.0 unless the neuron was merged into another one.
        """
        encoding, key = source_of(src_constraint)
        merged = encoding.merged if isinstance(encoding, ReducedEncoding) else {}
        k, i, factor = merged.get(key, (*key, 1.0))
        return encoding.block.activation[k, i], factor

    def get_transformed_constraints(
        self, src_constraint: ConstraintData
    ) -> list[ComponentData]:
        """The rows of the neuron, or of the one that it was merged into."""
        row, _ = self.get_representative(src_constraint)
        return super().get_transformed_constraints(row)

    def get_indicator_var(self, src_constraint: ConstraintData) -> VarData | None:
        """The neuron's indicator, or None if it has none.

        A neuron merged with a positive factor has the other's; with a negative factor
        it is active where the other is not, and has no indicator of its own.
        """
        row, factor = self.get_representative(src_constraint)
        return super().get_indicator_var(row) if factor > 0 else None


class _ReducedView(RowView):
    """Rows as written by formulations that think the network is the reduced one.

    Rows and indicators get the original neurons' numbers.
    """

    def __init__(self, rows, reduction):
        self.reduction = reduction
        bounds = bounds_.NeuronBounds(
            reduction.network,
            reduction.lower,
            reduction.upper,
            reduction.source,
            rows.bounds.input_lower,
            rows.bounds.input_upper,
        )
        super().__init__(rows, bounds, _ReducedColumns(rows.columns, reduction))

    def original(self, k, i):
        """Layer and neuron in the original network."""
        layer, neurons = self.reduction.kept[k]
        return layer, int(neurons[i])

    def new_indicator(self, k, i):
        """See RowBuilder."""
        return super().new_indicator(*self.original(k, i))

    def new_ceiling_indicator(self, k, i):
        """See RowBuilder."""
        return super().new_ceiling_indicator(*self.original(k, i))

    def add_row(self, key, coefs, variables, lower=None, upper=None):
        """See RowBuilder."""
        key = (*self.original(*key[:2]), *key[2:])
        super().add_row(key, coefs, variables, lower, upper)

    def add_affine_rows(self):
        """The reduced network's affine rows, numbered like the original's."""
        rows = self.new_rows("affine")
        last = len(self.block.network.layers) - 1
        for k, layer in enumerate(self.network.layers):
            results = self.columns.pre[k]
            for i, row in enumerate(affine_rows(layer, self.columns, results)):
                key = (last, i) if results is self.columns.pre[-1] else None
                rows[key or self.original(k, i)] = row

    def droppable(self, weights):
        """Unstable neurons that only the outputs read and the objective pushes down.

        Parameters
        ----------
        weights : numpy.ndarray, shape (n_outputs,)
            Costs of the outputs.
        """
        layers, bounds = self.network.layers, self.bounds
        read = {s.layer for layer in layers[:-1] for s in layer.sources}
        read |= {s.layer for s in layers[-1].sources if not s.post}
        found = set()
        for source, w in layers[-1].terms:
            k = source.layer
            if k == network_.INPUT or k in read:
                continue
            open_ = bounds.unstable(k)
            if layers[k].ceiling is not None:
                open_ &= bounds.upper[k] <= layers[k].ceiling
            pushed = np.asarray(w.T @ weights).ravel() > 0
            found |= {(k, int(i)) for i in np.flatnonzero(open_ & pushed)}
        return found


class _ReducedColumns:
    """VarData by the reduced network's layers; see ``block.rows.NetworkColumns``."""

    def __init__(self, columns, reduction):
        self.inputs = columns.inputs
        self.pre, self.post = (
            [[part[k][i] for i in neurons] for k, neurons in reduction.kept]
            for part in (columns.pre, columns.post)
        )
        self.pre.append(columns.pre[-1])

    def of(self, source):
        """The VarData that a Source of a layer stands for."""
        if source.layer == network_.INPUT:
            return self.inputs
        return (self.post if source.post else self.pre)[source.layer]


def _objective_weights(name, bounds, surrounding, at):
    """Costs of a block's outputs; an error unless only the objective reads them."""
    block = surrounding.blocks[at]
    outputs = surrounding.embedded.functions[at].outputs
    if in_disjunct(block) is not None:
        reason = "it lies in a Disjunct"
    elif surrounding.costs is None:
        reason = "the model has no single linear objective"
    elif not np.any(surrounding.costs[outputs]):
        reason = "the objective does not read its outputs"
    else:
        reason = _other_reader(surrounding, at, bounds)
    if reason is not None:
        raise TransformationError(
            f"{name}: drop_minimised needs outputs that only a linear objective reads, "
            f"but for '{block.name}' {reason}. Leave drop_minimised out."
        )
    assert surrounding.costs is not None  # else there is a reason
    return surrounding.costs[outputs]


def _other_reader(surrounding, at, bounds):
    """What reads or restricts a block's outputs besides the objective, or None."""
    block, outputs = surrounding.blocks[at], surrounding.embedded.functions[at].outputs
    ids = {id(var): var for var in block.output_vars()}
    if len(ids) < len(outputs):
        return "two outputs are the same Var"
    for other in _network_blocks(surrounding):
        ends = other.input_vars() + ([] if other is block else other.output_vars())
        for var in ends:
            if id(var) in ids:
                return f"the network '{other.name}' reads '{var.name}'"
    linear = surrounding.linear
    for i, o in enumerate(outputs.tolist()):
        var = surrounding.variables[o]
        if linear.matrix[:, [o]].nnz:
            return f"a constraint reads '{var.name}'"
        if linear.integer[o] or var.fixed:
            return f"'{var.name}' is fixed or takes integer values"
        proven = bounds.lower[-1][i], bounds.upper[-1][i]
        if linear.lower[o] > proven[0] or linear.upper[o] < proven[1]:
            return f"'{var.name}' has bounds that are tighter than the proven ones"
    elsewhere = variables_read(surrounding, left_out_only=True)
    for key, var in ids.items():
        if key in elsewhere:
            return f"a nonlinear or logical part of the model reads '{var.name}'"
    return None


def _network_blocks(surrounding):
    from pyomo_relu.model.blocks import network_blocks

    return network_blocks(surrounding.blocks[0].model(), None, Reduce.NAME)
