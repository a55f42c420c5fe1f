"""Which bounds are in force on a network block.

Bounds come from transformations, which record them on the block, or from the modeller,
who brings proven ones of his own.
"""

import logging

from pyomo.common.dependencies import numpy as np

from pyomo_relu import bounds as bounds_
from pyomo_relu.block.records.bounds_runs import (
    GIVEN,
    BoundsRun,
    conditions_violated,
    release_void_bounds,
    take_back,
)
from pyomo_relu.block.records.var_bounds import ends
from pyomo_relu.common.arguments import INFINITE
from pyomo_relu.common.model_reading import ModelReading
from pyomo_relu.errors import BoundsError, TransformationError

logger = logging.getLogger("pyomo.relu")

#: Points at which bounds that the modeller brings are tried.
_TRIALS = 256


def input_box(block, assume_fixed_vars_permanent=True, sides=None):
    """Lower and upper bounds of a block's inputs; see ``ReLUNetworkBlock.input_box``.

    ``sides`` has other bounds than the Vars have; see ``ends``.
    """
    lower, upper = np.empty((2, block.network.n_inputs))
    for j, var in enumerate(block.input_vars()):
        lower[j], upper[j] = ends(var, sides, assume_fixed_vars_permanent)
        if var.fixed and assume_fixed_vars_permanent:
            if var.value is None:
                raise BoundsError(
                    f"{block.name}: input '{var.name}' is fixed but has no value. "
                    "Give it a value or unfix it."
                )
            lower[j] = upper[j] = var.value
        if not lower[j] <= upper[j]:
            raise BoundsError(
                f"{block.name}: input '{var.name}' has the bounds [{lower[j]}, "
                f"{upper[j]}], which no value satisfies. Correct them."
            )
    return lower, upper


def bounds_in_force(block, assume_fixed_vars_permanent=True, reading=None):
    """Interval arithmetic, intersected with what is recorded and still holds.

    ``reading`` is a ModelReading; without one, conditions are checked anew.
    """
    lower, upper = _finite_box(block, assume_fixed_vars_permanent)
    reading, network = reading or ModelReading(), block.network
    bounds = reading.computed(
        ("interval", network, lower.tobytes(), upper.tobytes()),
        lambda: bounds_.interval_bounds(network, lower, upper),
    )
    record = block.record
    void = conditions_violated(block, assume_fixed_vars_permanent, reading)
    if void is not None:
        # bounds recorded later may have started from those that are void
        logger.warning(
            f"{block.name}: bounds that relu.obbt proved with the model's "
            f"constraints are left out, because {void}. Apply relu.obbt again."
        )
        return bounds
    if record.bounds is not None and record.bounds.covers(lower, upper):
        bounds = _intersect(block, bounds, record.bounds)
    if record.model_bounds is not None:
        both = _intersect(block, bounds, record.model_bounds)
        bounds = bounds_.NeuronBounds(
            block.network, both.lower, both.upper, both.source, lower, upper
        )
    return bounds


def bounds_in_force_on_each(blocks, assume_fixed_vars_permanent=True, reading=None):
    """As ``bounds_in_force`` of several blocks of one network, in the same arrays.

    Returns
    -------
    BoundsOfBoxes
    """
    from pyomo_relu.bounds.box_bounds import BoundsOfBoxes  # loads numpy
    from pyomo_relu.bounds.crown.interval import interval_batch

    fixed = assume_fixed_vars_permanent
    boxes = np.array([_finite_box(block, fixed) for block in blocks])
    lower, upper, network = boxes[:, 0], boxes[:, 1], blocks[0].network
    found = interval_batch(network, lower, upper)
    bounds = BoundsOfBoxes(network, *found, "interval", lower, upper)
    recorded = [i for i, block in enumerate(blocks) if block.record.has_bounds]
    if recorded:
        own = [bounds_in_force(blocks[i], fixed, reading) for i in recorded]
        bounds = bounds.put(recorded, BoundsOfBoxes.of(own))
    return bounds


def _finite_box(block, assume_fixed_vars_permanent):
    lower, upper = input_box(block, assume_fixed_vars_permanent)
    for var, lo, hi in _endless(block, lower, upper):
        raise BoundsError(
            f"{block.name}: input '{var.name}' has the bounds [{lo}, {hi}]; "
            "bounds on the neurons need finite ones, below 1e20. Set them with "
            f"{var.name}.setlb(...) and .setub(...), or let "
            "relu.obbt(scope='model') derive them from your constraints."
        )
    return lower, upper


