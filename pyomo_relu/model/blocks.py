"""Which network blocks a transformation's ``targets`` mean."""

import graphlib
import logging

from pyomo.common.collections import ComponentSet
from pyomo.core.base.block import Block, BlockData
from pyomo.gdp import Disjunct
from pyomo.gdp.util import is_child_of

from pyomo_relu.block.arguments.expressions import vars_behind_inputs
from pyomo_relu.block.block import ReLUNetworkBlockData
from pyomo_relu.errors import ModelError, TransformationError

logger = logging.getLogger("pyomo.relu")


def network_blocks(model, targets, name):
    """The active network blocks among the targets, each once.

    In model order, unless one reads outputs of another that comes later: then each
    comes after those that it reads.

    Parameters
    ----------
    model : Block
        The component that the transformation was applied to.
    targets : list of components, or None
        None means the whole of ``model``.
    name : str
        Name of the transformation, for messages.

    Raises
    ------
    TransformationError
        If a target is not a block of ``model``, or ``model`` is not constructed.
    """
    if not isinstance(model, (Block, BlockData)) or not _is_block(model):
        raise TransformationError(
            f"{name} was applied to {_named(model)}, a {type(model).__name__}; it takes "
            "a model or a block."
        )
    if not model.parent_component().is_constructed():
        raise TransformationError(
            f"{name} was applied to {_named(model)}, which is not built yet. Apply it to "
            "the instance, model.create_instance(), or attach the block to a "
            "ConcreteModel first."
        )
    if targets is None:
        targets = [model]
    found, seen = [], ComponentSet()
    for target in targets:
        if not _is_block(target):
            raise TransformationError(
                f"{name}: target {_named(target)} is a {type(target).__name__}; targets "
                "are network blocks or blocks that contain some."
            )
        if not is_child_of(parent=model, child=target):
            raise TransformationError(
                f"{name}: target '{target.name}' is not part of '{model.name}'."
            )
        if not target.active:
            logger.warning(f"{name}: target '{target.name}' is deactivated; skipped.")
            continue
        for block in _members(target):
            if block not in seen:
                seen.add(block)
                found.append(block)
    if not found:
        logger.warning(
            f"{name}: there is no active ReLUNetworkBlock in "
            f"{', '.join(repr(t.name) for t in targets)}; nothing was done."
        )
    return in_order(found)


def in_order(blocks):
    """Blocks after those whose outputs they read; as given if that is a circle."""
    if len(blocks) < 2:
        return blocks
    maker = {id(v): k for k, block in enumerate(blocks) for v in block.output_vars()}
    needs = [
        {maker[id(v)] for v in vars_behind_inputs(block) if id(v) in maker} - {k}
        for k, block in enumerate(blocks)
    ]
    if all(n < k for k, needed in enumerate(needs) for n in needed):
        return blocks
    sorter = graphlib.TopologicalSorter(dict(enumerate(needs)))
    try:
        return [blocks[k] for k in sorter.static_order()]
    except graphlib.CycleError:
        return blocks


def in_disjunct(block):
    """The Disjunct that a block lies in, or None."""
    while block is not None and block.ctype is not Disjunct:
        block = block.parent_block()
    return block


def refuse_disjuncts(blocks, name):
    """Raise if a network holds only while a Disjunct does, for methods that cannot."""
    for block in blocks:
        disjunct = in_disjunct(block)
        if disjunct is not None:
            raise ModelError(
                f"{name}: network block '{block.name}' lies on the Disjunct "
                f"'{disjunct.name}', and {name} takes networks that always hold. Apply "
                "a formulation such as relu.bigm, then gdp.bigm, and use a MILP solver; "
                f"or let the network hold always and only '{disjunct.name}' use its "
                "outputs."
            )


def check_function_kept(blocks, name):
    """Raise if a formulation changed the function of a block (relu.clipped may).

    For methods that read the networks themselves and not their encodings.
    """
    for block in blocks:
        if block.encoded_network != block.network:
            raise TransformationError(
                f"{name}: '{block.name}' was encoded by "
                f"{block.record.encoding.formulation.NAME} with a changed function, and "
                f"{name} reads the network itself. Reverse that first."
            )


def _named(thing):
    name = getattr(thing, "name", None)
    return f"{thing!r:.80}" if name is None else f"'{name}'"


def _is_block(component):
    return getattr(component, "ctype", None) in (Block, Disjunct)


def _members(target):
    data = target.values() if target.is_indexed() else (target,)
    for block in data:
        if not block.active:
            continue
        if isinstance(block, ReLUNetworkBlockData):
            yield block
        for inner in block.component_data_objects(
            Block, active=True, descend_into=(Block, Disjunct)
        ):
            if isinstance(inner, ReLUNetworkBlockData) and inner is not block:
                yield inner
