"""Networks as mathematical objects and how they are read; no Pyomo in here."""

from pyomo_relu.lazy import lazy_exports

_MODULES = {
    "budget": ["Budget"],
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
    "onnx_reader": ["load_onnx", "register_operator"],
}
_INTERNAL = {
    "onnx_digest": ["content_digest"],
    "onnx_registry": ["registry_state"],
    "rescale": ["LARGEST_FACTOR", "neurons_that_matter"],
}

__all__ = [name for names in _MODULES.values() for name in names]  # noqa: PLE0605
__getattr__, __dir__ = lazy_exports(__name__, _MODULES, _INTERNAL)
