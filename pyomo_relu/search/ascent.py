"""Projected gradient descent on networks, many starts at once; numpy only, no Pyomo.

A ReLU network is affine on each linear region, so its gradient is exact almost
everywhere and one batched forward and backward pass moves all starts together
(Tong, Zhu, Serra and Burer, arXiv 2512.24295, use such steps in place of linear
programmes).
"""

import numpy as np
from scipy.stats import qmc

from pyomo_relu.network.layer import INPUT
from pyomo_relu.search.problem import box_problem
from pyomo_relu.search.relax_walk import walk

#: First and last step of a descent, in widths of the box.
_FIRST_STEP, _LAST_STEP = 0.1, 1e-3


def latin_hypercube(n_points, lower, upper, rng):
    """Latin-hypercube points of a finite box, shape (n_points, d).

    Source: McKay, Beckman and Conover, Technometrics 21 (1979).
    """
    points = qmc.LatinHypercube(len(lower), rng=rng).random(n_points)
    return np.clip(lower + points * (upper - lower), lower, upper)


def value_and_gradient(network, X, costs):
    """Value and gradient of ``costs . f(x)`` at many points.

    The gradient is the chain rule through the layers in reverse graph order; at a
    breakpoint a neuron counts as inactive (or at its ceiling), which is the slope of
    one of the adjoining regions.

    Parameters
    ----------
    network : Network
    X : array_like, shape (N, n_inputs)
    costs : array_like, shape (n_outputs,) or (N, n_outputs)

    Returns
    -------
    values : numpy.ndarray, shape (N,)
    gradient : numpy.ndarray, shape (N, n_inputs)
    """
    X = np.asarray(X, dtype=float)
    pre, post = network.propagate(X)
    costs = np.broadcast_to(np.asarray(costs, dtype=float), post[-1].shape)
    values = np.einsum("no,no->n", post[-1], costs)
    gradient = np.zeros_like(X)
    on_post = [None] * len(network.layers)
    on_pre = [None] * len(network.layers)
    on_pre[-1] = costs
    for k in range(len(network.layers) - 1, -1, -1):
        layer, total = network.layers[k], on_pre[k]
        if on_post[k] is not None:
            slope = pre[k] > 0
            if layer.ceiling is not None:
                slope &= pre[k] < layer.ceiling
            through = on_post[k] * slope
            total = through if total is None else total + through
        if total is None:
            continue
        for (source, is_post), w in zip(layer.sources, layer.weights):
            back = (w.T @ total.T).T
            if source == INPUT:
                gradient += back
                continue
            stored = on_post if is_post else on_pre
            stored[source] = back if stored[source] is None else stored[source] + back
    return values, gradient


def descend(evaluate, X, lower, upper, steps, project=None, clock=None):
    """Sign-gradient descent from all rows of ``X`` at once; the best point of each.

    Step t moves every input by ``eta_t`` box widths against the sign of the
    derivative, ``eta_t`` falling geometrically from 0.1 to 1e-3; a second, normalised
    component keeps the direction of steepest descent where inputs differ in weight.

    Parameters
    ----------
    evaluate : callable
        X -> (values, gradient), shapes (N,) and (N, d).
    X : numpy.ndarray, shape (N, d)
    lower, upper : numpy.ndarray, shape (d,)
        Finite box.
    steps : int
    project : callable, optional
        X -> feasible X; the default clips to the box.
    clock : Clock, optional
        Stops between two steps.

    Returns
    -------
    points : numpy.ndarray, shape (N, d)
    values : numpy.ndarray, shape (N,)
    """
    width = upper - lower
    clip = project or (lambda points: np.clip(points, lower, upper))
    X = np.array(X, dtype=float)
    best, best_values = X.copy(), np.full(X.shape[0], np.inf)
    decay = (_LAST_STEP / _FIRST_STEP) ** (1.0 / max(steps - 1, 1))
    for t in range(steps + 1):
        values, gradient = evaluate(X)
        better = values < best_values
        best[better], best_values[better] = X[better], values[better]
        if t == steps or (clock is not None and clock.passed()):
            break
        scaled = gradient * width
        size = np.max(np.abs(scaled), axis=1, keepdims=True)
        direction = scaled / np.where(size > 0, size, 1.0)
        # Half sign, half steepest: pure sign steps chatter across narrow valleys.
        move = 0.5 * np.sign(direction) + 0.5 * direction
        X = clip(X - _FIRST_STEP * decay**t * width * move)
    return best, best_values


def minimise_over_box(
    network,
    costs,
    lower,
    upper,
    *,
    n_starts=32,
    steps=30,
    seed=0,
    start=None,
    input_costs=None,
    walks=2,
):
    """A good point of ``min costs . f(x) + input_costs . x`` over a box.

    Latin-hypercube points are evaluated in one batch, the best ``n_starts`` descend,
    and the best ``walks`` of these walk to a local optimum by linear programmes over
    linear regions.  A heuristic: the value is attained, not proven optimal.

    Parameters
    ----------
    network : Network
    costs : array_like, shape (n_outputs,)
    lower, upper : array_like, shape (n_inputs,)
        Finite box.
    n_starts, steps : int
        Starts that descend, and steps of each.
    seed : int
    start : array_like, shape (n_inputs,) or (k, n_inputs), optional
        Points that are certain to be among the starts.
    input_costs : array_like, shape (n_inputs,), optional
    walks : int
        How many of the best points are walked to a local optimum; 0 for none.

    Returns
    -------
    x : numpy.ndarray, shape (n_inputs,)
    value : float
    """
    lower, upper = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    costs = np.asarray(costs, dtype=float)
    linear = np.zeros(lower.size) if input_costs is None else np.asarray(input_costs)
    rng = np.random.default_rng(seed)

    def evaluate(X):
        values, gradient = value_and_gradient(network, X, costs)
        return values + X @ linear, gradient + linear

    X = latin_hypercube(16 * n_starts, lower, upper, rng)
    values = network.forward(X) @ costs + X @ linear
    X = X[np.argsort(values, kind="stable")[:n_starts]]
    if start is not None:
        X = np.vstack([np.clip(np.atleast_2d(start), lower, upper), X])
    points, values = descend(evaluate, X, lower, upper, steps)
    order = np.argsort(values, kind="stable")
    x, value = points[order[0]], float(values[order[0]])
    if walks:
        problem = box_problem(network, costs, linear, lower, upper)
        unit, factors = problem.in_unit_range(), problem.units.columns
        padding = np.zeros(network.n_outputs)
        for j in order[:walks]:
            start = np.concatenate([points[j], padding]) / factors
            end = walk(unit, start, rng=rng)
            if end is None:
                continue
            end = end * factors
            if problem.value(end) < value:
                x, value = end[: lower.size], float(problem.value(end))
    return x, value
