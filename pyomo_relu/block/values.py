"""Values of a network block's Vars: reading points, writing forward passes."""

import logging

from pyomo.common.collections import ComponentMap
from pyomo.common.dependencies import numpy as np
from pyomo.core.base import Block, BooleanVar, Var
from pyomo.gdp import Disjunct

from pyomo_relu.block.arguments.expressions import expression_value
from pyomo_relu.block.pyomo_private import members, put_values, values_of
from pyomo_relu.block.rows import NetworkColumns
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import ModelError

logger = logging.getLogger("pyomo.relu")

#: A point may miss bounds, integers and fixed values by that, relative above 1, as the
#: solution of a solver does.
_START_TOLERANCE = 1e-6

#: Most entries of an array with a row per block.
_ENTRIES = 1 << 21

_EVERYWHERE = Block, Disjunct


def point(block, x):
    """The flat input values that ``x`` means: a sequence, a mapping, or None.

    A mapping is by the network's index, a ComponentMap by the input Vars.

    Raises
    ------
    ModelError
        If an input has no value, or keys or length do not fit.
    """
    keys = block.network.input_index()
    if x is None:
        values = _present_values(block)
    elif isinstance(x, ComponentMap):
        values = _from_component_map(block, x, block.input_vars())
    elif hasattr(x, "keys"):
        if set(x.keys()) != set(keys):
            raise ModelError(
                f"{block.name}: the point's keys must be the inputs' {keys[:5]}"
                f"{'...' if len(keys) > 5 else ''}."
            )
        values = [x[key] for key in keys]
    else:
        values = x
    try:
        values = np.ravel(np.asarray(values, dtype=float))
    except (TypeError, ValueError):
        values = np.full(1, np.nan)
    if not np.all(np.isfinite(values)):
        raise ModelError(
            f"{block.name}: the point must be {counted(len(keys), 'finite number')}, "
            f"not {x!r}."
        )
    if len(values) != len(keys):
        raise ModelError(
            f"{block.name}: the point has {counted(len(values), 'entry')}, the network "
            f"{counted(len(keys), 'input')}."
        )
    return values


def given_point(block, x):
    """``point``, where a user gave one: it has to suit the input Vars.

    A value outside of a Var's bounds or domain is a warning, as of Pyomo's
    ``set_value``: no solver takes such a start, and it is often one in other units.

    Raises
    ------
    ModelError
        As ``point``, or if an input is fixed at another value.
    """
    values = point(block, x)
    if x is None:
        return values
    outside = []
    for var, value in zip(block.input_vars(), values.tolist(), strict=True):
        near = _START_TOLERANCE * max(1.0, abs(value))
        if var.fixed and var.value is not None and abs(var.value - value) > near:
            raise ModelError(
                f"{block.name}: initialize got {value:.6g} for '{var.name}', which is "
                f"fixed at {var.value:.6g}. Give that value, or unfix it first."
            )
        low, high = var.bounds
        if (low is not None and value < low - near) or (
            high is not None and value > high + near
        ):
            outside.append((var, value, f"outside of its bounds [{low}, {high}]"))
        elif var.is_integer() and abs(value - round(value)) > near:
            outside.append((var, value, "which is no integer"))
    if outside:
        var, value, why = outside[0]
        others = len(outside) - 1
        logger.warning(
            f"{block.name}: initialize sets '{var.name}' to {value:.6g}, {why}"
            + (f" (and {counted(others, 'more input')} likewise)" if others else "")
            + ". No solver takes that as a start; check the point and its units."
        )
    return values


def _from_component_map(block, x, variables):
    """Values by Vars, as ``find_point(...).values`` has them, or by blocks."""
    missing = [var for var in variables if var not in x]
    if missing and block in x:
        return x[block]
    if missing:
        raise ModelError(
            f"{block.name}: the point, a ComponentMap, has no entry for "
            f"'{missing[0].name}'."
        )
    return [x[var] for var in variables]


def _present_values(block):
    """Values of the input Vars; where the rows in force ignore an input, any will do."""
    values, used, expressions = [], None, block.input_expressions()
    keys = block.network.input_index()
    for j, (key, var) in enumerate(zip(keys, block.input_vars(), strict=True)):
        value, without = var.value, var.name
        if key in expressions and not var.fixed:
            value, without = expression_value(block, expressions[key])
        if value is None:
            used = _inputs_read(block) if used is None else used
            if used[j]:
                what = "" if without == var.name else f", which reads '{without}',"
                raise ModelError(
                    f"{block.name}: input '{var.name}'{what} has no value. Set one, "
                    "pass the point to initialize(x), or solve the model first."
                )
            low, high = var.bounds
            value = 0.0 if high is None else min(high, 0.0)
            value = value if low is None else max(low, value)
        values.append(value)
    return values


def initialize_blocks(points):
    """Set all variables of blocks to their networks' values; one pass per network.

    The values are those of ``encoded_network``; see ``ReLUNetworkBlock.initialize``.

    Parameters
    ----------
    points : list of (ReLUNetworkBlockData, numpy.ndarray of shape (n_inputs,))
    """
    groups = {}
    for block, values in points:
        groups.setdefault(block.encoded_network, []).append((block, values))
    for network, group in groups.items():
        widest = max([network.n_inputs, *(layer.size for layer in network.layers)])
        step = max(1, _ENTRIES // widest)
        for first in range(0, len(group), step):
            some = group[first : first + step]
            pre, post = network.propagate(np.stack([values for _, values in some]))
            for at, (block, values) in enumerate(some):
                _assign_all(block, values, [v[at] for v in pre], [v[at] for v in post])


def _assign_all(block, values, pre, post):
    columns = NetworkColumns(block)
    assign(columns.inputs, values, skip_fixed=True)
    hidden = zip(columns.pre[:-1], columns.post, pre, post, strict=False)
    for of_pre, of_post, v, x in hidden:
        put_values(of_pre, v.tolist())
        put_values(of_post, x.tolist())
    assign(columns.pre[-1], post[-1], skip_fixed=True)
    encoding = block.record.encoding
    if encoding is not None:
        encoding.set_start(values, pre, post)


def saved_values(blocks, variables=()):
    """What ``put_back`` needs for some Vars and all that lie in ``blocks``."""
    found, others = {id(v): v for v in variables}, []
    for block in blocks:
        inside = block.component_objects((Var, BooleanVar), descend_into=_EVERYWHERE)
        for component in inside:
            data = members(component)
            if component.ctype is Var:
                found.update(zip(map(id, data), data, strict=True))
            else:
                others += [(var, var.value, var.stale) for var in data]
    return values_of(found.values()) + others


def put_back(saved):
    """Give Vars the values that they had at ``saved_values``."""
    for var, value, _ in saved:
        var.set_value(value, skip_validation=True)
    # a Disjunct's two indicator Vars set each other
    for var, _, stale in saved:
        var.stale = stale


def _inputs_read(block):
    """Inputs in the rows in force: a reduced network may have fewer than the network."""
    encoding = block.record.encoding
    return (block.network if encoding is None else encoding).inputs_read()


def assign(variables, values, skip_fixed=False):
    """Set Var values without validation; fixed Vars only if asked to."""
    for var, value in zip(variables, np.asarray(values).tolist(), strict=True):
        if not (skip_fixed and var.fixed):
            var.set_value(value, skip_validation=True)
