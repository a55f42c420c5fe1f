"""LP-based bound tightening (OBBT) of a network over its input box, layer by layer.

Per neuron of layer k, ``min`` and ``max`` of ``W x + b`` over the triangle relaxation
of the layers before it, with the bounds found so far (Tjeng, Xiao and Tedrake 2019;
Plate et al. 2025, eq. 8).  The models and solvers behind it are in ``relaxation``,
``session`` and ``obbt_chunk``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

import numpy as np

from pyomo_relu.bounds.neuron_bounds import NeuronBounds
from pyomo_relu.bounds.obbt.run import OBBTRun, Targets
from pyomo_relu.bounds.relaxation.network import affine_costs, relax_layer
from pyomo_relu.bounds.statistics import (
    EXACT,
    NO_TIME,
    NOT_ASKED,
    STABLE,
    LayerStatistics,
    TighteningStatistics,
)
from pyomo_relu.common.arguments import (
    a_network,
    an_executor,
    bounds_record,
    checked,
    each,
    flag,
    function,
    numbers,
    optional,
    seconds,
    whole,
)
from pyomo_relu.errors import BoundsError, InfeasibleError
from pyomo_relu.linear.certificate import Certifier, evaluation_errors
from pyomo_relu.network.layer import INPUT

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.common.types import Progress, SolverLike
    from pyomo_relu.network.network import Network


@checked(
    BoundsError,
    network=a_network,
    bounds=bounds_record,
    neurons=optional(each(numbers)),
    stop_at_sign=flag,
    time_limit=optional(seconds),
    executor=optional(an_executor),
    chunk_size=whole,
    filter_tolerance=seconds,
    aggressive_filter=flag,
    recompute_lost=flag,
    progress=optional(function),
)
def lp_obbt(
    network: Network,
    bounds: NeuronBounds,
    *,
    neurons: Sequence[ArrayLike] | None = None,
    solver: SolverLike | None = None,
    stop_at_sign: bool = False,
    time_limit: float | None = None,
    executor: Executor | None = None,
    chunk_size: int = 16,
    filter_tolerance: float = 1e-8,
    aggressive_filter: bool = False,
    recompute_lost: bool = True,
    progress: Progress | None = None,
) -> tuple[NeuronBounds, TighteningStatistics]:
    """Tighten bounds by LPs over the layer-wise triangle relaxation.

    Every bound is proven from the row duals (``certificate``); what a solver claims is
    never used.  Bounds are only ever intersected.

    Parameters
    ----------
    network : Network
    bounds : NeuronBounds
        Finite bounds on a finite input box, for example ``crown_bounds(...)``.
    neurons : sequence of array_like of bool, shapes (layer size,), optional
        Which neurons of each layer (outputs last) to tighten, if they are unstable
        when their turn comes.  Default: all.
    solver : {"highs", "gurobi"} or Session class, optional
        Default HiGHS.
    stop_at_sign : bool
        Skip a neuron's second bound once the first settles its state.
    time_limit : float, optional
        Seconds; neurons with most influence on the outputs come first.
    executor : concurrent.futures.Executor, optional
        Where the chunks of each layer run; the result is the same without.
    chunk_size : int
        Neurons per task.
    filter_tolerance : float
        A bound that a feasible point of an earlier LP comes this close to (relative to
        upper - lower) gets no LP.
    aggressive_filter : bool
        First solve LPs whose points attain many bounds at once (Gleixner, Berthold,
        Mueller and Weltge 2017).
    recompute_lost : bool
        Whether chunks of dead workers are done in the main process; otherwise their
        neurons keep their bounds.
    progress : callable, optional
        Called as ``progress(method, layer, chunks done, chunks)``.

    Returns
    -------
    bounds : NeuronBounds
    statistics : TighteningStatistics

    Raises
    ------
    BoundsError
        If the bounds are infinite or belong to another network.
    SolverError
        If the solver is missing or refuses the model's size.
    """
    deadline = None if time_limit is None else time.time() + time_limit
    run = OBBTRun(
        solver,
        stop_at_sign,
        filter_tolerance,
        aggressive_filter,
        executor,
        chunk_size,
        recompute_lost,
        deadline,
        progress,
    )
    check_bounds(network, bounds)
    masks = neuron_masks(network, neurons)
    statistics = TighteningStatistics()
    start = time.perf_counter()
    for k in range(len(network.layers)):
        if run.interrupted:
            break
        layer_start = time.perf_counter()
        row = layer_row("lp", network, bounds, k)
        targets = layer_targets(network, bounds, k, masks[k], row)
        if targets.wanted.any():
            bounds = _tighten_layer(network, bounds, k, targets, run, row)
        finish_row(row, network, bounds, k, layer_start)
        statistics.layers.append(row)
    finish(statistics, run, start)
    return bounds, statistics


def _tighten_layer(network, bounds, k, targets, run, row):
    model, columns = relax_layer(network, bounds, k)
    layer = network.layers[k]
    targets.costs = affine_costs(layer, columns, np.arange(layer.size), model.n_columns)
    if not model.n_rows:
        return exact_layer(network, bounds, k, model, targets, row)
    left = len(network.layers) - k
    deadline = run.deadline
    if deadline is not None:
        # Equal shares for the layers to come; what one saves goes to the next.
        now = time.time()
        deadline = now + max(deadline - now, 0.0) / left
    lower, upper, infeasible = run.tighten(model, targets, row, deadline)
    if infeasible or np.any(lower > upper):
        raise InfeasibleError(
            f"{network.name}: the bounds given for the layers before layer {k} "
            "contradict each other: no input satisfies them all. Check the start "
            "bounds or the input box."
        )
    return replace_layer(bounds, k, lower, upper, "lp")


def exact_layer(network, bounds, k, model, targets, row):
    """A layer that reads only the inputs: the box gives its range without any LP."""
    costs = targets.costs.toarray()
    none = np.zeros((costs.shape[0], 0))
    certifier = Certifier(model)
    pad = targets.pad + 4e-16 * np.abs(targets.bias)
    lower = certifier.lower_bounds(costs, none) + targets.bias
    upper = targets.bias - certifier.lower_bounds(-costs, none)
    pad = pad + 4e-16 * (np.abs(lower) + np.abs(upper))
    row.skip(EXACT, int(targets.wanted.sum()))
    return replace_layer(bounds, k, lower - pad, upper + pad, "interval")


def check_bounds(network, bounds):
    """Raise BoundsError unless finite ``bounds`` belong to ``network``."""
    if bounds.network != network:
        raise BoundsError(
            f"the bounds given are those of {bounds.network.name}, not of "
            f"{network.name}: compute bounds of this network first."
        )
    ends = np.concatenate([bounds.input_lower, bounds.input_upper])
    if not np.all(np.isfinite(ends)):
        i = int(np.flatnonzero(~np.isfinite(ends))[0]) % network.n_inputs
        raise BoundsError(
            f"{network.name}: input {i} has no finite bounds; give it finite bounds, "
            'or tighten with scope="model" if constraints of the model imply them.'
        )


def neuron_masks(network, neurons):
    """Boolean masks per layer, from what the caller gave (None: everything)."""
    if neurons is None:
        return [None] * len(network.layers)
    masks = [np.asarray(mask, dtype=bool) for mask in neurons]
    sizes = [(layer.size,) for layer in network.layers]
    if [mask.shape for mask in masks] != sizes:
        raise BoundsError(
            f"{network.name}: neurons must be one boolean array per layer of shapes "
            f"{sizes}, got {[mask.shape for mask in masks]}."
        )
    return masks


def layer_row(method, network, bounds, k):
    """A statistics row with the state before a method runs."""
    hidden = k < len(network.layers) - 1
    stable = int(bounds.stable(k).sum()) if hidden else 0
    return LayerStatistics(
        method,
        network.name,
        k,
        network.layers[k].size,
        stable_before=stable,
        stable_after=stable,
        width_before=bounds.mean_width(k),
        width_after=bounds.mean_width(k),
    )


def finish_row(row, network, bounds, k, start):
    """Fill in the state after a method ran."""
    if k < len(network.layers) - 1:
        row.stable_after = int(bounds.stable(k).sum())
    row.width_after = bounds.mean_width(k)
    row.seconds = time.perf_counter() - start


def finish(statistics, run, start):
    """Close a run's record."""
    statistics.interrupted |= run.interrupted
    statistics.time_limit_reached |= NO_TIME in statistics.skipped
    for text in run.notes:
        statistics.note(text)
    statistics.seconds = time.perf_counter() - start


