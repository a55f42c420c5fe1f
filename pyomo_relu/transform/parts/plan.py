"""What a formulation decides for all blocks before it encodes the first one."""

import contextlib
from dataclasses import dataclass

from pyomo.common.config import ConfigDict

from pyomo_relu import bounds as bounds_
from pyomo_relu.block.records.applications import Call
from pyomo_relu.block.records.bounds_in_force import bounds_in_force
from pyomo_relu.block.records.var_bounds import TightenedVars
from pyomo_relu.model.blocks import in_disjunct


@dataclass(frozen=True)
class Plan:
    """The decisions of one call; formulations that decide more derive from it.

    A transformation object keeps nothing of a call, so that it may be used again, and
    within itself.

    Attributes
    ----------
    config : ConfigDict
        The options.
    call : Call
    """

    config: ConfigDict
    call: Call

    @property
    def fixed_permanent(self):
        """The option ``assume_fixed_vars_permanent``."""
        return self.config.assume_fixed_vars_permanent

    def neuron_bounds(self, block):
        """The NeuronBounds in force on a block, its conditions checked once per call."""
        return bounds_in_force(block, self.fixed_permanent, self.call.reading)

    def crown_bounds(self, block):
        """CROWN's bounds for a block's present inputs, within those in force.

        Blocks of one network on one box share them.
        """
        bounds = self.neuron_bounds(block)
        return self.call.reading.computed(
            ("crown", bounds.content),
            lambda: bounds_.crown_bounds(
                bounds.network, bounds.input_lower, bounds.input_upper, bounds
            ),
        )


@contextlib.contextmanager
def outputs_bounded(reading):
    """Within this, ``note(block, bounds)`` bounds a block's own outputs.

    What is chosen for all blocks before any of them is encoded needs it: the inputs of
    a network may have no bounds but those that encoding another network gives them.
    All Vars get their bounds back at the end, and ``reading`` forgets what it knew.
    """
    tightened = TightenedVars()

    def note(block, bounds):
        # without its Disjunct a network says nothing about its outputs
        if not block.owns("outputs") or in_disjunct(block) is not None:
            return
        for var, lo, hi in zip(
            block.output_vars(), bounds.lower[-1], bounds.upper[-1], strict=True
        ):
            tightened.tighten(var, float(lo), float(hi))

    try:
        yield note
    finally:
        tightened.restore()
        reading.forget()
