"""The ONNX file run as it was given, and the network compared with it."""
