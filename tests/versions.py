"""What the lowest versions that setup.cfg allows do not do; no test logic here.

Tests that need more say so by what is here, so that one place knows the versions.
"""

import onnx
import onnxruntime
import pytest

from pyomo_relu.errors import NetworkError


def _version(package):
    return tuple(map(int, package.__version__.split(".")[:2]))


#: Whether this onnxruntime is older than 1.21.
OLD_ONNXRUNTIME = _version(onnxruntime) < (1, 21)

#: Whether this onnx is older than 1.18.
OLD_ONNX = _version(onnx) < (1, 18)


def refused_by_old_onnxruntime(models, names):
    """Parameters of pytest for ``models``; an old onnxruntime runs not all of them."""
    mark = pytest.mark.xfail(
        OLD_ONNXRUNTIME, raises=NetworkError, strict=True, reason="onnxruntime 1.20"
    )
    return [
        pytest.param(model, id=name, marks=[mark] if name in names else [])
        for name, model in models.items()
    ]
