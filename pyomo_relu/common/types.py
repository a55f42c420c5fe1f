"""Names of the types that public signatures share; read by type checkers only."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto
    from scipy.sparse import csr_array

    from pyomo_relu.block.block import ReLUNetworkBlock, ReLUNetworkBlockData
    from pyomo_relu.bounds.neuron_bounds import NeuronBounds
    from pyomo_relu.linear.sessions.session import Session
    from pyomo_relu.network.network import Network

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]

#: One matrix of a layer, dense or sparse.
Matrix: TypeAlias = "FloatArray | csr_array"

#: Index of an entry of a block's inputs or outputs.
Index: TypeAlias = int | str | tuple[int | str, ...]

#: Activation layer and neuron.
Neuron: TypeAlias = tuple[int, int]

#: What ``network=`` takes, apart from dicts and functions of the index.
NetworkLike: TypeAlias = "str | os.PathLike[str] | bytes | ModelProto | Network"

#: Where analysis takes a network, or bounds.
NetworkOrBlock: TypeAlias = "Network | ReLUNetworkBlockData"
BoundsOrBlock: TypeAlias = "NeuronBounds | ReLUNetworkBlockData"
NetworksOrBlocks: TypeAlias = "Sequence[NetworkOrBlock] | ReLUNetworkBlock"

#: (offset, factor)
Scaling: TypeAlias = "tuple[Any, Any]"

#: A solver's name or a Session class.
SolverLike: TypeAlias = "str | type[Session]"

#: ``progress(method, layer, done, total)``
Progress: TypeAlias = Callable[[str, int, int, int], object]
