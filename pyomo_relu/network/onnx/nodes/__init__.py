"""One ONNX node: its attributes, its values on arrays, how it is named in messages."""
