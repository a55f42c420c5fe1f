"""Names of the types that public signatures share; read by type checkers only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array


FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]

#: One matrix of a layer, dense or sparse.
Matrix: TypeAlias = "FloatArray | csr_array"

#: Index of an entry of a block's inputs or outputs.
Index: TypeAlias = int | str | tuple[int | str, ...]

#: Activation layer and neuron.
Neuron: TypeAlias = tuple[int, int]

#: (offset, factor)
Scaling: TypeAlias = "tuple[Any, Any]"

#: ``progress(method, layer, done, total)``
Progress: TypeAlias = Callable[[str, int, int, int], object]
