"""What follows a MILP while it runs: is told bounds and points, hands over points, ends it."""

import numpy as np


class Watcher:
    """Follows one MILP; subclasses override what they need.

    The solver calls from a thread of its own.  What is raised ends the run, and is
    raised again by ``Session.minimize``.
    """

    def step(self, bound):
        """Called often; may take its time.

        Parameters
        ----------
        bound : float
            The solver's dual bound so far.

        Returns
        -------
        bool
            True to end the run.
        """
        return False

    def found(self, point):
        """Called with each better point that the solver finds, shape (n,)."""

    def offered(self):
        """A point that the solver should know, shape (n,), or None."""
        return None


class WatcherInUnitRange:
    """Between a Watcher, in the model's units, and a solver, in unit range.

    Parameters
    ----------
    watcher : Watcher
    scaling : UnitRange
    unit : float
        What the objective is divided by.

    Attributes
    ----------
    error : BaseException or None
        What the watcher raised: it must not go through the solver.
    """

    def __init__(self, watcher, scaling, unit):
        self._watcher, self._scaling, self._unit = watcher, scaling, unit
        self.error = None

    def step(self, bound):
        """See Watcher.step; True also after an error."""
        bound = bound * self._unit if np.isfinite(bound) else -np.inf
        return bool(self._guarded(self._watcher.step, bound)) or self.error is not None

    def found(self, point):
        """See Watcher.found."""
        self._guarded(self._watcher.found, self._scaling.point(np.array(point)))

    def offered(self):
        """See Watcher.offered."""
        point = self._guarded(self._watcher.offered)
        return None if point is None else point / self._scaling.columns

    def _guarded(self, function, *arguments):
        if self.error is not None:
            return None
        try:
            return function(*arguments)
        except BaseException as error:  # noqa: BLE001  (raised where the run began)
            self.error = error
            return None
