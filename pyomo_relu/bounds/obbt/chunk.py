"""The pure task of LP-based bound tightening: some neurons over one relaxation.

Everything a worker needs is in a ``Chunk`` and everything it found in a
``ChunkResult``; both pickle.  A result depends on the chunk alone.
"""

import time
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.statistics import (
    EXACT,
    FILTERED,
    INTERRUPTED,
    NO_TIME,
    SIGN_KNOWN,
)
from pyomo_relu.common.deadline import ENDLESS, Deadline
from pyomo_relu.linear.certificate import Certifier
from pyomo_relu.linear.rounding import NEGLIGIBLE, rounding
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.choice import open_session
from pyomo_relu.linear.sessions.session import ask

LOWER, UPPER = 0, 1


@dataclass
class Chunk:
    """Neurons ``v = factor * (costs x) + bias`` to be bounded over ``model``.

    Parameters
    ----------
    model : LinearModel
    costs : scipy.sparse.csr_array, shape (K, n)
    factor : numpy.ndarray, shape (K,)
        Powers of two.
    bias, pad : numpy.ndarray, shape (K,)
        ``pad`` widens every bound: the rounding error of evaluating the network.
    lower, upper : numpy.ndarray, shape (K,)
        Bounds known so far.
    wanted : numpy.ndarray of bool, shape (K, 2)
        Which of lower and upper to tighten.
    ceiling : numpy.ndarray, shape (K,)
        Ceilings (inf for none), to tell when a neuron's state is known.
    solver : str or Session class
    stop_at_sign : bool
    filter_tolerance : float
        A bound that a feasible point comes this close to, relative to the width, is
        not worth an LP.
    aggressive_filter : bool
        Gleixner et al. 2017: LPs with summed objectives whose points filter many.
    deadline : Deadline
    """

    model: object
    costs: sparse.csr_array
    factor: np.ndarray
    bias: np.ndarray
    pad: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    wanted: np.ndarray
    ceiling: np.ndarray
    solver: object = "highs"
    stop_at_sign: bool = False
    filter_tolerance: float = 1e-8
    aggressive_filter: bool = False
    deadline: Deadline = ENDLESS


@dataclass
class ChunkResult:
    """Proven bounds (infinite where nothing was proven) and what was done.

    ``infeasible`` is True only if a certificate proves that the model has no point.
    """

    lower: np.ndarray
    upper: np.ndarray
    solves: int = 0
    skipped: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)
    infeasible: bool = False
    interrupted: bool = False
    seconds: float = 0.0


def solve_chunk(chunk):
    """Tighten the bounds of a chunk's neurons by LPs that differ in their costs only.

    The next LP is the one whose bound the last LP's point comes closest to, so that
    its basis is nearly optimal already; a bound that some point attains is skipped.

    Returns
    -------
    ChunkResult
    """
    return _ChunkRun(chunk).run()


def certified(chunk, certifier, costs, rows, sides, duals):
    """Proven bounds of neurons ``rows`` on ``sides`` from row duals; (p,) values."""
    sign = np.where(sides == LOWER, 1.0, -1.0)
    safe = certifier.lower_bounds(sign[:, None] * costs[rows], duals)
    return neuron_bound(chunk, rows, sign, safe)


def neuron_bound(chunk, rows, sign, bound):
    """Bounds of neurons from those of ``sign * costs x``, rounded outward."""
    bound = bound * chunk.factor[rows]
    bias, pad = chunk.bias[rows], chunk.pad[rows]
    error = rounding(bound, bias, pad)
    error = np.where(np.isfinite(error), error, 0.0)
    return sign * bound + bias - sign * pad - sign * error


