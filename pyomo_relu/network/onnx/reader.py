"""Reading a trained network from an ONNX file: the entry point ``load_onnx``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pyomo_relu.errors import NetworkError, ReLUError
from pyomo_relu.network.onnx.budget import Budget, spending
from pyomo_relu.network.onnx.file.file import open_model
from pyomo_relu.network.onnx.graph.graph import GraphReader
from pyomo_relu.network.onnx.operators import (  # noqa: F401  (each enters its operators)
    affine,
    convolution,
    masks,
    movement,
    piecewise,
    recurrent,
    resize,
    sorting,
)
from pyomo_relu.network.onnx.registry import register_operator
from pyomo_relu.network.onnx.verification.file_outputs import FileOutputs
from pyomo_relu.network.onnx.verification.verification import verify

if TYPE_CHECKING:
    from onnx import ModelProto

    from pyomo_relu.network.network import Network


__all__ = ["load_onnx", "register_operator"]


def load_onnx(
    source: str | os.PathLike[str] | bytes | ModelProto,
    *,
    output: str | Sequence[str] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    check: bool = True,
    budget: Budget | None = None,
) -> Network:
    """Read a piecewise-linear network from an ONNX model.

    The graph is walked once.  Tensors that do not depend on the inputs are folded to
    constants; every other tensor is an affine map of the inputs and of earlier
    neurons, whose matrix is read off by evaluating the operators; each activation
    closes a layer.  Comparisons and signs are followed as masks, and become neurons where
    what is made of them is continuous.

    Parameters
    ----------
    source : str, os.PathLike, bytes, onnx.ModelProto or torch.onnx.ONNXProgram
        A file (with external data only from its own folder), a file's content, or a
        model in memory.
    output : str or sequence of str, optional
        Tensors to take as outputs instead of the graph's outputs, for example the
        logits before a Softmax.
    input_shapes : dict of str to sequence of int, optional
        Shapes for inputs that the file leaves open.  A given first axis longer than 1
        is part of the sample; a first axis of 1 is the batch axis and is dropped.
    check : bool
        Compare the network once with onnxruntime, which runs the file as it was given,
        on points that reach both sides of its activations.
    budget : Budget, optional
        Limits on what loading may create and how long it may take; a
        :class:`~pyomo_relu.network.Budget` raises or lowers them.

    Returns
    -------
    Network
        Inputs of an integer type or bool, which must be cast to floats at once, are
        read as reals: the network agrees with the file at the values of their type.

    Raises
    ------
    NetworkFileError
        The file is missing, empty, damaged, or refers to data outside its folder.
    UnsupportedOperatorError
        An operator is unknown or not piecewise linear in the inputs, or a mask makes
        a tensor jump.
    NetworkMismatchError
        The network read does not reproduce onnxruntime.
    BudgetExceededError
        Loading would exceed the budget; the message says how to raise it.
    NetworkError
        The model is not valid, or its inputs, batch or weights are not acceptable.
    """
    return _load(source, output, input_shapes, check, budget)[0]


def load_with_file(
    source: str | os.PathLike[str] | bytes | ModelProto, budget: Budget | None = None
) -> tuple[Network, FileOutputs]:
    """As ``load_onnx``, with what evaluates the file itself.

    Returns
    -------
    network : Network
    outputs : FileOutputs
    """
    network, file, reader = _load(source, None, None, True, budget)
    return network, FileOutputs(file, reader, network)


def _load(source, output, input_shapes, check, budget):
    name = getattr(source, "__fspath__", lambda: "ONNX model")()
    try:
        with spending(budget):
            file = open_model(source)
            name = file.name
            reader = GraphReader(file.model, name, output, input_shapes)
            network = reader.network()
            if check:
                verify(file, reader, network)
    except ReLUError:
        raise
    except Exception as error:  # nodes are guarded one by one; this is all the rest
        raise NetworkError(
            f"{name}: the model is malformed ({type(error).__name__}: {error}). Export "
            "the network again."
        ) from error
    return network, file, reader
