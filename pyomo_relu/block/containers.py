"""What the containers of network blocks add to Pyomo's: keywords, all members at once."""

import inspect
import os
import sys
from typing import Any, cast

from pyomo.common.config import ConfigDict, ConfigValue
from pyomo.common.formatting import StreamIndenter
from pyomo.core.base.block import Block
from pyomo.core.base.component import Component, ComponentData
from pyomo.core.base.var import Var

from pyomo_relu import network as network_
from pyomo_relu.block.arguments.expressions import is_one_item
from pyomo_relu.block.display.report import members_html
from pyomo_relu.block.values import given_point, initialize_blocks
from pyomo_relu.errors import ModelError


def block_keywords():
    """The keywords of ``ReLUNetworkBlock``."""
    config = ConfigDict("ReLUNetworkBlock")
    for name, description in (
        ("network", "path | bytes | ModelProto | Network, or dict/callable per index"),
        ("inputs", "the modeller's Vars for the network inputs (default: own Vars)"),
        ("outputs", "the modeller's Vars for the outputs (default: own Vars)"),
        ("input_scaling", "(offset, factor): the network sees (x - offset) / factor"),
        ("output_scaling", "(offset, factor): outputs are offset + factor * y"),
        ("output", "name(s) of inner ONNX tensors to use as outputs"),
    ):
        config.declare(name, ConfigValue(default=None, description=description))
    return config


def complete_containers(block, scalar, indexed, data):
    """Give Pyomo's generated classes their documentation and what they lack.

    Parameters
    ----------
    block, scalar, indexed : type
        ``ReLUNetworkBlock``, ``ScalarReLUNetworkBlock``, ``IndexedReLUNetworkBlock``.
    data : type
        ``ReLUNetworkBlockData``.
    """
    construct = block.__init__

    def __init__(self, *sets, **kwds):
        _check_positional(sets)
        construct(self, *sets, **kwds)

    kind = inspect.Parameter
    __init__.__doc__ = data.__doc__
    __init__.__signature__ = inspect.Signature(
        [kind("self", kind.POSITIONAL_ONLY), kind("sets", kind.VAR_POSITIONAL)]
        + [kind(name, kind.KEYWORD_ONLY, default=None) for name in block_keywords()]
    )
    block.__init__ = __init__
    block.__doc__ = scalar.__doc__ = indexed.__doc__ = data.__doc__
    for name in ("initialize", "forward_error", "summary", "pprint", "_repr_html_"):
        setattr(indexed, name, getattr(_AllMembers, name))
    indexed.refresh = data.refresh
    indexed.__getattr__ = _advise_member


def _advise_member(self, name):
    """Refuse what an indexed block has not; say where its members have it."""
    what = type(self).__name__
    text = f"'{what}' object has no attribute '{name}'"
    members = () if name.startswith("_") else self.values()
    if any(hasattr(member, name) for member in members):
        text = (
            f"'{what}' object has no attribute '{name}'. Its members have: write "
            f"{self.local_name}[{next(iter(self))!r}].{name}, for one index after the "
            "other"
        )
    raise AttributeError(text, name=name, obj=self)


def _check_positional(given):
    """Raise where a network or Vars stand where Pyomo has index sets."""
    for value in given:
        if isinstance(value, (Component, ComponentData)):
            keyword = "inputs" if value.ctype is Var else None
        elif is_one_item(value):
            keyword = "inputs"
        else:
            keyword = "network" if _means_a_network(value) else None
        if keyword is not None:
            raise ModelError(
                f"ReLUNetworkBlock: a {type(value).__name__} was given by position, "
                "where Pyomo takes index sets. Write ReLUNetworkBlock(network=..., "
                f"inputs=..., outputs=...); this belongs to {keyword}=."
            )


def _means_a_network(value):
    exporters = ("SerializeToString", "state_dict", "predict")
    return isinstance(
        value, (str, bytes, bytearray, os.PathLike, network_.Network)
    ) or any(hasattr(value, name) for name in exporters)


class _AllMembers:
    """Methods of an indexed network block: what its members have, for all at once.

    ``self`` is Pyomo's container, into whose class they are put.
    """

    def initialize(self: Any, x=None):
        """Set all members' variables to their networks' values.

        Parameters
        ----------
        x : mapping, optional
            Points by the members' index, each as ``initialize`` of a member takes it.
            Members that it leaves out, and all without it, start from their inputs'
            present values.

        Raises
        ------
        ModelError
            If ``x`` is no mapping or has a key that is no index, or a member cannot be
            initialized.
        """
        if x is not None:
            if not hasattr(x, "keys"):
                raise ModelError(
                    f"{self.name}: initialize takes a mapping from the block's index "
                    f"to points, not a {type(x).__name__}. For the same point "
                    f"everywhere: initialize({{i: x for i in {self.local_name}}})."
                )
            unknown = [key for key in x.keys() if key not in self]
            if unknown:
                raise ModelError(
                    f"{self.name}: there is no member {unknown[0]!r}; the index has "
                    f"{list(self)[:5]}."
                )
        given = {index: None if x is None else x.get(index, None) for index in self}
        initialize_blocks([(b, given_point(b, given[i])) for i, b in self.items()])

    def forward_error(self: Any):
        """The largest ``forward_error()`` of the active members; 0 without any."""
        active = [member for member in self.values() if member.active]
        return max((member.forward_error() for member in active), default=0.0)

    def summary(self: Any):
        """The members' summaries, one below the other."""
        return "\n\n".join(member.summary() for member in self.values())

    def pprint(self: Any, ostream=None, verbose=False, **kwds):
        """Print the members as ``pprint`` of each does, one below the other.

        Parameters
        ----------
        ostream : file, optional
            Default: standard output.
        verbose : bool
            If True all Vars and rows as Pyomo lists them.
        **kwds
            What ``Block.pprint`` takes besides.
        """
        if verbose:
            Block.pprint(self, ostream=ostream, **kwds)
            return
        stream = sys.stdout if ostream is None else ostream
        stream.write(f"{self.local_name} : Size={len(self)}\n")
        for member in self.values():
            member.pprint(ostream=StreamIndenter(cast(Any, stream)), **kwds)

    def _repr_html_(self: Any):
        return members_html(self)
