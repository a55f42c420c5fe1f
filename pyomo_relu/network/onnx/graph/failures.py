"""What is said where a node's function fails: the reader's own, or one of the user's."""

from pyomo_relu.errors import NetworkError
from pyomo_relu.network.onnx.registry import is_registered

#: What a user's function may do with what it gets.
_MAY = (
    "It gets tensors that add, subtract and take constant factors, and bends them by "
    "operation.relu, clip, maximum, minimum and largest"
)


def not_evaluated(node, error):
    """Why a node at which something went wrong is refused, and what to do."""
    what = f"({type(error).__name__}: {error})"
    if is_registered(node.op_type, node.domain):
        return f"the function given to register_operator failed {what}. {_MAY}."
    return (
        f"it cannot be evaluated {what}. The model is malformed or uses the operator in "
        "an unusual way; simplify the graph or export again."
    )


def check_registered(node, values):
    """Refuse what a user's function returned, if that is no tensor.

    Raises
    ------
    NetworkError
        If ``values``, or one of them, has no shape.
    """
    if not is_registered(node.op_type, node.domain):
        return
    for value in values if isinstance(values, (tuple, list)) else (values,):
        if not hasattr(value, "shape"):
            raise NetworkError(
                f"the function given to register_operator returned {value!r}, which is "
                f"no tensor. {_MAY}, and returns the result."
            )
