"""Good feasible points of models with networks, and branching on their inputs."""

from pyomo_relu.common.lazy import lazy_exports

_MODULES = {
    "ascent": ["minimise_over_box", "value_and_gradient"],
    "find": ["SearchResult", "find_point"],
    "points": ["polish"],
    "warmstart": ["WarmStart"],
}

__all__ = [name for names in _MODULES.values() for name in names]
__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
