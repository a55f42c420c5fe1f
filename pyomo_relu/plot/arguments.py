"""What pictures take: a network or block, its box, an output."""

from pyomo_relu.analysis.arguments import box_of, network_of
from pyomo_relu.analysis.regions.cells import Box
from pyomo_relu.common.arguments import whole
from pyomo_relu.errors import BoundsError


def network_and_box(what, given, lower, upper):
    """A Network and its input box; of a block, the bounds of its inputs.

    Parameters
    ----------
    what : str
        The picture, for messages.
    given : Network or ReLUNetworkBlock
    lower, upper : array_like, number or None

    Returns
    -------
    network : Network
    box : Box
        Finite.
    """
    lower, upper = box_of(what, given, lower, upper)
    network = network_of(f"{what}: network", given)
    return network, Box(network, lower, upper)


def check_dimension(what, network, box, most=2):
    """Raise unless one or two inputs vary."""
    if not 1 <= box.dimension <= most:
        raise BoundsError(
            f"{what}: {box.dimension} inputs of {network.name} vary in the box, and the "
            f"picture shows 1 to {most}. Give the others equal bounds, or fix them."
        )


def entry(what, number, size):
    """A position from 0 to ``size - 1``."""
    i = whole(what, number, BoundsError)
    if i >= size:
        raise BoundsError(f"{what} must be from 0 to {size - 1}, not {i}.")
    return i


def input_name(given, j):
    """What an input is called on an axis: its Var's name, or its index."""
    if hasattr(given, "input_vars"):
        return given.input_vars()[j].name
    network = getattr(given, "network", given)
    return f"input {network.input_index()[j]}"


def output_name(given, i):
    """Likewise of an output."""
    if hasattr(given, "output_vars"):
        return given.output_vars()[i].name
    network = getattr(given, "network", given)
    return f"output {network.output_index()[i]}"
