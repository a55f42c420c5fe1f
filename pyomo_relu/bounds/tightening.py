"""The default way to tighten: cheap methods first, dearer ones on what is left.

Interval arithmetic, CROWN, input splitting where inputs are few, then LPs (and MILPs if
asked); every stage starts from the intersection of all before it, so the run is useful
whenever it is stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING

from pyomo_relu.bounds.box_bounds import BoundsOfBoxes
from pyomo_relu.bounds.methods import BY_SOLVER, DEFAULT_METHODS, METHODS
from pyomo_relu.bounds.neuron_bounds import check_box
from pyomo_relu.bounds.obbt.layerwise import lp_obbt
from pyomo_relu.bounds.obbt.milp import attained_ranges, milp_obbt
from pyomo_relu.bounds.obbt.options import TighteningOptions
from pyomo_relu.bounds.solver_free import crown, intervals, not_started, split
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
    lowers, uppers = check_box(network, lower, upper)
    if start is not None and start.network != network:
        raise BoundsError(
            f"{network.name}: the bounds to start from belong to the network "
            f"{start.network.name}."
        )
    if start is not None and not start.covers(lowers[0], uppers[0]):
        raise BoundsError(
            f"{network.name}: the start bounds were proven on a smaller input box "
            "than the one asked for; compute them again for this box."
        )
    starts = None if start is None else BoundsOfBoxes.of([start])
    found = intervals(network, lowers, uppers, starts, [statistics])
    bounds = found.records()[0]
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
            not_started(method, statistics)
            continue
        try:
            if method == "crown":
                found = crown(BoundsOfBoxes.of([bounds]), alpha_steps, [statistics])
                bounds = found.records()[0]
            elif method == "split":
                half = deadline.part(2)
                found = BoundsOfBoxes.of([bounds])
                found = split(found, max_cells, half, [statistics])
                bounds = found.records()[0]
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


def _not_tight(network, bounds):
    """Neurons whose bounds are visibly wider than a sample of what they attain."""
    masks = []
    for k, attained in enumerate(attained_ranges(network, bounds)):
        width = bounds.upper[k] - bounds.lower[k]
        masks.append(width > TIGHT * (attained[:, 1] - attained[:, 0]))
    return masks
