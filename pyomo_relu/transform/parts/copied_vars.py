"""Copies of an encoded network's inputs and outputs: made, set, kept up with, released."""

from pyomo.common.autoslots import AutoSlots
from pyomo.common.dependencies import numpy as np

from pyomo_relu.block.records.var_bounds import ends
from pyomo_relu.model.unit_copies import (
    copies_beside,
    copy_of,
    new_copies_beside,
    release_copy,
)


class CopiedVars(AutoSlots.Mixin):
    """The ends of an encoded network that have copies, with their units.

    Parameters
    ----------
    units : UnitRange
    inputs, outputs : list of VarData
    """

    __slots__ = ("ends", "units")

    def __init__(self, units, inputs, outputs):
        self.units = units
        self.ends = [
            (side, j, variables[j], float(offset[j]), float(factor[j]))
            for side, variables, offset, factor in (
                ("input", inputs, units.input_offset, units.input_factor),
                ("output", outputs, units.output_offset, units.output_factor),
            )
            for j in np.flatnonzero((offset != 0) | (factor != 1)).tolist()
        ]

    def make(self, bounds, protected):
        """{(side, number): copy}: one more user of each.

        Parameters
        ----------
        bounds : NeuronBounds
            Of the network between the copies.
        protected : set of int
            ids of output Vars to which the bounds do not apply.
        """
        found = {}
        for end in self.ends:
            side, j, var, offset, factor = end
            limits = self._limits(bounds, end, protected)
            copies = new_copies_beside(var)
            found[side, j] = copies.add_user(var, offset, factor, *limits)
        return found

    @staticmethod
    def _limits(bounds, end, protected=()):
        """Bounds of a copy: the Var's, and those proven for the network."""
        side, j, var, offset, factor = end
        lower, upper = ((limit - offset) / factor for limit in ends(var))
        if side == "input":
            proven = bounds.input_lower[j], bounds.input_upper[j]
        else:
            proven = bounds.lower[-1][j], bounds.upper[-1][j]
        if id(var) in protected:
            return lower, upper
        return max(lower, float(proven[0])), min(upper, float(proven[1]))

    def release(self):
        """The copies have one user less."""
        for _, _, var, _, _ in self.ends:
            release_copy(var)

    def outdated(self, bounds):
        """Why the copies no longer stand for the Vars, or None."""
        for end in self.ends:
            side, _, var, _, _ = end
            if not copies_beside(var).active:
                return f"'{copies_beside(var).name}' was deactivated"
            if side == "input":
                continue  # the encoding's own box tells
            lower, upper = self._limits(bounds, end)
            low, high = ends(copy_of(var)[0])
            if low > lower or high < upper:
                return f"the bounds of '{var.name}' were widened"
        return None

    def set_start(self, x, y):
        """Set the copies to the values that belong to a point."""
        values = {"input": self.units.of_inputs(x), "output": self.units.of_outputs(y)}
        for side, j, var, _, _ in self.ends:
            copy_of(var)[0].set_value(float(values[side][j]), skip_validation=True)
