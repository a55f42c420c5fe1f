"""Interval arithmetic, CROWN and splitting one after the other, on many boxes at once."""

from __future__ import annotations

import time

import numpy as np

from pyomo_relu.bounds.box_bounds import BoundsOfBoxes
from pyomo_relu.bounds.crown.backward import BackwardPass
from pyomo_relu.bounds.crown.crown import crown_several
from pyomo_relu.bounds.crown.interval import interval_batch
from pyomo_relu.bounds.crown.splitting import split_several
from pyomo_relu.bounds.statistics import LayerStatistics, TighteningStatistics
from pyomo_relu.common.deadline import Deadline

#: Splitting a box of more inputs than this gains less per second than LPs do (measured
#: on random networks of 6 to 12 inputs, 3x25).
SPLIT_INPUTS = 12
#: Up to this many inputs, cells suffice to come within a few per cent of the range.
FEW_INPUTS = 3
#: Budgets of splitting in multiplications of one CROWN pass, so that results do not
#: depend on the clock: about 10 and 3 seconds.
_FEW_WORK, _WORK = 2e9, 4e8


def tighten_several(starts, *, methods, time_limit=None, max_cells=None, alpha_steps=0):
    """As ``tighten`` over several boxes of one network, by methods without a solver.

    Parameters
    ----------
    starts : BoundsOfBoxes
        Known before, on the boxes that they are for.
    methods : sequence of str
        Without a solver.
    time_limit, max_cells, alpha_steps
        As for ``tighten``; the time is that of all together.

    Returns
    -------
    bounds : BoundsOfBoxes
    statistics : list of TighteningStatistics
        What ``tighten`` gives for each box alone, up to rounding and but for seconds.
    """
    deadline = Deadline(time_limit)
    several = [TighteningStatistics() for _ in range(len(starts))]
    box = starts.input_lower, starts.input_upper
    bounds = intervals(starts.network, *box, starts, several)
    for method in methods:
        if method == "crown":
            bounds = crown(bounds, alpha_steps, several)
        elif method == "split":
            if deadline.passed():
                for statistics in several:
                    not_started(method, statistics)
            else:
                bounds = split(bounds, max_cells, deadline.part(2), several)
    for statistics in several:
        statistics.seconds = deadline.elapsed() / len(several)
    return bounds, several


def intervals(network, lower, upper, starts, several):
    """Interval arithmetic, intersected with what the caller knows.

    Parameters
    ----------
    network : Network
    lower, upper : numpy.ndarray, shape (B, n_inputs)
    starts : BoundsOfBoxes or None
    several : list of TighteningStatistics
        One per box; they get a row per layer.  So do those of the other methods.

    Returns
    -------
    BoundsOfBoxes
    """
    begin = time.perf_counter()
    found = interval_batch(network, lower, upper)
    bounds = BoundsOfBoxes(network, *found, "interval", lower, upper)
    if starts is not None:
        bounds = bounds.intersect(starts.lower, starts.upper, starts.source)
    _record("interval", bounds, bounds, begin, several)
    return bounds


def crown(bounds, alpha_steps, several):
    """CROWN bounds, intersected with those known; see ``intervals``."""
    begin = time.perf_counter()
    box = bounds.input_lower, bounds.input_upper
    new = crown_several(BackwardPass(bounds.network), *box, bounds, alpha_steps)
    _record("crown", bounds, new, begin, several)
    return new


def split(bounds, max_cells, deadline, several):
    """Bounds by splitting, boxes of the same budget together; see ``intervals``."""
    network, n_varying = bounds.network, bounds.n_varying()
    for n in np.unique(n_varying).tolist():
        cells = max_cells
        if max_cells is None and n <= SPLIT_INPUTS:
            cells = split_budget(network, n)
        if cells is None:
            continue
        begin = time.perf_counter()
        at = np.flatnonzero(n_varying == n)
        some = bounds[at]
        # tighter bounds give CROWN other lines, which may be tighter still
        box = some.input_lower, some.input_upper
        bases = crown_several(BackwardPass(network), *box, some)
        found = split_several(bases, cells, deadline)
        new = some.intersect(found.lower, found.upper, found.source)
        _record("split", some, new, begin, [several[i] for i in at.tolist()])
        bounds = new if at.size == len(bounds) else bounds.put(at, new)
    return bounds


def not_started(method, statistics):
    """Note that there was no time for a method."""
    statistics.time_limit_reached = True
    statistics.note(f"method '{method}' was not started: time limit")


def part_of_split_budget(network, lower, upper):
    """``max_cells`` for one of several boxes that share a run; None for many inputs."""
    n_varying = int(np.count_nonzero(np.asarray(lower) < np.asarray(upper)))
    if n_varying > SPLIT_INPUTS:
        return None
    return max(64, split_budget(network, n_varying) // 8)


def split_budget(network, n_varying):
    """Default number of cells: a fixed amount of work, whatever the network's size.

    ``n_varying`` is the number of inputs that the box does not fix.
    """
    entries = [sum(_entries(w) for w in layer.weights) for layer in network.layers]
    work = sum(
        layer.size * sum(entries[: k + 1]) for k, layer in enumerate(network.layers)
    )
    budget = _FEW_WORK if n_varying <= FEW_INPUTS else _WORK
    # an affine network of zero weights takes no work
    return int(np.clip(budget / max(work, 1), 64, 4096))


def _entries(matrix):
    return matrix.nnz if hasattr(matrix, "nnz") else matrix.size


def _record(method, before, after, begin, several):
    """One row per layer; the seconds are on the last, for the method does all at once."""
    network = before.network
    last = len(network.layers) - 1
    for k, layer in enumerate(network.layers):
        columns = [
            column.tolist()
            for column in (
                np.sum(after.lower[k] > before.lower[k], axis=1)
                + np.sum(after.upper[k] < before.upper[k], axis=1),
                *(b.stable(k).sum(axis=1) * (k < last) for b in (before, after)),
                *((b.upper[k] - b.lower[k]).mean(axis=1) for b in (before, after)),
            )
        ]
        seconds = 0.0
        if k == last:
            seconds = (time.perf_counter() - begin) / len(several)
        for statistics, *values in zip(several, *columns, strict=True):
            statistics.layers.append(
                LayerStatistics(
                    method,
                    network.name,
                    k,
                    layer.size,
                    tightened=values[0],
                    stable_before=values[1],
                    stable_after=values[2],
                    width_before=values[3],
                    width_after=values[4],
                    seconds=seconds,
                )
            )
