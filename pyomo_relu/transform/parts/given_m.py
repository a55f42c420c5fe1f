"""Big-M coefficients that the modeller gives: look-up, and proof that they are valid."""

from pyomo.common.dependencies import numpy as np
from pyomo.core.base.suffix import Suffix

from pyomo_relu import bounds as bounds_
from pyomo_relu.errors import TransformationError

# given values this close to a proven bound are the same number in the modeller's eyes
_RELATIVE_SLACK = 1e-6

_SIDES = ("lower", "upper")


def tightened_by_given_m(block, bounds, argument):
    """Intersect bounds with what the modeller gave for a block.

    Parameters
    ----------
    block : ReLUNetworkBlockData
    bounds : NeuronBounds
        The computed bounds, on the box that the encoding is for.
    argument : dict or ComponentMap, optional
        The ``bigM`` option.

    Returns
    -------
    bounds : NeuronBounds
        With source "given" where a given value is tighter.
    given : dict
        {(layer, neuron, side): (source, key)}; side 0 is lower, 1 is upper.

    Raises
    ------
    TransformationError
        If a given value is malformed, cuts off a value that the neuron takes on the
        input box, or is tighter than what can be proven.
    """
    suffixes = _suffixes(block)
    if not argument and not suffixes:
        return bounds, {}
    lower = [a.copy() for a in bounds.lower]
    upper = [a.copy() for a in bounds.upper]
    given = {}
    for (k, i), row in block.activation.items():
        value, source, key = _look_up(block, row, argument, suffixes)
        if value is None:
            continue
        low, high = _as_pair(row, value)
        if low is not None and low > lower[k][i]:
            lower[k][i] = low
            given[k, i, 0] = (source, key)
        if high is not None and high < upper[k][i]:
            upper[k][i] = high
            given[k, i, 1] = (source, key)
    if given:
        _prove(block, bounds, lower, upper, given)
        bounds = _with_given(bounds, lower, upper, given)
    return bounds, given


def _suffixes(block):
    """BigM Suffixes from the network block upwards, nearest first."""
    found = []
    while block is not None:
        suffix = block.component("BigM")
        if suffix is not None and suffix.ctype is Suffix:
            found.append(suffix)
        block = block.parent_block()
    return found


def _look_up(block, row, argument, suffixes):
    """(value, source, key) by gdp.bigm's order of precedence."""
    container = row.parent_component()
    keys = [row, container]
    parent = block
    while parent is not None:
        keys.append(parent)
        if parent.parent_component() is not parent:
            keys.append(parent.parent_component())
        parent = parent.parent_block()
    if argument:
        for key in [*keys, None]:
            if key in argument:
                return argument[key], "argument", key
    for suffix in suffixes:
        for key in (row, container, None):
            if key in suffix:
                return suffix[key], "suffix", key
    return None, None, None


def _as_pair(row, value):
    try:
        pair = (-abs(value), abs(value)) if np.isscalar(value) else tuple(value)
        low, high = (None if m is None else float(m) for m in pair)
    except (TypeError, ValueError):
        low = high = np.nan
    if any(m is not None and not np.isfinite(m) for m in (low, high)):
        raise TransformationError(
            f"bigM for '{row.name}' must be a finite number or a pair (lower, upper), "
            f"not {value!r}."
        )
    return low, high


def _prove(block, bounds, lower, upper, given):
    """Raise unless every given value that is tighter than computed is proven."""
    from pyomo_relu.bounds.refute import attained_range

    claims = {(k, i): (lower[k][i], upper[k][i]) for k, i, _ in given}
    attained, proven = attained_range(bounds, claims)
    for k, i, side in given:
        claim, (value, point) = claims[k, i][side], attained[k, i, side]
        if _exceeds(value, claim, side):
            raise TransformationError(
                f"bigM: the {_SIDES[side]} value {claim:.6g} given for "
                f"'{block.activation[k, i].name}' cuts off a true value: its "
                f"pre-activation is {value:.6g} at the inputs "
                f"{np.array2string(point, threshold=8)}. Give at least that, or leave "
                "it out."
            )
    for k, i, side in given:
        claim, bound = claims[k, i][side], proven[k, i, side]
        if _exceeds(bound, claim, side):
            raise TransformationError(
                f"bigM: the {_SIDES[side]} value {claim:.6g} given for "
                f"'{block.activation[k, i].name}' could not be proven; what can be "
                f"proven is {bound:.6g}. Leave it out and run relu.obbt, which finds "
                "the tightest value it can prove."
            )
        # the proven value is safe where the given one is off by rounding
        if side:
            upper[k][i] = max(claim, bound)
        else:
            lower[k][i] = min(claim, bound)


def _exceeds(value, claim, side):
    """True if ``value`` lies outside the claimed bound by more than rounding."""
    slack = _RELATIVE_SLACK * max(1.0, abs(claim))
    return value > claim + slack if side else value < claim - slack


def _with_given(bounds, lower, upper, given):
    source = [a.astype(object) for a in bounds.source]
    for k, i, _ in given:
        source[k][i] = "given"
    return bounds_.NeuronBounds(
        bounds.network,
        lower,
        upper,
        source,
        bounds.input_lower,
        bounds.input_upper,
    )
