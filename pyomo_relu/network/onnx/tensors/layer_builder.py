"""The layers of a network while its graph is read: added in order, equal ones shared."""

import numpy as np

from pyomo_relu.network.layer import INPUT, Layer, Source
from pyomo_relu.network.onnx import budget
from pyomo_relu.network.onnx.tensors.tensors import compact, entries
from pyomo_relu.network.root_sums import root_sums


class LayerBuilder:
    """Collects the layers of a network in graph order; equal ones are shared."""

    def __init__(self):
        self.layers = []
        self._known, self._shifted, self._sizes = {}, {}, []

    def add(self, tensor, activation, ceiling, name):
        """Append a layer with pre-activation ``tensor``; return its position."""
        sources = sorted(tensor.terms)
        weights = [compact(tensor.terms[s]) for s in sources]
        budget.check_time()
        for w in weights:
            budget.spend(entries(w), f"weights of layer '{name}', a matrix")
        self.layers.append(
            Layer(sources, weights, tensor.offset, activation, ceiling, name)
        )
        return len(self.layers) - 1

    def activate(self, tensor, ceiling, name):
        """Position of the layer that activates ``tensor``, added if it is new."""
        # reshaping keeps terms and offset, and so the layer
        key = (*_identity(tensor), None if ceiling is None else ceiling.tobytes())
        if key not in self._known:
            kind = "relu" if ceiling is None else "clipped"
            # the tensor is kept so that its ids stay taken
            self._known[key] = (self.add(tensor, kind, ceiling, name), tensor)
        return self._known[key][0]

    def shifted(self, tensor, by):
        """``tensor - by``, the same object whenever it is asked for again."""
        if not np.any(by):
            return tensor
        key = (*_identity(tensor), by.tobytes())
        if key not in self._shifted:
            self._shifted[key] = (tensor - by.reshape(tensor.shape), tensor)
        return self._shifted[key][0]

    def size(self, source):
        """About how large a source is, with inputs of about 1; see ``root_sums``.

        Returns
        -------
        numpy.ndarray, or a number where all entries are alike
        """
        for layer in self.layers[len(self._sizes) : source.layer + 1]:
            parts = [(w, self.size(s)) for s, w in layer.terms]
            self._sizes.append(root_sums(layer.bias, parts))
        if source.layer == INPUT:
            return 1.0
        size, layer = self._sizes[source.layer], self.layers[source.layer]
        return np.minimum(size, layer.ceilings) if source.post else size

    def drop_unread(self):
        """Take out the layers that nothing reads."""
        read = {len(self.layers) - 1}
        for k in range(len(self.layers) - 1, -1, -1):
            if k in read:
                read.update(s.layer for s in self.layers[k].sources)
        kept = [k for k in range(len(self.layers)) if k in read]
        if len(kept) == len(self.layers):
            return
        place = {INPUT: INPUT, **{k: p for p, k in enumerate(kept)}}
        self.layers = [_renumbered(self.layers[k], place) for k in kept]
        self._known = {
            key: (place[k], tensor)
            for key, (k, tensor) in self._known.items()
            if k in place
        }

    def activated(self):
        """Pairs (position of a layer, tensor that it activates)."""
        return list(self._known.values())


def _identity(tensor):
    return id(tensor.terms), id(tensor.offset)


def _renumbered(layer, place):
    sources = [Source(place[s.layer], s.post) for s in layer.sources]
    return layer.replace(sources=sources)
