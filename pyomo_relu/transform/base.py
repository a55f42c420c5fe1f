"""What all formulations share: options, targets, reversal, look-ups."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from pyomo.common.config import ConfigDict
from pyomo.common.dependencies import numpy as np
from pyomo.common.modeling import unique_component_name
from pyomo.core.base import (
    ReverseTransformationToken,
    Transformation,
)
from pyomo.core.base.component import ComponentData

from pyomo_relu.block.block import ReLUNetworkBlockData
from pyomo_relu.block.records.applications import Call
from pyomo_relu.block.records.bounds_runs import release_void_bounds
from pyomo_relu.block.records.encoding import Encoding
from pyomo_relu.common.documentation import show_module_docstring
from pyomo_relu.common.model_building import pause_garbage_collection
from pyomo_relu.common.options import read_options
from pyomo_relu.common.transaction import transaction
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import TransformationError
from pyomo_relu.model.blocks import network_blocks
from pyomo_relu.model.options import declare
from pyomo_relu.model.reads import protected_vars
from pyomo_relu.transform.declaration import check_ceilings, declared
from pyomo_relu.transform.parts.plan import Plan
from pyomo_relu.transform.parts.resolution import leave_out_unresolved, warn_of_leak
from pyomo_relu.transform.parts.row_builder import RowBuilder
from pyomo_relu.transform.parts.unit_range import (
    UnitRange,
    UnitRangeView,
    in_unit_range,
    rewrite_modellers_rows,
)

if TYPE_CHECKING:
    from pyomo.core.base.block import BlockData
    from pyomo.core.base.constraint import ConstraintData
    from pyomo.core.base.var import VarData

    from pyomo_relu.bounds.neuron_bounds import NeuronBounds
    from pyomo_relu.common.types import Neuron


logger = logging.getLogger("pyomo.relu")


class NetworkFormulation(Transformation):
    """Base of the transformations that replace the exact activation rows.

    A formulation is a subclass with a ``NAME`` and the hook ``_encode_neuron``, which
    adds the rows of one unstable neuron with a RowBuilder::

        class Mine(NetworkFormulation):
            NAME = "relu.mine"

            def _encode_neuron(self, rows, k, i, config):
                lower = float(rows.bounds.lower[k][i])
                upper = float(rows.bounds.upper[k][i])
                v, x = rows.columns.pre[k][i], rows.columns.post[k][i]
                z = rows.new_indicator(k, i)
                rows.add_row((k, i, "above"), [1.0, -1.0], [x, v], lower=0.0)
                ...

    If its rows are right for neurons with a ceiling below ``upper`` too, it declares
    ``HANDLES_CEILINGS = True``; otherwise such networks are refused.  What works on
    whole layers or networks has an ``_encode``; what chooses for all blocks together,
    before any of them is encoded, returns a Plan from ``_prepare``.  What is to be
    remembered of a block, or needs values for a MIP start, goes into a class derived
    from Encoding: named by ``RECORD``, or made and returned by ``_encode``.  Nothing of
    a call is kept on the transformation object.
    """

    #: Registered name; subclasses set it.
    NAME: str = ""
    #: What it adds to the model: Adds, most of them per unstable neuron.
    ADDS = ()
    #: What a solver must take beyond linear rows: a key of ``PROBLEM_CLASSES``.
    TAKES = "binaries"
    #: Whether the optimum is the network's.
    EXACT = "yes"
    #: Who published it, with the equation.
    SOURCE = ""
    #: When to choose it.
    USE = ""
    CONFIG: ConfigDict = declare(
        ConfigDict("relu"), "targets", "reverse", "assume_fixed_vars_permanent"
    )
    #: Whether the rows of ``_encode`` and ``_encode_neuron``, where a class has its own,
    #: are right for neurons that reach a ceiling.
    HANDLES_CEILINGS: bool = False
    #: Options for which None means something although it is not the default.
    NONE_ALLOWED = ()
    #: (old name, present name) of options.
    RENAMED = ()
    #: Components of the reformulation whose entries (layer, neuron, ...) stand for
    #: activation rows.
    ACTIVATION_ROWS = ("rows",)
    #: The class of the record of an encoded block.
    RECORD: type[Encoding] = Encoding

    def __init_subclass__(cls, **kwds: Any) -> None:
        super().__init_subclass__(**kwds)
        show_module_docstring(cls, declared(cls))

    # -- hooks ---------------------------------------------------------------------

    def _encode(self, rows, plan):
        """Add all rows of one network block.

        Parameters
        ----------
        rows : RowBuilder
        plan : Plan
            What ``_prepare`` returned.

        Returns
        -------
        Encoding or None
            A record with more in it than ``RECORD(type(self), rows)`` has.
        """
        for k in range(len(rows.network.layers) - 1):
            for i in rows.encode_stable(k):
                self._encode_neuron(rows, k, i, plan.config)

    def _encode_neuron(self, rows, k, i, config):
        """Add the rows of unstable neuron i of activation layer k."""
        raise NotImplementedError(
            f"{self.NAME}: {type(self).__name__} does not say which rows stand for a "
            "neuron. Define _encode_neuron(self, rows, k, i, config)."
        )

    def _prepare(self, model, blocks, plan):
        """What is decided before the blocks are encoded, one after the other.

        Parameters
        ----------
        model : Block
        blocks : list of ReLUNetworkBlockData
        plan : Plan
            Options, and nothing decided.

        Returns
        -------
        Plan
            The same one, or one of a class derived from it.
        """
        return plan

    def _bounds(self, block, plan):
        """The NeuronBounds to encode with and {(layer, neuron, side): source} of M."""
        return plan.neuron_bounds(block), {}

    def _units(self, rows, plan):
        """The UnitRange of what rows are written with, before there are any."""
        return UnitRange(rows.bounds, rows.columns.inputs, rows.columns.pre[-1])

    def _finish(self, encoding, plan):
        """Act on the encoding once it is in force."""

    # -- applying ------------------------------------------------------------------

    @transaction
    def _apply_to(self, model, **kwds):
        return self.apply_within(Call(), model, **kwds)

    def _read_options(self, kwds):
        return read_options(
            self.NAME,
            self.CONFIG,
            kwds,
            none=self.NONE_ALLOWED,
            renamed=self.RENAMED,
        )

    def apply_within(self, call, model, **kwds):
        """As ``apply_to``, as a part of another call and within its transaction."""
        config = self._read_options(kwds)
        if config.reverse is not None:
            return self._undo(model, config.reverse)
        call.application.describe(type(self), model, config)
        blocks = self._untransformed(model, config)
        fixed = config.assume_fixed_vars_permanent
        release_void_bounds(blocks, fixed, call.reading)
        with pause_garbage_collection():
            plan = Plan(config, call)
            if blocks:
                plan = self._prepare(model, blocks, plan)
            rewrite_modellers_rows([self._transform_block(b, plan) for b in blocks])
        return ReverseTransformationToken(
            type(self), model, config.targets or [model], {"blocks": blocks}
        )

    def _untransformed(self, model, config):
        blocks = network_blocks(model, config.targets, self.NAME)
        fresh = [b for b in blocks if b.record.encoding is None]
        named = config.targets or []
        for block in blocks:
            if block in fresh or (fresh and not any(t is block for t in named)):
                continue
            raise TransformationError(
                f"{self.NAME}: '{block.name}' is already encoded by "
                f"{block.record.encoding.formulation.NAME}. Reverse that first "
                "(apply_to(model, reverse=token) with the token it returned)."
            )
        if len(fresh) < len(blocks):
            logger.info(
                f"{self.NAME}: already encoded and left as it was: "
                f"{counted(len(blocks) - len(fresh), 'network block')}."
            )
        return fresh

    def _transform_block(self, block, plan):
        bounds, given = self._bounds(block, plan)
        check_ceilings(type(self), block, bounds)
        rows, protected = RowBuilder(block, bounds, given), protected_vars(block)
        view = in_unit_range(self.NAME, rows, protected, self._units(rows, plan))
        encoding = self._encode(view, plan) or self.RECORD(type(self), view)
        if isinstance(view, UnitRangeView):
            view.add_affine_rows()
        leave_out_unresolved(self.NAME, view)
        name = f"_pyomo_{self.NAME.replace('.', '_')}_reformulation"
        name = unique_component_name(block, name)
        rows.put_in_force(encoding, name, protected, plan.call.application)
        self._finish(encoding, plan)
        encoding.leak = warn_of_leak(self.NAME, encoding)
        logger.debug(f"{block.name}: {encoding.description()}")
        return encoding

    def _undo(self, model, token):
        token.check_token_valid(type(self), model, None)
        blocks = token.reverse_dict["blocks"]
        for block in blocks:
            encoding = block.record.encoding
            if encoding is None or encoding.formulation is not type(self):
                raise TransformationError(
                    f"{self.NAME}: '{block.name}' is no longer encoded by "
                    f"{self.NAME}; the token was used before."
                )
        for block in blocks:
            block.record.encoding.reverse()

    # -- look-ups, named as in gdp -------------------------------------------------

    def get_src_constraint(
        self, transformed_constraint: ComponentData
    ) -> ConstraintData:
        """The activation row that ``transformed_constraint`` stands for.

        Raises
        ------
        TransformationError
            If no formulation made the row; this and the other look-ups likewise if
            a block is not encoded.
        """
        encoding = encoding_of(transformed_constraint)
        containers = [] if encoding is None else _activation_rows(encoding)
        container = transformed_constraint.parent_component()
        if encoding is None or not any(container is each for each in containers):
            raise TransformationError(
                f"'{transformed_constraint.name}' was not made by a relu formulation in "
                "place of an activation row."
            )
        key = cast("tuple[Any, ...]", transformed_constraint.index())
        return encoding.block.activation[key[:2]]

    def get_transformed_constraints(
        self, src_constraint: ConstraintData
    ) -> list[ComponentData]:
        """The rows (and SOS sets) that replace the activation row ``src_constraint``."""
        encoding, key = source_of(src_constraint)
        return [
            row
            for container in _activation_rows(encoding)
            for index, row in container.items()
            if index[:2] == key
        ]

    def get_indicator_var(self, src_constraint: ConstraintData) -> VarData | None:
        """The activation indicator of a neuron, or None if the neuron is stable."""
        encoding, key = source_of(src_constraint)
        indicator = encoding.reformulation.indicator
        return indicator[key] if key in indicator.keys() else None

    def get_M_value(self, src_constraint: ConstraintData) -> tuple[float | None, ...]:
        """(lower, upper) big-M coefficients of a neuron; (None, None) if stable."""
        return tuple(m for m, _, _ in self.get_M_value_src(src_constraint))

    def get_M_value_src(
        self, src_constraint: ConstraintData
    ) -> tuple[tuple[float | None, str | None, Any], ...]:
        """((lower, source, key), (upper, source, key)) of a neuron's coefficients.

        The source is the bound method ("interval", "crown", "lp", ...), or "argument"
        or "suffix" for a given value, with the component it was given for as key.
        """
        encoding, (k, i) = source_of(src_constraint)
        if encoding.bounds.stable(k)[i]:
            return ((None, None, None), (None, None, None))
        method = str(encoding.bounds.source[k][i])
        values = (
            float(encoding.bounds.lower[k][i]),
            float(encoding.bounds.upper[k][i]),
        )
        return tuple(
            (value, *encoding.given.get((k, i, side), (method, None)))
            for side, value in enumerate(values)
        )

    def get_all_M_values_by_constraint(
        self, model: BlockData
    ) -> dict[ConstraintData, tuple[float, float]]:
        """{activation row: (lower, upper)} of all unstable neurons in ``model``."""
        values = {}
        for block in network_blocks(model, None, self.NAME):
            encoding = block.record.encoding
            if encoding is None:
                continue
            bounds = encoding.bounds
            for k in range(len(bounds.lower) - 1):
                for i in np.flatnonzero(bounds.unstable(k)).tolist():
                    values[block.activation[k, i]] = (
                        float(bounds.lower[k][i]),
                        float(bounds.upper[k][i]),
                    )
        return values

    def get_largest_M_value(self, model: BlockData) -> float:
        """The largest absolute big-M coefficient in ``model``; 0 if all are stable."""
        values = self.get_all_M_values_by_constraint(model).values()
        return max((max(abs(m) for m in pair) for pair in values), default=0.0)

    def get_neuron_bounds(self, block: ReLUNetworkBlockData) -> NeuronBounds:
        """The NeuronBounds with which ``block`` was encoded."""
        encoding = check_encoded(block)
        return encoding.bounds


def check_encoded(block) -> Encoding:
    """The Encoding of a network block; an error if there is none."""
    if not isinstance(block, ReLUNetworkBlockData):
        raise TransformationError(
            f"{getattr(block, 'name', block)!r:.80} (a {type(block).__name__}) is not a "
            "ReLUNetworkBlock; of an indexed one give a member."
        )
    if block.record.encoding is None:
        raise TransformationError(
            f"'{block.name}' is not encoded; apply a formulation such as relu.bigm."
        )
    return block.record.encoding


def source_of(constraint) -> tuple[Encoding, Neuron]:
    """Encoding and (layer, neuron) of an activation row."""
    if not isinstance(constraint, ComponentData):
        raise TransformationError(
            f"look-ups take an activation row, such as m.nn.activation[0, 0], not "
            f"{constraint!r:.80} (a {type(constraint).__name__})."
        )
    block = constraint.parent_block()
    container = constraint.parent_component()
    if not isinstance(block, ReLUNetworkBlockData) or container is not block.activation:
        raise TransformationError(
            f"'{constraint.name}' is not an activation row of a ReLUNetworkBlock."
        )
    return check_encoded(block), cast("Neuron", constraint.index())


def _activation_rows(encoding):
    """Containers of what stands for activation rows, whichever class made them."""
    named = map(encoding.reformulation.component, encoding.formulation.ACTIVATION_ROWS)
    return [container for container in named if container is not None]


def encoding_of(constraint) -> Encoding | None:
    """The Encoding of the network block that a row lies on, or None."""
    if not isinstance(constraint, ComponentData):
        raise TransformationError(
            f"look-ups take one constraint of a model, not {constraint!r:.80} (a "
            f"{type(constraint).__name__})."
        )
    block = constraint.parent_block()
    while block is not None and not isinstance(block, ReLUNetworkBlockData):
        block = block.parent_block()
    return None if block is None else block.record.encoding
