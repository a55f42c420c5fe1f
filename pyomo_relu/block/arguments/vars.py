"""How the ``inputs=`` / ``outputs=`` keywords become Vars or expressions by index."""

from collections.abc import Mapping

from pyomo.common.autoslots import AutoSlots
from pyomo.common.collections import ComponentMap
from pyomo.core.base.component import Component
from pyomo.core.base.indexed_component import IndexedComponent
from pyomo.core.base.indexed_component_slice import IndexedComponent_slice
from pyomo.core.base.PyomoModel import Model
from pyomo.core.base.reference import Reference
from pyomo.core.base.set import Set
from pyomo.core.base.var import Var, VarData

from pyomo_relu.block.arguments.expressions import (
    NUMERIC,
    add_linked_inputs,
    as_input,
    is_numeric,
    is_one_item,
)
from pyomo_relu.block.arguments.index_order import check_order
from pyomo_relu.block.arguments.rule_argument import call_rule
from pyomo_relu.block.pyomo_private import refers_to_a_mapping
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import ModelError


def _forgotten(encode, value):
    """AutoSlots mapper: copies and pickles start without the value."""
    return


class GivenVars(AutoSlots.Mixin):
    """The Vars behind ``block.inputs`` or ``block.outputs``, if not all are its own.

    The Reference to them is not a component of the block: gdp, the MPS writer and
    whoever walks over Vars would otherwise meet the modeller's Vars a second time.

    Parameters
    ----------
    variables : dict
        VarData by the network's index, in flat order.
    """

    __slots__ = ("_reference", "variables")
    __autoslot_mappers__ = {"_reference": _forgotten}  # noqa: RUF012

    def __init__(self, variables):
        self.variables = variables
        self._reference = None

    def reference(self):
        """An IndexedVar over them."""
        if self._reference is None:
            self._reference = Reference(self.variables)
        return self._reference


def index_set(keys):
    """Keys as a Var takes them; tensors of different rank make a jagged set."""
    if len({len(key) if isinstance(key, tuple) else 1 for key in keys}) == 1:
        return keys
    return Set(initialize=keys, dimen=None)


def add_ends(block, match):
    """The Vars ``inputs`` and ``outputs`` of a block where none were given.

    Parameters
    ----------
    block : ReLUNetworkBlockData
    match : dict
        What ``match_ends`` found, by side.

    Returns
    -------
    given : dict of GivenVars
        By side where some were given.
    expressions : dict
        {index: expression or float} of the inputs that are linked.
    """
    found, expressions = {}, {}
    for side, matched in match.items():
        keys = getattr(block.network, side[:-1] + "_index")()
        if matched is None:
            block.add_component(side, Var(index_set(keys)))
            continue
        given = dict(zip(keys, matched, strict=True))
        if side == "inputs":
            given, expressions = add_linked_inputs(block, given, index_set)
        found[side] = GivenVars(given)
    return found, expressions


def match_ends(block, network, given, index):
    """What the modeller gave, in the flat order of the network's tensors.

    Parameters
    ----------
    block : ReLUNetworkBlockData
    network : Network
    given : dict
        By side, "inputs" and "outputs": None, Var, expression, number, sequence, mapping
        or callable; inputs may be expressions, Params and numbers (see ``as_input``).
        For an indexed block a mapping by block index or a function of it is resolved
        first (see ``call_rule``).  Slices such as ``m.x[t, :]`` are sequences.
    index : tuple
        Index of the block member; empty for a scalar block.

    Returns
    -------
    dict
        By side a list of VarData (of expressions and floats, too, for inputs), or None
        if nothing was given.

    Raises
    ------
    ModelError
        If something cannot be an end of the network, or the number or the index does
        not fit.
    """
    tensors = {"inputs": network.inputs, "outputs": network.outputs}
    keys = {"inputs": network.input_index(), "outputs": network.output_index()}
    match = {}
    for side in tensors:
        item = given[side]
        if item is not None:
            item = _for_member(block, side, item, index, keys[side], tensors[side])
        if item is not None:
            item = _flatten(block, side, item, keys[side], tensors[side])
        match[side] = item
    for side, found in match.items():
        if found is None or len(found) == len(keys[side]):
            continue
        other = "outputs" if side == "inputs" else "inputs"
        counts = len(found), len(match[other] or ())
        swapped = counts == (len(keys[other]), len(keys[side]))
        shapes = ", ".join(f"'{t.name}' {list(t.shape)}" for t in tensors[side])
        raise ModelError(
            f"{block.name}: the network has {counted(len(keys[side]), side[:-1])} "
            f"({shapes}), but got {_counted(found)} by {side}=. Give one Var per entry, "
            f"in the order {_some(keys[side])}"
            + (f", or swap the two: what {other}= got fits here" if swapped else "")
            + _per_member(block, side, index)
            + "."
        )
    return match


def _per_member(block, side, index):
    """How members of an indexed block get Vars of their own."""
    if not index:
        return ""
    names = ", ".join("ijkl"[: len(index)]) if len(index) <= 4 else "*index"
    return (
        f", for each member of '{block.parent_component().local_name}' by a function of "
        f"its index: {side}=lambda {names}: [...]"
    )


