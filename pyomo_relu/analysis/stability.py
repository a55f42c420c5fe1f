"""How many neurons each bound method proves stable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyomo_relu.analysis.arguments import records_of
from pyomo_relu.common.html import Table, Tabular
from pyomo_relu.errors import BoundsError

if TYPE_CHECKING:
    from pyomo_relu.analysis.arguments import BoundsOrBlock


@dataclass(frozen=True)
class LayerStability:
    """Numbers of neurons of one layer by their state over the input box."""

    layer: int
    name: str
    size: int
    active: int
    inactive: int
    at_ceiling: int

    @property
    def stable(self) -> int:
        """Number of neurons whose state is the same on the whole box."""
        return self.active + self.inactive + self.at_ceiling

    @property
    def unstable(self) -> int:
        """Number of neurons that need an activation indicator."""
        return self.size - self.stable

    def to_dict(self) -> dict[str, Any]:
        """Plain figures, with the share of stable neurons."""
        share = self.stable / self.size
        return {**vars(self), "stable": self.stable, "share": share}


@dataclass(frozen=True)
class StabilityReport(Tabular):
    """Stable neurons per bound method and layer.

    Attributes
    ----------
    network : str
    layers : dict of str to tuple of LayerStability
        One entry per method, in the order given.
    """

    network: str
    layers: dict[str, tuple[LayerStability, ...]]

    def stable(self, method: str) -> int:
        """Number of neurons that ``method`` proves stable."""
        return sum(layer.stable for layer in self.layers[method])

    def share(self, method: str) -> float:
        """Share of stable neurons under ``method``, in [0, 1]; 1 without neurons."""
        size = sum(layer.size for layer in self.layers[method])
        return self.stable(method) / size if size else 1.0

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """One entry per method: totals and the layers' figures."""
        return {
            method: {
                "network": self.network,
                "stable": self.stable(method),
                "unstable": sum(layer.unstable for layer in layers),
                "share": self.share(method),
                "layers": [layer.to_dict() for layer in layers],
            }
            for method, layers in self.layers.items()
        }

    def _table(self) -> Table:
        names = ["size", "active", "inactive", "at_ceiling", "stable", "unstable"]
        rows = []
        for method, layers in self.layers.items():
            for layer in layers:
                figures = [getattr(layer, name) for name in names]
                share = f"{layer.stable / layer.size:.0%}"
                rows.append([method, layer.layer, *figures, share])
            totals = [sum(getattr(la, name) for la in layers) for name in names]
            rows.append([method, "all", *totals, f"{self.share(method):.0%}"])
        header = [name.replace("_", " ") for name in names]
        header = ["bounds", "layer", *header, "share"]
        return Table(f"Stable neurons of {self.network}", header, rows)


def stability(
    bounds: Mapping[str, BoundsOrBlock] | BoundsOrBlock,
) -> StabilityReport:
    """Count stable neurons per bound method.

    Parameters
    ----------
    bounds : dict of str to NeuronBounds, NeuronBounds or ReLUNetworkBlock
        One record per method, all of the same network and input box.  A block stands
        for the bounds in force on it, here and in the dict.

    Returns
    -------
    StabilityReport

    Raises
    ------
    BoundsError
        If the records belong to different networks or boxes, or there is none.
    """
    bounds = records_of("bounds", bounds)
    network = common_network(bounds)
    layers = {}
    for method, record in bounds.items():
        layers[method] = tuple(
            LayerStability(
                k,
                layer.name,
                layer.size,
                int(record.active(k).sum()),
                int(record.inactive(k).sum()),
                int(record.at_ceiling(k).sum()),
            )
            for k, layer in enumerate(network.activation_layers)
        )
    return StabilityReport(network.name, layers)


def common_network(bounds):
    """The network that all records belong to, which must share the input box."""
    if not bounds:
        raise BoundsError("no bounds given: pass {method: NeuronBounds}.")
    first_method, first = next(iter(bounds.items()))
    for method, record in bounds.items():
        if record.network != first.network:
            raise BoundsError(
                f"the bounds '{method}' belong to {record.network.name}, those of "
                f"'{first_method}' to {first.network.name}: compare one network only."
            )
        same = (record.input_lower == first.input_lower).all() and (
            record.input_upper == first.input_upper
        ).all()
        if not same:
            raise BoundsError(
                f"{first.network.name}: the bounds '{method}' and '{first_method}' were "
                "proven on different input boxes. Compute both on the same box."
            )
    return first.network
