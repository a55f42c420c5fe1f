"""The pure task of MILP-based bound tightening: some neurons over one exact window."""

import time
from dataclasses import dataclass

import numpy as np

from pyomo_relu.bounds.obbt.chunk import LOWER, UPPER, Chunk, ChunkResult, neuron_bound
from pyomo_relu.bounds.statistics import FILTERED, INTERRUPTED, NO_TIME, SIGN_KNOWN
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.choice import open_session
from pyomo_relu.linear.sessions.session import ask

#: Outward padding of a MILP solver's dual bound, relative to its size and to the
#: largest cost: ten times the tolerances that the sessions ask the solvers for.
PADDING = 1e-8


@dataclass
class MilpChunk(Chunk):
    """A Chunk whose model has binaries.

    Parameters
    ----------
    solve_limit : float, optional
        Seconds per MILP; on time-out its dual bound is used.
    attained : numpy.ndarray, shape (K, 2)
        Smallest and largest value of each neuron at some inputs of the box: no bound
        can be tighter, and a solver that claims so is wrong.
    """

    solve_limit: float = None
    attained: np.ndarray = None


def solve_milp_chunk(chunk):
    """Bounds from the MILP solver's dual bounds, never from incumbents.

    A dual bound of branch and bound comes without a certificate; it is padded outward
    by ``PADDING`` and dropped if a point of the network contradicts it.

    Returns
    -------
    ChunkResult
    """
    start = time.thread_time()
    size = chunk.bias.size
    result = ChunkResult(np.full(size, -np.inf), np.full(size, np.inf))
    left = np.array(chunk.wanted, dtype=bool)
    close = chunk.filter_tolerance * (chunk.upper - chunk.lower)
    filtered = left & np.column_stack(
        [
            chunk.attained[:, LOWER] - chunk.lower <= close,
            chunk.upper - chunk.attained[:, UPPER] <= close,
        ]
    )
    _count(result, FILTERED, filtered.sum())
    left &= ~filtered
    if left.any():
        with open_session(chunk.solver, chunk.model, integer=True) as session:
            try:
                _solve_all(chunk, session, left, result)
            except KeyboardInterrupt:
                result.interrupted = True
                _count(result, INTERRUPTED, left.sum())
    result.seconds = time.thread_time() - start
    return result


def _solve_all(chunk, session, left, result):
    for i in range(chunk.bias.size):
        sides = (LOWER, UPPER) if -chunk.lower[i] < chunk.upper[i] else (UPPER, LOWER)
        for side in sides:
            if not left[i, side]:
                continue
            if chunk.deadline.passed():
                _count(result, NO_TIME, left.sum())
                return
            left[i, side] = False
            _solve(chunk, session, i, side, result)
            if chunk.stop_at_sign and left[i, 1 - side] and _decided(chunk, i, result):
                left[i, 1 - side] = False
                _count(result, SIGN_KNOWN, 1)


def _decided(chunk, i, result):
    """True if the bounds proven so far settle the neuron's state."""
    lower = max(chunk.lower[i], result.lower[i])
    upper = min(chunk.upper[i], result.upper[i])
    ceiling = chunk.ceiling[i]
    return upper <= 0 or lower >= ceiling or (lower >= 0 and upper <= ceiling)


def _solve(chunk, session, i, side, result):
    sign = 1.0 if side == LOWER else -1.0
    row = chunk.costs[[i]]
    answer = ask(
        session, row.indices, sign * row.data, chunk.deadline.left(chunk.solve_limit)
    )
    result.solves += 1
    if answer.status != Status.OPTIMAL:
        result.failures[answer.outcome] = result.failures.get(answer.outcome, 0) + 1
    if answer.dual_bound is None or not np.isfinite(answer.dual_bound):
        return
    bound = answer.dual_bound - PADDING * (1.0 + abs(answer.dual_bound))
    value = float(neuron_bound(chunk, i, sign, bound))
    attained = chunk.attained[i, side]
    if sign * value > sign * attained:
        result.failures["contradicted"] = result.failures.get("contradicted", 0) + 1
        return
    (result.lower if side == LOWER else result.upper)[i] = value


def _count(result, reason, count):
    if count:
        result.skipped[reason] = result.skipped.get(reason, 0) + int(count)
