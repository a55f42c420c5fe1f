"""How the ``network=`` keyword of a block becomes a Network."""

import functools
import os
from collections.abc import Mapping
from typing import Any

from pyomo.common.dependencies import numpy as np

from pyomo_relu import network as network_
from pyomo_relu.block.arguments.rule_argument import call_rule
from pyomo_relu.errors import ModelError, NetworkError
from pyomo_relu.network.onnx.file.export_advice import advice_for_object
from pyomo_relu.network.onnx.registry import registry_state


def per_index(block, keyword, value, index) -> Any:
    """The entry of ``value`` that belongs to ``index`` of an indexed block.

    A mapping is looked up by index and a callable called (see ``call_rule``); any other
    value serves all indices.
    """
    if callable(value) and not isinstance(value, type):
        return call_rule(block, keyword, value, index)
    if isinstance(value, Mapping) and index:
        key = index if len(index) > 1 else index[0]
        if key in value:
            return value[key]
        raise ModelError(
            f"{block.name}: no entry for index {key!r} in the mapping given for "
            f"{keyword}=; it has {list(value)[:5]}."
        )
    return value


def resolve_network(block, network, index, output=None):
    """The Network for one block member.

    Parameters
    ----------
    block : ReLUNetworkBlockData
        Named in errors.
    network : path, bytes, ModelProto, ONNXProgram, Network, mapping or callable
    index : tuple
        Index of the member; empty for a scalar block.
    output : str or sequence of str, optional
        Inner tensors to select.

    Raises
    ------
    NetworkError, ModelError
    """
    if not _is_model(network):  # a model may be callable and is no rule then
        network = per_index(block, "network", network, index)
    found = _resolve(block, network, output)
    if found.fixed_batch is not None:
        tensor, shape = found.fixed_batch
        raise NetworkError(
            f"{block.name}: {found.name}: input '{tensor}' has shape {list(shape)}: a "
            f"fixed batch of {shape[0]} samples. Export the network with batch size 1 "
            "or an open batch axis; if the first axis is part of one sample, use "
            f"network=load_onnx(..., input_shapes={{'{tensor}': {shape}}})."
        )
    return found


def _is_model(value):
    return hasattr(type(value), "model_proto") or bool(advice_for_object(value))


def _resolve(block, network, output):
    if isinstance(network, network_.Network):
        if output is not None:
            raise ModelError(
                f"{block.name}: output= selects a tensor of an ONNX graph; the network "
                "given is already loaded. Pass output= to load_onnx instead."
            )
        return network
    if isinstance(output, (list, tuple)):
        output = tuple(output)
    if isinstance(network, (str, os.PathLike)):
        from pyomo_relu.network.onnx.file.digest import content_digest

        path = os.fspath(network)
        digest = content_digest(path)
        if digest is None:
            return network_.load_onnx(path, output=output)  # raises with the reason
        state = registry_state()
        return _load_cached(path, os.getcwd(), digest, state, output)
    if isinstance(network, (bytes, bytearray)):
        return _load_bytes(bytes(network), registry_state(), output)
    if hasattr(network, "SerializeToString") or hasattr(type(network), "model_proto"):
        return network_.load_onnx(network, output=output)
    raise ModelError(
        f"{block.name}: network= must be a path, bytes, an onnx.ModelProto, a "
        "torch.onnx.ONNXProgram or a pyomo_relu Network, not a "
        f"{type(network).__name__}.{advice_for_object(network)}"
    )


def scaled_network(block, network, input_scaling, output_scaling):
    """``network.with_scaling(...)``; members with the same scalings share one network."""
    from pyomo_relu.network.scaling import parts

    try:
        keys = [
            None if s is None else tuple(np.asarray(p, dtype=float) for p in parts(s))
            for s in (input_scaling, output_scaling)
        ]
    except (TypeError, ValueError):
        keys = None  # with_scaling says what is wrong
    try:
        if keys is None:
            return network.with_scaling(input_scaling, output_scaling)
        return _scaled(
            network,
            *(k and tuple((a.shape, a.tobytes()) for a in k) for k in keys),
        )
    except NetworkError as error:
        raise NetworkError(f"{block.name}: {error}") from None


@functools.lru_cache(maxsize=16)
def _scaled(network, *keys):
    return network.with_scaling(
        *(
            k and tuple(np.frombuffer(data).reshape(shape) for shape, data in k)
            for k in keys
        )
    )


# members of an indexed block share one network instead of loading the file each time;
# the keys hold all that the network depends on
@functools.lru_cache(maxsize=16)
def _load_cached(path, folder, digest, registry_state, output):
    return network_.load_onnx(path, output=output)


@functools.lru_cache(maxsize=16)
def _load_bytes(content, registry_state, output):
    return network_.load_onnx(content, output=output)
