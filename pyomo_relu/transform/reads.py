"""Which Vars a model reads outside its networks; changes nothing."""

from pyomo.common.dependencies import numpy as np
from pyomo.core.base import Constraint
from pyomo.core.base.block import Block
from pyomo.core.expr.visitor import identify_variables
from pyomo.gdp.disjunct import DisjunctData, DisjunctionData

from pyomo_relu.block import ReLUNetworkBlockData
from pyomo_relu.surrounding import read_surrounding


def variables_read(surrounding, left_out_only=False):
    """ids of the Vars that a model's own rows and objectives read.

    Parameters
    ----------
    surrounding : Surrounding
    left_out_only : bool
        Only what is not part of the linear model: nonlinear rows and objectives, SOS
        constraints, disjunctions with their Disjuncts' rows, logical constraints.
    """
    read = set()
    if not left_out_only:
        linear = surrounding.linear
        used = np.ravel(abs(linear.matrix).sum(axis=0)) > 0
        if surrounding.costs is not None:
            used = used | (surrounding.costs != 0)
        read.update(
            id(var) for var, is_used in zip(surrounding.variables, used) if is_used
        )
    for component in surrounding.left_out:
        for expr in _expressions(component):
            read.update(id(var) for var in identify_variables(expr))
    return read


def _expressions(component):
    """Everything that a component of a model is written with."""
    if isinstance(component, DisjunctionData):
        for disjunct in component.disjuncts:
            yield from _disjunct_expressions(disjunct)
    elif hasattr(component, "get_variables"):
        yield from component.get_variables()
    else:
        expr = getattr(component, "body", None)
        expr = getattr(component, "expr", None) if expr is None else expr
        if expr is not None:
            yield expr


def _disjunct_expressions(disjunct):
    if not isinstance(disjunct, DisjunctData):
        return
    for row in disjunct.component_data_objects(
        Constraint, active=True, descend_into=(Block,)
    ):
        if not _in_network(row):
            yield row.body


def _in_network(row):
    block = row.parent_block()
    while block is not None and not isinstance(block, ReLUNetworkBlockData):
        block = block.parent_block()
    return block is not None


def neurons_read(block, read):
    """The first pre- or post-activation of a block among the ids ``read``, or None."""
    for part in (block.pre, block.post):
        for var in part.values():
            if id(var) in read:
                return var
    return None


def absent_neuron_read(block):
    """Text if the model reads a neuron of ``block`` that its encoding left out."""
    var = neurons_read(block, variables_read(read_surrounding(block.model(), [block])))
    if var is None:
        return None
    return f"a row or objective that reads '{var.name}' was added"
