"""What bounds say of neurons: post-activations, which ones are stable and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyomo_relu.common.types import BoolArray, FloatArray
    from pyomo_relu.network.network import Network


class NeuronStates:
    """States of neurons between bounds, of one box or of many.

    Attributes
    ----------
    network : Network
    lower, upper : sequence of numpy.ndarray, shapes (..., layer size)
        Pre-activation bounds, one array per layer, the outputs' last.
    """

    network: Network
    lower: Sequence[FloatArray]
    upper: Sequence[FloatArray]

    def post_bounds(self, k: int) -> tuple[FloatArray, FloatArray]:
        """Bounds of layer k's post-activation: ``activate`` of both ends."""
        activate = self.network.layers[k].activate
        return activate(self.lower[k]), activate(self.upper[k])

    def inactive(self, k: int) -> BoolArray:
        """Neurons of activation layer k that are stably inactive (upper <= 0)."""
        return self.upper[k] <= 0

    def active(self, k: int) -> BoolArray:
        """Stably active neurons: lower >= 0 and never above the ceiling."""
        active = (self.lower[k] >= 0) & ~self.inactive(k)
        ceiling = self.network.layers[k].ceiling
        return active if ceiling is None else active & (self.upper[k] <= ceiling)

    def at_ceiling(self, k: int) -> BoolArray:
        """Neurons that are always at their ceiling (clipped layers only)."""
        ceiling = self.network.layers[k].ceiling
        if ceiling is None:
            return np.zeros(self.lower[k].shape, dtype=bool)
        return (self.lower[k] >= ceiling) & ~self.inactive(k)

    def stable(self, k: int) -> BoolArray:
        """Neurons of activation layer k whose state is the same on the whole box."""
        return self.inactive(k) | self.active(k) | self.at_ceiling(k)

    def varying(self, k: int) -> BoolArray:
        """Neurons of activation layer k whose post-activation is no constant."""
        return ~(self.inactive(k) | self.at_ceiling(k))

    def unstable(self, k: int) -> BoolArray:
        """Neurons of activation layer k that need an activation indicator."""
        return ~self.stable(k)
