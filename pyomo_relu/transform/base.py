"""What all formulations share: options, targets, reversal, look-ups.

A formulation is a subclass with a ``NAME`` and the hook ``_encode_neuron`` (or, if it
works on whole layers or networks, ``_encode``), in a file of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyomo.common.collections import ComponentMap
from pyomo.common.config import ConfigDict
from pyomo.common.dependencies import numpy as np
from pyomo.common.modeling import unique_component_name
from pyomo.core.base import (
    Constraint,
    Objective,
    ReverseTransformationToken,
    Transformation,
)
from pyomo.core.base.block import Block
from pyomo.core.base.component import ComponentData
from pyomo.core.expr.visitor import identify_variables
from pyomo.gdp import Disjunct

from pyomo_relu import bounds as bounds_
from pyomo_relu.block.applications import application, describe_application
from pyomo_relu.block.block import ReLUNetworkBlockData
from pyomo_relu.block.bounds_runs import release_void_bounds
from pyomo_relu.block.encoding import Encoding
from pyomo_relu.common.documentation import show_module_docstring
from pyomo_relu.common.model_building import pause_garbage_collection
from pyomo_relu.common.model_reading import model_read_once
from pyomo_relu.common.options import read_options
from pyomo_relu.common.transaction import transaction
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import TransformationError
from pyomo_relu.model.blocks import in_disjunct, network_blocks
from pyomo_relu.model.surrounding import modellers_rows
from pyomo_relu.model.unit_copies import copy_of
from pyomo_relu.model.unit_rows import RewrittenRows
from pyomo_relu.transform.options import declare_fixed_inputs, declare_targets
from pyomo_relu.transform.parts.ceilings import check_ceilings
from pyomo_relu.transform.parts.resolution import leave_out_unresolved, warn_of_leak
from pyomo_relu.transform.parts.unit_range import in_unit_range

if TYPE_CHECKING:
    from pyomo.core.base.block import BlockData
    from pyomo.core.base.constraint import ConstraintData
    from pyomo.core.base.var import VarData

    from pyomo_relu.bounds.neuron_bounds import NeuronBounds
    from pyomo_relu.common.types import FloatArray


logger = logging.getLogger("pyomo.relu")


class NetworkFormulation(Transformation):
    """Base of the transformations that replace the exact activation rows."""

    #: Registered name; subclasses set it.
    NAME: str | None = None
    CONFIG: ConfigDict = declare_fixed_inputs(declare_targets(ConfigDict("relu")))
    #: Whether the rows of ``_encode`` and ``_encode_neuron``, where a class has its own,
    #: are right for neurons that reach a ceiling.
    HANDLES_CEILINGS: bool = False
    #: Options for which None means something although it is not the default.
    NONE_ALLOWED: tuple[str, ...] = ()
    #: Components of the reformulation whose entries (layer, neuron, ...) stand for
    #: activation rows.
    ACTIVATION_ROWS: tuple[str, ...] = ("rows",)

    def __init_subclass__(cls, **kwds: Any) -> None:
        super().__init_subclass__(**kwds)
        show_module_docstring(cls)

    # -- hooks ---------------------------------------------------------------------

    def _encode(self, encoding, config):
        """Add all rows of one network block to ``encoding``."""
        for k in range(len(encoding.network.layers) - 1):
            for i in encoding.encode_stable(k):
                self._encode_neuron(encoding, k, i, config)

    def _encode_neuron(self, encoding, k, i, config):
        """Add the rows of unstable neuron i of activation layer k."""
        raise NotImplementedError(f"{type(self).__name__} has no neuron encoding.")

    def _prepare(self, model, blocks, config):
        """Act once before the blocks are encoded, one after the other."""

    def _bounds(self, block, config):
        """The NeuronBounds to encode with and {(layer, neuron): source} of given M."""
        return block.neuron_bounds(config.assume_fixed_vars_permanent), {}

    @staticmethod
    def outdated(encoding: Encoding) -> str | None:
        """Why the encoding no longer fits the model it is part of, or None.

        For formulations that rest on more than the input box; ``forward_error()`` asks.
        """
        return None

    @staticmethod
    def set_start(
        encoding: Encoding,
        x: FloatArray,
        pre: Sequence[FloatArray],
        post: Sequence[FloatArray],
    ) -> None:
        """Set variables of this formulation other than indicators for a MIP start."""

    @staticmethod
    def remark(encoding: Encoding) -> str:
        """What ``description()`` must not leave out, such as a changed function."""
        return ""

    def _finish(self, encoding, config):
        """Act on the attached encoding."""

    # -- applying ------------------------------------------------------------------

    @transaction
    def _apply_to(self, model, **kwds):
        with model_read_once(), application():
            return self._apply(model, kwds)

    def _apply(self, model, kwds):
        config = read_options(self.NAME, self.CONFIG, kwds, none=self.NONE_ALLOWED)
        if config.reverse is not None:
            return self._undo(model, config.reverse)
        describe_application(type(self), model, config)
        blocks = self._untransformed(model, config)
        release_void_bounds(blocks, config.assume_fixed_vars_permanent)
        with pause_garbage_collection():
            self._prepare(model, blocks, config)
            _rewrite_rows([self._transform_block(block, config) for block in blocks])
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

    def _transform_block(self, block, config):
        bounds, given = self._bounds(block, config)
        check_ceilings(type(self), block, bounds)
        encoding = Encoding(type(self), block, bounds)
        encoding.given.update(given)
        protected = protected_vars(block)
        view = in_unit_range(encoding, protected)
        self._encode(view, config)
        if view is not encoding:
            view.add_affine_rows()
        leave_out_unresolved(self.NAME, view)
        name = f"_pyomo_{self.NAME.replace('.', '_')}_reformulation"
        encoding.attach(unique_component_name(block, name), protected)
        self._finish(encoding, config)
        warn_of_leak(self.NAME, encoding)
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
            block.record.encoding.detach()

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
        if not any(container is each for each in containers):
            raise TransformationError(
                f"'{transformed_constraint.name}' was not made by a relu formulation in "
                "place of an activation row."
            )
        return encoding.block.activation[transformed_constraint.index()[:2]]

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


def check_encoded(block):
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


def source_of(constraint):
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
    return check_encoded(block), constraint.index()


def _activation_rows(encoding):
    """Containers of what stands for activation rows, whichever class made them."""
    named = map(encoding.reformulation.component, encoding.formulation.ACTIVATION_ROWS)
    return [container for container in named if container is not None]


def encoding_of(constraint):
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


def _rewrite_rows(encodings):
    """Bring the modeller's rows and objective into units that solvers resolve."""
    if not encodings:
        return
    sizes = ComponentMap()
    for encoding in encodings:
        ends = encoding.bounds.lower[-1], encoding.bounds.upper[-1]
        largest = np.maximum(np.abs(ends[0]), np.abs(ends[1])).tolist()
        sizes.update(zip(encoding.block.output_vars(), largest, strict=True))
    rewritten = encodings[-1].rewritten = RewrittenRows()
    model = encodings[-1].block.model()
    rewritten.multiply_objective(model, sizes)
    if any(encoding.copied is not None for encoding in encodings):
        rewritten.rewrite(modellers_rows(model), sizes)


