"""One layer's LPs: cut into chunks, run on an executor, merged."""

import logging
from dataclasses import dataclass

import numpy as np

from pyomo_relu.bounds.obbt.chunk import Chunk, ChunkResult, solve_chunk
from pyomo_relu.bounds.obbt.milp_chunk import MilpChunk, solve_milp_chunk
from pyomo_relu.bounds.obbt.options import DEFAULT
from pyomo_relu.bounds.statistics import (
    INTERRUPTED,
    NO_TIME,
    WORKER_LOST,
)
from pyomo_relu.common.deadline import ENDLESS, Deadline
from pyomo_relu.common.executor import run_tasks
from pyomo_relu.common.matrices import maxima
from pyomo_relu.common.powers import power_of_two
from pyomo_relu.linear.sessions.choice import session_class

logger = logging.getLogger("pyomo.relu.bounds")


@dataclass
class Targets:
    """Quantities ``costs x + bias`` over a model's columns whose range is wanted.

    Shapes (K, n) for ``costs`` (csr) and (K,) or (K, 2) for the others; see Chunk.
    """

    costs: object
    bias: np.ndarray
    pad: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    wanted: np.ndarray
    ceiling: np.ndarray
    influence: np.ndarray
    attained: np.ndarray = None


class OBBTRun:
    """The state that the layers of one run share; its clock starts when it is made.

    Parameters
    ----------
    options : TighteningOptions
    time_limit : float, optional
        Seconds.
    milp : bool
        Whether models keep their binaries.
    """

    def __init__(self, options=DEFAULT, time_limit=None, milp=False):
        self.options, self.milp = options, milp
        self.solver = options.solver
        if self.solver is None:
            self.solver = "auto" if milp else "highs"
        session_class(self.solver)
        self.executor = options.executor  # until it breaks
        self.chunk_size = options.chunk_size or (4 if milp else 16)
        self.deadline = Deadline(time_limit)
        self.interrupted, self.notes = False, []

    def tighten(self, model, targets, row, deadline=None):
        """Proven bounds of the targets; counts go to ``row`` (LayerStatistics).

        Returns
        -------
        lower, upper : numpy.ndarray, shape (K,)
            Never looser than the targets' own.
        infeasible : bool
            A certificate proves that ``model`` has no point.
        """
        scaled, scale = model.equilibrated()
        costs = targets.costs.copy()
        costs.data = costs.data * scale[costs.indices]
        factor = power_of_two(maxima(abs(costs), axis=1))
        costs.data = costs.data / np.repeat(factor, np.diff(costs.indptr))
        wanted = targets.wanted.any(axis=1)
        order = np.argsort(-targets.influence[wanted], kind="stable")
        order = np.flatnonzero(wanted)[order]
        pieces = _pieces(order, self.chunk_size)
        deadline = self.deadline if deadline is None else deadline
        chunks = [
            self._chunk(scaled, costs, factor, targets, piece, deadline)
            for piece in pieces
        ]
        results = self._run(chunks, row)
        return self._merge(targets, pieces, results, row)

    def _chunk(self, model, costs, factor, targets, piece, deadline):
        common = (
            model,
            costs[piece],
            factor[piece],
            targets.bias[piece],
            targets.pad[piece],
            targets.lower[piece],
            targets.upper[piece],
            targets.wanted[piece],
            targets.ceiling[piece],
            self.solver,
            self.options.stop_at_sign,
            self.options.filter_tolerance,
            self.options.aggressive_filter,
            deadline,
        )
        if self.milp:
            return MilpChunk(*common, self.options.solve_limit, targets.attained[piece])
        return Chunk(*common)

    def _run(self, chunks, row):
        done, progress = None, self.options.progress
        if progress is not None:

            def done(finished):
                progress(row.method, row.layer, finished, len(chunks))

        deadline = chunks[0].deadline if chunks else ENDLESS
        task = solve_milp_chunk if self.milp else solve_chunk
        run = run_tasks(
            task,
            chunks,
            self.executor,
            deadline,
            self.options.recompute_lost,
            done,
        )
        self.interrupted |= run.interrupted
        self.notes.extend(run.notes)
        if run.executor_broken:
            self.executor = None
            self.notes.append(
                "the executor broke (a worker process died); later layers ran in the "
                "main process"
            )
        results = []
        for i, (chunk, result) in enumerate(zip(chunks, run.results, strict=True)):
            if result is None:
                lost = i in run.lost
                reason = NO_TIME
                if lost:
                    reason = WORKER_LOST
                elif self.interrupted:
                    reason = INTERRUPTED
                size = chunk.bias.size
                result = ChunkResult(np.full(size, -np.inf), np.full(size, np.inf))
                result.skipped[reason] = int(chunk.wanted.sum())
            results.append(result)
        return results

    def _merge(self, targets, pieces, results, row):
        lower, upper = np.array(targets.lower), np.array(targets.upper)
        infeasible = False
        for piece, result in zip(pieces, results, strict=True):
            lower[piece] = np.maximum(lower[piece], result.lower)
            upper[piece] = np.minimum(upper[piece], result.upper)
            row.solves += result.solves
            row.solver_seconds += result.seconds
            row.fail(result.failures)
            for reason, count in result.skipped.items():
                row.skip(reason, count)
            infeasible |= result.infeasible
            self.interrupted |= result.interrupted
        row.tightened += int(np.sum(lower > targets.lower))
        row.tightened += int(np.sum(upper < targets.upper))
        return lower, upper, infeasible


def _pieces(order, size):
    """Equal pieces of up to ``size``, of a number that few workers share evenly."""
    count = -(-order.size // size)
    even = 4 if count > 4 else 2 if count > 1 else 1
    count = -(-count // even) * even
    return np.array_split(order, count) if count else []
