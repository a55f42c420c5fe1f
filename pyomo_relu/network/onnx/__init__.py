"""Reading ONNX files into networks."""