def layer_targets(network, bounds, k, mask, row):
    """The neurons of layer k that are wanted: unstable and asked for; costs unset."""
    layer = network.layers[k]
    size = layer.size
    wanted = np.ones(size, dtype=bool) if mask is None else mask.copy()
    row.skip(NOT_ASKED, 2 * int((~wanted).sum()))
    if k < len(network.layers) - 1:
        stable = bounds.stable(k)
        row.skip(STABLE, 2 * int((wanted & stable).sum()))
        wanted &= ~stable
    ceiling = np.full(size, np.inf) if layer.ceiling is None else layer.ceiling
    return Targets(
        None,
        layer.bias,
        evaluation_errors(network, bounds)[k],
        bounds.lower[k],
        bounds.upper[k],
        np.column_stack([wanted, wanted]),
        ceiling,
        influence(network, bounds)[k],
    )


def influence(network, bounds):
    """How much each neuron's relaxation may move the outputs; one array per layer.

    The relaxation's height ``-L U / (U - L)`` of an unstable neuron times the sum of
    absolute products of weights and slopes along all paths to the outputs.
    """
    weight = [np.zeros(layer.size) for layer in network.layers]
    weight_pre = [np.zeros(layer.size) for layer in network.layers]
    weight_pre[-1] += 1.0
    for k in reversed(range(len(network.layers))):
        lower, upper = bounds.lower[k], bounds.upper[k]
        if k < len(network.layers) - 1:
            width = np.maximum(upper - lower, 1e-300)
            slope = np.clip(np.maximum(upper, 0) / width, 0.0, 1.0)
            slope = np.where(lower >= 0, 1.0, np.where(upper <= 0, 0.0, slope))
            weight_pre[k] += slope * weight[k]
        for (source, post), w in zip(
            network.layers[k].sources, network.layers[k].weights, strict=True
        ):
            if source != INPUT:
                (weight if post else weight_pre)[source] += abs(w).T @ weight_pre[k]
    scores = []
    for k in range(len(network.layers)):
        lower, upper = bounds.lower[k], bounds.upper[k]
        width = np.maximum(upper - lower, 1e-300)
        with np.errstate(invalid="ignore", over="ignore"):
            height = np.maximum(-lower, 0) * (np.maximum(upper, 0) / width)
            if k == len(network.layers) - 1:
                height = upper - lower
            score = height * np.maximum(weight[k], weight_pre[k])
        scores.append(np.nan_to_num(score))
    return scores


def replace_layer(bounds, k, lower, upper, source):
    """The bounds with layer k's intersected with ``lower`` and ``upper``."""
    lowers, uppers, sources = (
        list(bounds.lower),
        list(bounds.upper),
        list(bounds.source),
    )
    new_lower = np.maximum(lowers[k], lower)
    new_upper = np.minimum(uppers[k], upper)
    tighter = (new_lower > lowers[k]) | (new_upper < uppers[k])
    sources[k] = np.where(tighter, source, sources[k])
    lowers[k], uppers[k] = new_lower, new_upper
    return NeuronBounds(
        bounds.network, lowers, uppers, sources, bounds.input_lower, bounds.input_upper
    )
