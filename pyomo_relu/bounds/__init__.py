"""What the neurons can reach: bounds and the record of them."""

from typing import TYPE_CHECKING

from pyomo_relu.common.lazy import lazy_exports

if TYPE_CHECKING:
    from pyomo_relu.bounds.crown.crown import crown_bounds
    from pyomo_relu.bounds.crown.interval import interval_bounds
    from pyomo_relu.bounds.crown.splitting import split_bounds
    from pyomo_relu.bounds.crown.splitting_cells import SplitResult
    from pyomo_relu.bounds.neuron_bounds import NeuronBounds
    from pyomo_relu.bounds.obbt.layerwise import lp_obbt
    from pyomo_relu.bounds.obbt.milp import milp_obbt
    from pyomo_relu.bounds.obbt.options import TighteningOptions
    from pyomo_relu.bounds.statistics import TighteningStatistics
    from pyomo_relu.bounds.tightening import tighten
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "crown.crown": ["crown_bounds"],
            "crown.interval": ["interval_bounds"],
            "crown.splitting": ["split_bounds"],
            "crown.splitting_cells": ["SplitResult"],
            "neuron_bounds": ["NeuronBounds"],
            "obbt.layerwise": ["lp_obbt"],
            "obbt.milp": ["milp_obbt"],
            "obbt.options": ["TighteningOptions"],
            "statistics": ["TighteningStatistics"],
            "tightening": ["tighten"],
        },
    )

__all__ = [
    "NeuronBounds",
    "SplitResult",
    "TighteningOptions",
    "TighteningStatistics",
    "crown_bounds",
    "interval_bounds",
    "lp_obbt",
    "milp_obbt",
    "split_bounds",
    "tighten",
]
