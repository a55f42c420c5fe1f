"""The walk over an ONNX graph: names, branches, functions, inputs."""
