"""What the neurons can reach: bounds and the record of them; no Pyomo in here."""

from pyomo_relu.lazy import lazy_exports

_MODULES = {
    "neuron_bounds": ["NeuronBounds"],
    "relaxation": ["LinearModel"],
    "interval": ["interval_batch", "interval_bounds"],
}

__all__ = [name for names in _MODULES.values() for name in names]  # noqa: PLE0605
__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
