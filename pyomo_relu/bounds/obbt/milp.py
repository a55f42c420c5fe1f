"""MILP-based bound tightening on rolling windows of layers, over the input box.

Exact ranges cost a MILP per bound; a window of the last few layers costs far less and
is tighter than the LP relaxation of all of them often enough (Zhao et al. 2024, arXiv
2401.05280).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyomo_relu.bounds.obbt.layerwise import (
    check_bounds,
    checked_obbt,
    exact_layer,
    replace_layer,
    tighten_layers,
)
from pyomo_relu.bounds.obbt.options import DEFAULT, TighteningOptions
from pyomo_relu.bounds.obbt.run import OBBTRun
from pyomo_relu.bounds.relaxation.network import affine_costs, relax_window
from pyomo_relu.bounds.statistics import TighteningStatistics

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.bounds.neuron_bounds import NeuronBounds
    from pyomo_relu.network.network import Network


#: Points at which the network is evaluated to catch wrong claims of a solver.
_SAMPLES = 2000


@checked_obbt
def milp_obbt(
    network: Network,
    bounds: NeuronBounds,
    options: TighteningOptions = DEFAULT,
    *,
    neurons: Sequence[ArrayLike] | None = None,
    time_limit: float | None = None,
) -> tuple[NeuronBounds, TighteningStatistics]:
    """Tighten bounds by MILPs in which the last ``options.window`` layers are exact.

    The bound is the solver's dual bound, padded outward by ``milp_chunk.PADDING``
    (relative), also on time-out; an incumbent is never used.  Branch and bound leaves
    no certificate: unlike LP bounds these rest on the MILP solver being right within
    ten times its tolerances.  A claim that some evaluated point of the network
    contradicts is dropped.

    Parameters
    ----------
    network, bounds, options, neurons, time_limit
        See ``lp_obbt``.

    Returns
    -------
    bounds : NeuronBounds
    statistics : TighteningStatistics

    Raises
    ------
    BoundsError, SolverError
    """
    run = OBBTRun(options, time_limit, milp=True)
    check_bounds(network, bounds)
    attained = attained_ranges(network, bounds)
    tighten_layer = functools.partial(_tighten_layer, attained)
    return tighten_layers("milp", network, bounds, neurons, run, tighten_layer)


def _tighten_layer(attained, network, bounds, k, targets, run, row):
    targets.attained = attained[k]
    window = run.options.window or len(network.layers)
    model, columns = relax_window(network, bounds, k, window)
    layer = network.layers[k]
    targets.costs = affine_costs(layer, columns, np.arange(layer.size), model.n_columns)
    if not model.n_rows:
        return exact_layer(network, bounds, k, model, targets, row)
    deadline = run.deadline.part(len(network.layers) - k)
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
