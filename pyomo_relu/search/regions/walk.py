"""Relax-and-Walk: linear programmes over one linear region after the other.

Within a linear region every network is affine, so the modeller's whole model with the
region's rows is a linear programme (mixed-integer if the model has integers).  Its
optimum usually lies on the region's boundary: a small step across leads to the next
region.

Source: Tong, Cai and Serra, arXiv 2401.03451 (CPAIOR 2024), there for one network over
a box; here for several networks and any linear rows on inputs and outputs.
"""

import numpy as np

from pyomo_relu.common.deadline import Deadline
from pyomo_relu.linear.solve import solve_linear
from pyomo_relu.search.regions.regions import joint_region

#: Steps across a region's boundary, as shares of the way just walked.
_ACROSS = (0.01, 0.1)

#: Radii, in box widths, of the points around an optimum at which descent is tried.
_RADII = (1e-5, 1e-4, 1e-3, 1e-2)

#: Smallest relative gain that counts.
_GAIN = 1e-9


def walk(problem, columns, clock=None, rng=None, subproblem_seconds=10.0):
    """Walk from a point to a local optimum; every region on the way is solved exactly.

    Parameters
    ----------
    problem : EmbeddedModel
    columns : numpy.ndarray, shape (n_columns,)
        Only the networks' inputs count.
    clock : Deadline, optional
    rng : numpy.random.Generator, optional
        For the points around an optimum that are tried before it is accepted.
    subproblem_seconds : float
        Limit of one region's mixed-integer programme.

    Returns
    -------
    numpy.ndarray, shape (n_columns,), or None
        A feasible point of the whole problem; None if the first region has none.
    """
    clock = clock or Deadline()
    rng = np.random.default_rng(rng)

    def limit():
        return clock.left(subproblem_seconds)

    best = solve_region(problem, columns, limit())
    if best is None:
        return None
    came_from = columns
    while not clock.passed():
        for start in _next_regions(problem, came_from, best, rng):
            point = solve_region(problem, start, limit())
            if point is not None and _better(problem, point, best):
                came_from, best = best, point
                break
            if clock.passed():
                return best
        else:
            return best
    return best


def solve_region(problem, columns, time_limit=None):
    """The best point of the joint linear region at ``columns``, or None.

    The result is verified by the networks' forward pass.
    """
    answer = solve_linear(joint_region(problem, columns), problem.costs, time_limit)
    return None if answer.primal is None else problem.finished(answer.primal)


def _better(problem, point, best):
    value = problem.objective(best)
    return problem.objective(point) < value - _GAIN * max(1.0, abs(value))


def _next_regions(problem, came_from, best, rng):
    """Points in neighbouring regions: straight across, then promising ones around."""
    lower, upper = problem.linear.lower, problem.linear.upper
    inputs = problem.input_columns()
    inputs = inputs[lower[inputs] < upper[inputs]]
    if not inputs.size:
        return
    for share in _ACROSS:
        point = best.copy()
        point[inputs] += share * (best - came_from)[inputs]
        yield problem.complete(np.clip(point, lower, upper))
    yield from _points_around(problem, best, inputs, rng)


def _points_around(problem, best, inputs, rng):
    """Points near ``best`` whose objective by forward pass is lower, best rate first.

    Only columns of the networks move, so with other variables in the objective or rows
    in the way this is a guess; the region's linear programme decides.
    """
    lower, upper = problem.linear.lower[inputs], problem.linear.upper[inputs]
    width = np.where(np.isfinite(upper - lower), upper - lower, 1.0)
    n = 4 * inputs.size + 8
    directions = rng.normal(size=(n, inputs.size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = np.repeat(_RADII, n)
    X = np.tile(best, (radii.size, 1))
    moves = np.tile(directions, (len(_RADII), 1)) * width * radii[:, None]
    X[:, inputs] = np.clip(best[inputs] + moves, lower, upper)
    X = problem.complete(X)
    rate = (problem.objective(X) - problem.objective(best)) / radii
    order = np.argsort(rate, kind="stable")
    yield from X[[j for j in order[:3] if rate[j] < 0]]
