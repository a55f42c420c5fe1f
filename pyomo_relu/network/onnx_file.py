"""Getting a checked ONNX model into memory; what the graph means is not decided here.

Everything a hostile or damaged file can do is stopped in this module: nothing outside
the model's own folder is opened and nothing is executed.
"""

import os
from pathlib import Path

from pyomo_relu.errors import NetworkError, NetworkFileError
from pyomo_relu.network.onnx_claims import check_claims

#: Oldest ONNX opset whose operators broadcast as they do today.
OLDEST_OPSET = 7

_TWO_GIB = 2**31


def open_model(source):
    """Read, parse and check a model.

    Parameters
    ----------
    source : str, os.PathLike, bytes or onnx.ModelProto

    Returns
    -------
    model : onnx.ModelProto
        With external data loaded and local functions inlined.
    name : str
        The path, or the graph's name, for messages.

    Raises
    ------
    NetworkFileError, NetworkError
    """
    import onnx

    if isinstance(source, onnx.ModelProto):
        model, folder = source, None
        name = source.graph.name or "ONNX model"
    elif isinstance(source, (bytes, bytearray, memoryview)):
        model, folder = _parse(bytes(source), "ONNX bytes"), None
        name = model.graph.name or "ONNX bytes"
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        name = str(path)
        model, folder = _parse(_read(path, name), name), path.parent
    else:
        raise NetworkError(
            f"load_onnx reads a path, bytes or an onnx.ModelProto, not a "
            f"{type(source).__name__}."
        )
    _check_header(model, name)
    try:
        check_claims(model)
    except NetworkError as error:
        raise type(error)(f"{name}: {error}") from error
    model = _with_external_data(model, folder, name)
    model = _with_one_standard_domain(model)
    _check_schema(model, name)
    return _inlined(model, name), name


def opset_of(model, domain=""):
    """Version of the operator set that the model imports for ``domain``, or None."""
    for entry in model.opset_import:
        if entry.domain == domain or (domain == "" and entry.domain == "ai.onnx"):
            return entry.version
    return None


