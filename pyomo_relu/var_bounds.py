"""Tightening Var bounds so that they can be put back exactly; nothing is computed here."""

from pyomo.common.autoslots import AutoSlots
from pyomo.common.numeric_types import native_numeric_types


class TightenedVars(AutoSlots.Mixin):
    """Sides of Var bounds that were tightened, with what the modeller had declared.

    Only a side that gets tighter is touched.  A side that the modeller declared by an
    expression (a mutable Param) is left alone: a number would freeze it.
    """

    __slots__ = ("_sides",)

    def __init__(self):
        self._sides = []

    def tighten(self, var, lower, upper):
        """Tighten one Var; fixed Vars are left alone."""
        if var.fixed:
            return
        low, high = var.bounds
        if (low is None or lower > low) and lower != -float("inf"):
            self._set(var, 0, lower)
        if (high is None or upper < high) and upper != float("inf"):
            self._set(var, 1, upper)

    def _set(self, var, side, bound):
        # var.lower would mix in the domain, which is no declared bound
        declared = (var._lb, var._ub)[side]
        if declared is None or declared.__class__ in native_numeric_types:
            self._sides.append((var, side, declared, bound))
            (var.setlb, var.setub)[side](bound)

    def __iter__(self):
        """(var, side, declared bound) of every side; side 0 is the lower one."""
        return ((var, side, declared) for var, side, declared, _ in self._sides)

    def modellers(self, var_sides):
        """Fill {(id(var), side): bound} with what the modeller has in force.

        Called on the newest entries first: a side that still carries the bound set
        here has the declared one behind it, any other has been changed since.
        """
        for var, side, declared, bound in reversed(self._sides):
            current = var_sides.get((id(var), side), (var._lb, var._ub)[side])
            var_sides[id(var), side] = declared if current == bound else current

    def restore(self):
        """Put the declared bounds back, last change first.

        A side that somebody changed since then stays as it is.
        """
        for var, side, declared, bound in reversed(self._sides):
            if (var._lb, var._ub)[side] == bound:
                (var.setlb, var.setub)[side](declared)
        self._sides = []
