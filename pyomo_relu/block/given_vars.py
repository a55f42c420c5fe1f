"""How the ``inputs=`` / ``outputs=`` keywords become Vars: given ones, or an index."""

from collections.abc import Mapping

from pyomo.common.autoslots import AutoSlots
from pyomo.common.collections import ComponentMap
from pyomo.core.base.component import Component
from pyomo.core.base.indexed_component import IndexedComponent
from pyomo.core.base.indexed_component_slice import IndexedComponent_slice
from pyomo.core.base.reference import Reference
from pyomo.core.base.set import Set
from pyomo.core.base.var import Var, VarData

from pyomo_relu.block.index_order import check_order
from pyomo_relu.block.pyomo_private import refers_to_a_mapping
from pyomo_relu.block.rule_argument import call_rule
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import ModelError


def _forgotten(encode, value):
    """AutoSlots mapper: copies and pickles start without the value."""
    return


class GivenVars(AutoSlots.Mixin):
    """The modeller's Vars behind ``block.inputs`` or ``block.outputs``.

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
        """An IndexedVar over the modeller's Vars."""
        if self._reference is None:
            self._reference = Reference(self.variables)
        return self._reference


def index_set(keys):
    """Keys as a Var takes them; tensors of different rank make a jagged set."""
    if len({len(key) if isinstance(key, tuple) else 1 for key in keys}) == 1:
        return keys
    return Set(initialize=keys, dimen=None)


def match_vars(block, side, given, index, tensors, keys):
    """The modeller's Vars in the flat order of the network's tensors.

    Parameters
    ----------
    block : ReLUNetworkBlockData
    side : {"inputs", "outputs"}
    given : None, Var, sequence, mapping or callable
        For an indexed block a mapping by block index or a function of it is resolved
        first (see ``call_rule``).  Slices such as ``m.x[t, :]`` are sequences.
    index : tuple
        Index of the block member; empty for a scalar block.
    tensors : sequence of Tensor
    keys : list
        The network's own index of each entry.

    Returns
    -------
    list of VarData, or None if nothing was given

    Raises
    ------
    ModelError
        If something is not a Var, or the number or the index does not fit.
    """
    if given is None:
        return None
    given = _for_member(block, side, given, index, keys)
    if given is None:
        return None
    found = _flatten(block, side, given, keys, tensors)
    if len(found) != len(keys):
        shapes = ", ".join(f"'{t.name}' {list(t.shape)}" for t in tensors)
        raise ModelError(
            f"{block.name}: the network has {counted(len(keys), side[:-1])} ({shapes}), "
            f"but got {counted(len(found), 'Var')}. Give one Var per entry, in the order "
            f"{_some(keys)}."
        )
    return found


def _for_member(block, side, given, index, keys):
    """Resolve a callable, or a mapping by block index, for one member."""
    if isinstance(given, (Component, IndexedComponent_slice)):
        return given  # slices are callable, but not meant to be called
    if callable(given):
        return call_rule(block, side, given, index)
    if index and isinstance(given, Mapping):
        key = index if len(index) > 1 else index[0]
        if key not in given:
            return given
        # the same keys may be meant as the network's index; then values are Vars
        own_index = len(keys) > 1 and set(given) == set(keys)
        if not (own_index and isinstance(given[key], (Var, VarData))):
            return given[key]
    return given


def _flatten(block, side, given, keys, tensors):
    if isinstance(given, VarData):
        return [given]
    if isinstance(given, IndexedComponent) and given.ctype is Var:
        return _from_indexed(block, side, given, keys)
    if isinstance(given, (Mapping, ComponentMap)):
        return _from_mapping(block, side, given, keys, tensors)
    if isinstance(given, (set, frozenset)) and len(given) > 1:
        raise ModelError(
            f"{block.name}: {side}= is a Python {type(given).__name__}, which has no "
            "order, but the network reads its entries in one. Give a list."
        )
    if hasattr(given, "__iter__") and not isinstance(given, (str, Component)):
        items = _items(given)
        if len(items) == len(tensors) > 1 and len(items) != len(keys):
            return [
                var
                for item, tensor in zip(items, tensors, strict=True)
                for var in _flatten(block, side, item, tensor.index(), (tensor,))
            ]
        found = [_single(block, side, item) for item in items]
        if isinstance(given, IndexedComponent_slice):
            check_order(block, side, found)
        return found
    return [_single(block, side, given)]


def _items(given):
    """A flat list; a slice like ``m.x[t, :]`` has no attributes of its own to ask."""
    if isinstance(given, IndexedComponent_slice) or not hasattr(given, "flat"):
        return list(given)
    return list(given.flat)


def _from_indexed(block, side, given, keys):
    own = list(given.keys())
    if set(own) == set(keys):
        return [given[key] for key in keys]
    found = [given[key] for key in own]
    # a Reference made of a list or a dict has the order in which that was written
    if not refers_to_a_mapping(given):
        check_order(block, side, found)
    return found


def _from_mapping(block, side, given, keys, tensors):
    if set(given.keys()) == set(keys):
        return [_single(block, side, given[key]) for key in keys]
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


def _single(block, side, item):
    if isinstance(item, VarData):
        return item
    if isinstance(item, IndexedComponent) and item.ctype is Var and len(item) == 1:
        return next(iter(item.values()))
    what = getattr(item, "name", None) or repr(item)
    raise ModelError(
        f"{block.name}: {side}= takes Vars, but '{what}' is a "
        f"{type(item).__name__}. For an expression or a number declare a Var, give it "
        "bounds, and set it equal in a constraint."
    )


def _some(keys):
    text = ", ".join(repr(k) for k in keys[:6])
    return f"[{text}, ...]" if len(keys) > 6 else f"[{text}]"
