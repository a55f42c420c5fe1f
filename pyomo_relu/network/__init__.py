"""Networks as mathematical objects and how they are read."""

from pyomo_relu.common.lazy import lazy_exports

_MODULES = {
    "onnx.budget": ["Budget"],
    "layer": ["ACTIVE", "AT_CEILING", "INACTIVE", "INPUT", "Layer", "Source", "Tensor"],
    "network": ["Network"],
    "reduce": ["Reduction", "reduce_network"],
    "rescale": [
        "clip_network",
        "l1_factors",
        "l1_norm",
        "max_factors",
        "power_of_two",
        "rescale_network",
    ],
    "onnx.reader": ["load_onnx", "register_operator"],
}
_INTERNAL = {
    "onnx.digest": ["content_digest"],
    "onnx.registry": ["registry_state"],
    "rescale": ["LARGEST_FACTOR", "neurons_that_matter"],
}

__all__ = [name for names in _MODULES.values() for name in names]
__getattr__, __dir__ = lazy_exports(__name__, _MODULES, _INTERNAL)
