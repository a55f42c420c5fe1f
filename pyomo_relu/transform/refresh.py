"""relu.refresh: what is in force on networks, applied again to the model as it is now.

Encodings and recorded bounds hold for the bounds that inputs had, and what rests on more
than that for the model's rows, domains and objective.  After a change ``relu.refresh``
(or ``block.refresh()``) undoes what was affected, the newest first, and applies it again
in the old order with the options that it was given:

* a formulation, or a bound method, whose networks' inputs are bounded or fixed otherwise
  than they were, wider or tighter; or whose outdated rows ``forward_error()`` refuses;
* ``relu.obbt(scope="model")`` if a row, a bound, a domain or a Param in them differs;
  an ``objective_cutoff`` is left out, because it belonged to the model as it was;
* what was applied on top of that, or reads Vars that it tightened, on other blocks too;
* ``relu.auto`` chooses anew; ``use_bounds`` is kept if its bounds cover the inputs'
  present ones, and dropped otherwise.

Nothing is done, and little computed, where all is as it was.  The tokens of the original
calls stay valid: ``apply_to(model, reverse=token)`` undoes what was applied again.  There
is no token of ``relu.refresh`` itself.  If something cannot be applied again the error
says why, and the model is as it was before.  References to rows or indicators of
encodings that were made again are void.  ``apply_to`` returns a ComponentMap from each
block that was affected to the reason; ``create_using`` refreshes a clone.
"""

from __future__ import annotations

import logging

from pyomo.common.collections import ComponentMap, ComponentSet
from pyomo.common.config import ConfigDict, document_class_CONFIG
from pyomo.core.base import Transformation, TransformationFactory
from pyomo.gdp.util import is_child_of

from pyomo_relu.block.records.applications import Call
from pyomo_relu.block.records.bounds_in_force import input_box, use_bounds
from pyomo_relu.block.records.bounds_runs import GIVEN, BoundsRun
from pyomo_relu.common.documentation import show_module_docstring
from pyomo_relu.common.model_reading import ModelReading
from pyomo_relu.common.options import read_options
from pyomo_relu.common.transaction import transaction
from pyomo_relu.errors import TransformationError
from pyomo_relu.model.blocks import in_disjunct, network_blocks
from pyomo_relu.model.declared_bounds import pieces_in_force
from pyomo_relu.model.options import declare
from pyomo_relu.model.surrounding import in_force

logger = logging.getLogger("pyomo.relu")

#: Options that belong to the model as it was.
_OUTLIVED = ("objective_cutoff",)


@TransformationFactory.register(
    "relu.refresh", doc="Apply formulations and bounds in force again, after changes"
)
@document_class_CONFIG(methods=["apply_to", "create_using"])
@show_module_docstring
class Refresh(Transformation):
    """Apply again what is in force; see the module's docstring."""

    NAME = "relu.refresh"
    CONFIG: ConfigDict = declare(ConfigDict("relu.refresh"), "targets", "reverse")

    def _apply_to(self, model, **kwds):
        config = read_options(self.NAME, self.CONFIG, kwds)
        if config.reverse is not None:
            raise TransformationError(
                f"{self.NAME} has no token of its own. Reverse the formulation or bound "
                "method with the token that it returned."
            )
        # says what is wrong with targets, too
        network_blocks(model, config.targets, self.NAME)
        pieces = pieces_in_force(model.model())
        scope = config.targets or [model]
        blocks = ComponentSet(
            block
            for piece in pieces
            for block in _blocks(piece.source)
            if any(_is_within(block, part) for part in scope)
            and (in_force(block) or _taken_by_gdp(block) is not None)
        )
        reasons = _reasons(pieces, blocks, ModelReading())
        stale = [p for p in pieces if id(p.source) in reasons]
        if stale:
            _apply_again(stale, reasons)
        return ComponentMap(
            (block, reasons[id(p.source)])
            for p in stale
            for block in _blocks(p.source)
            if in_force(block)
        )


def _is_within(block, part):
    """True if a network block is, or lies in, a component or one of its members."""
    while block is not None:
        if block is part or block.parent_component() is part:
            return True
        block = block.parent_block()
    return False


def _taken_by_gdp(block):
    """The Disjunct of a block if a gdp transformation replaced its rows, or None."""
    disjunct = in_disjunct(block)
    if disjunct is None or disjunct.transformation_block is None:
        return None
    return disjunct


def _blocks(source):
    """The network blocks that a BoundsRun or an Encoding is about."""
    return source.blocks if isinstance(source, BoundsRun) else [source.block]


def _brought(source):
    """True of bounds that the modeller gave to ``use_bounds``."""
    return isinstance(source, BoundsRun) and source.brought is not None


# -- what has to be applied again ------------------------------------------------------


