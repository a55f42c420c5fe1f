"""Counts the linear regions of a network in its input box.

Two things are called a linear region.  An *activation region* is a full-dimensional set
of inputs on which no neuron changes its state.  The network is affine there, but two
activation regions may carry the same affine function (a neuron whose kink no output
sees).  All counts are of activation regions, as in the literature on formulations
(each has its own vector of binaries); ``RegionCount`` also gives the number of distinct
affine functions and of maximal connected pieces that share one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pyomo_relu.analysis.arguments import box_of, network_of, record_of
from pyomo_relu.analysis.regions import plane, search
from pyomo_relu.analysis.regions.cells import (
    Box,
    Maps,
    Region,
    check_limit,
    connected_pieces,
    distinct_maps,
)
from pyomo_relu.analysis.regions.limits import (
    sampled_patterns,
    theoretical_upper_bound,
)
from pyomo_relu.common.arguments import checked, flag, optional, real, whole
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.html import Table, Tabular
from pyomo_relu.common.progress import counting_bar
from pyomo_relu.errors import NetworkError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.analysis.arguments import BoundsOrBlock, NetworkOrBlock


METHODS = ("auto", "geometry", "lp", "sampling")


@dataclass(frozen=True)
class RegionCount(Tabular):
    """How many linear regions a network has in a box.

    Attributes
    ----------
    network : str
    method : {"geometry", "lp", "sampling"}
    lower_bound, upper_bound : int
        Of the number of activation regions.  Both are the number itself if ``exact``.
    exact : bool
        Whether the regions were found completely.
    n_functions : int or None
        Distinct affine functions among ``regions``.
    n_pieces : int or None
        Maximal connected sets of regions that share an affine function.
    n_unstable : int
        Neurons that were considered.
    seconds : float
    regions : tuple of Region
        Those found (none for "sampling"): for plotting and for teaching.
    """

    network: str
    method: str
    lower_bound: int
    upper_bound: int
    exact: bool
    n_functions: int | None
    n_pieces: int | None
    n_unstable: int
    seconds: float
    regions: tuple[Region, ...] = field(repr=False, default=())

    def to_dict(self) -> dict[str, Any]:
        """All figures, without the regions."""
        return {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name != "regions"
        }

    def _table(self) -> Table:
        rows = [[name.replace("_", " "), v] for name, v in self.to_dict().items()]
        caption = f"Linear regions of {self.network}"
        return Table(caption, ["linear regions", "value"], rows)


@checked(
    NetworkError,
    bounds=optional(record_of),
    max_regions=real,
    time_limit=optional(real),
    n_samples=whole,
    rational=flag,
    seed=whole,
    progress=flag,
)
def count_regions(
    network: NetworkOrBlock,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    bounds: BoundsOrBlock | None = None,
    method: Literal["auto", "geometry", "lp", "sampling"] = "auto",
    max_regions: float = 100_000,
    time_limit: float | None = None,
    n_samples: int = 100_000,
    rational: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> RegionCount:
    """Count the linear regions of ``network`` in the box ``lower <= x <= upper``.

    Parameters
    ----------
    network : Network or ReLUNetworkBlock
    lower, upper : float or array_like, shape (n_inputs,)
        Finite.  Default: the bounds of a block's inputs.  Inputs with equal bounds are
        fixed and do not count as dimensions.
    bounds : NeuronBounds, optional
        Proven on this box (or a larger one).  Neurons that they show to be stable are
        left out, which saves time and lowers the theoretical upper bound; the count is
        the same.
    method : {"auto", "geometry", "lp", "sampling"}
        "geometry" cuts the box up (one or two free inputs), "lp" walks from region to
        region through facets (any number), "sampling" counts patterns at random points.
        "auto" is "geometry" where possible, else "lp".
    max_regions : int
        Stop there: what was found is then a certified lower bound, and so is the
        number of patterns at ``n_samples`` random points; the larger one is given.
    time_limit : float, optional
        Stop after so many seconds, with the same meaning.
    n_samples : int
        Of "sampling", and of counts that were stopped.
    rational : bool
        Compute with fractions ("geometry" only): no rounding at all, but slow.
        Otherwise regions thinner than rounding errors (1e-12 relative; for "lp" a
        radius of 1e-8 of the box) are not seen.
    seed : int
        Of random points and directions.
    progress : bool
        Show how many regions are counted so far, with tqdm.

    Returns
    -------
    RegionCount

    Raises
    ------
    NetworkError
        If the method does not fit the network.
    BoundsError
        If the box is not finite, or ``bounds`` do not belong to network and box.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise NetworkError(
            f"unknown method {method!r:.80} to count linear regions; choose from "
            f"{METHODS}."
        )
    lower, upper = box_of("count_regions", network, lower, upper)
    network = network_of("count_regions: network", network, NetworkError)
    check_limit(max_regions, time_limit)
    deadline = Deadline(time_limit)
    box = Box(network, lower, upper)
    if method == "auto":
        method = "geometry" if box.dimension <= 2 else "lp"
    if rational and method != "geometry":
        raise NetworkError(
            f"{network.name}: rational arithmetic is only there for "
            f"method='geometry', not for '{method}'."
        )
    maps = Maps(network, box, bounds, exact=rational)
    regions, pairs, exact = [], None, False
    if method == "geometry":
        with counting_bar(progress, network.name, "regions") as tick:
            regions, pending = plane.subdivide(maps, max_regions, deadline, tick)
        found, exact = len(regions) + pending, pending == 0
        pairs = plane.neighbours(regions) if exact else None
    elif method == "lp":
        with counting_bar(progress, network.name, "regions") as tick:
            regions, pairs, exact = search.search(
                maps, max_regions, deadline, seed, tick
            )
        found = max(1, len(regions))
    else:
        found = 1
    if not exact:
        found = max(found, sampled_patterns(maps, n_samples, seed))
    labels = distinct_maps(regions) if exact else None
    upper_bound = found if exact else theoretical_upper_bound(maps)
    return RegionCount(
        network.name,
        method,
        found,
        upper_bound,
        exact or found == upper_bound,
        int(labels.max()) + 1 if labels is not None else None,
        connected_pieces(labels, pairs) if labels is not None else None,
        sum(len(set(index.tolist())) for index, _, _ in maps.cuts),
        deadline.elapsed(),
        tuple(regions),
    )
