"""CROWN's backward pass where each box has a network of its own, all of one architecture."""

import copy

from pyomo_relu.bounds.crown.backward import BackwardPass
from pyomo_relu.bounds.crown.lines import AffineMap


class StackedMap(AffineMap):
    """One layer's map of several networks; of a batch of boxes after ``on``.

    Parameters
    ----------
    stack : NetworkStack
        Of more than one network.
    k : int
        Position of the layer.

    Attributes
    ----------
    weights : list of numpy.ndarray, shapes (D, size, q)
    bias : numpy.ndarray, shape (D, size)
    """

    def __init__(self, stack, k):
        super().__init__(stack.first, k)
        self.weights, self.bias = stack.weights[k], stack.biases[k]

    def on(self, boxes):
        """The maps of some networks, or of some boxes of a batch."""
        other = copy.copy(self)
        other.__dict__.pop("abs_weights", None)
        other.weights = [w[boxes] for w in self.weights]
        other.bias = self.bias[boxes]
        return other


class StackedPass(BackwardPass):
    """Backward substitution for networks of one architecture.

    ``on`` gives what a batch of boxes is bounded with.

    Parameters
    ----------
    stack : NetworkStack
        Of more than one network.
    """

    def __init__(self, stack):
        super().__init__(stack.first)
        self.maps = [StackedMap(stack, k) for k in range(len(self.maps))]

    def on(self, which):
        """The BackwardPass over boxes of these networks.

        Parameters
        ----------
        which : numpy.ndarray of int, shape (B,)
            The network of each box.
        """
        other = copy.copy(self)
        other.maps = [amap.on(which) for amap in self.maps]
        return other
