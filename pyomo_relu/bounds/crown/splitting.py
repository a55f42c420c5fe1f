"""Input splitting: bounds over cells of the input box; each cell's bounds are CROWN's."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Literal

import numpy as np

from pyomo_relu.bounds.crown.backward import BackwardPass
from pyomo_relu.bounds.crown.crown import bound_layers, crown_bounds
from pyomo_relu.bounds.crown.splitting_cells import (
    CellSplitting,
    SplitResult,
    batch_size,
    sample,
)
from pyomo_relu.bounds.neuron_bounds import NeuronBounds, check_box
from pyomo_relu.common.arguments import checked, optional, seconds
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.errors import BoundsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.network.network import Network


#: Cells times neurons of one round of several boxes.
_TOGETHER = 1 << 20

_ENDS = ("lower", "upper")


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
    return split_several([base], max_cells, deadline, neurons, tolerance)[0]


def split_several(bases, max_cells, deadline, neurons="all", tolerance=0.02):
    """As ``split_bounds`` over several boxes of one network, in the same batches.

    Each box's cells, points and bounds are those that it gets alone.

    Parameters
    ----------
    bases : list of NeuronBounds
        CROWN's on the boxes, of one network.
    max_cells : int
        Per box.
    deadline : Deadline
    neurons, tolerance
        See ``split_bounds``.

    Returns
    -------
    list of SplitResult
    """
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
    kernel, results = BackwardPass(bases[0].network), []
    together = max(1, _TOGETHER // (batch_size(kernel) * kernel.network.n_neurons + 1))
    for first in range(0, len(bases), together):
        some = bases[first : first + together]
        splittings = [
            CellSplitting(kernel, base, int(max_cells), neurons, tolerance)
            for base in some
        ]
        _run(kernel, splittings, deadline)
        results += [s.result(base) for s, base in zip(splittings, some, strict=True)]
    return results


def _run(kernel, splittings, deadline):
    """Split until each has met its tolerance, or a limit is reached."""
    while True:
        rounds = [(s, s.next_round(deadline)) for s in splittings]
        rounds = [(s, halves) for s, halves in rounds if halves is not None]
        if not rounds:
            return
        splittings = [s for s, _ in rounds]
        each = [halves for _, halves in rounds]
        lower, upper = (
            np.concatenate([getattr(h, end) for h in each]) for end in _ENDS
        )
        sample(splittings, [h.points for h in each])
        counts = [len(h.lower) for h in each]
        layers = splittings[0].layers
        wanted = np.stack([s.open_low | s.open_high for s in splittings])
        weight = np.stack(
            [np.stack([s.open_low, s.open_high]) / s.width for s in splittings]
        )
        (lowers, uppers), state = bound_layers(
            kernel,
            lower,
            upper,
            tuple(layers(np.concatenate([h.known[i] for h in each])) for i in (0, 1)),
            wanted=layers(wanted),
            importance=layers(np.repeat(weight, counts, axis=0)),
            groups=np.cumsum([0, *counts[:-1]]),
        )
        low, high = (np.concatenate(a, axis=1) for a in (lowers, uppers))
        at = 0
        for (splitting, halves), count in zip(rounds, counts, strict=True):
            part = slice(at, at + count)
            splitting.take(halves, low[part], high[part], state.influence[part])
            at += count
