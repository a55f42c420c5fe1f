r"""Successive linear programmes with a trust region: towards rows on outputs.

Where the modeller's rows involve outputs, random points and gradients of the objective
rarely satisfy them.  Each step here replaces every network by its affine piece at the
present point, lets outputs deviate at a price and stays within a box around the point::

    min  costs . c + mu sum (s+ + s-) / scale
    s.t. the modeller's rows, bounds and integrality
         outputs - s+ + s- = f(x0) + J (inputs - x0),   |inputs - x0| <= Delta width

A step counts if it lowers ``costs . c + mu sum |outputs - f(inputs)| / scale``.  With
integer columns each step is a mixed-integer programme: integers move freely, so routes
or counts change while the networks' inputs move a little.

Source: the S l1 LP method of Fletcher and Sainz de la Maza, Mathematical Programming
43 (1989), with the exact penalty function of that paper; here the points it reaches
are handed to linear programmes over the exact regions.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.solve import solve_linear
from pyomo_relu.network.pieces import piece_at
from pyomo_relu.search.regions.regions import output_rows

#: First and largest radius of the trust region in widths of the input box, and where
#: to stop: what is left to gain then lies within a few linear regions.
_RADIUS, _LARGEST, _SMALLEST = 0.25, 0.5, 1e-3

#: Steps without progress while rows are violated by this much: a local minimum.
_STUCK, _FAR = 4, 1e-2

#: Gap and seconds of the mixed-integer steps: they are only steps.
_STEP_GAP, _STEP_SECONDS = 1e-2, 1.0


@dataclass
class Scales:
    """Sizes that make deviations of outputs comparable.

    Parameters
    ----------
    width : numpy.ndarray, shape (n_columns,)
        Range of each network input (other columns: 1).
    outputs : list of numpy.ndarray
        Range of each network's outputs over a sample of points.
    penalty : float
        Price mu of a deviation by one range.
    """

    width: np.ndarray
    outputs: list
    penalty: float


def sample_scales(problem, points, width):
    """Scales from a batch of points.

    Parameters
    ----------
    points : numpy.ndarray, shape (N, n_columns)
        Outputs computed by the forward pass.
    width : numpy.ndarray, shape (n_columns,)
    """
    outputs = []
    for f in problem.functions:
        values = points[:, f.outputs]
        spread = values.max(axis=0) - values.min(axis=0)
        outputs.append(np.where(spread > 0, spread, 1.0))
    values = problem.objective(points)
    finite = np.isfinite(width)
    reach = float(np.abs(problem.costs[finite]) @ width[finite])
    return Scales(width, outputs, max(1.0, np.ptp(values), reach))


def deviation(problem, scales, columns):
    """Sum over networks of ``|outputs - f(inputs)|`` in the outputs' ranges."""
    total = 0.0
    for f, scale in zip(problem.functions, scales.outputs, strict=True):
        off = f.network.forward(columns[f.inputs]) - columns[f.outputs]
        total += float(np.sum(np.abs(off) / scale))
    return total


def approach(problem, scales, columns, clock, steps=40, close=1e-7):
    """Step towards a point where rows and networks hold together.

    Parameters
    ----------
    problem : EmbeddedModel
    scales : Scales
    columns : numpy.ndarray, shape (n_columns,)
        Satisfies the modeller's rows; outputs need not be the networks'.
    clock : Deadline
    steps : int
    close : float
        Deviation at which the rows count as met.

    Returns
    -------
    columns : numpy.ndarray
        The last point; satisfies the modeller's rows.
    deviation : float
    """
    radius, mu, dearest = _RADIUS, scales.penalty, 30.0 * scales.penalty
    off, stuck = deviation(problem, scales, columns), 0
    for _ in range(steps):
        if clock.passed() or radius < _SMALLEST or stuck == _STUCK:
            break
        trial = _step(problem, scales, columns, radius, mu, clock)
        if trial is None:
            break
        new_off = deviation(problem, scales, trial)
        stuck = stuck + 1 if off > _FAR and new_off > 0.99 * off else 0
        gain = (
            problem.objective(columns) - problem.objective(trial) + mu * (off - new_off)
        )
        if gain > 1e-9 * (1.0 + mu):
            moved = np.max(
                np.abs(trial - columns)[problem.input_columns()]
                / scales.width[problem.input_columns()],
                initial=0.0,
            )
            stalled = new_off > close and new_off > 0.9 * off
            columns, off = trial, new_off
            radius = min(2.0 * radius, _LARGEST) if moved > 0.5 * radius else radius
            mu = min(3.0 * mu, dearest) if stalled else mu
        else:
            radius *= 0.25
    return columns, off


def _step(problem, scales, columns, radius, mu, clock):
    """Solution of the linearised programme in the trust region; None if none."""
    linear = problem.linear
    n = problem.n_columns
    lower, upper = linear.lower.copy(), linear.upper.copy()
    moving = problem.input_columns()
    reach = radius * scales.width[moving]
    lower[moving] = np.maximum(lower[moving], columns[moving] - reach)
    upper[moving] = np.minimum(upper[moving], columns[moving] + reach)
    rows, rhs = [], []
    for f in problem.functions:
        C, d = piece_at(f.network, columns[f.inputs])[1][-1]
        rows.append(output_rows(C, f.inputs, f.outputs, n))
        rhs.append(d)
    rhs = np.concatenate(rhs)
    slack = sparse.eye_array(rhs.size, format="csr")
    price = mu / np.concatenate(scales.outputs)
    matrix = sparse.block_array(
        [[linear.matrix, None, None], [sparse.vstack(rows), slack, -slack]],
        format="csr",
    )
    free = np.zeros(2 * rhs.size)
    model = LinearModel(
        matrix,
        np.concatenate([linear.row_lower, rhs]),
        np.concatenate([linear.row_upper, rhs]),
        np.concatenate([lower, free]),
        np.concatenate([upper, free + np.inf]),
        np.concatenate([linear.integer, free.astype(bool)]),
    )
    costs = np.concatenate([problem.costs, price, price])
    answer = solve_linear(model, costs, clock.left(_STEP_SECONDS), mip_gap=_STEP_GAP)
    return None if answer.primal is None else answer.primal[:n]
