"""Linear pieces of networks: affine maps of activation patterns, regions, breakpoints."""

from typing import NamedTuple

import numpy as np

from pyomo_relu.common.matrices import dense
from pyomo_relu.network.layer import ACTIVE, AT_CEILING, INACTIVE

#: Breakpoints closer than this, relative to the box, count as one.
_SAME_POINT = 1e-11


def pre_map(layer, n, inputs, pre, post, weights=None, bias=None):
    """Map (C, d) of a layer's pre-activation ``C u + d`` from the earlier ones' maps.

    Parameters
    ----------
    layer : Layer
    n : int
        Number of u.
    inputs : (C, d) or None
        Of the inputs; None if u are the inputs themselves.
    pre, post : sequence of (C, d)
        Of the earlier layers.
    weights, bias : optional
        The layer's own in another arithmetic.
    """
    d = np.array(layer.bias if bias is None else bias)
    C = np.zeros((layer.size, n), dtype=d.dtype)
    for source, w in zip(layer.sources, weights or layer.weights, strict=True):
        inner = source.of(inputs, pre, post)
        if inner is None:
            C += dense(w)
        else:
            C += w @ inner[0]
            d += w @ inner[1]
    return C, d


def post_map(layer, pre, state, array=np.asarray):
    """Map (C, d) of a layer's post-activation where its neurons have these states.

    Parameters
    ----------
    layer : Layer
    pre : (C, d)
        Of the pre-activation.
    state : array_like of int, shape (size,)
    array : callable
        Turns ceilings into numbers of another arithmetic.
    """
    C, d = pre
    state = np.asarray(state)
    on = (state == ACTIVE).astype(d.dtype)
    d = on * d
    capped = np.flatnonzero(state == AT_CEILING)
    if capped.size:
        d[capped] = array(layer.ceilings[capped])
    return on[:, None] * C, d


def linear_piece(network, pattern):
    """Maps (C, d) of all layers on one linear region; see ``Network.linear_piece``."""
    pre, post = [], []
    for layer, state in zip(network.layers, [*pattern, None], strict=True):
        pre.append(pre_map(layer, network.n_inputs, None, pre, post))
        if state is not None:
            post.append(post_map(layer, pre[-1], state))
    return pre


def piece_at(network, x):
    """The activation pattern at a point, and the maps (C, d) of all layers there."""
    pattern = [state[0] for state in network.activation_pattern(x)]
    return pattern, linear_piece(network, pattern)


class RegionRows(NamedTuple):
    """A linear region ``lower <= rows x <= upper`` and the outputs ``C x + d`` on it."""

    rows: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    C: np.ndarray
    d: np.ndarray


def region_rows(network, x):
    """The linear region that contains ``x`` and the network's affine map on it.

    With the activation pattern at x fixed, every pre-activation is affine in the
    inputs, ``v = C x + d``, and the region is ``v <= 0`` for inactive neurons,
    ``0 <= v <= ceiling`` for active ones, ``v >= ceiling`` at a ceiling.  Rows are
    scaled to largest coefficient 1; those without coefficients are left out.

    Parameters
    ----------
    network : Network
    x : numpy.ndarray, shape (n_inputs,)

    Returns
    -------
    RegionRows
        Of shapes (m, n_inputs), (m,), (m,), (n_outputs, n_inputs) and (n_outputs,).
    """
    pattern, (*pieces, (C, d)) = piece_at(network, x)
    parts = [(np.zeros((0, network.n_inputs)), np.zeros(0), np.zeros(0))]
    for layer, state, (rows, shift) in zip(
        network.activation_layers, pattern, pieces, strict=True
    ):
        ceiling = layer.ceilings
        low = np.select([state == ACTIVE, state == AT_CEILING], [0.0, ceiling], -np.inf)
        high = np.select([state == INACTIVE, state == ACTIVE], [0.0, ceiling], np.inf)
        parts.append((rows, low - shift, high - shift))
    rows, lower, upper = (np.concatenate(part) for part in zip(*parts, strict=True))
    size = np.max(np.abs(rows), axis=1, initial=0.0)
    keep = np.flatnonzero(size > 0)
    size = size[keep]
    return RegionRows(
        rows[keep] / size[:, None], lower[keep] / size, upper[keep] / size, C, d
    )


def breakpoints(network, lower, upper, column=0, most=None):
    """Points between which a network is affine along one of its inputs.

    Layer by layer: between two neighbouring points all earlier layers are affine, so a
    neuron's pre-activation is a straight line there and crosses zero (or its ceiling)
    at most once.

    Parameters
    ----------
    network : Network
    lower, upper : array_like, shape (n_inputs,)
        Between which input ``column`` moves; the others stay at ``lower``.
    column : int
    most : int, optional
        Give up if there are more points than this.

    Returns
    -------
    numpy.ndarray, shape (P + 1,), or None
        Values of the input, ascending from its lower to its upper one, to rounding.
    """
    start = np.atleast_1d(np.asarray(lower, dtype=float))
    low, high = start[column], np.atleast_1d(upper)[column]
    points = np.array([low, high], dtype=float)
    if low == high:
        return points
    for k, layer in enumerate(network.activation_layers):
        x = np.tile(start, (points.size, 1))
        x[:, column] = points
        v = network.propagate(x)[0][k]
        levels = [np.zeros(layer.size)]
        if layer.ceiling is not None:
            levels.append(np.where(np.isfinite(layer.ceiling), layer.ceiling, 0.0))
        new = [points]
        for level in levels:
            left, right = v[:-1] - level, v[1:] - level
            at, i = np.nonzero(left * right < 0)
            share = left[at, i] / (left[at, i] - right[at, i])
            new.append(points[at] + share * (points[at + 1] - points[at]))
        points = _distinct(np.concatenate(new), low, high)
        if most is not None and points.size > most:
            return None
    return points


def _distinct(points, lower, upper):
    points = np.unique(np.clip(points, lower, upper))
    apart = _SAME_POINT * (upper - lower)
    keep = np.concatenate([[True], np.diff(points) > apart])
    points = points[keep]
    points[-1] = upper
    return points
