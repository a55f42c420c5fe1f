"""An ONNX model in memory: files, external data, what a model claims to be."""
