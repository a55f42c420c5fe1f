"""Input splitting: bounds over cells of the input box; each cell's bounds are CROWN's."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Literal

import numpy as np

from pyomo_relu.bounds.box_bounds import BoundsOfBoxes
from pyomo_relu.bounds.crown.backward import BackwardPass
from pyomo_relu.bounds.crown.crown import bound_layers, crown_bounds
from pyomo_relu.bounds.crown.splitting_cells import CellSplitting
from pyomo_relu.bounds.neuron_bounds import check_box
from pyomo_relu.common.arguments import checked, optional, seconds
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.matrices import slices
from pyomo_relu.errors import BoundsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.bounds.crown.splitting_cells import SplitResult
    from pyomo_relu.bounds.neuron_bounds import NeuronBounds
    from pyomo_relu.network.network import Network


#: Boxes, or cells of a round, times neurons that are bounded together.
_TOGETHER = 1 << 18


@checked(BoundsError, time_limit=optional(seconds))
def split_bounds(
    network: Network,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    max_cells: int = 4096,
    time_limit: float | None = None,
    start: NeuronBounds | None = None,
    neurons: Literal["all", "unstable", "outputs"] = "all",
    tolerance: float = 0.02,
) -> SplitResult:
    """Bounds by branching the input box into cells.

    A neuron's bound over the box is the worst of its bounds over the cells, so only the
    cells that attain it need splitting, and none once it lies within ``tolerance`` of a
    value attained at some point.  Each round splits the cells with the largest excess
    over that, each across the input with the largest influence (the inputs' coefficients
    in CROWN's lines of what is still open, times the edge's length), and bounds all
    halves in one batch, starting from their parents' bounds.

    Parameters
    ----------
    network : Network
    lower, upper : array_like, shape (n_inputs,), or numbers
        The input box; finite.
    max_cells : int
        The most cells to keep.
    time_limit : float, optional
        Seconds after which no further round starts.
    start : NeuronBounds, optional
        Bounds already proven on a box that contains this one.
    neurons : {"all", "unstable", "outputs"}
        What drives the splitting: every neuron, the outputs and the neurons still
        unstable, or the outputs only.
    tolerance : float
        Excess allowed on either side, relative to the range attained; a twentieth of
        that while a sign is open that no sampled point contradicts.

    Returns
    -------
    SplitResult

    Raises
    ------
    BoundsError
        If the box is infinite, reversed or of the wrong shape, or an option is invalid.
    """
    deadline = Deadline(time_limit)
    lowers, uppers = check_box(network, lower, upper)
    base = crown_bounds(network, lowers[0], uppers[0], start)
    bases = BoundsOfBoxes.of([base])
    _check(max_cells, neurons, tolerance)
    kernel = BackwardPass(network)
    splitting = CellSplitting(kernel, bases, int(max_cells), neurons, tolerance)
    _run(kernel, splitting, deadline)
    return splitting.result(base, _unions(splitting, bases).records()[0])


def split_several(bases, max_cells, deadline, neurons="all", tolerance=0.02):
    """Bounds as of ``split_bounds`` over several boxes of one network, in batches.

    Parameters
    ----------
    bases : BoundsOfBoxes
        CROWN's.
    max_cells : int
        Per box.
    deadline : Deadline
    neurons, tolerance
        See ``split_bounds``.

    Returns
    -------
    BoundsOfBoxes
        What each box gets alone, up to rounding, as long as there is time.
    """
    _check(max_cells, neurons, tolerance)
    kernel, parts = BackwardPass(bases.network), []
    for part in slices(len(bases), _TOGETHER // (kernel.network.n_neurons + 1)):
        some = bases[part]
        splitting = CellSplitting(kernel, some, int(max_cells), neurons, tolerance)
        _run(kernel, splitting, deadline)
        union = _unions(splitting, some)
        parts.append(some.intersect(union.lower, union.upper, "split"))
    return BoundsOfBoxes.joined(parts)


def _check(max_cells, neurons, tolerance):
    if not isinstance(neurons, str) or neurons not in ("all", "unstable", "outputs"):
        raise BoundsError(
            f"neurons={neurons!r:.80}: splitting is driven by 'all' neurons, by the "
            "'unstable' ones and the outputs, or by the 'outputs'."
        )
    numbers_ = all(isinstance(a, Real) for a in (max_cells, tolerance))
    if not numbers_ or not 1 <= max_cells < np.inf or not tolerance >= 0:
        raise BoundsError(
            f"max_cells={max_cells!r:.40} must be a number of at least 1 and "
            f"tolerance={tolerance!r:.40} "
            "must not be negative."
        )


def _unions(splitting, bases):
    """The unions over the boxes' cells, as bounds."""
    return BoundsOfBoxes(
        bases.network,
        splitting.layers(splitting.union_low),
        splitting.layers(splitting.union_high),
        "split",
        bases.input_lower,
        bases.input_upper,
    )


def _run(kernel, splitting, deadline):
    """Split until each box has met its tolerance, or a limit is reached."""
    most = max(1, _TOGETHER // (kernel.network.n_neurons + 1))
    while True:
        if splitting.too_large:
            halves_of_boxes = np.array_split(splitting.open, 2)
            parts = [splitting.part(boxes) for boxes in halves_of_boxes]
            splitting.release()
            for boxes in halves_of_boxes:
                part = parts.pop(0)
                _run(kernel, part, deadline)
                splitting.absorb(boxes, part)
            return
        halves = splitting.next_round(deadline)
        if halves is None:
            return
        for piece in halves.pieces(most):
            splitting.attained.sample(piece)
            wanted, weights = splitting.weights(piece)
            (lowers, uppers), state = bound_layers(
                kernel,
                piece.lower,
                piece.upper,
                splitting.known(piece),
                wanted=wanted,
                importance=weights,
                groups=piece.starts,
            )
            splitting.take(piece, lowers, uppers, state.influence)