def crown_on_block(block, assume_fixed_vars_permanent):
    """CROWN's bounds for a block's present inputs, within those in force."""
    bounds = block.neuron_bounds(assume_fixed_vars_permanent)
    return bounds_.crown_bounds(
        bounds.network, bounds.input_lower, bounds.input_upper, bounds
    )


def protected_vars(block):
    """ids of the block's Vars that an encoding may not restrict.

    Within a Disjunct the network holds only while the Disjunct does; Vars that
    something outside reads may take any value when it does not.
    """
    disjunct = in_disjunct(block)
    if disjunct is None:
        return frozenset()
    own = {id(v): v for part in (block.pre, block.post) for v in part.values()}
    if block.owns("outputs"):
        own.update((id(v), v) for v in block.output_vars())
    for var in [*own.values()]:
        copied = copy_of(var)
        if copied is not None:
            own[id(copied[0])] = var
    inside = {
        id(c)
        for c in disjunct.component_data_objects(
            (Constraint, Objective), descend_into=(Block, Disjunct)
        )
    }
    found = set()
    for c in disjunct.model().component_data_objects(
        (Constraint, Objective), active=True, descend_into=(Block, Disjunct)
    ):
        if id(c) in inside:
            continue
        read = {id(own[id(v)]) for v in identify_variables(c.expr) if id(v) in own}
        if read - found:
            logger.warning(
                f"'{c.name}' reads '{own[min(read)].name}', and '{block.name}' lies in "
                f"the Disjunct '{disjunct.name}': the bounds of what it reads are left "
                "as they are. Set bounds on them if gdp asks for some."
            )
        found |= read
    return found
