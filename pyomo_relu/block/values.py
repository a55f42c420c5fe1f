"""Values of a network block's Vars: reading points, writing forward passes."""

from pyomo.common.dependencies import numpy as np
from pyomo.core.base import Block, BooleanVar, Var
from pyomo.gdp import Disjunct

from pyomo_relu.block.arguments.expressions import expression_value
from pyomo_relu.block.pyomo_private import members, put_values, values_of
from pyomo_relu.block.rows import NetworkColumns
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import ModelError

#: Most entries of an array with a row per block.
_ENTRIES = 1 << 21

_EVERYWHERE = Block, Disjunct


def point(block, x):
    """The flat input values that ``x`` means: a sequence, a mapping, or None.

    Raises
    ------
    ModelError
        If an input has no value, or keys or length do not fit.
    """
    keys = block.network.input_index()
    if x is None:
        values = _present_values(block)
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
