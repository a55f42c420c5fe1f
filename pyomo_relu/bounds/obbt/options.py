"""The options of bound tightening that all of its steps share."""

from dataclasses import dataclass

from pyomo_relu.common.arguments import (
    an_executor,
    flag,
    function,
    optional,
    seconds,
    whole,
)
from pyomo_relu.errors import BoundsError, SolverError


@dataclass(frozen=True)
class TighteningOptions:
    """How bounds are tightened; what is tightened, and until when, is not in here.

    Parameters
    ----------
    solver : {"highs", "gurobi", "auto"} or Session class, optional
        Default HiGHS for LPs; "auto" for MILPs: Gurobi where it is licensed for the
        model's size, else HiGHS.
    executor : concurrent.futures.Executor, optional
        Where the chunks of each layer run; the result is the same without.
    stop_at_sign : bool
        Skip a neuron's second bound once the first settles its state.
    recompute_lost : bool
        Whether chunks of dead workers are done in the main process; otherwise their
        neurons keep their bounds.
    progress : callable, optional
        Called as ``progress(method, layer, chunks done, chunks)``.
    chunk_size : int, optional
        Neurons per task; default 16 for LPs and 4 for MILPs.  Results depend on it in
        the last digits, on the number of workers not at all.
    filter_tolerance : float
        A bound that a feasible point of an earlier LP comes this close to (relative to
        upper - lower) gets no LP.
    aggressive_filter : bool
        First solve LPs whose points attain many bounds at once (Gleixner, Berthold,
        Mueller and Weltge 2017).
    window : int, optional
        Layers that are exact in a MILP; default all, which gives the exact ranges.
    solve_limit : float, optional
        Seconds per MILP.

    Raises
    ------
    BoundsError, SolverError
        If the window or the chunk size is not positive.
    """

    solver: object = None
    executor: object = None
    stop_at_sign: bool = False
    recompute_lost: bool = True
    progress: object = None
    chunk_size: int | None = None
    filter_tolerance: float = 1e-8
    aggressive_filter: bool = False
    window: int | None = None
    solve_limit: float | None = None

    def __post_init__(self):
        for name, check in _CHECKS.items():
            given = check(
                f"TighteningOptions: {name}", getattr(self, name), BoundsError
            )
            object.__setattr__(self, name, given)
        if self.window is not None and self.window < 1:
            raise BoundsError(
                f"the window must be at least one layer, not {self.window}."
            )
        if self.chunk_size is not None and self.chunk_size < 1:
            raise SolverError(f"chunk_size must be at least 1, not {self.chunk_size}.")


_CHECKS = {
    "executor": optional(an_executor),
    "stop_at_sign": flag,
    "recompute_lost": flag,
    "progress": optional(function),
    "chunk_size": optional(whole),
    "filter_tolerance": seconds,
    "aggressive_filter": flag,
    "window": optional(whole),
    "solve_limit": optional(seconds),
}


#: Every option at its default.
DEFAULT = TighteningOptions()
