"""Garbage collection while many Pyomo objects are made."""

import contextlib
import gc

from pyomo.common.gc_manager import PauseGC


@contextlib.contextmanager
def pause_garbage_collection():
    """Build many long-lived objects without the collector walking them.

    PauseGC alone defers the walk to the first allocation afterwards, where it costs a
    third of the time of building a network.  Freezing and unfreezing moves all objects
    to the oldest generation without a walk; what is garbage is still collected, with
    the next full collection.  A process that has frozen objects of its own is left
    alone, because unfreezing would thaw those too.
    """
    enabled = gc.isenabled()
    with PauseGC():
        yield
        if enabled and gc.get_freeze_count() == 0:
            gc.freeze()
            gc.unfreeze()
