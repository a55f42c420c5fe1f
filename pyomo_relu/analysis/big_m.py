"""Statistics of big-M coefficients per layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyomo_relu.analysis.arguments import records_of
from pyomo_relu.analysis.stability import common_network
from pyomo_relu.common.html import Table, Tabular

if TYPE_CHECKING:
    from pyomo_relu.analysis.arguments import BoundsOrBlock


@dataclass(frozen=True)
class LayerBigM:
    """Big-M figures of one layer.

    A neuron's big-M is ``max(|L|, |U|)``, its width ``U - L``.  Stable neurons need no
    big-M, so they are counted in ``size`` but not in ``mean`` and ``max`` (both None
    if no neuron of the layer is unstable); the mean width is over all neurons.
    """

    layer: int
    name: str
    size: int
    unstable: int
    mean: float | None
    max: float | None
    mean_width: float

    def to_dict(self) -> dict[str, Any]:
        """Plain figures."""
        return dict(vars(self))


@dataclass(frozen=True)
class BigMReport(Tabular):
    """Big-M figures per bound method and layer.

    Attributes
    ----------
    network : str
    layers : dict of str to tuple of LayerBigM
    """

    network: str
    layers: dict[str, tuple[LayerBigM, ...]]

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """One list of layers' figures per method."""
        return {
            method: [layer.to_dict() for layer in layers]
            for method, layers in self.layers.items()
        }

    def growth(self, method: str) -> float | None:
        """Mean factor by which the mean width grows from layer to layer.

        The geometric mean; None for fewer than two layers or a width of zero.
        """
        widths = [layer.mean_width for layer in self.layers[method]]
        if len(widths) < 2 or min(widths[0], widths[-1]) <= 0:
            return None
        return float((widths[-1] / widths[0]) ** (1 / (len(widths) - 1)))

    def _table(self) -> Table:
        names = ["layer", "size", "unstable", "mean", "max", "mean_width"]
        rows = [
            [method, *(getattr(layer, name) for name in names)]
            for method, layers in self.layers.items()
            for layer in layers
        ]
        header = [name.replace("_", " ") for name in names]
        caption = f"Big-M coefficients of {self.network}"
        return Table(caption, ["bounds", *header], rows)


def big_m_statistics(
    bounds: Mapping[str, BoundsOrBlock] | BoundsOrBlock,
) -> BigMReport:
    """Big-M figures per layer and bound method.

    Parameters
    ----------
    bounds : dict of str to NeuronBounds, NeuronBounds or ReLUNetworkBlock
        One record per method, all of the same network and input box.  A block stands
        for the bounds in force on it, here and in the dict.

    Returns
    -------
    BigMReport

    Raises
    ------
    BoundsError
        If the records belong to different networks or boxes, or there is none.
    """
    bounds = records_of("bounds", bounds)
    network = common_network(bounds)
    return BigMReport(
        network.name,
        {
            method: tuple(
                _layer(record, k) for k in range(len(network.activation_layers))
            )
            for method, record in bounds.items()
        },
    )


def _layer(bounds, k):
    big_m = np.maximum(np.abs(bounds.lower[k]), np.abs(bounds.upper[k]))
    big_m = big_m[bounds.unstable(k)]
    layer = bounds.network.layers[k]
    return LayerBigM(
        k,
        layer.name,
        layer.size,
        big_m.size,
        float(big_m.mean()) if big_m.size else None,
        float(big_m.max()) if big_m.size else None,
        bounds.mean_width(k),
    )
