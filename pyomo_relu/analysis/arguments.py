"""Network blocks where analysis takes networks, boxes and bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from pyomo_relu.bounds.neuron_bounds import NeuronBounds
from pyomo_relu.common.arguments import each, shown
from pyomo_relu.errors import BoundsError, ModelError, ReLUError
from pyomo_relu.network.network import Network

if TYPE_CHECKING:
    from pyomo_relu.block.block import ReLUNetworkBlock, ReLUNetworkBlockData

#: What functions of this package take for a network, for bounds and for several networks.
NetworkOrBlock: TypeAlias = "Network | ReLUNetworkBlockData"
BoundsOrBlock: TypeAlias = "NeuronBounds | ReLUNetworkBlockData"
NetworksOrBlocks: TypeAlias = "Sequence[NetworkOrBlock] | ReLUNetworkBlock"

#: Name of the bounds that ``block.neuron_bounds()`` gives.
IN_FORCE = "in force"


def is_block(given):
    """Whether ``given`` is a network block; of an indexed one, only a member is."""
    return hasattr(given, "neuron_bounds") and hasattr(given, "input_box")


def network_of(what, given, error: type[ReLUError] = BoundsError) -> Network:
    """A Network, or the network of a block."""
    _not_several(what, given, error)
    if isinstance(given, Network):
        return given
    if not is_block(given):
        _refuse(what, given, "a Network or a network block", error)
    return given.network


def box_of(what, given, lower, upper):
    """The ends of an input box; by default those of the inputs of a block.

    Parameters
    ----------
    given : Network or ReLUNetworkBlock
    lower, upper : array_like, or None
    """
    if lower is not None and upper is not None:
        return lower, upper
    network_of(f"{what}: network", given)
    if not is_block(given):
        raise BoundsError(
            f"{what} needs the input box: give lower and upper with a Network, or a "
            "network block, whose inputs have bounds."
        )
    ends = given.input_box()
    return tuple(
        e if own is None else own for own, e in zip((lower, upper), ends, strict=True)
    )


def record_of(what, given, error: type[ReLUError] = BoundsError) -> NeuronBounds:
    """A NeuronBounds, or the bounds in force on a block."""
    _not_several(what, given, error)
    if isinstance(given, NeuronBounds):
        return given
    if not is_block(given):
        _refuse(what, given, "a NeuronBounds or a network block", error)
    return given.neuron_bounds()


def block_of(what, given, error: type[ReLUError] = ModelError) -> Any:
    """A network block."""
    _not_several(what, given, error)
    if not is_block(given):
        _refuse(what, given, "a network block", error)
    return given


def _refuse(what, given, wanted, error):
    """Raise because of an argument's type, and point at networks within it."""
    within = getattr(given, "component_data_objects", None)
    blocks = () if within is None else within(descend_into=True)
    first = next((block.name for block in blocks if is_block(block)), None)
    hint = "" if first is None else f" Give a network block of it, such as '{first}'."
    raise error(f"{what} must be {wanted}, not {shown(given)}.{hint}")


def _not_several(what, given, error):
    """Raise where an indexed block stands for one of its members."""
    if not hasattr(given, "index_set") or is_block(given):
        return
    members = list(given.values()) if hasattr(given, "values") else []
    if not all(map(is_block, members)):
        return
    first = next((member.name for member in members), f"{given.name}[...]")
    raise error(
        f"{what}: '{given.name}' holds several networks. Give one of them, such as "
        f"{first}."
    )


def records_of(what, given):
    """{method: NeuronBounds} of such a dict, of one record or of one block."""
    _not_several(what, given, BoundsError)
    if is_block(given) or isinstance(given, NeuronBounds):
        given = {IN_FORCE: given}
    if not isinstance(given, Mapping):
        wanted = "a NeuronBounds, a network block or a dict of them"
        _refuse(what, given, wanted, BoundsError)
    return {
        str(method): record_of(f"{what}[{method!r}]", record)
        for method, record in given.items()
    }


def members_of(what, given):
    """A list of networks and blocks; an indexed block stands for its members."""
    if hasattr(given, "values") and hasattr(given, "index_set"):
        members = list(given.values())
        if not all(map(is_block, members)):
            wanted = (
                "a sequence of networks and network blocks, or such a block indexed"
            )
            _refuse(what, given, wanted, BoundsError)
        given = members
    each(network_of)(what, given, BoundsError)
    return list(given)
