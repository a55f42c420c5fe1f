"""What transformations leave on a network block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyomo.common.autoslots import AutoSlots
from pyomo.core.base.block import Block

from pyomo_relu.common.transaction import on_rollback

if TYPE_CHECKING:
    from pyomo_relu.block.records.bounds_runs import BoundsRun
    from pyomo_relu.block.records.encoding import Encoding
    from pyomo_relu.bounds.neuron_bounds import NeuronBounds
    from pyomo_relu.bounds.statistics import TighteningStatistics

_SCOPE = "pyomo_relu.block.records.record"


class BlockRecord(AutoSlots.Mixin):
    """What transformations leave on a network block; follows clones and pickles.

    A transaction that fails puts back what was there.

    Attributes
    ----------
    bounds : NeuronBounds or None
        Recorded by a bound method, valid on the input box it carries.
    model_bounds : NeuronBounds or None
        Valid at the model's feasible points while the conditions of the runs hold.
    statistics : TighteningStatistics or None
        Of the run that recorded the bounds.
    runs : list of BoundsRun
        Runs of bound methods in force, the last one last.
    encoding : Encoding or None
        What a formulation added.
    """

    __slots__ = ("bounds", "encoding", "model_bounds", "runs", "statistics")

    def __init__(self):
        self.bounds: NeuronBounds | None = None
        self.model_bounds: NeuronBounds | None = None
        self.statistics: TighteningStatistics | None = None
        self.runs: list[BoundsRun] = []
        self.encoding: Encoding | None = None

    def __setattr__(self, name, value):
        if hasattr(self, name):
            on_rollback(super().__setattr__, name, getattr(self, name))
        super().__setattr__(name, value)

    @property
    def has_bounds(self):
        """Whether anything is recorded that interval arithmetic does not give."""
        return bool(
            self.runs or self.bounds is not None or self.model_bounds is not None
        )

    def conditions(self):
        """The ModelConditions of all runs in force, each with those before it."""
        return tuple(run.conditions for run in self.runs if run.conditions is not None)


Block.register_private_data_initializer(BlockRecord, scope=_SCOPE)


def block_record(block) -> BlockRecord:
    """The BlockRecord of a network block; made when first asked for."""
    return block.private_data(_SCOPE)
