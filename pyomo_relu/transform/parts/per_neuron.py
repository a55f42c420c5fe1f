"""Reading an option that holds one positive number per neuron."""

from collections.abc import Mapping
from numbers import Real

from pyomo.common.dependencies import numpy as np

from pyomo_relu.common.arguments import is_sequence
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import TransformationError


def per_neuron_values(given, network, what, default):
    """One array per activation layer from a number, a sequence by layer or a dict.

    Parameters
    ----------
    given : number, sequence or mapping
        A number for all neurons; a sequence with an entry per activation layer (a
        number, an array with one number per neuron, or None for the default); or a
        mapping from layer, or from (layer, neuron), to a number or array.
    network : Network
    what : str
        The option, for messages.
    default : float
        Where nothing is given.

    Returns
    -------
    list of numpy.ndarray, shapes (layer size,)

    Raises
    ------
    TransformationError
        If the shape does not fit the network or a value is not a positive number.
    """
    sizes = [layer.size for layer in network.activation_layers]
    values = [np.full(n, float(default)) for n in sizes]
    if isinstance(given, Mapping):
        for key, value in given.items():
            k, i = key if isinstance(key, tuple) and len(key) == 2 else (key, None)
            if k not in range(len(sizes)) or not (i is None or i in range(sizes[k])):
                raise TransformationError(
                    f"{what}: there is no neuron {key!r} in '{network.name}', whose "
                    f"activation layers have {sizes} neurons. Use the index (layer, "
                    "neuron) of block.activation, or a layer's number."
                )
            _fill(values[k], slice(None) if i is None else i, value, f"{what}[{key!r}]")
    elif isinstance(given, Real):
        for array in values:
            _fill(array, slice(None), given, what)
    else:
        if not is_sequence(given) or len(given) != len(sizes):
            raise TransformationError(
                f"{what}={given!r} is neither a number nor a sequence with one entry "
                f"per layer: '{network.name}' has "
                f"{counted(len(sizes), 'activation layer')}."
            )
        for k, value in enumerate(given):
            if value is not None:
                _fill(values[k], slice(None), value, f"{what}[{k}]")
    return values


def _fill(array, at, value, what):
    try:
        numbers = np.asarray(value, dtype=float)
        array[at] = numbers
    except (TypeError, ValueError):
        shape = np.shape(array[at])
        raise TransformationError(
            f"{what}: expected a number{f' or {shape[0]} numbers' if shape else ''}, "
            f"got {value!r}."
        ) from None
    if not np.all(numbers > 0):
        raise TransformationError(f"{what} must be positive, not {value!r}.")
