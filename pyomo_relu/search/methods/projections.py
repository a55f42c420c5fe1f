"""Projections: from any input points to points that the modeller's rows allow."""

import numpy as np
from scipy import sparse

from pyomo_relu.errors import InfeasibleError, ModelError
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.solve import solve_linear

#: Bounds beyond this count as none.
_LARGE = 1e8


def input_box(problem, relaxed, clock):
    """Finite bounds of the networks' inputs: their own, or implied by linear rows.

    Parameters
    ----------
    problem : EmbeddedModel
    relaxed : LinearModel
        The rows without the networks.

    Returns
    -------
    lower, upper : numpy.ndarray, shape (len(problem.input_columns()),)

    Raises
    ------
    ModelError
        If neither Var bounds nor rows bound an input.
    """
    columns = problem.input_columns()
    lower, upper = relaxed.lower[columns].copy(), relaxed.upper[columns].copy()
    for at, column in enumerate(columns):
        for bound, sign in ((lower, 1.0), (upper, -1.0)):
            if np.isfinite(bound[at]):
                continue
            costs = np.zeros(relaxed.n_columns)
            costs[column] = sign
            answer = solve_linear(relaxed, costs, clock.left(), integer=False)
            if answer.primal is None or abs(answer.objective) > _LARGE:
                raise ModelError(
                    f"input '{relaxed.name(column)}' has no finite "
                    f"{'lower' if sign > 0 else 'upper'} bound, and the linear "
                    "constraints imply none. Set one: a search needs a box."
                )
            bound[at] = sign * answer.objective
    return lower, np.maximum(lower, upper)


def dykstra(X, rows, row_lower, row_upper, lower, upper, sweeps=30, clock=None):
    """Nearest points of a polyhedron, for all rows of ``X`` at once (approximately).

    Dykstra's alternating projections on the half-spaces and the box converge to the
    Euclidean projection; a few sweeps are enough to guide a descent.

    Source: Boyle and Dykstra, Lecture Notes in Statistics 37 (1986).

    Parameters
    ----------
    X : numpy.ndarray, shape (N, d)
    rows : numpy.ndarray, shape (m, d)
        No row is zero.
    row_lower, row_upper : numpy.ndarray, shape (m,)
    lower, upper : numpy.ndarray, shape (d,)
    sweeps : int
    clock : Deadline, optional
        No further sweep starts once it has passed.
    """
    points = np.array(X, dtype=float).T  # a row per input: most rows have few of them
    lower, upper = lower[:, None], upper[:, None]
    size = np.einsum("md,md->m", rows, rows)
    low, high = row_lower / size, row_upper / size
    used = [np.flatnonzero(a) for a in rows]
    some = [a[at] for a, at in zip(rows, used, strict=True)]
    shifts = np.zeros((rows.shape[0], points.shape[1]))  # along each row's normal
    box = np.zeros_like(points)
    for _ in range(sweeps):
        before = points.copy(), shifts.copy()
        for i, (at, a) in enumerate(zip(used, some, strict=True)):
            activity = a @ points[at] / size[i] + shifts[i]
            level = np.clip(activity, low[i], high[i])
            points[at] += np.outer(a, shifts[i] + level - activity)
            shifts[i] = activity - level
        moved = points + box
        points = np.clip(moved, lower, upper)
        box = moved - points
        # points may rest for a sweep while the shifts still move
        changes = (points - before[0], shifts - before[1])
        if max(np.max(np.abs(c), initial=0.0) for c in changes) <= 1e-10:
            break
        if clock is not None and clock.passed():
            break
    return points.T


def nearest_linear_point(relaxed, columns, target, width, clock):
    """A point of the modeller's rows whose ``columns`` are nearest to ``target``.

    Minimises ``sum |x - target| / width`` by a linear (mixed-integer) programme.

    Returns
    -------
    numpy.ndarray, shape (n_columns,), or None
        None if the time is over.

    Raises
    ------
    InfeasibleError
        If the modeller's rows have no solution at all.
    """
    n, k = relaxed.n_columns, len(columns)
    pick = sparse.csr_array((np.ones(k), (np.arange(k), columns)), shape=(k, n))
    eye = sparse.eye_array(k, format="csr")
    zero = np.zeros(k)
    model = LinearModel(
        sparse.block_array(
            [[relaxed.matrix, None, None], [pick, eye, -eye]], format="csr"
        ),
        np.concatenate([relaxed.row_lower, target]),
        np.concatenate([relaxed.row_upper, target]),
        np.concatenate([relaxed.lower, zero, zero]),
        np.concatenate([relaxed.upper, zero + np.inf, zero + np.inf]),
        np.concatenate([relaxed.integer, np.zeros(2 * k, dtype=bool)]),
    )
    price = 1.0 / np.where(width > 0, width, 1.0)
    costs = np.concatenate([np.zeros(n), price, price])
    answer = solve_linear(model, costs, clock.left(5.0), mip_gap=0.05)
    if answer.status == Status.INFEASIBLE:
        raise InfeasibleError(
            "the model's linear constraints and bounds have no solution within what "
            "the networks can reach."
        )
    return None if answer.primal is None else answer.primal[:n]