def has_finite_box(block, assume_fixed_vars_permanent=True):
    """Whether all inputs of a block have finite bounds of their own."""
    box = input_box(block, assume_fixed_vars_permanent)
    return not list(_endless(block, *box))


def _endless(block, lower, upper):
    """(Var, lower, upper) of the inputs without finite bounds."""
    ends = zip(block.input_vars(), lower, upper, strict=True)
    return (e for e in ends if not (e[1] > -INFINITE and e[2] < INFINITE))


def _intersect(block, bounds, recorded):
    try:
        return bounds.intersect(recorded)
    except BoundsError as error:
        raise BoundsError(
            f"{block.name}: recorded bounds contradict what the present inputs give "
            f"({error}). Bounds given to use_bounds must be proven for this network; "
            "with the model's constraints, the inputs' bounds may leave no point."
        ) from None


# -- bounds that the modeller brings -----------------------------------------------


def use_bounds(block, bounds):
    """Record bounds that the modeller brings; see ``ReLUNetworkBlock.use_bounds``."""
    encoding = block.record.encoding
    if encoding is not None:
        raise TransformationError(
            f"{GIVEN}: '{block.name}' is already encoded by "
            f"{encoding.formulation.NAME}, whose coefficients stay as they are. "
            f"Reverse that, call {GIVEN}, and encode again."
        )
    if bounds is None:
        take_back(block)
        return
    _check_belong(block, bounds)
    release_void_bounds([block])
    lower, upper = _finite_box(block, True)
    _check_contain(block, bounds, lower, upper)
    _try(block, bounds, lower, upper)
    recorded = block.record.bounds
    both = bounds if recorded is None else _intersect(block, bounds, recorded)
    run = BoundsRun(GIVEN, [block], bounds)
    block.record.bounds = both
    run.keep()


def _check_belong(block, bounds):
    if not isinstance(bounds, bounds_.NeuronBounds):
        raise BoundsError(
            f"{block.name}: {GIVEN} takes a NeuronBounds, not "
            f"{type(bounds).__name__}. Make one with pyomo_relu.bounds.tighten(...) "
            "or NeuronBounds(network, lower, upper, source, input_lower, input_upper)."
        )
    if bounds.network != block.network:
        raise BoundsError(
            f"{block.name}: the bounds belong to the network '{bounds.network.name}', "
            f"which differs from the block's '{block.network.name}'. Prove them for "
            f"{block.name}.network, which has the input and output scaling in it."
        )


def _check_contain(block, bounds, lower, upper):
    for j, var in enumerate(block.input_vars()):
        low, high = bounds.input_lower[j], bounds.input_upper[j]
        if low <= lower[j] and upper[j] <= high:
            continue
        raise BoundsError(
            f"{block.name}: the bounds were proven for '{var.name}' in [{low}, {high}] "
            f"but it may lie in [{lower[j]}, {upper[j]}]. Prove them on a box that "
            f"contains that, or tighten the bounds of '{var.name}' first."
        )


def _try(block, bounds, lower, upper):
    """Raise if a forward pass leaves the bounds: a mistake must not cut off optima."""
    network = block.network
    X = np.random.default_rng(0).uniform(size=(_TRIALS, network.n_inputs))
    X[: _TRIALS // 2] = np.round(X[: _TRIALS // 2])  # corners
    X = np.clip(lower + X * (upper - lower), lower, upper)
    reach = bounds_.interval_bounds(network, lower, upper)
    for k, v in enumerate(network.propagate(X)[0]):
        # the bounds may have been proven without regard to the rounding of v
        scale = np.maximum(np.abs(reach.lower[k]), np.abs(reach.upper[k]))
        allowed = 1e-9 * np.maximum(scale, 1.0)
        wrong = (v < bounds.lower[k] - allowed) | (v > bounds.upper[k] + allowed)
        if not wrong.any():
            continue
        at, i = np.argwhere(wrong)[0]
        raise BoundsError(
            f"{block.name}: the bounds given to {GIVEN} are wrong: neuron {i} of layer "
            f"{k} ('{network.layers[k].name}') is {v[at, i]} at the inputs "
            f"{X[at].tolist()}, outside [{bounds.lower[k][i]}, {bounds.upper[k][i]}]. "
            "Prove them again."
        )
