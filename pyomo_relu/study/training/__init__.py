"""Training the study's networks: data, penalties, pruning, units of neurons, ONNX files."""