def _counted(found):
    only_vars = all(isinstance(item, VarData) for item in found)
    return counted(len(found), "Var" if only_vars else "entry")


def _for_member(block, side, given, index, keys, tensors):
    """Resolve a callable, or a mapping by block index, for one member."""
    if isinstance(given, (Component, IndexedComponent_slice)) or is_one_item(given):
        return given  # some are callable, but not meant to be called
    if callable(given):
        return call_rule(block, side, given, index)
    if index and isinstance(given, Mapping):
        key = index if len(index) > 1 else index[0]
        if key not in given:
            several = any(isinstance(v, (list, tuple, dict)) for v in given.values())
            if several and not set(given) <= {t.name for t in tensors}:
                raise ModelError(
                    f"{block.name}: no entry for index {key!r} in the mapping given for "
                    f"{side}=; it has {_some(list(given))}."
                )
            return given
        # the same keys may be meant as the network's index; then values are Vars
        own_index = len(keys) > 1 and set(given) == set(keys)
        if not (own_index and (isinstance(given[key], Var) or is_numeric(given[key]))):
            return given[key]
    return given


def _flatten(block, side, given, keys, tensors):
    if isinstance(given, VarData):
        return [_single(block, side, given)]
    if isinstance(given, IndexedComponent) and (
        given.ctype is Var or (side == "inputs" and given.ctype in NUMERIC)
    ):
        return _from_indexed(block, side, given, keys)
    if isinstance(given, (Mapping, ComponentMap)):
        return _from_mapping(block, side, given, keys, tensors)
    if isinstance(given, (set, frozenset)) and len(given) > 1:
        raise ModelError(
            f"{block.name}: {side}= is a Python {type(given).__name__}, which has no "
            "order, but the network reads its entries in one. Give a list."
        )
    is_several = hasattr(given, "__iter__") and not is_one_item(given)
    if is_several and not isinstance(given, (str, bytes, Component)):
        items = _items(given)
        if len(items) == len(tensors) > 1 and len(items) != len(keys):
            return [
                var
                for item, tensor in zip(items, tensors, strict=True)
                for var in _flatten(block, side, item, tensor.index(), (tensor,))
            ]
        if isinstance(given, IndexedComponent_slice):
            check_order(block, side, items)
        return [_single(block, side, item, at) for at, item in enumerate(items)]
    return [_single(block, side, given)]


def _items(given):
    """A flat list; a slice like ``m.x[t, :]`` has no attributes of its own to ask."""
    if isinstance(given, IndexedComponent_slice) or not hasattr(given, "flat"):
        return list(given)
    return list(given.flat)


def _from_indexed(block, side, given, keys):
    own = list(given.keys())
    if set(own) == set(keys):
        return [_single(block, side, given[k], at) for at, k in enumerate(keys)]
    found = [given[key] for key in own]
    # a Reference made of a list or a dict has the order in which that was written
    if not refers_to_a_mapping(given):
        check_order(block, side, found, given)
    return [_single(block, side, item, at) for at, item in enumerate(found)]


def _from_mapping(block, side, given, keys, tensors):
    if set(given.keys()) == set(keys):
        return [_single(block, side, given[key], at) for at, key in enumerate(keys)]
    if set(given.keys()) == {t.name for t in tensors}:
        found = []
        for t in tensors:
            part = _flatten(block, side, given[t.name], t.index(), (t,))
            if len(part) != t.size:
                raise ModelError(
                    f"{block.name}: tensor '{t.name}' of the {side} has "
                    f"{counted(t.size, 'entry')}, but got {counted(len(part), 'Var')}."
                )
            found += part
        return found
    raise ModelError(
        f"{block.name}: the keys of {side}= must be the network's {_some(keys)} or its "
        f"tensors' names {[t.name for t in tensors]}, not {_some(list(given.keys()))}."
    )


def _single(block, side, item, position=None):
    if isinstance(item, IndexedComponent) and item.ctype is Var and len(item) == 1:
        item = next(iter(item.values()))
    if isinstance(item, VarData):
        here, there = block.model(), item.model()
        # a block that is not on its model yet may read that model's Vars
        if here is not there and isinstance(here, Model) and isinstance(there, Model):
            raise ModelError(
                f"{block.name}: {side}= has '{item.name}' of another model, "
                f"'{there.name}', which no solver of '{here.name}' sets. Give a Var of "
                "this one."
            )
        return item
    if side == "inputs":
        return as_input(block, position, item)
    what = getattr(item, "name", None) or repr(item)
    entry = "" if position is None else f" entry {position}"
    raise ModelError(
        f"{block.name}: outputs={entry} takes Vars, but '{what}' is a "
        f"{type(item).__name__}. Outputs stay Vars (only inputs may be expressions or "
        "numbers): declare a Var for it and set it equal in a constraint."
    )


def _some(keys):
    text = ", ".join(repr(k) for k in keys[:6])
    return f"[{text}, ...]" if len(keys) > 6 else f"[{text}]"
