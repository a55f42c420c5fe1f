"""Whether a formulation's rows are right for neurons with ceilings."""

from pyomo.common.dependencies import numpy as np

from pyomo_relu.errors import TransformationError

_HOOKS = ("_encode", "_encode_neuron")


def check_ceilings(formulation, block, bounds):
    """Raise if a neuron can reach its ceiling and the formulation would ignore that.

    Parameters
    ----------
    formulation : type
        Subclass of NetworkFormulation.
    block : ReLUNetworkBlockData
    bounds : NeuronBounds
        What the block is to be encoded with.
    """
    if _handles_ceilings(formulation):
        return
    for k, layer in enumerate(bounds.network.layers[:-1]):
        if layer.ceiling is None:
            continue
        reached = np.flatnonzero(layer.ceiling < bounds.upper[k])
        if reached.size:
            i = int(reached[0])
            raise TransformationError(
                f"{formulation.NAME}: neuron {i} of layer {k} of '{block.name}' can "
                f"reach its ceiling {layer.ceiling[i]:.6g}, and "
                f"{formulation.__name__} does not say that its rows are right then. "
                "Give neurons with a ceiling below bounds.upper rows of their own (see "
                "relu.clipped), and declare HANDLES_CEILINGS = True in the class; or "
                "use relu.bigm for this network."
            )


def _handles_ceilings(formulation):
    """The declaration, if it was made for the rows that the class has.

    A subclass with rows of its own does not inherit what was said of others.
    """
    for cls in formulation.__mro__:
        if "HANDLES_CEILINGS" in vars(cls):
            return cls.HANDLES_CEILINGS
        if any(hook in vars(cls) for hook in _HOOKS):
            return False
    return False
