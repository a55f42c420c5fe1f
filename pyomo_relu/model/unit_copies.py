r"""Copies of Vars in unit range, ``x = offset + factor u``, beside the Vars themselves.

A solver's tolerances are absolute, so a pressure of 1e5 beside a mole fraction of 1e-4
leaves it rows that it cannot resolve.  Encodings are written over copies of such Vars.
All networks that read a Var share its copy: with a copy each, presolve may substitute
one copy by the Var and that by the other, and the rows are in the Var's units again.
"""

from typing import NamedTuple

from pyomo.common.autoslots import AutoSlots
from pyomo.common.collections import ComponentMap
from pyomo.common.modeling import unique_component_name
from pyomo.core.base.block import Block, ScalarBlock
from pyomo.core.base.constraint import Constraint
from pyomo.core.base.var import Var
from pyomo.core.expr.numeric_expr import LinearExpression

from pyomo_relu.block.block import ReLUNetworkBlockData
from pyomo_relu.common.transaction import on_rollback

_NAME = "_pyomo_relu_unit_copies"

#: Solvers drop coefficients of about 1e-9.
_SMALLEST_COEFFICIENT = 2.0**-24


class Copy(NamedTuple):
    """One copy, and how many encodings use it."""

    var: object
    link: object
    offset: float
    factor: float
    users: int


class UnitCopies(ScalarBlock):
    """The copies of one block's Vars that encodings in force use."""

    def __init__(self):
        super().__init__(concrete=True)
        self._copies = ComponentMap()

    def find(self, var):
        """(copy, offset, factor) of a Var, or None."""
        found = self._copies.get(var)
        return None if found is None else (found.var, found.offset, found.factor)

    def add_user(self, var, offset, factor, lower, upper):
        """The copy of a Var, made if it is not there; to be released once.

        Parameters
        ----------
        var : VarData
        offset, factor : float
            Those of an existing copy are kept.
        lower, upper : float
            Bounds of a new copy.

        Returns
        -------
        VarData
        """
        found = self._copies.get(var)
        if found is None:
            copy = Var(bounds=(lower, upper))
            self._put(var, Copy(copy, Constraint(), offset, factor, 0))
            # the row's tolerance is that of the copy, but solvers drop what is small
            scale = max(1.0 / factor, _SMALLEST_COEFFICIENT)
            row = LinearExpression(
                linear_coefs=[scale, -scale * factor], linear_vars=[var, copy]
            )
            found = self._copies[var]
            found.link.set_value((row, scale * offset))
        self._change(var, found._replace(users=found.users + 1))
        return found.var

    def release(self, var):
        """One user less; a copy without users goes."""
        found = self._copies[var]
        left = found.users - 1
        self._change(var, found._replace(users=left) if left else None)

    def n_copies(self):
        """How many Vars have a copy."""
        return len(self._copies)

    def _change(self, var, new):
        on_rollback(self._put, var, self._copies.get(var))
        self._put(var, new)

    def _put(self, var, new):
        """Make ``new`` the Copy of a Var; None for no copy."""
        old = self._copies.get(var)
        if old is not None and (new is None or new.var is not old.var):
            self.del_component(old.link)
            self.del_component(old.var)
            del self._copies[var]
        if new is not None:
            self._copies[var] = new
            if new.var.parent_block() is None:
                self.add_component(unique_component_name(self, "copy"), new.var)
                self.add_component(unique_component_name(self, "link"), new.link)


class _Beside(AutoSlots.Mixin):
    """What a block knows of the copies of its Vars."""

    __slots__ = ("copies",)

    def __init__(self):
        self.copies = None


Block.register_private_data_initializer(_Beside, scope=__name__)


def copies_beside(var):
    """The UnitCopies on the block that a Var lies on, or None."""
    return var.parent_block().private_data(__name__).copies


def copy_of(var):
    """(copy, offset, factor) of a Var, or None."""
    copies = copies_beside(var)
    found = None if copies is None else copies.find(var)
    return _copy_of_neuron(var) if found is None else found


def _copy_of_neuron(var):
    """Those of neurons are part of their network's encoding."""
    block = var.parent_block()
    if not isinstance(block, ReLUNetworkBlockData):
        return None
    encoding = block.record.encoding
    if encoding is None or encoding.neurons is None:
        return None
    return encoding.neurons.find(var)


def new_copies_beside(var):
    """As ``copies_beside``, made if it is not there."""
    block = var.parent_block()
    copies = copies_beside(var)
    if copies is None:
        copies = UnitCopies()
        on_rollback(_set_beside, block, None)
        _set_beside(block, copies)
    return copies


def release_copy(var):
    """One user of a Var's copy less; what nobody uses goes."""
    copies, block = copies_beside(var), var.parent_block()
    copies.release(var)
    if not copies.n_copies():
        on_rollback(_set_beside, block, copies)
        _set_beside(block, None)


def _set_beside(block, copies):
    """Make ``copies`` the UnitCopies on a block; None for none."""
    beside = block.private_data(__name__)
    if beside.copies is copies:
        return
    if beside.copies is not None:
        block.del_component(beside.copies)
    beside.copies = copies
    if copies is not None and copies.parent_block() is None:
        block.add_component(unique_component_name(block, _NAME), copies)
