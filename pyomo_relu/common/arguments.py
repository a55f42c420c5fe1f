"""Checks of arguments that public functions share: what is wrong, and which one it is."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, Literal, TypeVar, cast, overload

F = TypeVar("F", bound=Callable[..., Any])

#: What solvers take as no bound at all; coefficients of that size break them.
INFINITE = 1e20


def instance(what, value, cls, error):
    """``value``, which must be an instance of ``cls``.

    Parameters
    ----------
    what : str
        The argument, for the message.
    cls : type
    error : type
        The ReLUError to raise; likewise in the functions below.
    """
    if isinstance(value, cls):
        return value
    inner = getattr(value, "network" if cls.__name__ == "Network" else "", None)
    hint = ". Of a network block take block.network" if isinstance(inner, cls) else ""
    raise error(f"{what} must be a {cls.__name__}, not {shown(value)}{hint}.")


@overload
def real(
    what: str,
    value: object,
    error: type[Exception],
    *,
    least: float = ...,
    none: Literal[False] = ...,
) -> float: ...


@overload
def real(
    what: str, value: object, error: type[Exception], *, least: float = ..., none: bool
) -> float | None: ...


def real(what, value, error, *, least=-math.inf, none=False):
    """A float of at least ``least``, infinite ones included; None if ``none``."""
    if value is None and none:
        return None
    if isinstance(value, Real) and value >= least:  # nan is not
        return float(value)
    at_least = f" of at least {least:g}" if least > -math.inf else ""
    raise error(f"{what} must be a number{at_least}, not {shown(value)}.")


@overload
def whole(
    what: str,
    value: object,
    error: type[Exception],
    *,
    least: int = ...,
    none: Literal[False] = ...,
) -> int: ...


@overload
def whole(
    what: str, value: object, error: type[Exception], *, least: int = ..., none: bool
) -> int | None: ...


def whole(what, value, error, *, least=0, none=False):
    """An int of at least ``least``; None if ``none``."""
    if value is None and none:
        return None
    finite = isinstance(value, Real) and math.isfinite(value)
    if finite and int(value) == value >= least:
        return int(value)
    raise error(
        f"{what} must be a whole number of at least {least}, not {shown(value)}."
    )


def numbers(what, value, error):
    """A float64 array without nan."""
    import numpy as np  # options are declared without it

    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if np.isnan(array).any():
        raise error(f"{what} must be numbers, not {shown(value)}.")
    return array


def vector(what, value, size, error):
    """Finite numbers as an array of shape (size,); one number stands for all."""
    import numpy as np

    array = numbers(what, value, error)
    if array.shape not in ((), (size,)) or not np.isfinite(array).all():
        raise error(
            f"{what} must be finite, a number or of shape ({size},), not of shape "
            f"{array.shape}: {shown(value)}."
        )
    return np.broadcast_to(array, (size,)).copy()


def names(what, noun, values, known, error):
    """A tuple of names out of ``known``; a single name stands for itself."""
    given = (values,) if isinstance(values, str) else values
    if not is_sequence(given) or not len(given):
        raise error(
            f"{what} takes names out of {', '.join(known)}, not {shown(values)}."
        )
    unknown = [n for n in given if not (isinstance(n, str) and n in known)]
    if unknown:
        raise error(
            f"{what}: unknown {noun} {', '.join(map(repr, unknown))}; choose from "
            f"{', '.join(known)}."
        )
    return tuple(given)


def is_sequence(value):
    """Whether a value has an order and a length, as lists and arrays do; no text."""
    if isinstance(value, (str, bytes, bytearray)):
        return False
    return isinstance(value, Sequence) or getattr(value, "ndim", 0) > 0


def shown(value: object) -> str:
    """A wrong argument in a message: what it is, and of which type."""
    text = repr(value)
    if hasattr(value, "ctype") and isinstance(getattr(value, "name", None), str):
        text = repr(getattr(value, "name", None))  # a component; repr tells its address
    text = text if len(text) <= 80 else text[:77] + "..."
    kind = type(value).__name__
    article = "an" if kind[0] in "AEIOUaeiou" else "a"
    return text if isinstance(value, Real) else f"{text} ({article} {kind})"


# -- checks by declaration ---------------------------------------------------------


def checked(error: type[Exception], **checks: Callable[..., Any]) -> Callable[[F], F]:
    """Decorator: arguments go through ``check(what, value, error)`` before the function.

    Parameters
    ----------
    error : type
        The ReLUError that a wrong argument raises.
    **checks
        By argument: a function of this module, or one made by ``optional``, ``each``,
        ``one_of``, ``kind`` or ``functools.partial``.  What it returns is passed on.
    """

    def decorate(function: F) -> F:
        parameters = list(inspect.signature(function).parameters.values())
        names = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        label = function.__qualname__.removesuffix(".__init__")

        def tested(name, value):
            check = checks.get(name)
            return value if check is None else check(f"{label}: {name}", value, error)

        @functools.wraps(function)
        def wrapper(*args, **kwds):
            args = [
                *(
                    tested(name, value)
                    for name, value in zip(names, args, strict=False)
                ),
                *args[len(names) :],
            ]
            return function(*args, **{k: tested(k, v) for k, v in kwds.items()})

        return cast(F, wrapper)

    return decorate


def optional(check):
    """A check that lets None pass."""
    return lambda what, value, error: (
        None if value is None else check(what, value, error)
    )


def each(check):
    """A check of every entry of a sequence."""

    def test(what, value, error):
        if not is_sequence(value):
            raise error(f"{what} must be a sequence, not {shown(value)}.")
        return [check(f"{what}[{i}]", entry, error) for i, entry in enumerate(value)]

    return test


def one_of(*choices):
    """A check for one of several names."""

    def test(what, value, error):
        if isinstance(value, str) and value in choices:
            return value
        raise error(f"{what} must be one of {choices}, not {shown(value)}.")

    return test


def kind(module, *names):
    """A check for an instance of one of the classes of a module below the package."""

    def test(what, value, error):
        where = importlib.import_module(f"pyomo_relu.{module}")
        classes = [getattr(where, name) for name in names]
        if any(isinstance(value, cls) for cls in classes[1:]):
            return value
        return instance(what, value, classes[0], error)

    return test


def flag(what, value, error):
    """True or False, also as 1 and 0."""
    simple = isinstance(value, Real) or type(value).__name__ in ("bool", "bool_")
    if simple and value in (0, 1):
        return bool(value)
    raise error(f"{what} must be True or False, not {shown(value)}.")


def function(what, value, error):
    """Something that can be called."""
    if callable(value):
        return value
    raise error(f"{what} must be a function, not {shown(value)}.")


def text(what, value, error):
    """A str."""
    return instance(what, value, str, error)


def an_executor(what, value, error):
    """Something with ``submit``, as the executors of ``concurrent.futures`` have."""
    if callable(getattr(value, "submit", None)) and not isinstance(value, type):
        return value
    raise error(
        f"{what} must be a concurrent.futures.Executor or the like, not {shown(value)}."
    )


def a_solver(what, value, error):
    """The name of a Pyomo solver, or what ``pyo.SolverFactory`` returns for one."""
    able = all(callable(getattr(value, name, None)) for name in ("solve", "available"))
    if isinstance(value, str) or (able and not isinstance(value, type)):
        return value
    raise error(
        f"{what} must be the name of a Pyomo solver, such as 'ipopt', or what "
        f"pyo.SolverFactory returns, not {shown(value)}."
    )


seconds = functools.partial(real, least=0.0)
a_network = kind("network.network", "Network")
bounds_record = kind("bounds.neuron_bounds", "NeuronBounds")
