"""What the neurons can reach: bounds and the record of them; no Pyomo in here."""

from pyomo_relu.lazy import lazy_exports

_MODULES = {
    "crown": ["crown_batch", "crown_bounds", "layer_lines", "output_lines"],
    "splitting": ["split_bounds"],
    "cell_pieces": ["affine_pieces"],
    "cells": ["CellPartition"],
    "cells_model": ["output_terms"],
    "cells_refinement": ["CellRefinement"],
    "cuts": ["CutRounds"],
    "deadline": ["Deadline"],
    "neuron_bounds": ["NeuronBounds"],
    "progressive": ["tighten", "tighten_model"],
    "refute": ["attained_range"],
    "relaxation_model": ["EmbeddedNetwork"],
    "relaxation_linear": ["LinearModel"],
    "clipping": ["clipped_bounds", "difference_network", "output_movement"],
    "interval": ["interval_batch", "interval_bounds"],
}
_INTERNAL = {
    "infeasibility": ["infeasible_subset"],
    "resolution": ["largest_leak", "unresolved_rows"],
}

__all__ = [name for names in _MODULES.values() for name in names]  # noqa: PLE0605
__getattr__, __dir__ = lazy_exports(__name__, _MODULES, _INTERNAL)
