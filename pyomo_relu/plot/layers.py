"""Bounds of a whole network: widths per layer and intervals per neuron, by method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyomo_relu.analysis.arguments import records_of
from pyomo_relu.analysis.stability import common_network
from pyomo_relu.common.arguments import whole
from pyomo_relu.errors import BoundsError
from pyomo_relu.plot.style import (
    colour,
    legend_above,
    line,
    logarithmic,
    marker,
    styled,
)

if TYPE_CHECKING:
    from pyomo_relu.analysis.arguments import BoundsOrBlock

#: Neurons that each get a tick.
_MOST_TICKS = 12


def bound_widths(
    bounds: Mapping[str, BoundsOrBlock] | BoundsOrBlock, ax: Any = None
) -> Any:
    """Mean width U - L of the pre-activation bounds per layer, one line per method.

    Parameters
    ----------
    bounds : dict of str to NeuronBounds, NeuronBounds or ReLUNetworkBlock
        One record per method, all of one network and box.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    BoundsError
        If the records belong to different networks or boxes, or there is none.
    """
    records = records_of("bound_widths: bounds", bounds)
    network = common_network(records)
    n = len(network.layers)
    with styled(ax) as ax:
        for j, (method, record) in enumerate(records.items()):
            widths = [record.mean_width(k) for k in range(n)]
            ax.plot(
                range(n),
                widths,
                color=colour(j),
                linestyle=line(j),
                marker=marker(j),
                label=method,
            )
        logarithmic(ax, "y")
        ax.set_xticks(range(n), [*map(str, range(n - 1)), "outputs"])
        ax.set(xlabel="layer", ylabel="mean width U - L of the bounds")
        ax.legend(title="bounds by")
        return ax


def bound_intervals(
    bounds: Mapping[str, BoundsOrBlock] | BoundsOrBlock, layer: int = 0, ax: Any = None
) -> Any:
    """The interval [L, U] of every neuron of a layer, one bar per method.

    Parameters
    ----------
    bounds : dict of str to NeuronBounds, NeuronBounds or ReLUNetworkBlock
        One record per method, best from the widest to the narrowest.
    layer : int
        From 0; the last one holds the outputs.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    BoundsError
        If there is no such layer, or the records do not belong together.
    """
    records = records_of("bound_intervals: bounds", bounds)
    network = common_network(records)
    k, last = (
        whole("bound_intervals: layer", layer, BoundsError),
        len(network.layers) - 1,
    )
    if k > last:
        raise BoundsError(
            f"bound_intervals: {network.name} has no layer {k}; layers are counted from "
            f"0 to {last}, and {last} holds the outputs."
        )
    at = np.arange(network.layers[k].size)
    step = 0.8 / len(records)
    with styled(ax, size=(8.5, 4.8)) as ax:
        for j, (method, record) in enumerate(records.items()):
            x = at + (j - (len(records) - 1) / 2) * step
            ax.bar(
                x,
                record.upper[k] - record.lower[k],
                0.9 * step,
                record.lower[k],
                color=colour(j),
                label=method,
            )
        ax.axhline(0, color="black", linewidth=1)
        ax.use_sticky_edges = False
        ax.autoscale_view()
        if at.size <= _MOST_TICKS:
            ax.set_xticks(at)
        else:
            ax.xaxis.get_major_locator().set_params(integer=True)
        output = k == last
        ax.set_xlabel("output" if output else f"neuron of layer {k}")
        ax.set_ylabel("output y" if output else "pre-activation v")
        legend_above(ax, min(len(records), 4), "bounds by")
        return ax
