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
from pyomo_relu.bounds.crown.splitting import split_bounds
from pyomo_relu.bounds.obbt.layerwise import finish_row, layer_row, lp_obbt
from pyomo_relu.bounds.obbt.milp import attained_ranges, milp_obbt
from pyomo_relu.bounds.obbt.options import DEFAULT_METHODS, METHODS, TighteningOptions
from pyomo_relu.bounds.obbt.run import OBBTRun
from pyomo_relu.bounds.obbt.whole_model import ModelTightening, run_model_obbt
from pyomo_relu.bounds.statistics import TighteningStatistics
from pyomo_relu.common.arguments import (
    an_executor,
    bounds_record,
    checked,
    each,
    flag,
    function,
    is_sequence,
    kind,
    optional,
    seconds,
    whole,
)
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.embedded import EmbeddedModel

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
        given; "split" applies to networks of up to ``SPLIT_INPUTS`` inputs unless
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
        if deadline.passed() and method in ("split", "lp", "milp"):
            statistics.time_limit_reached = True
            statistics.note(f"method '{method}' was not started: time limit")
            continue
        try:
            if method == "crown":
                bounds = _crown(network, bounds, alpha_steps, statistics)
            elif method == "split":
                bounds = _split(network, bounds, max_cells, left, statistics)
            elif method == "lp":
                masks = _not_tight(network, bounds)
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


def _checked_cutoff(model, cutoff):
    """The cutoff's columns, coefficients and value."""
    try:
        columns, coefficients, value = cutoff
        columns, coefficients = np.asarray(columns), np.asarray(coefficients, float)
        fits = columns.shape == coefficients.shape == (columns.size,)
        fits &= bool(np.isin(columns, np.arange(model.n_columns)).all())
        fits &= bool(np.isfinite([*coefficients, float(value)]).all())
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise BoundsError(
            "cutoff must be (columns, coefficients, value): column numbers of the "
            f"model, as many finite numbers, and one more; not {cutoff!r:.80}."
        )
    return columns.astype(int), coefficients, float(value)


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
    if max_cells is None:
        if network.n_inputs > SPLIT_INPUTS:
            return bounds
        max_cells = split_budget(network)
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


def split_budget(network):
    """Default number of cells: a fixed amount of work, whatever the network's size."""
    entries = [sum(_entries(w) for w in layer.weights) for layer in network.layers]
    work = sum(
        layer.size * sum(entries[: k + 1]) for k, layer in enumerate(network.layers)
    )
    budget = _FEW_WORK if network.n_inputs <= FEW_INPUTS else _WORK
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


@checked(
    BoundsError,
    model=kind("linear.model", "LinearModel"),
    networks=each(kind("linear.embedded", "EmbeddedNetwork")),
    time_limit=optional(seconds),
    executor=optional(an_executor),
    stop_at_sign=flag,
    alpha_steps=whole,
    recompute_lost=flag,
    progress=optional(function),
)
def tighten_model(
    model,
    networks,
    *,
    cutoff=None,
    methods=DEFAULT_METHODS,
    time_limit=None,
    solver=None,
    executor=None,
    stop_at_sign=False,
    alpha_steps=0,
    recompute_lost=True,
    progress=None,
):
    """Bounds of networks inside a linear model, of their inputs and outputs.

    Input boxes are taken from the model's bounds and rows, where need be by LPs and
    through other networks' outputs; networks are bounded on their boxes, then everything
    is tightened by LPs over the joint relaxation.

    Parameters
    ----------
    model : LinearModel
        The modeller's linear constraints; integer columns are relaxed.
    networks : sequence of EmbeddedNetwork
    cutoff : (columns, coefficients, value), optional
        Only points with ``coefficients . x[columns] <= value`` matter (the objective
        of a known solution): bounds then hold for those points.
    methods : sequence of str
        As in ``tighten``; "milp" does not apply here.
    time_limit, solver, executor, stop_at_sign, alpha_steps, recompute_lost, progress
        See ``tighten``.

    Returns
    -------
    ModelBounds

    Raises
    ------
    InfeasibleError
        If the model is proven to have no feasible point.
    BoundsError, SolverError
    """
    check_methods(methods)
    if cutoff is not None:
        columns, coefficients, value = _checked_cutoff(model, cutoff)
        model = model.with_row(columns, coefficients, -np.inf, value)
    options = TighteningOptions(
        solver, executor, stop_at_sign, recompute_lost, progress
    )
    run = OBBTRun(options, time_limit)

    def box_bounds(network, lower, upper):
        bounds = interval_bounds(network, lower, upper)
        if "crown" in methods:
            new = crown_bounds(
                network, lower, upper, start=bounds, alpha_steps=alpha_steps
            )
            bounds = bounds.intersect(new)
        if "split" in methods and network.n_inputs <= SPLIT_INPUTS:
            # boxes shrink several times in one run, so each gets a part of the budget
            cells = max(64, split_budget(network) // 8)
            new = split_bounds(network, lower, upper, max_cells=cells, start=bounds)
            bounds = bounds.intersect(new.bounds)
        return bounds

    tightening = ModelTightening(EmbeddedModel(model, networks), run, box_bounds)
    begin = time.perf_counter()
    try:
        tightening.find_boxes()
        if "lp" in methods:
            run_model_obbt(tightening)
    except KeyboardInterrupt:
        tightening.statistics.interrupted = True
    tightening.statistics.seconds = time.perf_counter() - begin
    return tightening.result()
