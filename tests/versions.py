"""What versions of other packages that setup.cfg allows do not do; no test logic here.

Tests that need more say so by what is here, so that one place knows the versions.  Each
limit is the first version that was seen to do it; Python 3.10 has no onnxruntime after
1.23.
"""

import onnx
import onnxruntime
import pytest

from pyomo_relu.errors import NetworkError


def _version(package):
    return tuple(map(int, package.__version__.split(".")[:2]))


ONNX, ONNXRUNTIME = _version(onnx), _version(onnxruntime)

#: Whether onnx comes with the cases of operators that the tests list.
HAS_LISTED_CASES = ONNX >= (1, 23)

#: Whether onnxruntime has the pooling of opset 22, so that nothing else runs it.
HAS_POOLING_22 = ONNXRUNTIME >= (1, 23)

#: Whether onnxruntime leaves out windows of pooling that start in the end padding.
DROPS_WINDOWS_IN_PADDING = ONNXRUNTIME >= (1, 23)

#: Whether a mean that counts padding counts, in a last window that is rounded up, the
#: padding alone at every opset.
COUNTS_PADDING_ALONE = ONNXRUNTIME >= (1, 32)

#: Whether onnxruntime survives all branches beside functions: those before may abort.
TAKES_BRANCHES_BESIDE_FUNCTIONS = ONNXRUNTIME >= (1, 28)

#: Names of test models -> the first onnxruntime that runs them.
_RUN_SINCE = {
    "reduce_sum_nothing": (1, 24),
    "split_into_more_than_there_are": (1, 32),
}


def run_by_onnxruntime(models):
    """Parameters of pytest for ``models``: those that this onnxruntime refuses fail."""
    return [
        pytest.param(
            model,
            id=name,
            marks=pytest.mark.xfail(
                _RUN_SINCE.get(name, (0,)) > ONNXRUNTIME,
                raises=NetworkError,
                strict=True,
                reason="this onnxruntime refuses the model",
            ),
        )
        for name, model in models.items()
    ]
