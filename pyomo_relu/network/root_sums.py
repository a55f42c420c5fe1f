"""Root sums of squares by rows: about what sums amount to whose terms are independent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from pyomo_relu.common.matrices import maxima

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyomo_relu.common.types import FloatArray


@np.errstate(all="ignore")
def root_sums(
    constant: FloatArray, parts: Sequence[tuple[Any, FloatArray]]
) -> FloatArray:
    """``sqrt(constant^2 + sum_parts (W r)^2)`` by rows, without over- or underflow.

    Parameters
    ----------
    constant : numpy.ndarray, shape (n,)
    parts : sequence of (matrix, numpy.ndarray)
        Weights of shape (n, m), dense or sparse, and sizes of what they read, (m,), or
        a number.

    Returns
    -------
    numpy.ndarray, shape (n,)
    """
    terms = [columns_scaled(abs(w), r) for w, r in parts]
    top = np.abs(constant)
    for term in terms:
        if term.shape[1]:
            top = np.maximum(top, maxima(term, axis=1))
    unit = np.where(top > 0, top, 1.0)
    total = (constant / unit) ** 2
    for term in terms:
        if sparse.issparse(term):
            term = sparse.csr_array(sparse.diags_array(1.0 / unit) @ term)
            total = total + np.asarray(term.multiply(term).sum(axis=1)).ravel()
        else:
            total = total + np.square(term / unit[:, None]).sum(axis=1)
    return top * np.sqrt(total)


def columns_scaled(w: Any, r: FloatArray) -> Any:
    """``W diag(r)``, sparse where W is."""
    if sparse.issparse(w):
        factors = np.broadcast_to(r, w.shape[1])
        return sparse.csr_array(w @ sparse.diags_array(factors))
    return w * r
