"""The default way to tighten: cheap methods first, dearer ones on what is left.

Interval arithmetic, CROWN, input splitting where inputs are few, then LPs (and MILPs if
asked); every stage starts from the intersection of all before it, so the run is useful
whenever it is stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from pyomo_relu.bounds.crown.crown import crown_bounds
from pyomo_relu.bounds.crown.interval import interval_bounds
from pyomo_relu.bounds.crown.splitting import split_bounds, split_several
from pyomo_relu.bounds.methods import BY_SOLVER, DEFAULT_METHODS, METHODS
from pyomo_relu.bounds.obbt.layerwise import finish_row, layer_row, lp_obbt
from pyomo_relu.bounds.obbt.milp import attained_ranges, milp_obbt
from pyomo_relu.bounds.obbt.options import TighteningOptions
from pyomo_relu.bounds.statistics import TighteningStatistics
from pyomo_relu.common.arguments import (
    an_executor,
    bounds_record,
    checked,
    flag,
    function,
    is_sequence,
    optional,
    seconds,
    whole,
)
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.errors import BoundsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.bounds.neuron_bounds import NeuronBounds
    from pyomo_relu.common.types import Progress
    from pyomo_relu.linear.sessions.choice import SolverLike
    from pyomo_relu.network.network import Network


logger = logging.getLogger("pyomo.relu.bounds")

#: Splitting a box of more inputs than this gains less per second than LPs do (measured
#: on random networks of 6 to 12 inputs, 3x25).
SPLIT_INPUTS = 12
#: Up to this many inputs, cells suffice to come within a few per cent of the range.
FEW_INPUTS = 3
#: Budgets of splitting in multiplications of one CROWN pass, so that results do not
#: depend on the clock: about 10 and 3 seconds.
_FEW_WORK, _WORK = 2e9, 4e8
#: A neuron whose bounds are within this factor of a sampled range is left alone.
TIGHT = 1.1
#: Why no LP was solved.
_NO_LP = (
    "no LP: the bounds of every neuron were already within "
    f"{100 * (TIGHT - 1):.0f} % of the range of sampled values"
)


@checked(
    BoundsError,
    start=optional(bounds_record),
    time_limit=optional(seconds),
    executor=optional(an_executor),
    stop_at_sign=flag,
    max_cells=optional(partial(whole, least=1)),
    alpha_steps=whole,
    window=optional(partial(whole, least=1)),
    solve_limit=optional(seconds),
    recompute_lost=flag,
    progress=optional(function),
)
def tighten(
    network: Network,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    start: NeuronBounds | None = None,
    time_limit: float | None = None,
    solver: SolverLike | None = None,
    executor: Executor | None = None,
    stop_at_sign: bool = False,
    max_cells: int | None = None,
    alpha_steps: int = 0,
    window: int | None = None,
    solve_limit: float | None = None,
    recompute_lost: bool = True,
    progress: Progress | None = None,
) -> tuple[NeuronBounds, TighteningStatistics]:
    """Pre-activation bounds over an input box by several methods, cheapest first.

    Parameters
    ----------
    network : Network
    lower, upper : array_like, shape (n_inputs,), or numbers
        The input box; finite.
    methods : sequence of {"interval", "crown", "split", "lp", "milp"}
        Run in this order.  Interval arithmetic always comes first unless ``start`` is
        given; "split" applies where up to ``SPLIT_INPUTS`` inputs vary, unless
        ``max_cells`` is given, and LPs only to neurons that are then visibly wider
        than sampled values (by the factor ``TIGHT``).
    start : NeuronBounds, optional
        Bounds known before, valid on this box.
    time_limit : float, optional
        Seconds for everything; interval arithmetic and CROWN always run.
    solver : {"highs", "gurobi"} or Session class, optional
        For "lp" and "milp"; see ``TighteningOptions``, also for those below.
    executor : concurrent.futures.Executor, optional
        Where LPs and MILPs run.
    stop_at_sign : bool
        Leave a neuron alone once its state is known.
    max_cells : int, optional
        Budget of input splitting.
    alpha_steps : int
        Steps of slope optimisation in CROWN.
    window, solve_limit, recompute_lost
        See ``TighteningOptions``.
    progress : callable, optional
        Called as ``progress(method, layer, done, total)``.

    Returns
    -------
    bounds : NeuronBounds
    statistics : TighteningStatistics

    Raises
    ------
    BoundsError
        If the box is not finite, a method is unknown, or ``start`` was proven on a box
        that does not contain this one.
    SolverError
        If the solver is missing or refuses the model's size.
    """
    check_methods(methods)
    statistics, deadline = TighteningStatistics(), Deadline(time_limit)
    bounds = _first(network, lower, upper, start, statistics)
    options = TighteningOptions(
        solver,
        executor,
        stop_at_sign,
        recompute_lost,
        progress,
        window=window,
        solve_limit=solve_limit,
    )
    for method in methods:
        if statistics.interrupted:
            break
        left = deadline.left()
        if deadline.passed() and method in ("split", *BY_SOLVER):
            _not_started(method, statistics)
            continue
        try:
            if method == "crown":
                bounds = _crown(network, bounds, alpha_steps, statistics)
            elif method == "split":
                bounds = _split(network, bounds, max_cells, left, statistics)
            elif method == "lp":
                masks = _not_tight(network, bounds)
                if not any(mask.any() for mask in masks):
                    statistics.note(_NO_LP)
                bounds, record = lp_obbt(
                    network, bounds, options, neurons=masks, time_limit=left
                )
                statistics.extend(record)
            elif method == "milp":
                bounds, record = milp_obbt(network, bounds, options, time_limit=left)
                statistics.extend(record)
        except KeyboardInterrupt:
            statistics.interrupted = True
        logger.debug("%s: after %s %r", network.name, method, bounds)
    statistics.seconds = deadline.elapsed()
    return bounds, statistics


def tighten_several(
    network, starts, *, methods, time_limit=None, max_cells=None, alpha_steps=0
):
    """As ``tighten`` over several boxes of one network, split in the same batches.

    Parameters
    ----------
    network : Network
    starts : list of NeuronBounds
        Known before, on the boxes that they are for.
    methods : sequence of str
        Without a solver.
    time_limit, max_cells, alpha_steps
        As for ``tighten``; the time is that of all together.

    Returns
    -------
    list of (NeuronBounds, TighteningStatistics)
        What ``tighten`` gives for each alone, but for seconds.
    """
    deadline = Deadline(time_limit)
    several = [TighteningStatistics() for _ in starts]
    found = [
        _first(network, b.input_lower, b.input_upper, b, statistics)
        for b, statistics in zip(starts, several, strict=True)
    ]
    for method in methods:
        if method == "crown":
            found = [
                _crown(network, b, alpha_steps, statistics)
                for b, statistics in zip(found, several, strict=True)
            ]
        elif method == "split":
            if deadline.passed():
                for statistics in several:
                    _not_started(method, statistics)
            else:
                _split_several(network, found, max_cells, deadline.part(2), several)
    for statistics in several:
        statistics.seconds = deadline.elapsed() / len(several)
    return list(zip(found, several, strict=True))


def _split_several(network, found, max_cells, deadline, several):
    """Replace bounds by those of splitting, boxes of the same budget together."""
    budgets = {}
    for i, bounds in enumerate(found):
        budget = _budget(network, bounds, max_cells)
        if budget is not None:
            budgets.setdefault(budget, []).append(i)
    for budget, some in budgets.items():
        begin = time.perf_counter()
        bases = [
            crown_bounds(network, b.input_lower, b.input_upper, b)
            for b in (found[i] for i in some)
        ]
        results = split_several(bases, budget, deadline)
        begin += (time.perf_counter() - begin) * (1 - 1 / len(some))
        for i, result in zip(some, results, strict=True):
            new = found[i].intersect(result.bounds)
            _record("split", network, found[i], new, begin, several[i])
            found[i] = new


def _not_started(method, statistics):
    statistics.time_limit_reached = True
    statistics.note(f"method '{method}' was not started: time limit")


def check_methods(methods):
    """Raise BoundsError for unknown method names."""
    listed = is_sequence(methods)
    unknown = (
        [m for m in methods if not isinstance(m, str) or m not in METHODS]
        if (listed)
        else []
    )
    if not listed or unknown:
        raise BoundsError(
            f"unknown bound methods {unknown or methods!r}: give a list out of "
            f"{', '.join(METHODS)}."
        )


def _first(network, lower, upper, start, statistics):
    """Interval arithmetic, intersected with what the caller knows."""
    begin = time.perf_counter()
    bounds = interval_bounds(network, lower, upper)
    if start is not None:
        if not start.covers(bounds.input_lower, bounds.input_upper):
            raise BoundsError(
                f"{network.name}: the start bounds were proven on a smaller input box "
                "than the one asked for; compute them again for this box."
            )
        bounds = bounds.intersect(start)
    _record("interval", network, bounds, bounds, begin, statistics)
    return bounds


def _crown(network, bounds, alpha_steps, statistics):
    begin = time.perf_counter()
    new = crown_bounds(
        network,
        bounds.input_lower,
        bounds.input_upper,
        start=bounds,
        alpha_steps=alpha_steps,
    )
    new = bounds.intersect(new)
    _record("crown", network, bounds, new, begin, statistics)
    return new


def _split(network, bounds, max_cells, time_limit, statistics):
    max_cells = _budget(network, bounds, max_cells)
    if max_cells is None:
        return bounds
    begin = time.perf_counter()
    result = split_bounds(
        network,
        bounds.input_lower,
        bounds.input_upper,
        max_cells=max_cells,
        time_limit=None if time_limit is None else 0.5 * time_limit,
        start=bounds,
    )
    new = bounds.intersect(result.bounds)
    _record("split", network, bounds, new, begin, statistics)
    return new


def _budget(network, bounds, max_cells):
    """Cells for a box; None where splitting does not apply."""
    if max_cells is None and bounds.n_varying <= SPLIT_INPUTS:
        return split_budget(network, bounds.n_varying)
    return max_cells


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


def _record(method, network, before, after, begin, statistics):
    """One row per layer; the seconds are on the last, for the method does all at once."""
    for k in range(len(network.layers)):
        row = layer_row(method, network, before, k)
        finish_row(row, network, after, k, begin)
        row.tightened = int(
            np.sum(after.lower[k] > before.lower[k])
            + np.sum(after.upper[k] < before.upper[k])
        )
        if k < len(network.layers) - 1:
            row.seconds = 0.0
        statistics.layers.append(row)


def _not_tight(network, bounds):
    """Neurons whose bounds are visibly wider than a sample of what they attain."""
    masks = []
    for k, attained in enumerate(attained_ranges(network, bounds)):
        width = bounds.upper[k] - bounds.lower[k]
        masks.append(width > TIGHT * (attained[:, 1] - attained[:, 0]))
    return masks