class _ChunkRun:
    def __init__(self, chunk):
        self.chunk = chunk
        size = chunk.bias.size
        self.used = np.unique(chunk.costs.indices)
        self.dense = chunk.costs[:, self.used].toarray()
        self.costs = chunk.costs.toarray()
        self.left = np.array(chunk.wanted, dtype=bool)
        self.width = np.maximum(chunk.upper - chunk.lower, NEGLIGIBLE)
        self.close = chunk.filter_tolerance * self.width
        self.result = ChunkResult(np.full(size, -np.inf), np.full(size, np.inf))
        self.certifier = Certifier(chunk.model)
        self.collected = []

    def run(self):
        start = time.thread_time()
        self._constants()
        if self.left.any():
            with open_session(self.chunk.solver, self.chunk.model) as session:
                self._loop(session)
        self._certify()
        if self.result.interrupted:
            self._skip(INTERRUPTED, self.left)
        self.result.seconds = time.thread_time() - start
        return self.result

    def _constants(self):
        """Neurons that depend on no column need no LP."""
        constant = np.diff(self.chunk.costs.indptr) == 0
        for i in np.flatnonzero(constant & self.left.any(axis=1)):
            none = np.zeros(self.chunk.model.n_rows)
            self.collected += [(i, LOWER, none), (i, UPPER, none)]
        self._skip(EXACT, self.left & constant[:, None])

    def _loop(self, session):
        values = None
        try:
            if self.chunk.aggressive_filter:
                values = self._filter_rounds(session)
            while self.left.any() and not self.result.infeasible:
                if self.chunk.deadline.passed():
                    self._skip(NO_TIME, self.left)
                    return
                i, side = self._next(values)
                self.left[i, side] = False
                point = self._solve(session, i, side)
                if point is not None:
                    values = self._filter(point)
        except KeyboardInterrupt:
            self.result.interrupted = True

    def _next(self, values):
        """The wanted bound that the last point comes closest to."""
        c, gaps = self.chunk, np.empty(self.left.shape)
        if values is None:
            # The side nearer to zero first: it is likelier to settle the sign.
            gaps[:, LOWER], gaps[:, UPPER] = np.abs(c.lower), np.abs(c.upper)
        else:
            gaps[:, LOWER], gaps[:, UPPER] = values - c.lower, c.upper - values
        with np.errstate(invalid="ignore"):
            gaps /= self.width[:, None]
        gaps[~np.isfinite(gaps)] = 1e300
        gaps[~self.left] = np.inf
        i, side = divmod(int(gaps.argmin()), 2)
        return i, side

    def _solve(self, session, i, side):
        sign = 1.0 if side == LOWER else -1.0
        nonzero = np.flatnonzero(self.dense[i])
        answer = self._ask(session, self.used[nonzero], sign * self.dense[i, nonzero])
        if answer.status != Status.OPTIMAL:
            self._fail(answer.outcome)
            if answer.status == Status.INFEASIBLE:
                self.result.infeasible = self.certifier.proves_infeasible(answer.ray)
            if answer.status == Status.TIME_LIMIT:
                self._skip(NO_TIME, self.left)
        # Whatever the status says: multipliers prove what they prove.
        if _usable(answer.duals, self.chunk.model.n_rows):
            self.collected.append((i, side, answer.duals))
            if self.chunk.stop_at_sign and self.left[i, 1 - side]:
                self._check_sign(i, side)
        elif answer.status == Status.OPTIMAL:
            self._fail("no duals")
        if answer.status == Status.OPTIMAL and _usable(
            answer.primal, self.chunk.model.n_columns
        ):
            return answer.primal
        return None

    def _ask(self, session, columns, coefficients):
        self.result.solves += 1
        return ask(session, columns, coefficients, self.chunk.deadline.left())

    def _check_sign(self, i, side):
        duals = self.collected[-1][2]
        value = certified(
            self.chunk,
            self.certifier,
            self.costs,
            np.array([i]),
            np.array([side]),
            duals[None],
        )[0]
        ceiling = self.chunk.ceiling[i]
        if side == UPPER:
            known = value <= 0
        else:
            known = value >= ceiling or (value >= 0 and self.chunk.upper[i] <= ceiling)
        if known:
            self.left[i, 1 - side] = False
            self._count(SIGN_KNOWN, 1)

    def _filter(self, point):
        """Drop the bounds that ``point`` attains; returns the neurons' values there."""
        c = self.chunk
        values = c.factor * (self.dense @ point[self.used]) + c.bias
        attained = np.empty(self.left.shape, dtype=bool)
        np.less_equal(values - c.lower, self.close, out=attained[:, LOWER])
        np.less_equal(c.upper - values, self.close, out=attained[:, UPPER])
        attained &= self.left
        if attained.any():
            self._skip(FILTERED, attained)
        return values

    def _filter_rounds(self, session):
        """Push as many neurons as possible to their bounds at once."""
        values = None
        for side in (LOWER, UPPER):
            before = -1
            while self.left[:, side].any() and self.left[:, side].sum() != before:
                before = self.left[:, side].sum()
                rows = self.left[:, side]
                weights = (self.chunk.factor / self.width)[rows]
                cost = weights @ self.dense[rows]
                largest = np.abs(cost).max(initial=0.0)
                if not 0 < largest < np.inf:
                    break
                sign = 1.0 if side == LOWER else -1.0
                answer = self._ask(session, self.used, sign * cost / largest)
                if answer.status != Status.OPTIMAL or answer.primal is None:
                    self._fail(answer.outcome)
                    return values
                values = self._filter(answer.primal)
        return values

    def _certify(self):
        if not self.collected:
            return
        rows = np.array([c[0] for c in self.collected])
        sides = np.array([c[1] for c in self.collected])
        duals = np.array([c[2] for c in self.collected])
        values = certified(self.chunk, self.certifier, self.costs, rows, sides, duals)
        lower = sides == LOWER
        np.maximum.at(self.result.lower, rows[lower], values[lower])
        np.minimum.at(self.result.upper, rows[~lower], values[~lower])

    def _skip(self, reason, mask):
        self._count(reason, int(mask.sum()))
        self.left = self.left & ~mask

    def _count(self, reason, count):
        if count:
            skipped = self.result.skipped
            skipped[reason] = skipped.get(reason, 0) + count

    def _fail(self, status):
        self.result.failures[status] = self.result.failures.get(status, 0) + 1


def _usable(array, size):
    return (
        array is not None and np.shape(array) == (size,) and np.all(np.isfinite(array))
    )
