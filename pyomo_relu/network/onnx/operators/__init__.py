"""The ONNX operators, a family each file."""
