"""LP-based bound tightening (OBBT) of a network over its input box, layer by layer.

Per neuron of layer k, ``min`` and ``max`` of ``W x + b`` over the triangle relaxation
of the layers before it, with the bounds found so far (Tjeng, Xiao and Tedrake 2019;
Plate et al. 2025, eq. 8).  The models and solvers behind it are in ``relaxation``,
``linear.sessions`` and ``obbt.chunk``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyomo_relu.bounds.neuron_bounds import NeuronBounds
from pyomo_relu.bounds.obbt.options import DEFAULT, TighteningOptions
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
    bounds_record,
    checked,
    each,
    kind,
    numbers,
    optional,
    seconds,
)
from pyomo_relu.errors import BoundsError, InfeasibleError
from pyomo_relu.linear.certificate import Certifier, evaluation_errors
from pyomo_relu.linear.rounding import NEGLIGIBLE, rounding
from pyomo_relu.network.gradients import backpropagated

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.network.network import Network


#: Checks the arguments of OBBT layer by layer, by LPs or MILPs.
checked_obbt = checked(
    BoundsError,
    network=a_network,
    bounds=bounds_record,
    options=kind("bounds.obbt.options", "TighteningOptions"),
    neurons=optional(each(numbers)),
    time_limit=optional(seconds),
)


@checked_obbt
def lp_obbt(
    network: Network,
    bounds: NeuronBounds,
    options: TighteningOptions = DEFAULT,
    *,
    neurons: Sequence[ArrayLike] | None = None,
    time_limit: float | None = None,
) -> tuple[NeuronBounds, TighteningStatistics]:
    """Tighten bounds by LPs over the layer-wise triangle relaxation.

    Every bound is proven from the row duals (``certificate``); what a solver claims is
    never used.  Bounds are only ever intersected.

    Parameters
    ----------
    network : Network
    bounds : NeuronBounds
        Finite bounds on a finite input box, for example ``crown_bounds(...)``.
    options : TighteningOptions, optional
    neurons : sequence of array_like of bool, shapes (layer size,), optional
        Which neurons of each layer (outputs last) to tighten, if they are unstable
        when their turn comes.  Default: all.
    time_limit : float, optional
        Seconds; neurons with most influence on the outputs come first.

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
    run = OBBTRun(options, time_limit)
    check_bounds(network, bounds)
    return tighten_layers("lp", network, bounds, neurons, run, _tighten_layer)


def tighten_layers(method, network, bounds, neurons, run, tighten_layer):
    """Layer by layer from the inputs on, each with what the ones before it gained.

    Parameters
    ----------
    method : str
        Its name in the statistics.
    network, bounds, neurons
        See ``lp_obbt``.
    run : OBBTRun
    tighten_layer : callable
        ``tighten_layer(network, bounds, k, targets, run, row)`` returns NeuronBounds.

    Returns
    -------
    bounds : NeuronBounds
    statistics : TighteningStatistics
    """
    masks = neuron_masks(network, neurons)
    statistics = TighteningStatistics()
    start = time.perf_counter()
    for k in range(len(network.layers)):
        if run.interrupted:
            break
        layer_start = time.perf_counter()
        row = layer_row(method, network, bounds, k)
        targets = layer_targets(network, bounds, k, masks[k], row)
        if targets.wanted.any():
            bounds = tighten_layer(network, bounds, k, targets, run, row)
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
    # Equal shares for the layers to come; what one saves goes to the next.
    deadline = run.deadline.part(len(network.layers) - k)
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
    pad = targets.pad + rounding(targets.bias)
    lower = certifier.lower_bounds(costs, none) + targets.bias
    upper = targets.bias - certifier.lower_bounds(-costs, none)
    pad = pad + rounding(lower, upper)
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
    return Targets(
        None,
        layer.bias,
        evaluation_errors(network, bounds)[k],
        bounds.lower[k],
        bounds.upper[k],
        np.column_stack([wanted, wanted]),
        layer.ceilings,
        influence(network, bounds)[k],
    )


def influence(network, bounds):
    """How much each neuron's relaxation may move the outputs; one array per layer.

    The relaxation's height ``-L U / (U - L)`` of an unstable neuron times the sum of
    absolute products of weights and slopes along all paths to the outputs.
    """
    slopes = []
    for lower, upper in zip(bounds.lower[:-1], bounds.upper[:-1], strict=True):
        slope = np.clip(
            np.maximum(upper, 0) / np.maximum(upper - lower, NEGLIGIBLE), 0, 1
        )
        slopes.append(np.where(lower >= 0, 1.0, np.where(upper <= 0, 0.0, slope)))
    weight = [np.zeros(layer.size) for layer in network.layers]
    seed = np.ones(network.n_outputs)
    for source, part in backpropagated(
        network, slopes, seed, absolute=True, to_inputs=False
    ):
        weight[source.layer] = np.maximum(weight[source.layer], part)
    scores = []
    for k in range(len(network.layers)):
        lower, upper = bounds.lower[k], bounds.upper[k]
        width = np.maximum(upper - lower, NEGLIGIBLE)
        with np.errstate(invalid="ignore", over="ignore"):
            height = np.maximum(-lower, 0) * (np.maximum(upper, 0) / width)
            if k == len(network.layers) - 1:
                height = upper - lower
            score = height * weight[k]
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
