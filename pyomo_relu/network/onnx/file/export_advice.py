"""The export call to name when a model is handed in that is not ONNX yet."""

import os
from collections.abc import Mapping

_TORCH = 'torch.onnx.export(model, (example_input,), "net.onnx", dynamo=True)'
_KERAS = (
    'model.export("net.onnx", format="onnx") (Keras 3) or '
    'tf2onnx.convert.from_keras(model, output_path="net.onnx")'
)
_SKLEARN = "skl2onnx.to_onnx(model, X[:1].astype('float32'))"

_PICKLE = (
    f"a pickled model: load it and export it, from scikit-learn with {_SKLEARN}, from "
    f"PyTorch with {_TORCH}"
)
_CHECKPOINT = (
    "a PyTorch checkpoint: build the module, load the weights (load_state_dict), call "
    f"model.eval() and {_TORCH}"
)
_TENSORFLOW = (
    "a TensorFlow model: python -m tf2onnx.convert --{} {} --output net.onnx writes it "
    "as ONNX"
)

#: Path ending -> what the file is, and how to export it.
_ENDINGS = {
    ".pt": _CHECKPOINT,
    ".pth": _CHECKPOINT,
    ".ckpt": _CHECKPOINT,
    ".pt2": f"an exported PyTorch program: torch.export.load it and {_TORCH}",
    ".safetensors": _CHECKPOINT,
    ".h5": f"a Keras model: keras.models.load_model it and {_KERAS}",
    ".hdf5": f"a Keras model: keras.models.load_model it and {_KERAS}",
    ".keras": f"a Keras model: keras.models.load_model it and {_KERAS}",
    ".pkl": _PICKLE,
    ".pickle": _PICKLE,
    ".joblib": _PICKLE,
    ".tflite": _TENSORFLOW.format("tflite", "net.tflite"),
    ".pb": _TENSORFLOW.format("saved-model", "FOLDER"),
    ".mat": (
        "a MATLAB file: exportONNXNetwork(net, 'net.onnx') in MATLAB writes a network "
        "as ONNX; weight matrices can be handed to pyomo_relu.Network.sequential"
    ),
}

#: Modules of the classes of PyTorch's tensors.
_TENSORS = ("torch", "torch.nn.parameter")

#: First part of a class's module -> how to export its objects.
_PACKAGES = {
    "torch": f"Call model.eval() and export it with {_TORCH}",
    "keras": f"Export it with {_KERAS}",
    "tf_keras": f"Export it with {_KERAS}",
    "tensorflow": f"Export it with {_KERAS}",
    "sklearn": f"Export it with {_SKLEARN}",
    "flax": "Export it with jax2onnx.to_onnx",
    "equinox": "Export it with jax2onnx.to_onnx",
    "jax": "Export it with jax2onnx.to_onnx",
    "onnx_ir": "Pass onnx_ir.to_proto(model)",
    "onnxruntime": "Pass the path of the file that it runs",
}


def advice_for_path(path):
    """ " It seems to be ...", or "" if the path's ending says nothing."""
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if os.path.isfile(os.path.join(path, "saved_model.pb")):
        ending = ".pb"
    return f" It seems to be {_ENDINGS[ending]}." if ending in _ENDINGS else ""


def advice_for_object(source):
    """ " Export it with ...", or "" for an object that is no model."""
    for cls in type(source).__mro__:
        package = (cls.__module__ or "").split(".")[0]
        if package in _PACKAGES:
            return f" {_PACKAGES[package]}."
    parts = source.values() if isinstance(source, Mapping) else ()
    if any(type(v).__module__ in _TENSORS for v in parts):
        return f" It seems to be {_CHECKPOINT}."
    if hasattr(source, "state_dict"):
        return f" {_PACKAGES['torch']}."
    if hasattr(source, "predict"):
        return f" {_PACKAGES['sklearn']}, or with the converter of its library."
    return ""
