"""An LP of many iterations that something happens to while it runs."""

import contextlib
import threading

import numpy as np

from pyomo_relu.linear.sessions.highs_runs import make_highs

_SIZE = 60

#: Looks at whether a run has been told to end, and seconds between two.
_LOOKS, _EACH = 500, 0.01


@contextlib.contextmanager
def long_lp(happens, threads=1):
    """HiGHS with an LP that calls ``happens()`` at an early iteration, and waits there.

    It waits until the run has been told to end, whatever the machine's speed, and calls
    it again.

    Yields
    ------
    highs : Highs
    ended : callable
        Whether hardly any iteration was done afterwards.
    """
    rng, n = np.random.default_rng(0), _SIZE
    highs = make_highs({"presolve": "off", "threads": threads})
    for _ in range(n):
        highs.addVar(0.0, 1.0)
    for j in range(n):
        highs.changeColCost(j, -rng.uniform(0.5, 1.0))
    every = np.arange(n, dtype=np.int32)
    for _ in range(n):
        highs.addRow(-np.inf, 1.0, n, every, rng.uniform(0.0, 1.0, n))
    seen, clock = [], threading.Event()

    def step(event):
        seen.append(event.data_out.simplex_iteration_count)
        if len(seen) == 5:
            happens()
            for _ in range(_LOOKS):
                if highs.getOptionValue("time_limit")[1] == 0.0:
                    break
                clock.wait(_EACH)
            happens()

    highs.cbSimplexInterrupt.subscribe(step)
    try:
        yield highs, lambda: 5 <= len(seen) <= 10
    finally:
        highs.cbSimplexInterrupt.unsubscribe(step)
