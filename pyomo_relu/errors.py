"""The exceptions of pyomo_relu.

Every exception derives from :class:`ReLUError` and from the builtin a caller would
catch without knowing this package.  Messages name the file, node, neuron or variable
at fault and say what to do about it.
"""

__all__ = [
    "BoundsError",
    "BudgetExceededError",
    "InfeasibleError",
    "MissingPackageError",
    "MissingPartError",
    "ModelError",
    "NetworkError",
    "NetworkFileError",
    "NetworkMismatchError",
    "PropertyError",
    "ReLUError",
    "RuleError",
    "SolverError",
    "TransformationError",
    "UnsupportedOperatorError",
]


class ReLUError(Exception):
    """Base class of every error that pyomo_relu raises on purpose."""


class NetworkError(ReLUError, ValueError):
    """A network cannot be used: its arrays or its ONNX graph are not acceptable."""


class NetworkFileError(NetworkError, OSError):
    """An ONNX file is missing, empty, damaged or refers to data outside its folder."""


class UnsupportedOperatorError(NetworkError, NotImplementedError):
    """An ONNX operator is unknown or not piecewise linear in the network's inputs."""


class NetworkMismatchError(NetworkError):
    """The network that was read does not reproduce what onnxruntime computes."""


class BudgetExceededError(NetworkError):
    """Loading a network would take more elements, nodes or seconds than allowed."""


class PropertyError(ReLUError, ValueError):
    """A property of a network cannot be read, or does not fit the network."""


class BoundsError(ReLUError, ValueError):
    """Bounds are missing, infinite, reversed or contradict the network."""


class InfeasibleError(BoundsError):
    """The model's bounds and constraints leave no feasible point (proven)."""


class ModelError(ReLUError, ValueError):
    """A block or a Pyomo model is not used as it must be."""


class RuleError(ModelError, TypeError):
    """A function given for a keyword cannot be called as rules are."""


class MissingPartError(ModelError, AttributeError):
    """A Var or Constraint of a network block was renamed or deleted, or is not made yet."""


class TransformationError(ReLUError, ValueError):
    """A transformation cannot be applied or reversed; the model is unchanged."""


class MissingPackageError(ReLUError, ImportError):
    """An optional package is not installed; the message says how to install it."""


class SolverError(ReLUError, RuntimeError):
    """A solver is missing, refuses the model's size or stopped without an answer."""
