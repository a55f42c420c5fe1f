"""Which Vars a model reads outside its networks."""

import logging

from pyomo.common.dependencies import numpy as np
from pyomo.core.base import Constraint, Objective, Reals, SOSConstraint, value
from pyomo.core.base.block import Block
from pyomo.core.base.logical_constraint import LogicalConstraint
from pyomo.core.expr.visitor import identify_variables
from pyomo.gdp import Disjunct, Disjunction, GDP_Error
from pyomo.gdp.disjunct import DisjunctData, DisjunctionData
from pyomo.gdp.util import get_src_constraint
from pyomo.mpec import Complementarity
from pyomo.mpec.complementarity import ComplementarityData

from pyomo_relu.block.block import ReLUNetworkBlockData
from pyomo_relu.block.pyomo_private import complementary_expressions, own_bounds
from pyomo_relu.block.records.bounds_in_force import bounds_in_force
from pyomo_relu.block.rows import NetworkColumns
from pyomo_relu.model.blocks import in_disjunct
from pyomo_relu.model.surrounding import read_surrounding
from pyomo_relu.model.unit_copies import copy_of

logger = logging.getLogger("pyomo.relu")

#: What Vars can be read in, besides rows and objectives of the linear model.
_READERS = (Constraint, SOSConstraint, LogicalConstraint, Complementarity)


def variables_read(surrounding, left_out_only=False):
    """ids of the Vars that a model reads, apart from its networks' own rows.

    Parameters
    ----------
    surrounding : Surrounding
    left_out_only : bool
        Only what is neither part of the linear model nor the end of a network:
        nonlinear rows and objectives, SOS constraints, disjunctions with all that
        their Disjuncts hold, logical constraints, complementarity conditions.
        Otherwise the inputs and outputs of all active networks count too, in
        Disjuncts as well.
    """
    read = set()
    components = list(surrounding.left_out)
    model = surrounding.blocks[0].model() if surrounding.blocks else None
    if model is not None:
        components += model.component_data_objects(
            Complementarity, active=True, descend_into=(Block, Disjunct)
        )
    if not left_out_only:
        linear = surrounding.linear
        used = np.ravel(abs(linear.matrix).sum(axis=0)) > 0
        if surrounding.costs is not None:
            used = used | (surrounding.costs != 0)
        read.update(
            id(var)
            for var, is_used in zip(surrounding.variables, used, strict=True)
            if is_used
        )
        if model is not None:
            read.update(_network_ends(model))
    seen = set()
    for component in components:
        for expr in _expressions(component, seen):
            read.update(id(var) for var in identify_variables(expr))
    return read


def _network_ends(model):
    """ids of the inputs and outputs of all active networks of a model."""
    for block in model.block_data_objects(active=True, descend_into=(Block, Disjunct)):
        if isinstance(block, ReLUNetworkBlockData):
            yield from map(id, block.input_vars())
            yield from map(id, block.output_vars())


def _expressions(component, seen):
    """Everything that a component of a model is written with.

    ``seen`` holds ids of Disjuncts that were walked already.
    """
    if isinstance(component, DisjunctionData):
        for disjunct in component.disjuncts:
            yield from _disjunct_expressions(disjunct, seen)
    elif isinstance(component, ComplementarityData):
        yield from complementary_expressions(component)
    elif hasattr(component, "get_variables"):
        yield from component.get_variables()
    else:
        expr = getattr(component, "body", None)
        expr = getattr(component, "expr", None) if expr is None else expr
        if expr is not None:
            yield expr


def _disjunct_expressions(disjunct, seen):
    """What a Disjunct reads, nested Blocks, Disjuncts and Disjunctions included."""
    if not isinstance(disjunct, DisjunctData) or id(disjunct) in seen:
        return
    seen.add(id(disjunct))
    for ctype in (*_READERS, Disjunction):
        # nested Disjunctions may choose between Disjuncts that lie elsewhere
        for component in disjunct.component_data_objects(
            ctype, active=True, descend_into=(Block, Disjunct)
        ):
            if not _in_network(component):
                yield from _expressions(component, seen)


def _in_network(component):
    block = component.parent_block()
    while block is not None and not isinstance(block, ReLUNetworkBlockData):
        block = block.parent_block()
    # rows that link expressions to inputs are the modeller's
    return block is not None and (
        component.parent_component() is not block.component("linking")
    )


def neurons_read(block, read, reading=None):
    """The first pre- or post-activation that is part of more than its network, or None.

    That is one among the ids ``read``, or one that the modeller fixed or restricted by
    a domain or by bounds tighter than the proven ones.
    """
    for part in (block.pre, block.post):
        for var in part.values():
            if id(var) in read:
                return var
    return _restricted_neuron(block, reading)


def _restricted_neuron(block, reading):
    record, declared = block.record, {}
    if record.encoding is not None:
        record.encoding.saved.modellers(declared)
    for run in reversed(record.runs):
        run.variables.modellers(declared)
    bounds, columns = bounds_in_force(block, reading=reading), NetworkColumns(block)
    layers = [*zip(columns.pre[:-1], bounds.lower, bounds.upper, strict=False)]
    layers += [(x, *bounds.post_bounds(k)) for k, x in enumerate(columns.post)]
    for variables, *ends in layers:
        for var, low, high in zip(
            variables, *(end.tolist() for end in ends), strict=True
        ):
            if var.fixed or var.domain is not Reals:
                return var
            lower, upper = (
                value(declared.get((id(var), side), end))
                for side, end in enumerate(own_bounds(var))
            )
            if (lower is not None and lower > low) or (
                upper is not None and upper < high
            ):
                return var
    return None


def absent_neuron_read(block):
    """Text if the model reads a neuron of ``block`` that its encoding left out."""
    disjunct = in_disjunct(block)
    made = None if disjunct is None else disjunct.transformation_block
    if made is None:
        read = variables_read(read_surrounding(block.model(), [block]))
    else:
        read = _read_after_gdp(block.model(), made.parent_component().parent_block())
    var = neurons_read(block, read)
    if var is None:
        return None
    return f"a row or objective that reads '{var.name}' was added"


def _read_after_gdp(model, gdp_block):
    """ids of the Vars that a model reads, apart from what gdp made of networks' rows.

    On its block gdp writes the Disjuncts' rows, each with its source, and rows of its
    own that read every Var of a Disjunct without a purpose in it.
    """
    read = set(_network_ends(model))
    for row in model.component_data_objects(
        (Constraint, Objective), active=True, descend_into=(Block, Disjunct)
    ):
        block = row.parent_block()
        while block is not None and block is not gdp_block:
            block = block.parent_block()
        try:
            source = row if block is None else get_src_constraint(row)
        except GDP_Error:
            continue
        if not _in_network(source):
            read.update(id(var) for var in identify_variables(source.expr))
    return read


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
