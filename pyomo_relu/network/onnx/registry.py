"""The table of operators: which function reads which ONNX operator."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from pyomo_relu.errors import NetworkError

#: The package's own functions, and those that ``register_operator`` put before them.
_OPERATORS = {}
_REGISTERED = {}

#: How often ``register_operator`` changed the table.
_changes = itertools.count(1)
_state = 0


def operator(*names, domain=""):
    """Decorator: enter a function in the table under one or more operator names."""

    def enter(function):
        for name in names:
            _OPERATORS[domain, name] = function
        return function

    return enter


def register_operator(
    op_type: str, function: Callable[..., Any] | None, domain: str = ""
) -> Callable[..., Any] | None:
    """Teach the reader a further ONNX operator, or replace a known one.

    Parameters
    ----------
    op_type : str
        Name of the operator, as in the node's ``op_type``.
    function : callable or None
        None takes back what was registered: where the reader has a function of its
        own for the operator, that is used again.  Otherwise called as
        ``function(operation, *inputs)`` for each node with at least one input that
        depends on the network's inputs.  An input is an ``AffineTensor``
        (affine in what was computed so far; it adds, subtracts and takes constant
        factors as numpy arrays do, and has ``shape``, ``reshape``, ``select`` and
        ``map``), or a numpy array if it is constant, or None if it is left out.
        ``operation`` gives ``attribute(name, default)``, ``opset``, and the ways to
        bend a tensor: ``relu``, ``clip``, ``maximum``, ``minimum``, ``largest``; and
        ``refuse(reason)``.  The function returns the output tensor, or a tuple of
        them, with their ONNX shapes (the batch axis of length 1 included).
    domain : str
        The operator's domain; "" is the standard one.

    Returns
    -------
    callable or None
        The function that was used before.

    Raises
    ------
    NetworkError
        If ``op_type`` is not a name or ``function`` is not callable.

    Notes
    -----
    A model with operators that onnxruntime cannot run cannot be compared with it:
    load it with ``check=False`` and check the network yourself.

    Examples
    --------
    A triangle wave of one tooth, ``max(0, 1 - |x|)``, from a custom domain:

    >>> from pyomo_relu.network import register_operator
    >>> def tooth(operation, x):
    ...     return operation.relu(1 - operation.maximum(x, -x))
    >>> register_operator("Tooth", tooth, domain="my.operators")
    """
    if not isinstance(op_type, str) or not op_type or not isinstance(domain, str):
        raise NetworkError(
            f"register_operator needs the operator's name and domain as strings, got "
            f"{op_type!r} and {domain!r}."
        )
    if function is not None and not callable(function):
        raise NetworkError(
            f"register_operator: the function for '{op_type}' must be callable, got "
            f"{function!r}."
        )
    global _state
    _state = next(_changes)
    before, key = lookup(op_type, domain), _key(op_type, domain)
    _REGISTERED.pop(key, None)
    if function not in (None, _OPERATORS.get(key)):
        _REGISTERED[key] = function
    return before


def registry_state():
    """A number that is another one after each ``register_operator``."""
    return _state


def lookup(op_type, domain=""):
    """The function for an operator, or None."""
    key = _key(op_type, domain)
    return _REGISTERED.get(key) or _OPERATORS.get(key)


def is_registered(op_type, domain=""):
    """Whether an operator's function is the user's, by ``register_operator``."""
    return _key(op_type, domain) in _REGISTERED


def known_operators():
    """All (domain, operator) pairs that are read, sorted."""
    return sorted({**_OPERATORS, **_REGISTERED})


def _key(op_type, domain):
    return "" if domain == "ai.onnx" else domain, op_type
