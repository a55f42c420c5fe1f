"""Values of many functions at many points: those of one network are evaluated at once."""

import numpy as np

#: Most entries of an array with a row per point and function.
_ENTRIES = 1 << 21


class Evaluation:
    """Values of functions that read none of each other's outputs.

    Parameters
    ----------
    functions : sequence
        See ``EmbeddedModel``.  Those with a ``network`` share its evaluation.
    """

    def __init__(self, functions):
        groups = {}
        for at, f in enumerate(functions):
            network = getattr(f, "network", None)
            groups.setdefault(at if network is None else network, []).append(f)
        self._groups = [_Group(g) for g in groups.values()]

    def __call__(self, X):
        """Yield (output columns, their values, shape (N, outputs)) at points.

        Parameters
        ----------
        X : numpy.ndarray, shape (N, n_columns)
        """
        for group in self._groups:
            yield group.outputs, group.values(X)


class _Group:
    """Functions of one network, or a single function."""

    def __init__(self, functions):
        self.first = functions[0]
        self.inputs = np.stack([f.inputs for f in functions])
        self.outputs = np.concatenate([f.outputs for f in functions])
        network = getattr(self.first, "network", None)
        sizes = [] if network is None else [layer.size for layer in network.layers]
        self._widest = max([1, self.inputs.shape[1], *sizes])

    def values(self, X):
        count, d = self.inputs.shape
        if count == 1:
            return self.first.values(X[:, self.inputs[0]])
        values = np.empty((len(X), self.outputs.size))
        step = max(1, _ENTRIES // (count * self._widest))
        for at in range(0, len(X), step):
            some = slice(at, at + step)
            inputs = X[some][:, self.inputs].reshape(-1, d)
            values[some] = self.first.values(inputs).reshape(-1, self.outputs.size)
        return values


def in_units(functions, columns):
    """The functions between columns divided by factors; equal networks stay one.

    Parameters
    ----------
    functions : sequence
    columns : numpy.ndarray, shape (n_columns,)
    """
    seen = {}
    return [
        f.in_units(columns, seen) if hasattr(f, "network") else f.in_units(columns)
        for f in functions
    ]
