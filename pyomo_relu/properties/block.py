"""A VNN-LIB property as constraints of a Pyomo model that holds the network."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pyomo_relu.common.transaction import on_rollback, transaction
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import ModelError, PropertyError

if TYPE_CHECKING:
    from pyomo.core.base.block import BlockData

    from pyomo_relu.properties.property import Property

#: Names of what is added.
_NAMES = ("property_rows", "property_case", "property_cases")


@transaction
def read_vnnlib(
    m: BlockData, block: BlockData, path: str | os.PathLike[str] | Property
) -> Property:
    """Add a property's boxes and rows to a model: its feasible points have the property.

    The network block's inputs get the bounds of the hull of all boxes.  A single
    disjunct becomes constraints ``m.property_rows``; several become disjuncts
    ``m.property_case[k]`` of which ``m.property_cases`` (a Pyomo ``Disjunction``) takes
    one; points that lie in several may take any.  A call that fails leaves the model as it
    was.  Apply one of Pyomo's gdp
    transformations for a MILP: ``gdp.hull`` needs no big-M, but bounds of the outputs,
    which ``relu.bounds`` gives.

    Parameters
    ----------
    m : Block
        Gets the components; a concrete model or block.
    block : ReLUNetworkBlock
    path : str, os.PathLike or Property
        A VNN-LIB file, plain or gzipped.

    Returns
    -------
    Property
        What was read.

    Raises
    ------
    PropertyError
        The file cannot be read, does not fit the network, or no input meets its bounds.
    ModelError
        ``block`` is no network block, or ``m`` has a property already.
    """
    import numpy as np
    import pyomo.environ as pyo
    from pyomo.gdp import Disjunct, Disjunction

    from pyomo_relu.block.pyomo_private import own_bounds

    _check_arguments(m, block)
    parts: Any = block  # Pyomo makes its components' types at run time
    inputs, outputs = list(parts.inputs.values()), list(parts.outputs.values())
    prop = _fitting(path, block.name, len(inputs), len(outputs))
    lower = np.min([case.lower for case in prop.cases], axis=0)
    upper = np.max([case.upper for case in prop.cases], axis=0)
    narrowed = [_intersected(*ends) for ends in zip(inputs, lower, upper, strict=True)]
    for var, lo, hi in narrowed:
        own = own_bounds(var)
        on_rollback(var.setlb, own[0])
        var.setlb(lo)
        on_rollback(var.setub, own[1])
        var.setub(hi)
    on_rollback(_take_off, m)
    coefficients = np.hstack([prop.inputs, prop.outputs])

    def row(i):
        terms = zip(coefficients[i].tolist(), inputs + outputs, strict=True)
        return sum(c * v for c, v in terms if c) <= -float(prop.constants[i])

    def add(target: Any, case, boxes):
        rows: Any = pyo.ConstraintList()
        target.property_rows = rows
        for i in case.rows:
            rows.add(expr=row(i))
        for k in np.flatnonzero(boxes):
            var = inputs[k]
            ends = float(case.lower[k]), float(case.upper[k])
            rows.add(expr=(ends[0], var, ends[1]))

    if len(prop.cases) == 1:
        add(m, prop.cases[0], [])
        return prop
    m.property_case = Disjunct(range(len(prop.cases)))
    for k, case in enumerate(prop.cases):
        add(m.property_case[k], case, (case.lower > lower) | (case.upper < upper))
    m.property_cases = Disjunction(expr=list(m.property_case.values()), xor=True)
    return prop


def _check_arguments(m, block):
    """Raise ModelError unless the block holds a network and ``m`` can get a property."""
    from pyomo.core.base.block import BlockData

    if getattr(block, "network", None) is None:
        raise ModelError(
            f"read_vnnlib: {getattr(block, 'name', block)!r:.80} holds no network. Give "
            "a ReLUNetworkBlock: read_vnnlib(m, m.net, path)."
        )
    if not isinstance(m, BlockData):
        raise ModelError(
            f"read_vnnlib: m must be the Pyomo model or block that gets the property's "
            f"rows, not {m!r:.80}."
        )
    taken = [name for name in _NAMES if m.component(name) is not None]
    if taken:
        raise ModelError(
            f"read_vnnlib: '{m.name}' has a component '{taken[0]}' already. Give another "
            "block for a further property: m.second = pyo.Block()."
        )


def _fitting(path, name, n_inputs, n_outputs):
    """The property, of a block of that name; PropertyError if it does not fit."""
    from pyomo_relu.properties.property import Property
    from pyomo_relu.properties.vnnlib import load_vnnlib

    prop = path if isinstance(path, Property) else load_vnnlib(path)
    if (n_inputs, n_outputs) != (prop.n_inputs, prop.n_outputs):
        raise PropertyError(
            f"{prop.name}: it declares {counted(prop.n_inputs, 'input')} and "
            f"{counted(prop.n_outputs, 'output')}, but '{name}' has {n_inputs} "
            f"and {n_outputs}. Give the files that belong together."
        )
    if not prop.cases:
        raise PropertyError(
            f"{prop.name}: no input meets the property's own bounds. Correct them."
        )
    return prop


def _take_off(m):
    """Remove whatever was added of the components."""
    for name in reversed(_NAMES):
        if m.component(name) is not None:
            m.del_component(name)


def _intersected(var, lower, upper):
    """A Var with the intersection of its bounds and those of the property."""
    if not hasattr(var, "setlb"):
        raise ModelError(
            f"read_vnnlib: the input '{var}' is no Var, so that it can have no bounds. "
            "Give the block Vars as inputs."
        )
    lo, hi = var.bounds
    lo = float(lower) if lo is None else max(lo, float(lower))
    hi = float(upper) if hi is None else min(hi, float(upper))
    if lo > hi:
        raise PropertyError(
            f"the input '{var.name}' must lie in [{lower}, {upper}] for the property, "
            f"outside its own bounds {var.bounds}. Widen the Var's bounds."
        )
    return var, lo, hi
