"""Whether Vars come in an order that the modeller chose and not the hash seed."""

from pyomo.core.base.component import ComponentData
from pyomo.core.base.set import Set, SetData, SortedSetData

from pyomo_relu.block.pyomo_private import set_made_of
from pyomo_relu.errors import ModelError


def check_order(block, side, variables, container=None):
    """Raise if the order of ``variables`` is that of a set without one.

    Parameters
    ----------
    block : ReLUNetworkBlockData
    side : {"inputs", "outputs"}
    variables : list of VarData, ExpressionData, ParamData or float
        In the order in which Pyomo's index sets gave them.
    container : IndexedComponent, optional
        That they are the members of.  Those of a Param that is not mutable are numbers
        and do not know it.

    Raises
    ------
    ModelError
        Names the Var (or the block that holds it), its set, and the remedy.
    """
    if all(isinstance(v, ComponentData) for v in variables):
        found = _first_without_order(variables)
    elif container is not None:
        index_set = _varied_without_order(container.index_set(), list(container))
        found = None if index_set is None else (container, index_set)
    else:
        raise ModelError(
            f"{block.name}: {side}= is a slice whose members are numbers, of which it "
            "cannot be told whether their order is yours. Give a list, "
            f"{side}=[... for i in (...)], or make the Param mutable."
        )
    if found is None:
        return
    container, index_set = found
    raise ModelError(
        f"{block.name}: {side}= takes the members of '{container.name}' in the order "
        f"of its index set '{index_set.name}', which has none: the order of Python "
        "sets and of sets made from them changes from run to run. Give the order, "
        f"{side}=[... for i in (...)] with a list or tuple of the indices, or make the "
        "set from a list, Set(initialize=[...], ordered=True)."
    )


def _first_without_order(variables):
    """(component, set) of the first one whose members come in no order, or None."""
    members = {}
    for data in variables:
        while data is not None:
            container = data.parent_component()
            if container.is_indexed():
                _, indices = members.setdefault(id(container), (container, {}))
                indices[data.index()] = None
            data = data.parent_block()
    for container, indices in members.values():
        if len(indices) > 1:
            index_set = _varied_without_order(container.index_set(), list(indices))
            if index_set is not None:
                return container, index_set
    return None


def _varied_without_order(index_set, indices):
    """The factor of a product of sets that varies and has no order, or None."""
    if not index_set.isfinite():
        # such as Any: members come in the order in which the modeller made them
        return None
    factors = list(index_set.subsets(expand_all_set_operators=False))
    if any(not isinstance(factor.dimen, int) for factor in factors):
        return None if _is_ordered(index_set) else index_set
    at = 0
    for factor in factors:
        parts = {
            (i if isinstance(i, tuple) else (i,))[at : at + factor.dimen]
            for i in indices
        }
        if len(parts) > 1 and not _is_ordered(factor):
            return factor
        at += factor.dimen
    return None


def _is_ordered(index_set):
    """False if members come in hash order."""
    if not index_set.isordered():
        return False
    if isinstance(index_set, SortedSetData):
        return True
    operands = list(index_set.subsets(expand_all_set_operators=True))
    if operands != [index_set]:
        return all(map(_is_ordered, operands))
    # a Set that keeps the order of insertion has no more order than what it is made of
    given = set_made_of(index_set)
    if isinstance(given, (SetData, Set)):
        return _is_ordered(given)
    return not isinstance(given, (set, frozenset))
