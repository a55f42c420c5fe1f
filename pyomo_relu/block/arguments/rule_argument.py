"""How a function given for a keyword is called: as Pyomo rules are, or without model."""

import inspect

from pyomo_relu.errors import RuleError


def call_rule(block, keyword, rule, index):
    """What ``rule`` gives for one member of a block.

    It is called with the index, ``rule(*index)``, or as a Pyomo rule with the block
    that the network block lies on in front, ``rule(m, *index)``: whichever its
    signature takes.  One that takes both, as ``lambda t, net=net: ...``, gets the
    index alone.

    Parameters
    ----------
    block : ReLUNetworkBlockData
    keyword : str
        For which it was given, for the message.
    rule : callable
        Function, bound method, ``functools.partial``, ...
    index : tuple
        Index of the member; empty for a scalar block.

    Raises
    ------
    RuleError
        If the signature takes neither, or the rule gives None: a ``return`` was
        forgotten.  What the rule itself raises passes through.
    """
    parent = block.parent_component().parent_block()
    try:
        signature = inspect.signature(rule)
    except (TypeError, ValueError):  # some builtins tell nothing
        return _given(block, keyword, rule(*index))
    forms = [index, (parent, *index)]
    fitting = [arguments for arguments in forms if _fits(signature, arguments)]
    if not fitting:
        names = ["m", *(f"index{j}" if len(index) > 1 else "index" for j in index)]
        alone, whole = ", ".join(names[1:]), ", ".join(names)
        raise RuleError(
            f"{block.name}: the function given for {keyword}= takes {signature}; it is "
            f"called as f({alone}), or as a Pyomo rule, f({whole})."
        )
    return _given(block, keyword, rule(*fitting[0]))


def _given(block, keyword, found):
    if found is None:
        raise RuleError(
            f"{block.name}: the function given for {keyword}= returned None. Is there a "
            f"'return' missing? Leave {keyword}= out where there is nothing to give."
        )
    return found


def _fits(signature, arguments):
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True
