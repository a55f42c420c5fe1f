"""Checks of arguments that public functions share: what is wrong, and which one it is."""

import math
from collections.abc import Sequence
from numbers import Real


def instance(what, value, kind, error):
    """``value``, which must be an instance of ``kind``.

    Parameters
    ----------
    what : str
        The argument, for the message.
    kind : type
    error : type
        The ReLUError to raise; likewise in the functions below.
    """
    if isinstance(value, kind):
        return value
    hint = ""
    if isinstance(value, type) and issubclass(value, kind):
        hint = f"; make one, {kind.__name__}(...)"
    raise error(f"{what} must be a {kind.__name__}, not {_shown(value)}{hint}.")


def real(what, value, error, *, least=-math.inf, none=False):
    """A float of at least ``least``, infinite ones included; None if ``none``."""
    if value is None and none:
        return None
    if isinstance(value, Real) and value >= least:  # nan is not
        return float(value)
    at_least = f" of at least {least:g}" if least > -math.inf else ""
    raise error(f"{what} must be a number{at_least}, not {_shown(value)}.")


def whole(what, value, error, *, least=0, none=False):
    """An int of at least ``least``; None if ``none``."""
    if value is None and none:
        return None
    if isinstance(value, Real) and math.isfinite(value) and int(value) == value >= least:
        return int(value)
    raise error(
        f"{what} must be a whole number of at least {least}, not {_shown(value)}."
    )


def numbers(what, value, error):
    """A float64 array without nan."""
    import numpy as np  # options are declared without it

    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if np.isnan(array).any():
        raise error(f"{what} must be numbers, not {_shown(value)}.")
    return array


def vector(what, value, size, error):
    """Finite numbers as an array of shape (size,); one number stands for all."""
    import numpy as np

    array = numbers(what, value, error)
    if array.shape not in ((), (size,)) or not np.isfinite(array).all():
        raise error(
            f"{what} must be finite, a number or of shape ({size},), not of shape "
            f"{array.shape}: {_shown(value)}."
        )
    return np.broadcast_to(array, (size,)).copy()


def names(what, noun, values, known, error):
    """A tuple of names out of ``known``; a single name stands for itself."""
    given = (values,) if isinstance(values, str) else values
    if not is_sequence(given) or not len(given):
        raise error(
            f"{what} takes names out of {', '.join(known)}, not {_shown(values)}."
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


def _shown(value):
    text = repr(value)
    text = text if len(text) <= 80 else text[:77] + "..."
    return text if isinstance(value, Real) else f"{text} (a {type(value).__name__})"