def _reasons(pieces, targets, reading):
    """{id(source): why it has to be applied again} of runs and encodings.

    Parameters
    ----------
    pieces : list of Piece
        All of the model's, the newest one first.
    targets : ComponentSet of ReLUNetworkBlockData
    reading : ModelReading
    """
    sides, found = {}, {}
    for piece in pieces:
        # with the newer pieces' tightening taken off, Vars are as this piece found them
        piece.variables.modellers(sides)
        if any(block in targets for block in _blocks(piece.source)):
            reason = _changed_reason(piece.source, sides, reading)
            if reason is not None:
                found[id(piece.source)] = reason
    touched, stale_blocks = set(), ComponentSet()
    for piece in reversed(pieces):
        source = piece.source
        if id(source) not in found and touched:
            reason = _dependence(source, touched, stale_blocks)
            if reason is not None:
                found[id(source)] = reason
        if id(source) in found:
            touched.update(id(var) for var, *_ in piece.variables)
            touched.add(None)  # something is stale, if it tightened anything or not
            stale_blocks.update(_blocks(source))
    return found


def _changed_reason(source, sides, reading):
    """What is not as the run or encoding found it, or None."""
    fixed = source.application is None or source.application.fixed_permanent
    for block, box in _boxes(source):
        now = input_box(block, fixed, sides)
        if any((a != b).any() for a, b in zip(now, box, strict=True)):
            return f"the inputs of '{block.name}' have other bounds or fixed values"
    if isinstance(source, BoundsRun):
        conditions = source.conditions
        return None if conditions is None else conditions.changed(fixed, reading)
    return source.outdated(reading)


def _boxes(source):
    """(block, input box that the run or encoding was made for)."""
    if isinstance(source, BoundsRun):
        return list(zip(source.blocks, source.boxes, strict=True))
    bounds = source.bounds
    return [(source.block, (bounds.input_lower, bounds.input_upper))]


def _dependence(source, touched, stale_blocks):
    """Why a piece rests on older ones that are applied again, or None."""
    for block in _blocks(source):
        if block in stale_blocks:
            return "what it was applied on top of is applied again"
        if any(id(var) in touched for var in block.input_vars()):
            return f"bounds of the inputs of '{block.name}' are proven again"
    if isinstance(source, BoundsRun) and source.conditions is not None:
        return "bounds that it may have used are proven again"
    return None


# -- applying again --------------------------------------------------------------------


@transaction
def _apply_again(stale, reasons):
    """Undo pieces, the newest first as given, and apply them again; or change nothing."""
    for piece in stale:
        _check_repeatable(piece.source)
    for piece in stale:
        _undo(piece.source)
    for sources in _in_order(stale):
        _repeat(sources, reasons)


def _undo(source):
    """Take a run or encoding off."""
    if isinstance(source, BoundsRun):
        source.restore()
    else:
        source.reverse()


def _check_repeatable(source):
    for block in _blocks(source):
        disjunct = _taken_by_gdp(block)
        if disjunct is None:
            continue
        raise TransformationError(
            f"relu.refresh: '{block.name}' has to be encoded again, but a gdp "
            f"transformation has taken its rows in '{disjunct.name}' into "
            "others. Make the model again, or change it before gdp is applied."
        )
    if _brought(source):
        return
    if source.application is None or source.application.transformation is None:
        name = _blocks(source)[0].name
        raise TransformationError(
            f"relu.refresh: it is not known how '{name}' was encoded or bounded. "
            "Reverse that and apply it again."
        )
    source.application.repeated_options()


def _in_order(stale):
    """The sources of each call together, the oldest call first."""
    calls = {}
    for piece in reversed(stale):
        source = piece.source
        calls.setdefault(id(source.application or source), []).append(source)
    return list(calls.values())


def _repeat(sources, reasons):
    first = sources[0]
    if _brought(first):
        _use_again(first)
        return
    blocks = list(ComponentSet(b for source in sources for b in _blocks(source)))
    active = [block for block in blocks if in_force(block)]
    done = first.application
    name = done.transformation.NAME
    for block in ComponentSet(blocks) - ComponentSet(active):
        logger.info(f"relu.refresh: {name} is taken off '{block.name}', which is off.")
    if not active:
        return
    options = done.repeated_options()
    for option in _OUTLIVED:
        if options.pop(option, None) is not None:
            logger.info(
                f"relu.refresh: {name} is applied without {option}, which belonged to "
                "the model as it was."
            )
    model = done.model
    if not all(is_child_of(parent=model, child=block) for block in active):
        model = active[0].model()  # a clone of a part of the model
    logger.info(
        f"relu.refresh: {name} is applied again to "
        f"{', '.join(repr(b.name) for b in active[:5])}, because "
        f"{reasons[id(first)]}"
    )
    done.transformation().apply_within(Call(done), model, targets=active, **options)
    if len(sources) == 1 and isinstance(first, BoundsRun):
        new = active[0].record.runs[-1]
        if new.name == first.name:  # tokens know the old run
            first.become(new)


def _use_again(run):
    """Record bounds that the modeller brought once more, if they still hold."""
    (block,) = run.blocks
    if in_force(block) and run.brought.covers(*input_box(block)):
        use_bounds(block, run.brought)
        return
    logger.info(
        f"relu.refresh: the bounds given to {GIVEN} for '{block.name}' are dropped: "
        "they do not cover the inputs' present bounds."
    )
