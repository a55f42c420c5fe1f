"""What an ONNX file and its external data hold, as a key for caches."""

import hashlib
import os
from pathlib import Path

from pyomo_relu.errors import NetworkError
from pyomo_relu.network.onnx.file.file import _is_external, _parse, _tensors

#: Locations of external data by the digest of a model's file.
_LOCATIONS = {}
_MOST_REMEMBERED = 64
_CHUNK = 2**20


def content_digest(path):
    """Digests of a model's file and of each file that holds its external data.

    Parameters
    ----------
    path : str

    Returns
    -------
    tuple of str, or None
        None if a file cannot be read, the reason of which ``open_model`` tells.
    """
    try:
        content = Path(path).read_bytes()
        digest = hashlib.blake2b(content).hexdigest()
        folder = Path(path).parent
        return digest, *(
            _file_digest(folder, location) for location in _locations(digest, content)
        )
    except (OSError, ValueError, NetworkError):
        return None


def _locations(digest, content):
    """Where a model keeps external data; a file's content is parsed once for that."""
    if digest not in _LOCATIONS:
        if len(_LOCATIONS) >= _MOST_REMEMBERED:
            _LOCATIONS.clear()
        external = filter(_is_external, _tensors(_parse(content, "ONNX file")))
        entries = (entry for tensor in external for entry in tensor.external_data)
        _LOCATIONS[digest] = sorted({e.value for e in entries if e.key == "location"})
    return _LOCATIONS[digest]


def _file_digest(folder, location):
    root = Path(os.path.realpath(folder))
    real = Path(os.path.realpath(folder / location))
    if root not in real.parents or not real.is_file():
        raise OSError(f"'{location}' is no file in the model's folder")
    found = hashlib.blake2b()
    with open(real, "rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
