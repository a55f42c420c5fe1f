"""A network over its box: its graph, lines, relaxations and convex envelope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyomo_relu.analysis.arguments import record_of
from pyomo_relu.bounds.crown.crown import crown_bounds, output_lines
from pyomo_relu.bounds.neuron_bounds import NeuronBounds
from pyomo_relu.common.arguments import vector, whole
from pyomo_relu.errors import BoundsError
from pyomo_relu.plot.arguments import (
    check_dimension,
    entry,
    input_name,
    network_and_box,
    output_name,
)
from pyomo_relu.plot.linear_ranges import (
    convex_envelope,
    encoded_rows,
    is_encoded,
    ranges_along,
    relaxed_network,
)
from pyomo_relu.plot.style import (
    BLACK,
    BLUE,
    COLOUR_MAP,
    VERMILLION,
    colour,
    legend_above,
    line,
    styled,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.analysis.arguments import BoundsOrBlock, NetworkOrBlock

#: Points per axis of a curve and of a surface.
_CURVE, _SURFACE = 401, 61


def crown_lines(
    network: NetworkOrBlock,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    output: int = 0,
    ax: Any = None,
) -> Any:
    """A network and the linear functions that CROWN proves below and above it.

    Parameters
    ----------
    network : Network or ReLUNetworkBlock
    lower, upper : float or array_like, shape (n_inputs,), optional
        Finite; default: the bounds of a block's inputs.  One or two inputs may vary:
        of one, curves; of two, surfaces in three dimensions.
    output : int
        Position among the outputs.
    ax : matplotlib.axes.Axes, optional
        With ``projection="3d"`` for two inputs.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    BoundsError
        If the box is not finite, none or more than two inputs vary, or there is no
        such output.
    """
    given = network
    network, box = network_and_box("crown_lines", given, lower, upper)
    check_dimension("crown_lines", network, box)
    i = entry("crown_lines: output", output, network.n_outputs)
    bounds = crown_bounds(network, box.lower, box.upper)
    lines = output_lines(
        network,
        box.lower[None],
        box.upper[None],
        [a[None] for a in bounds.lower],
        [a[None] for a in bounds.upper],
    )
    (A_low, c_low, A_high, c_high) = (part[0][i] for part in lines)
    names = [input_name(given, j) for j in box.free]
    if box.dimension == 1:
        X = box.full_point(np.linspace(*_ends(box, 0), _CURVE)[:, None])
        x = X[:, box.free[0]]
        with styled(ax) as ax:
            low, high = X @ A_low + c_low, X @ A_high + c_high
            ax.fill_between(x, low, high, color=BLUE, alpha=0.15, linewidth=0)
            ax.plot(x, high, color=VERMILLION, linestyle="--", label="line above")
            ax.plot(x, network.forward(X)[:, i], color=BLACK, label="network")
            ax.plot(x, low, color=BLUE, linestyle="-.", label="line below")
            ax.set(xlabel=names[0], ylabel=output_name(given, i))
            ax.legend()
            return ax
    grid = np.meshgrid(*(np.linspace(*_ends(box, j), _SURFACE) for j in (0, 1)))
    X = box.full_point(np.stack(grid, -1))
    Y = network.forward(X.reshape(-1, network.n_inputs))[:, i].reshape(grid[0].shape)
    with styled(ax, "3d", (7.5, 6.2)) as ax:
        ax.plot_surface(*grid, Y, cmap=COLOUR_MAP, rcount=_SURFACE, ccount=_SURFACE)
        for label, A, c, shade in (
            ("plane above", A_high, c_high, VERMILLION),
            ("plane below", A_low, c_low, BLUE),
        ):
            plane = X @ A + c
            flat = {"shade": False, "rcount": 2, "ccount": 2}
            ax.plot_surface(*grid, plane, color=shade, alpha=0.2, label=label, **flat)
            around = [_border(part) for part in (*grid, plane)]
            ax.plot(*around, color=shade, linewidth=2)
        ax.view_init(elev=14, azim=-55)
        ax.set_xlabel(names[0], labelpad=10)
        ax.set_ylabel(names[1], labelpad=10)
        ax.set_zlabel(output_name(given, i), labelpad=10)
        ax.legend(loc="upper left")
        return ax


def _border(grid):
    """The values along the border of a grid, once around."""
    sides = grid[0], grid[:, -1], grid[-1, ::-1], grid[::-1, 0]
    return np.concatenate(sides)


def relaxation_slice(
    bounds: Mapping[str, BoundsOrBlock] | BoundsOrBlock,
    input: int = 0,
    output: int = 0,
    at: ArrayLike | None = None,
    points: int = 61,
    ax: Any = None,
) -> Any:
    """A network along one input, its linear relaxations, and its convex envelope.

    The relaxations are those of the whole box; the picture is a cut through them and
    the network, along one input, the others staying where ``at`` is.  Between the
    lines of a relaxation lies all that a MILP solver knows at its root.

    Parameters
    ----------
    bounds : dict of str to NeuronBounds or ReLUNetworkBlock, or one of these
        What to compare, by the label in the legend.  A NeuronBounds stands for the
        big-M relaxation with these bounds; a block for the linear relaxation of the
        rows that its formulation wrote (without those of the model around it) or,
        without a formulation, for the big-M one with the bounds in force.
    input, output : int
        Positions among the network's inputs and outputs.
    at : array_like, shape (n_inputs,), optional
        Where the other inputs are; default: the centre of the box.
    points : int
        At which two linear programmes are solved per relaxation.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        The envelopes (the convex one below, the concave one above) are drawn where at
        most two inputs vary: they need all linear regions.

    Raises
    ------
    BoundsError
        If records belong to different networks or boxes, the input does not vary,
        ``at`` lies outside the box, or there is no such output.
    """
    given = bounds if isinstance(bounds, Mapping) else {"relaxation": bounds}
    if not given:
        raise BoundsError("relaxation_slice: no bounds given: pass {label: bounds}.")
    records = {
        label: record_of(f"relaxation_slice: bounds[{label!r}]", one)
        for label, one in given.items()
    }
    first = next(iter(records.values()))
    network, box = _common("relaxation_slice", records)
    j = entry("relaxation_slice: input", input, network.n_inputs)
    i = entry("relaxation_slice: output", output, network.n_outputs)
    whole("relaxation_slice: points", points, BoundsError, least=2)
    if j not in box.free:
        raise BoundsError(f"relaxation_slice: input {j} has one value only in the box.")
    centre = (box.lower + box.upper) / 2 if at is None else at
    where = vector("relaxation_slice: at", centre, network.n_inputs, BoundsError)
    if not first.covers(where, where):
        raise BoundsError(
            f"relaxation_slice: at={where.tolist()} lies outside the box."
        )
    X = np.repeat(where[None], points, axis=0)
    X[:, j] = np.linspace(box.lower[j], box.upper[j], points)
    fine = np.repeat(where[None], _CURVE, axis=0)
    fine[:, j] = np.linspace(box.lower[j], box.upper[j], _CURVE)
    envelope = convex_envelope(network, box, i, X)
    one = next(iter(given.values()))
    with styled(ax) as ax:
        for n, (label, item) in enumerate(given.items()):
            model = (
                encoded_rows(item, i)
                if is_encoded(item)
                else relaxed_network(records[label], i)
            )
            ends = ranges_along(model, X)
            ax.fill_between(X[:, j], *ends, color=colour(n), alpha=0.12, linewidth=0)
            for side, end in enumerate(ends):
                ax.plot(
                    X[:, j],
                    end,
                    color=colour(n),
                    linestyle=line(n + 1),
                    label="_" if side else label,
                )
        if envelope is not None:
            for side, end in enumerate(envelope):
                ax.plot(
                    X[:, j],
                    end,
                    color="0.45",
                    linestyle="-",
                    linewidth=1.8,
                    label="_" if side else "convex and concave envelope",
                )
        ax.plot(fine[:, j], network.forward(fine)[:, i], color=BLACK, label="network")
        ax.set(xlabel=input_name(one, j), ylabel=output_name(one, i))
        legend_above(ax)
        return ax


def _common(what, records):
    """The network and box that all records share."""
    from pyomo_relu.analysis.regions.cells import Box
    from pyomo_relu.analysis.stability import common_network

    network = common_network(records)
    first: NeuronBounds = next(iter(records.values()))
    return network, Box(network, first.input_lower, first.input_upper)


def _ends(box, position):
    j = box.free[position]
    return box.lower[j], box.upper[j]
