r"""Copies of Vars in unit range, ``x = offset + factor u``, beside the Vars themselves.

A solver's tolerances are absolute, so a pressure of 1e5 beside a mole fraction of 1e-4
leaves it rows that it cannot resolve.  Encodings are written over copies of such Vars.
All networks that read a Var share its copy: with a copy each, presolve may substitute
one copy by the Var and that by the other, and the rows are in the Var's units again.
"""

from pyomo.common.autoslots import AutoSlots
from pyomo.common.collections import ComponentMap
from pyomo.common.modeling import unique_component_name
from pyomo.core.base.block import Block, ScalarBlock
from pyomo.core.base.constraint import Constraint
from pyomo.core.base.set_types import Any
from pyomo.core.base.var import Var
from pyomo.core.expr.numeric_expr import LinearExpression

_NAME = "_pyomo_relu_unit_copies"

#: Solvers drop coefficients of about 1e-9.
_SMALLEST_COEFFICIENT = 2.0**-24


class UnitCopies(ScalarBlock):
    """The copies of one block's Vars that encodings in force use."""

    def __init__(self):
        super().__init__(concrete=True)
        self._found = ComponentMap()
        self.copy = Var(Any, dense=False)
        self.link = Constraint(Any)

    def find(self, var):
        """(copy, offset, factor) of a Var, or None."""
        found = self._found.get(var)
        return None if found is None else (self.copy[found[0]], *found[1:3])

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
        if var not in self._found:
            key = max((found[0] for found in self._found.values()), default=-1) + 1
            self._found[var] = [key, offset, factor, 0]
            copy = self.copy[key]
            copy.setlb(lower)
            copy.setub(upper)
            # the row's tolerance is that of the copy, but solvers drop what is small
            scale = max(1.0 / factor, _SMALLEST_COEFFICIENT)
            row = LinearExpression(
                linear_coefs=[scale, -scale * factor], linear_vars=[var, copy]
            )
            self.link[key] = (row, scale * offset)
        self._found[var][3] += 1
        return self.copy[self._found[var][0]]

    def release(self, var):
        """One user less; a copy without users goes, and the block with the last one."""
        found = self._found[var]
        found[3] -= 1
        if found[3]:
            return
        del self.link[found[0]]
        del self.copy[found[0]]
        del self._found[var]
        if not self._found:
            block = self.parent_block()
            block.private_data(__name__).copies = None
            block.del_component(self)


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
    return None if copies is None else copies.find(var)


def new_copies_beside(var):
    """As ``copies_beside``, made if it is not there."""
    block = var.parent_block()
    beside = block.private_data(__name__)
    if beside.copies is None:
        copies = UnitCopies()
        block.add_component(unique_component_name(block, _NAME), copies)
        beside.copies = copies
    return beside.copies
