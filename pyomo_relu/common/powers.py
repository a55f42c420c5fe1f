"""Powers of two near given sizes: factors that scale numbers without rounding them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.common.types import BoolArray, FloatArray

#: Exponents are kept within +-EXPONENT: products of two factors, and their inverses,
#: stay normal numbers.
EXPONENT = 300

#: Mantissas in [0.5, 1) from which on a size is rounded up: none, above the root of
#: one half, and all but 0.5 itself.
_KEPT = {False: 1.0, None: 0.5**0.5, True: 0.5}


def power_of_two(
    size: ArrayLike, up: bool | None = False, exponent: int = EXPONENT
) -> FloatArray:
    """The power of two next to each size; 1 where that is 0 or infinite.

    Parameters
    ----------
    size : array_like
        Nonnegative.
    up : bool or None
        False rounds down, True up, None to the nearest exponent.
    exponent : int
        Exponents are kept within plus and minus this number.

    Returns
    -------
    numpy.ndarray
    """
    import numpy as np  # options are declared without it

    mantissa, found = np.frexp(np.asarray(size, dtype=float))
    found = np.clip(found - (mantissa <= _KEPT[up]), -exponent, exponent)
    positive = (mantissa > 0) & (mantissa < 1)
    return np.where(positive, np.ldexp(1.0, found), 1.0)


def is_power_of_two(factor: FloatArray) -> BoolArray:
    """Whether multiplying by each positive ``factor`` rounds nothing."""
    import numpy as np

    return np.frexp(factor)[0] == 0.5
