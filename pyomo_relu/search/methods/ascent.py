"""Projected gradient descent on networks, many starts at once.

A ReLU network is affine on each linear region, so its gradient is exact almost
everywhere and one batched forward and backward pass moves all starts together
(Tong, Zhu, Serra and Burer, arXiv 2512.24295, use such steps in place of linear
programmes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.stats import qmc

from pyomo_relu.bounds.neuron_bounds import check_box
from pyomo_relu.common.arguments import a_network, checked, numbers, vector, whole
from pyomo_relu.common.wording import counted
from pyomo_relu.errors import NetworkError
from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.network.gradients import gradient
from pyomo_relu.network.repeated import RepeatedNetworks
from pyomo_relu.search.regions.walk import walk

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pyomo_relu.common.types import FloatArray
    from pyomo_relu.network.network import Network


#: First and last step of a descent, in widths of the box.
_FIRST_STEP, _LAST_STEP = 0.1, 1e-3


def latin_hypercube(n_points, lower, upper, rng):
    """Latin-hypercube points of a finite box, shape (n_points, d).

    Source: McKay, Beckman and Conover, Technometrics 21 (1979).
    """
    points = qmc.LatinHypercube(len(lower), rng=rng).random(n_points)
    return np.clip(lower + points * (upper - lower), lower, upper)


@checked(NetworkError, network=a_network)
def value_and_gradient(network, X, costs):
    """Value and gradient of ``costs . f(x)`` at many points.

    At a breakpoint a neuron counts as inactive (or at its ceiling), which is the slope
    of one of the adjoining regions.

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
    X = numbers("X", X, NetworkError)
    repeated = isinstance(network, RepeatedNetworks)
    pre, post = ([], []) if repeated else network.propagate(X)
    costs, shape = numbers("costs", costs, NetworkError), (len(X), network.n_outputs)
    if X.ndim != 2 or costs.shape not in ((), shape[1:], shape):
        raise NetworkError(
            f"value_and_gradient: X must be of shape (N, {network.n_inputs}) and costs "
            f"of shape {shape[1:]} or {shape}, not {X.shape} and {costs.shape}."
        )
    costs = np.broadcast_to(costs, shape)
    if repeated:
        return network.value_and_gradient(X, costs)
    values = np.einsum("no,no->n", post[-1], costs)
    return values, gradient(network, pre, costs)


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
    clock : Deadline, optional
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
        values, slope = evaluate(X)
        better = values < best_values
        best[better], best_values[better] = X[better], values[better]
        if t == steps or (clock is not None and clock.passed()):
            break
        scaled = slope * width
        size = np.max(np.abs(scaled), axis=1, keepdims=True)
        direction = scaled / np.where(size > 0, size, 1.0)
        # Half sign, half steepest: pure sign steps chatter across narrow valleys.
        move = 0.5 * np.sign(direction) + 0.5 * direction
        X = clip(X - _FIRST_STEP * decay**t * width * move)
    return best, best_values


def minimise_over_box(
    network: Network,
    costs: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    n_starts: int = 32,
    steps: int = 30,
    seed: int = 0,
    start: ArrayLike | None = None,
    input_costs: ArrayLike | None = None,
    walks: int = 2,
) -> tuple[FloatArray, float]:
    """A good point of ``min costs . f(x) + input_costs . x`` over a box.

    Latin-hypercube points are evaluated in one batch, the best ``n_starts`` descend,
    and the best ``walks`` of these walk to a local optimum by linear programmes over
    linear regions.  A heuristic: the value is attained, not proven optimal.

    Parameters
    ----------
    network : Network
    costs : array_like, shape (n_outputs,), or number
    lower, upper : array_like, shape (n_inputs,), or numbers
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

    Raises
    ------
    NetworkError
        If costs, starts or counts do not fit the network.
    BoundsError
        If the box is infinite, reversed or of the wrong shape.
    """
    (low,), (high,) = check_box(network, lower, upper)
    weights = vector("costs", costs, network.n_outputs, NetworkError)
    linear = 0.0 if input_costs is None else input_costs
    linear = vector("input_costs", linear, low.size, NetworkError)
    n_starts = whole("n_starts", n_starts, NetworkError, least=1)
    steps = whole("steps", steps, NetworkError)
    walks = whole("walks", walks, NetworkError)
    seed = whole("seed", seed, NetworkError)
    rng = np.random.default_rng(seed)

    def evaluate(X):
        values, slope = value_and_gradient(network, X, weights)
        return values + X @ linear, slope + linear

    given = np.zeros((0, low.size))
    if start is not None:
        given = np.atleast_2d(numbers("start", start, NetworkError))
        if given.shape[1:] != low.shape:
            raise NetworkError(
                f"start must be points of {counted(low.size, 'input')}, of shape "
                f"{low.shape} or (k, {low.size}), not {given.shape}."
            )
    X = latin_hypercube(16 * n_starts, low, high, rng)
    values = network.forward(X) @ weights + X @ linear
    X = X[np.argsort(values, kind="stable")[:n_starts]]
    X = np.vstack([np.clip(given, low, high), X])
    points, values = descend(evaluate, X, low, high, steps)
    order = np.argsort(values, kind="stable")
    x, value = points[order[0]], float(values[order[0]])
    if walks:
        problem = box_model(network, weights, linear, low, high)
        unit, factors = problem.in_unit_range(), problem.units.columns
        padding = np.zeros(network.n_outputs)
        for j in order[:walks]:
            begin = np.concatenate([points[j], padding]) / factors
            end = walk(unit, begin, rng=rng)
            if end is None:
                continue
            end = end * factors
            if problem.objective(end) < value:
                x, value = end[: low.size], float(problem.objective(end))
    return x, value


def box_model(network, costs, input_costs, lower, upper):
    """The EmbeddedModel of one network over an input box; inputs come first."""
    n, m = network.n_inputs, network.n_outputs
    free = np.full(m, np.inf)
    linear = LinearModel(
        sparse.csr_array((0, n + m)),
        np.zeros(0),
        np.zeros(0),
        np.concatenate([lower, -free]),
        np.concatenate([upper, free]),
    )
    function = EmbeddedNetwork(network, np.arange(n), np.arange(n, n + m))
    return EmbeddedModel(linear, (function,), np.concatenate([input_costs, costs]))
