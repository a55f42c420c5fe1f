"""Bounds that networks get from networks before them."""

import contextlib

from pyomo_relu.block.var_bounds import TightenedVars
from pyomo_relu.model.blocks import in_disjunct


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
