"""Getting an ONNX model into memory.

Everything a hostile or damaged file can do is stopped in this module: nothing outside
the model's own folder is opened and nothing is executed.
"""

import os
from pathlib import Path
from typing import NamedTuple

from pyomo_relu.errors import NetworkError, NetworkFileError
from pyomo_relu.network.onnx.file.claims import check_claims
from pyomo_relu.network.onnx.file.export_advice import (
    advice_for_object,
    advice_for_path,
)
from pyomo_relu.network.onnx.graph.branches import names_read

#: Oldest ONNX opset whose operators broadcast as they do today.
OLDEST_OPSET = 7

_TWO_GIB = 2**31


class OnnxFile(NamedTuple):
    """A model as it was given, and in memory.

    Attributes
    ----------
    name : str
        The path, or the graph's name, for messages.
    model : onnx.ModelProto
        With external data loaded.
    content : bytes or None
        The file as it was given; None for a model given in memory.
    folder : pathlib.Path or None
        Where its external data lie.
    """

    name: str
    model: object
    content: bytes | None
    folder: Path | None

    def serialized(self):
        """The bytes as they were given, of a model in memory its serialisation."""
        if self.content is not None:
            return self.content
        try:
            return self.model.SerializeToString()
        except ValueError as error:
            raise NetworkError(
                f"{self.name}: the model is too large for onnxruntime ({error}). Save "
                "it with external data (onnx.save, save_as_external_data=True) and "
                "pass the path."
            ) from error


def open_model(source):
    """Read, parse and check a model.

    Parameters
    ----------
    source : str, os.PathLike, bytes, onnx.ModelProto or torch.onnx.ONNXProgram

    Returns
    -------
    OnnxFile

    Raises
    ------
    NetworkFileError, NetworkError
    """
    import onnx

    if hasattr(type(source), "model_proto"):  # what torch.onnx.export returns
        source = source.model_proto
    content, folder = None, None
    if isinstance(source, onnx.ModelProto):
        model = source
        name = source.graph.name or "ONNX model"
    elif isinstance(source, (bytes, bytearray, memoryview)):
        content = bytes(source)
        model = _parse(content, "ONNX bytes")
        name = model.graph.name or "ONNX bytes"
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        name, folder = str(path), path.parent
        try:
            content = _read(path, name)
            model = _parse(content, name)
        except NetworkFileError as error:
            advice = advice_for_path(path)
            raise NetworkFileError(f"{error}{advice}") from error.__cause__
    else:
        raise NetworkError(
            f"load_onnx reads a path, bytes or an onnx.ModelProto, not a "
            f"{type(source).__name__}.{advice_for_object(source)}"
        )
    _check_header(model, name)
    try:
        check_claims(model)
    except NetworkError as error:
        raise type(error)(f"{name}: {error}") from error
    model = _with_external_data(model, folder, name)
    return OnnxFile(name, model, content, folder)


def opset_of(model, domain=""):
    """Version of the operator set that the model imports for ``domain``, or None."""
    version = None
    for entry in model.opset_import:  # the last one counts, as for onnxruntime
        if entry.domain == domain or (domain == "" and entry.domain == "ai.onnx"):
            version = entry.version
    return version


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
    if data.startswith(b"\x1f\x8b"):
        raise NetworkFileError(
            f"{name}: the file is compressed by gzip. Unpack it first (gunzip)."
        )
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
    if not model.ir_version:
        raise NetworkError(
            f"{name}: the model is not valid ONNX: it states no IR version. Export the "
            "network again."
        )
    if not model.graph.output:
        raise NetworkError(
            f"{name}: the graph has no outputs. Export the network again."
        )


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
    _drop_unread_initializers(loaded)
    for tensor in _tensors(model):
        if _is_external(tensor):  # those that nobody reads too: onnxruntime sees them
            _external_path(tensor, folder, name)
    for tensor in _tensors(loaded):
        if _is_external(tensor):
            tensor.raw_data = _external_bytes(tensor, folder, name)
            del tensor.external_data[:]
            tensor.data_location = onnx.TensorProto.DEFAULT
    return loaded


def _drop_unread_initializers(model):
    """Take out the initializers that nothing reads, whose data may well be missing."""
    read = {n for node in model.graph.node for n in names_read(node)}
    read.update(v.name for v in model.graph.output)
    kept = [t for t in model.graph.initializer if t.name in read]
    if len(kept) < len(model.graph.initializer):
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)


def _is_external(tensor):
    return tensor.data_location == 1 or len(tensor.external_data) > 0


def _external_path(tensor, folder, name):
    """Path of a tensor's data, which must lie in the model's folder."""
    info = {entry.key: entry.value for entry in tensor.external_data}
    location = info.get("location", "")
    root = Path(os.path.realpath(folder))
    path = Path(os.path.realpath(folder / location))
    if not location or os.path.isabs(location) or root not in path.parents:
        raise NetworkFileError(
            f"{name}: tensor '{tensor.name}' refers to external data '{location}', "
            f"which lies outside the model's folder {root}. Only files inside that "
            "folder are read; move the data there and correct the reference."
        )
    return path


def _external_bytes(tensor, folder, name):
    what = f"{name}: tensor '{tensor.name}'"
    info = {entry.key: entry.value for entry in tensor.external_data}
    location, real = info.get("location", ""), _external_path(tensor, folder, name)
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
        yield from _attribute_tensors(function.attribute_proto)
        for node in function.node:
            yield from _attribute_tensors(node.attribute)


def _graph_tensors(graph):
    yield from graph.initializer
    for entry in graph.sparse_initializer:
        yield entry.values
        yield entry.indices
    for node in graph.node:
        yield from _attribute_tensors(node.attribute)


def _attribute_tensors(attributes):
    for attribute in attributes:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield attribute.sparse_tensor.values
            yield attribute.sparse_tensor.indices
        for graph in (attribute.g, *attribute.graphs):
            yield from _graph_tensors(graph)
