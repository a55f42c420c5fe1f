"""What an ONNX file computes at points: onnxruntime on the bytes as they were given."""

import numpy as np

from pyomo_relu.network.onnx.budget import spending
from pyomo_relu.network.onnx.verification.runner import runner
from pyomo_relu.network.onnx.verification.verification import feeds, representable


class FileOutputs:
    """Evaluates a file whose network was read.

    Parameters
    ----------
    file : OnnxFile
    reader : GraphReader
        After its walk.
    network : Network
    """

    def __init__(self, file, reader, network):
        self._file, self._reader, self._network = file, reader, network
        self._run = None

    def rounded(self, X):
        """Points as the file's input types have them, float64, shape as ``X``."""
        return representable(self._reader, self._network, X)

    def towards(self, X, target):
        """The neighbours of representable points in a direction, of the input types."""
        step = self.rounded(np.nextafter(X, target))
        parts, start = [], 0
        for tensor in self._reader.inputs:
            part = slice(start, start + tensor.size)
            dtype = feeds(self._reader, X[0])[tensor.name].dtype
            if dtype.kind == "f":
                moved = np.nextafter(
                    X[:, part].astype(dtype), target[:, part].astype(dtype)
                )
                parts.append(moved.astype(float))
            else:
                parts.append(step[:, part])
            start += tensor.size
        return np.hstack(parts)

    def __call__(self, X):
        """Outputs of the file at representable points, shape (N, n_outputs)."""
        names = list(self._reader.output_names)
        if self._run is None:
            with spending(None):
                some = feeds(self._reader, X[0])
                self._run = runner(self._file, self._reader, names, some)
        rows = [
            np.concatenate([np.ravel(y) for y in self._run(feeds(self._reader, x))])
            for x in X
        ]
        return np.array(rows, dtype=float)
