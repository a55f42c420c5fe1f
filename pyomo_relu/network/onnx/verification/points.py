"""Points at which a network shows all its sides."""

import numpy as np

from pyomo_relu.common.matrices import dense
from pyomo_relu.network.gradients import gradient
from pyomo_relu.network.layer import INPUT
from pyomo_relu.network.onnx import budget
from pyomo_relu.network.onnx.tensors.tensors import entries

#: Neurons that are steered across their kink one by one.
_STEERED = 24

#: Rows of the first layer used to find where its neurons change sign.
_CENTRED_ROWS = 64

#: Distances from their kinks, relative to the rows' norms; None: as the biases.
_SPREADS = (0.0, 0.1, 0.1, 1.0, 1.0, 1.0, None, None, None)
_FEW_SPREADS = (0.0, 0.1, 1.0, None)

#: As many points as there are at most, and at least.
_ALL, _LEAST = 31 + 2 * _STEERED, 12

#: Values (of inputs and layers) and multiply-adds to spend on all points.
_VALUES, _STEPS = 2**24, 2**31


def probing_points(network, seed=0):
    """Points that reach both sides of the network's activations.

    Random points at several scales; points around the place where the first layer's
    pre-activations vanish (least squares), which covers inputs in raw units; and, for
    neurons that all these leave on one side, one Newton step along the gradient to
    the other side.

    Parameters
    ----------
    network : Network
    seed : int

    Returns
    -------
    numpy.ndarray, shape (N, n_inputs)
    """
    rng = np.random.default_rng(seed)
    most = _affordable(network)
    points = points_near_kinks(network, rng, (0.1, 1.0, 10.0, 100.0), few=most < _ALL)
    steered = _across_kinks(network, points, rng)[: max(0, most - len(points))]
    points = np.vstack([points, *steered])
    return points[np.all(np.isfinite(points), axis=1)]


def points_near_kinks(network, rng, scales=(0.1, 1.0), few=False):
    """Points near the origin and near the kinks of the first layer.

    Parameters
    ----------
    network : Network
    rng : numpy.random.Generator
    scales : sequence of float
        Standard deviations of the random points.
    few : bool
        About a third as many points, for networks that are dear to evaluate.

    Returns
    -------
    numpy.ndarray, shape (N, n_inputs)
    """
    n, several = network.n_inputs, 1 if few else 4
    parts = [np.zeros((1, n)), np.ones((1, n)), rng.random((several, n))]
    parts += [s * rng.standard_normal((several, n)) for s in scales]
    parts.append(_around_first_kinks(network, rng, _FEW_SPREADS if few else _SPREADS))
    return np.vstack([p for p in parts if len(p)])


def _affordable(network):
    """How many points to evaluate: fewer where each costs much."""
    values = network.n_inputs + sum(layer.size for layer in network.layers)
    steps = sum(entries(w) for layer in network.layers for w in layer.weights)
    most = max(_LEAST, min(_ALL, _VALUES // values, _STEPS // max(1, steps)))
    what = f"{network.name}: the comparison with onnxruntime at {most} points, a total"
    budget.require(1.5 * most * values, what)
    return most


def _around_first_kinks(network, rng, spreads):
    """Least-norm points x = W' (W W')^+ t of ``W x = t``, t = small numbers - b."""
    first = next(
        (
            layer
            for layer in network.layers
            if [s.layer for s in layer.sources] == [INPUT]
        ),
        None,
    )
    if first is None:
        return np.zeros((0, network.n_inputs))
    rows = np.sort(rng.permutation(first.size)[: min(_CENTRED_ROWS, network.n_inputs)])
    w = first.weights[0][rows]
    gram = w @ w.T
    gram = dense(gram)
    norms = np.sqrt(np.diag(gram))
    points = []
    bias = first.bias[rows]
    for spread in spreads:
        width = np.maximum(norms, np.abs(bias)) if spread is None else spread * norms
        target = width * rng.standard_normal(len(rows)) - bias
        points.append(w.T @ np.linalg.lstsq(gram, target, rcond=1e-12)[0])
    return np.array(points)


def _across_kinks(network, points, rng):
    """One point beyond a kink for each of some neurons seen on one side only."""
    pre = network.propagate(points)[0]
    candidates = []
    for k, layer in enumerate(network.activation_layers):
        for threshold in _thresholds(layer):
            above = pre[k] > threshold
            lonely = np.flatnonzero(np.all(above == above[:1], axis=0))
            some = rng.permutation(lonely)[: max(1, _STEERED // len(network.layers))]
            candidates += [(k, i, threshold[i]) for i in some]
    result = []
    for k, i, threshold in candidates[: 2 * _STEERED]:
        p = int(np.argmin(np.abs(pre[k][:, i] - threshold)))
        unit = np.zeros(network.layers[k].size)
        unit[i] = 1.0
        slope = gradient(network, [v[p] for v in pre], unit, k)
        square = slope @ slope
        if square > 0 and np.isfinite(threshold):
            step = 1.25 * (pre[k][p, i] - threshold) / square
            result.append(points[p : p + 1] - step * slope)
    return result


def _thresholds(layer):
    yield np.zeros(layer.size)
    if layer.ceiling is not None:
        yield layer.ceiling
