"""The input box from above: linear regions, cells, and boxes of a branch and bound."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from pyomo_relu.analysis.arguments import block_of
from pyomo_relu.analysis.regions.count import count_regions
from pyomo_relu.common.arguments import numbers
from pyomo_relu.common.wording import meant
from pyomo_relu.errors import BoundsError, ModelError
from pyomo_relu.plot.arguments import (
    check_dimension,
    entry,
    input_name,
    network_and_box,
    output_name,
)
from pyomo_relu.plot.style import BLACK, COLOUR_MAP, VERMILLION, roomy_ticks, styled

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.analysis.arguments import NetworkOrBlock
    from pyomo_relu.common.types import FloatArray

#: Points per axis, and levels of a contour.
_POINTS, _LEVELS = 201, 24


def regions(
    network: NetworkOrBlock,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    output: int = 0,
    max_regions: float = 20_000,
    ax: Any = None,
) -> Any:
    """A network's linear regions over its output, for one or two varying inputs.

    Parameters
    ----------
    network : Network or ReLUNetworkBlock
    lower, upper : float or array_like, shape (n_inputs,), optional
        Finite; default: the bounds of a block's inputs.
    output : int
        Position among the outputs.
    max_regions : int
        More than these are refused.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    BoundsError
        If the box is not finite, the number of varying inputs is not one or two, or
        there are more regions.
    """
    given = network
    network, box = network_and_box("regions", given, lower, upper)
    check_dimension("regions", network, box)
    count = count_regions(network, box.lower, box.upper, max_regions=max_regions)
    if not count.exact:
        raise BoundsError(
            f"regions: {network.name} has more than {max_regions} linear regions in the "
            "box. Give a smaller box, or a larger max_regions."
        )
    shapes = [
        region.vertices[:, box.free]
        for region in count.regions
        if region.vertices is not None
    ]
    return _over_network("regions", given, network, box, output, shapes, ax)


def cells(block: Any, output: int = 0, ax: Any = None) -> Any:
    """The cells into which ``relu.cells`` divided the box of a block's inputs.

    Parameters
    ----------
    block : ReLUNetworkBlock
        Encoded by ``relu.cells``; one or two inputs vary.
    output : int
        Position among the outputs.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TransformationError
        If the block is encoded otherwise, or not at all.
    """
    from pyomo.core.base import TransformationFactory

    block_of("cells: block", block)
    transformation: Any = TransformationFactory("relu.cells")
    return boxes(block, *transformation.get_cells(block), output=output, ax=ax)


def boxes(
    network: NetworkOrBlock,
    box_lower: ArrayLike,
    box_upper: ArrayLike,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    output: int = 0,
    ax: Any = None,
) -> Any:
    """Boxes of inputs over a network's output, such as those of a branch and bound.

    Parameters
    ----------
    network : Network or ReLUNetworkBlock
    box_lower, box_upper : array_like, shape (B, n_inputs)
        For example from ``visited_boxes``.
    lower, upper : float or array_like, shape (n_inputs,), optional
        The box to show; default: the bounds of a block's inputs.
    output : int
        Position among the outputs.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    BoundsError
        If shapes do not fit, or the number of varying inputs is not one or two.
    """
    given = network
    network, box = network_and_box("boxes", given, lower, upper)
    check_dimension("boxes", network, box)
    ends = [numbers("boxes: ends", end, BoundsError) for end in (box_lower, box_upper)]
    if ends[0].shape != ends[1].shape or ends[0].shape[1:] != (network.n_inputs,):
        raise BoundsError(
            f"boxes: the ends of the boxes must have shape (B, {network.n_inputs}), not "
            f"{ends[0].shape} and {ends[1].shape}."
        )
    shapes = []
    for lo, hi in zip(*(end[:, box.free] for end in ends), strict=True):
        if box.dimension == 1:
            shapes.append(np.array([lo, hi]))
        else:
            shapes.append(np.array([lo, [hi[0], lo[1]], hi, [lo[0], hi[1]]]))
    return _over_network("boxes", given, network, box, output, shapes, ax)


def visited_boxes(block: Any, **options: Any) -> tuple[FloatArray, FloatArray]:
    """The boxes that a branch and bound of a model looks at, as one network sees them.

    Runs ``relu.branch`` on the model that the block is in; its Vars stay as they are.

    Parameters
    ----------
    block : ReLUNetworkBlock
        Whose inputs are wanted.
    **options
        Of ``pyomo_relu.branch.BranchOptions``, such as ``mip_gap`` and ``time_limit``.

    Returns
    -------
    lower, upper : numpy.ndarray, shape (B, n_inputs)
        In the order in which they were bounded, after they were shrunk.

    Raises
    ------
    ModelError
        If the model is none that ``relu.branch`` solves, or an option is unknown.
    """
    from pyomo.common.collections import ComponentMap

    from pyomo_relu.branch.branch import BranchOptions, branch
    from pyomo_relu.branch.interface.read import read_model

    block_of("visited_boxes: block", block)
    known = [option.name for option in fields(BranchOptions)]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ModelError(
            f"visited_boxes: unknown option '{unknown[0]}'.{meant(unknown[0], known)} "
            f"There are {', '.join(known)}."
        )
    read: Any = read_model(block.model(), "visited_boxes")
    columns = ComponentMap((v, n) for n, v in enumerate(read.surrounding.variables))
    place = {int(column): n for n, column in enumerate(read.problem.columns)}
    at = np.array([place.get(columns[var], -1) for var in block.input_vars()])
    constant = [
        var.value if n < 0 else 0.0
        for var, n in zip(block.input_vars(), at, strict=True)
    ]
    found: list[Any] = [np.zeros((2, 0, at.size))]

    def visited(*ends):
        found.append(np.where(at >= 0, np.stack(ends)[..., at], constant))

    branch(read.problem, BranchOptions(**options), visited=visited)
    lower, upper = np.concatenate(found, axis=1)
    return lower, upper


def _over_network(what, given, network, box, output, shapes, ax):
    """Outlines of shapes over the contours of an output, or marks on its curve."""
    i = entry(f"{what}: output", output, network.n_outputs)
    axes = [np.linspace(box.lower[j], box.upper[j], _POINTS) for j in box.free]
    X = box.full_point(np.stack(np.meshgrid(*axes), -1).reshape(-1, box.dimension))
    Y = network.forward(X)[:, i]
    names = [input_name(given, j) for j in box.free]
    if box.dimension == 1:
        with styled(ax) as ax:
            ends = np.unique(np.concatenate(shapes)) if shapes else np.zeros(0)
            at = box.full_point(ends[:, None])
            ax.vlines(ends, Y.min(), network.forward(at)[:, i], color="0.6", lw=0.8)
            ax.plot(axes[0], Y, color=BLACK)
            ax.plot(ends, network.forward(at)[:, i], "o", color=VERMILLION, ms=5)
            ax.set(xlabel=names[0], ylabel=output_name(given, i))
            return ax
    from matplotlib.collections import PolyCollection

    with styled(ax, size=(6.8, 5.4)) as ax:
        Z = Y.reshape(axes[1].size, axes[0].size)
        levels = ax.contourf(*axes, Z, _LEVELS, cmap=COLOUR_MAP)
        bar = ax.figure.colorbar(levels, ax=ax, label=output_name(given, i))
        roomy_ticks(bar.ax)
        thin = 0.9 if len(shapes) < 400 else 0.5
        ax.add_collection(
            PolyCollection(
                shapes, facecolors="none", edgecolors="white", linewidths=thin
            )
        )
        ax.set(
            xlabel=names[0],
            ylabel=names[1],
            xlim=(axes[0][0], axes[0][-1]),
            ylim=(axes[1][0], axes[1][-1]),
        )
        return ax