def _read(path, name):
    try:
        size = path.stat().st_size
        if size >= _TWO_GIB:
            raise NetworkFileError(
                f"{name}: the file has {size} bytes, more than an ONNX file may have "
                "(2 GB). Store the weights as external data."
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise NetworkFileError(
            f"{name}: there is no such file. Check the path (the working folder is "
            f"{os.getcwd()})."
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, NetworkFileError):
            raise
        raise NetworkFileError(
            f"{name}: the file cannot be read ({error}). Check the path and your "
            "permissions."
        ) from error
    return data


def _parse(data, name):
    import onnx
    from google.protobuf.message import DecodeError

    if not data:
        raise NetworkFileError(f"{name}: the file is empty. Export the network again.")
    try:
        model = onnx.ModelProto.FromString(data)
    except (DecodeError, RuntimeError, ValueError) as error:
        raise NetworkFileError(
            f"{name}: this is not an ONNX file, or it is truncated or damaged "
            f"({error}). Export the network again."
        ) from error
    if not model.HasField("graph"):
        raise NetworkFileError(
            f"{name}: this is not an ONNX file, or it is truncated: it holds no "
            "graph. Export the network again."
        )
    return model


def _check_header(model, name):
    import onnx

    version = opset_of(model)
    newest = onnx.defs.onnx_opset_version()
    if version is not None and version > newest:
        raise NetworkError(
            f"{name}: the model uses ONNX opset {version}, the installed onnx "
            f"{onnx.__version__} knows up to {newest}. Upgrade onnx and onnxruntime, "
            f"or export the network with opset_version={newest} or lower."
        )
    if version is not None and version < OLDEST_OPSET:
        raise NetworkError(
            f"{name}: the model uses ONNX opset {version}; the oldest that is read is "
            f"{OLDEST_OPSET}. Export the network again with opset_version=13 or so."
        )
    if not model.graph.output:
        raise NetworkError(
            f"{name}: the graph has no outputs. Export the network again."
        )


def _check_schema(model, name):
    import onnx

    try:
        onnx.checker.check_model(_with_shape_fields(model))
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise NetworkError(
            f"{name}: the model is not valid ONNX: {text} Export the network again."
        ) from error


def _with_shape_fields(model):
    """The model, or a copy where inputs and outputs without a shape have an empty one.

    onnx's checker insists on the field, onnxruntime and exporters do not.
    """
    import onnx

    def lacking(m):
        values = (*m.graph.input, *m.graph.output)
        types = (v.type.tensor_type for v in values if v.type.HasField("tensor_type"))
        return [t for t in types if not t.HasField("shape")]

    if not lacking(model):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor_type in lacking(copy):
        tensor_type.shape.SetInParent()
    return copy


def _with_one_standard_domain(model):
    """The model, or a copy with "" for the domain that may also be called "ai.onnx".

    onnx's checker takes the two for different domains, onnxruntime does not.
    """
    other = [n for n in _nodes(model.graph) if n.domain == "ai.onnx"]
    if not other:
        return model
    copy = type(model)()
    copy.CopyFrom(model)
    for item in (*_nodes(copy.graph), *copy.opset_import):
        if item.domain == "ai.onnx":
            item.domain = ""
    return copy


def _nodes(graph):
    """All nodes of a graph and of the graphs within its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _inlined(model, name):
    if not model.functions:
        return model
    import onnx.inliner

    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as error:
        raise NetworkError(
            f"{name}: the model's local functions cannot be inlined ({error}). Export "
            "the network without local functions."
        ) from error


# -- external data -----------------------------------------------------------------


def _with_external_data(model, folder, name):
    import onnx

    if not any(_is_external(t) for t in _tensors(model)):
        return model
    if folder is None:
        raise NetworkFileError(
            f"{name}: the model keeps its weights in another file. Pass the path of "
            "the ONNX file instead of its content, or load it with onnx.load."
        )
    loaded = onnx.ModelProto()
    loaded.CopyFrom(model)
    for tensor in _tensors(loaded):
        if _is_external(tensor):
            tensor.raw_data = _external_bytes(tensor, folder, name)
            del tensor.external_data[:]
            tensor.data_location = onnx.TensorProto.DEFAULT
    return loaded


def _is_external(tensor):
    return tensor.data_location == 1 or len(tensor.external_data) > 0


def _external_bytes(tensor, folder, name):
    what = f"{name}: tensor '{tensor.name}'"
    info = {entry.key: entry.value for entry in tensor.external_data}
    location = info.get("location", "")
    root = Path(os.path.realpath(folder))
    path = folder / location
    real = Path(os.path.realpath(path))
    if not location or os.path.isabs(location) or root not in real.parents:
        raise NetworkFileError(
            f"{what} refers to external data '{location}', which lies outside the "
            f"model's folder {root}. Only files inside that folder are read; move "
            "the data there and correct the reference."
        )
    try:
        offset = int(info.get("offset", 0))
        size = real.stat().st_size
        length = int(info.get("length", size - offset))
        if not real.is_file():
            raise OSError("not a regular file")
        if offset < 0 or length < 0 or offset + length > size:
            raise OSError(
                f"bytes {offset} to {offset + length} of {size} are asked for"
            )
        with open(real, "rb") as file:
            file.seek(offset)
            return file.read(length)
    except (OSError, ValueError) as error:
        raise NetworkFileError(
            f"{what} refers to external data '{location}', which cannot be read "
            f"({error}). Copy the data file next to the model, complete."
        ) from error


def _tensors(model):
    """All TensorProto messages of a model that may hold weights."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph):
    yield from graph.initializer
    for entry in graph.sparse_initializer:
        yield entry.values
        yield entry.indices
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node):
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield attribute.sparse_tensor.values
            yield attribute.sparse_tensor.indices
        for graph in (attribute.g, *attribute.graphs):
            yield from _graph_tensors(graph)
