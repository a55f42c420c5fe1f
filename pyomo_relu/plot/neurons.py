"""One neuron: its graph and the relaxation that bounds of its pre-activation leave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyomo_relu.analysis.arguments import records_of
from pyomo_relu.analysis.stability import common_network
from pyomo_relu.bounds.relaxation.curve_rows import lower_hull
from pyomo_relu.common.arguments import real, text, whole
from pyomo_relu.errors import BoundsError
from pyomo_relu.plot.style import BLACK, colour, legend_above, line, styled

if TYPE_CHECKING:
    from pyomo_relu.analysis.arguments import BoundsOrBlock
    from pyomo_relu.common.types import FloatArray


#: Width, relative to the bounds' size, below which an interval is drawn as a point.
_POINT = 1e-9


def relaxation(
    lower: float,
    upper: float,
    ceiling: float | None = None,
    ax: Any = None,
    label: str = "relaxation",
) -> Any:
    """A neuron and the relaxation that ``lower <= v <= upper`` leaves of it.

    It is the triangle that the big-M rows leave once the indicator may be fractional
    or, with a ceiling, the convex hull of the three pieces; both are the convex hull of
    the neuron's graph.

    Parameters
    ----------
    lower, upper : float
        Finite bounds L, U of the pre-activation v.
    ceiling : float, optional
        Of a clipped ReLU; default none.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.
    label : str
        Of the relaxation in the legend.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    BoundsError
        If the bounds are infinite or reversed, or the ceiling is not positive.
    MissingPackageError
        Without matplotlib, here and in all pictures.
    """
    top = math.inf if ceiling is None else real("ceiling", ceiling, BoundsError)
    if not top > 0:
        raise BoundsError(f"relaxation: the ceiling must be positive, not {top}.")
    ends, label = _ends("relaxation", lower, upper), text("label", label, BoundsError)
    with styled(ax) as ax:
        _draw(ax, {label: ends}, top)
        _mark_ends(ax, *ends)
        return ax


def neuron(
    bounds: Mapping[str, BoundsOrBlock] | BoundsOrBlock,
    layer: int,
    neuron: int,
    ax: Any = None,
) -> Any:
    """A network's neuron and the relaxations that bounds of several methods leave of it.

    Parameters
    ----------
    bounds : dict of str to NeuronBounds, NeuronBounds or ReLUNetworkBlock
        One record per method; a block stands for the bounds in force on it.
    layer, neuron : int
        From 0.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    BoundsError
        If there is no such neuron, or bounds are infinite or of several networks.
    """
    records = records_of("neuron: bounds", bounds)
    network = common_network(records)
    k, i = (
        whole(f"neuron: {what}", number, BoundsError)
        for what, number in (("layer", layer), ("neuron", neuron))
    )
    sizes = [la.size for la in network.activation_layers]
    if k >= len(sizes) or i >= sizes[k]:
        raise BoundsError(
            f"neuron: {network.name} has no neuron {i} in layer {k}; its layers, counted "
            f"from 0, have {sizes} neurons."
        )
    ends = {
        f"{method}: [{r.lower[k][i]:.3g}, {r.upper[k][i]:.3g}]": _ends(
            f"neuron: {method}", r.lower[k][i], r.upper[k][i]
        )
        for method, r in records.items()
    }
    with styled(ax) as ax:
        _draw(ax, ends, float(network.layers[k].ceilings[i]))
        return ax


def hull(lower: float, upper: float, ceiling: float = math.inf) -> FloatArray:
    """Corners of the convex hull of a neuron's graph over [lower, upper].

    Returns
    -------
    numpy.ndarray, shape (n, 2)
        Pairs (v, x), once around.
    """
    inner = [v for v in (0.0, ceiling) if lower < v < upper]
    v = np.unique([lower, *inner, upper])
    x = np.clip(v, 0.0, ceiling)
    below, above = lower_hull(v, x), lower_hull(v, -x)[::-1]
    around = [*below, *(i for i in above if i not in (below[0], below[-1]))]
    return np.column_stack([v, x])[around]


def _ends(what, lower, upper):
    lower, upper = (
        real(f"{what}: {name}", end, BoundsError)
        for name, end in (("lower", lower), ("upper", upper))
    )
    if not -math.inf < lower <= upper < math.inf:
        raise BoundsError(
            f"{what}: [{lower}, {upper}] is no finite interval, over which there is no "
            "relaxation to draw."
        )
    return lower, upper


def _draw(ax, relaxations, ceiling):
    from matplotlib.patches import Polygon

    before = ax.get_legend_handles_labels()[1]  # of earlier calls on these Axes
    others = len([label for label in before if label != "neuron"])
    widest = sorted(relaxations.items(), key=lambda item: item[1][0] - item[1][1])
    for label, ends in widest:
        i = others + list(relaxations).index(label)
        corners = hull(ends[0], ends[1], ceiling)
        ax.add_patch(
            Polygon(
                corners,
                facecolor=(colour(i), 0.25),
                edgecolor=colour(i),
                linestyle=line(i),
                linewidth=2,
                label=label,
                zorder=2,
            )
        )
    lower = min(ends[0] for ends in relaxations.values())
    upper = max(ends[1] for ends in relaxations.values())
    v = np.unique([v for v in (lower, 0.0, ceiling, upper) if lower <= v <= upper])
    x = np.clip(v, 0.0, ceiling)
    # bounds of an input without a range are a point but for their rounding
    around = max(1.0, abs(lower), abs(upper))
    point = {"marker": "o"} if upper - lower < _POINT * around else {}
    name = "neuron" if "neuron" not in before else None
    ax.plot(v, x, color=BLACK, label=name, zorder=3, **point)
    ax.autoscale_view()
    ax.margins(0.08)
    width = around if point else upper - lower
    if point:
        ax.set_xlim((lower + upper - width) / 2, (lower + upper + width) / 2)
    if np.ptp(x) < _POINT * width:  # flat: x in the units of v, and room for names
        ax.set_ylim(x[0] - 0.08 * width, x[0] + 0.92 * width)
    ax.set(xlabel="pre-activation v", ylabel="post-activation x")
    legend_above(ax)


def _mark_ends(ax, lower, upper):
    """Lines at L and U, named outside of the interval, where nothing is drawn."""
    for name, at, side in (("L", lower, -1), ("U", upper, 1)):
        ax.axvline(at, color="0.5", linestyle=":", linewidth=1.2, zorder=1)
        ax.annotate(
            f"{name} =\n{at:.4g}",
            (at, 0.5),
            (5 * side, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize="small",
        )
    if lower < upper:
        ax.margins(x=0.25)
