"""MILP-based bound tightening on rolling windows of layers, over the input box.

Exact ranges cost a MILP per bound; a window of the last few layers costs far less and
is tighter than the LP relaxation of all of them often enough (Zhao et al. 2024, arXiv
2401.05280).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

import numpy as np

from pyomo_relu.bounds.obbt.layerwise import (
    check_bounds,
    exact_layer,
    finish,
    finish_row,
    layer_row,
    layer_targets,
    neuron_masks,
    replace_layer,
)
from pyomo_relu.bounds.obbt.run import OBBTRun
from pyomo_relu.bounds.relaxation.network import affine_costs, relax_window
from pyomo_relu.bounds.statistics import TighteningStatistics
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
from pyomo_relu.errors import BoundsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.bounds.neuron_bounds import NeuronBounds
    from pyomo_relu.common.types import Progress, SolverLike
    from pyomo_relu.network.network import Network


#: Points at which the network is evaluated to catch wrong claims of a solver.
_SAMPLES = 2000


@checked(
    BoundsError,
    network=a_network,
    bounds=bounds_record,
    window=optional(whole),
    neurons=optional(each(numbers)),
    stop_at_sign=flag,
    solve_limit=optional(seconds),
    time_limit=optional(seconds),
    executor=optional(an_executor),
    chunk_size=whole,
    recompute_lost=flag,
    progress=optional(function),
)
def milp_obbt(
    network: Network,
    bounds: NeuronBounds,
    *,
    window: int | None = None,
    neurons: Sequence[ArrayLike] | None = None,
    solver: SolverLike | None = None,
    stop_at_sign: bool = False,
    solve_limit: float | None = None,
    time_limit: float | None = None,
    executor: Executor | None = None,
    chunk_size: int = 4,
    recompute_lost: bool = True,
    progress: Progress | None = None,
) -> tuple[NeuronBounds, TighteningStatistics]:
    """Tighten bounds by MILPs in which the last ``window`` layers are exact.

    The bound is the solver's dual bound, padded outward by ``milp_chunk.PADDING``
    (relative), also on time-out; an incumbent is never used.  Branch and bound leaves
    no certificate: unlike LP bounds these rest on the MILP solver being right within
    ten times its tolerances.  A claim that some evaluated point of the network
    contradicts is dropped.

    Parameters
    ----------
    network, bounds, neurons, stop_at_sign, executor, recompute_lost, progress
        See ``lp_obbt``.
    window : int, optional
        Layers that are exact; default all, which gives the exact ranges.
    solver : {"highs", "gurobi", "auto"} or Session class, optional
        Default "auto": Gurobi where it is licensed for the model's size, else HiGHS.
    solve_limit, time_limit : float, optional
        Seconds per MILP and in total.
    chunk_size : int
        Neurons per task.

    Returns
    -------
    bounds : NeuronBounds
    statistics : TighteningStatistics

    Raises
    ------
    BoundsError, SolverError
    """
    window = len(network.layers) if window is None else window
    if window < 1:
        raise BoundsError(f"the window must be at least one layer, not {window}.")
    run = OBBTRun(
        solver=solver,
        stop_at_sign=stop_at_sign,
        executor=executor,
        chunk_size=chunk_size,
        recompute_lost=recompute_lost,
        deadline=None if time_limit is None else time.time() + time_limit,
        progress=progress,
        solve_limit=solve_limit,
        milp=True,
    )
    check_bounds(network, bounds)
    masks = neuron_masks(network, neurons)
    statistics = TighteningStatistics()
    start = time.perf_counter()
    attained = attained_ranges(network, bounds)
    for k in range(len(network.layers)):
        if run.interrupted:
            break
        layer_start = time.perf_counter()
        row = layer_row("milp", network, bounds, k)
        targets = layer_targets(network, bounds, k, masks[k], row)
        targets.attained = attained[k]
        if targets.wanted.any():
            bounds = _tighten_layer(network, bounds, k, window, targets, run, row)
        finish_row(row, network, bounds, k, layer_start)
        statistics.layers.append(row)
    finish(statistics, run, start)
    return bounds, statistics


def _tighten_layer(network, bounds, k, window, targets, run, row):
    model, columns = relax_window(network, bounds, k, window)
    layer = network.layers[k]
    targets.costs = affine_costs(layer, columns, np.arange(layer.size), model.n_columns)
    if not model.n_rows:
        return exact_layer(network, bounds, k, model, targets, row)
    deadline = run.deadline
    if deadline is not None:
        now = time.time()
        deadline = now + max(deadline - now, 0.0) / (len(network.layers) - k)
    lower, upper, _ = run.tighten(model, targets, row, deadline)
    return replace_layer(bounds, k, lower, upper, "milp")


def attained_ranges(network, bounds):
    """Smallest and largest value of every neuron at sampled inputs, (size, 2) each."""
    rng = np.random.default_rng(0)
    lower, upper = bounds.input_lower, bounds.input_upper
    X = lower + rng.random((_SAMPLES, network.n_inputs)) * (upper - lower)
    corners = rng.integers(0, 2, (_SAMPLES // 4, network.n_inputs))
    X[: corners.shape[0]] = np.where(corners == 1, upper, lower)
    X = np.clip(X, lower, upper)
    return [
        np.column_stack([v.min(axis=0), v.max(axis=0)]) for v in network.propagate(X)[0]
    ]
