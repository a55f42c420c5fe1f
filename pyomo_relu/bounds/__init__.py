"""What the neurons can reach: bounds and the record of them."""

from pyomo_relu.common.lazy import lazy_exports

_MODULES = {
    "pyomo_relu.common.deadline": ["Deadline"],
    "pyomo_relu.linear.model": ["LinearModel"],
    "pyomo_relu.linear.embedded": ["EmbeddedNetwork"],
    "crown.crown": ["crown_batch", "crown_bounds", "layer_lines", "output_lines"],
    "crown.splitting": ["split_bounds"],
    "cells.pieces": ["affine_pieces"],
    "cells.partition": ["CellPartition"],
    "cells.relaxation": ["output_terms"],
    "cells.refinement": ["CellRefinement"],
    "relaxation.cuts": ["CutRounds"],
    "neuron_bounds": ["NeuronBounds"],
    "tightening": ["tighten", "tighten_model"],
    "refute": ["attained_range"],
    "clipping": ["clipped_bounds", "difference_network", "output_movement"],
    "crown.interval": ["interval_batch", "interval_bounds"],
}
_INTERNAL = {
    "infeasibility": ["infeasible_subset"],
    "resolution": ["largest_leak", "unresolved_rows"],
}

__all__ = [name for names in _MODULES.values() for name in names]
__getattr__, __dir__ = lazy_exports(__name__, _MODULES, _INTERNAL)
