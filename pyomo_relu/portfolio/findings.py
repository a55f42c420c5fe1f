"""What all routes of a run know together: the best point, the best bound, and whose."""

import threading
from dataclasses import dataclass

import numpy as np

from pyomo_relu.branch.statuses import OPTIMAL


@dataclass(frozen=True)
class Finding:
    """A better point or bound.

    Attributes
    ----------
    seconds : float
        Since the start.
    route : str
    bound, value : float
        The best ones of all routes from then on.
    """

    seconds: float
    route: str
    bound: float
    value: float


class Findings:
    """The best point and the best proven bound; routes on any thread report to it.

    Parameters
    ----------
    model : EmbeddedModel
        In unit range.
    options : BranchOptions
        For the gap at which a run is done, and the thresholds at which it is decided.
    deadline : Deadline

    Attributes
    ----------
    bound, value : float
        Proven lower bound; objective of ``point``, infinite without one.
    point : numpy.ndarray, shape (n_columns,), or None
    bound_by, value_by : str or None
        The routes that found them.
    status : str or None
        Set once a route has proven that the model is infeasible or unbounded.
    history : list of Finding
    """

    def __init__(self, model, options, deadline):
        self.model, self.options, self.deadline = model, options, deadline
        self.bound, self.value, self.point = -np.inf, np.inf, None
        self.bound_by = self.value_by = self.status = None
        self.history = []
        self._lock = threading.Lock()

    @property
    def tolerance(self):
        """Absolute gap at which the point counts as optimal."""
        return self.options.tolerance(self.value)

    @property
    def done(self):
        """True if nothing is left to be proven."""
        return self.status is not None or self.outcome is not None

    @property
    def outcome(self):
        """What bound and point decide: a status, or None if they do not."""
        decided = self.options.decision(min(self.bound, self.value), self.value)
        if decided is not None:
            return decided
        if np.isfinite(self.value) and self.bound >= self.value - self.tolerance:
            return OPTIMAL
        return None

    def soon(self):
        """Whether the gap closes so fast that the end is near.

        The gap is taken to shrink by the same factor per second as in the second half
        of the run so far; near is what takes no longer than the run so far.
        """
        now, gap = self.deadline.elapsed(), self.value - self.bound
        if not np.isfinite(gap):
            return False
        before = [one for one in self.history if one.seconds <= 0.5 * now]
        then = before[-1].value - before[-1].bound if before else np.inf
        if not gap < then:
            return False
        if not np.isfinite(then):
            return True
        rate = np.log(then / gap) / (0.5 * now)
        return np.log(gap / max(self.tolerance, 1e-12)) < rate * now

    def raise_bound(self, bound, route):
        """Report a proven lower bound of the objective over the whole model."""
        with self._lock:
            if bound > self.bound:
                self.bound, self.bound_by = float(bound), route
                self._note(route)

    def offer(self, point, route, verified=None):
        """Report a point.

        Parameters
        ----------
        point : numpy.ndarray, shape (n_columns,)
        route : str
        verified : float, optional
            Its objective, if it is known to be feasible.  Otherwise integers are
            rounded and outputs computed, and what results must be feasible.

        Returns
        -------
        bool
            True if it is feasible.
        """
        value = verified
        if value is None:
            point = self.model.finished(point)
            if point is None:
                return False
            value = float(self.model.objective(point))
        with self._lock:
            if value < self.value:
                self.point, self.value, self.value_by = np.array(point), value, route
                self._note(route)
        return True

    def conclude(self, status, route):
        """Report that the model is infeasible or unbounded."""
        with self._lock:
            if self.status is None:
                self.status, self.bound_by = status, route

    def _note(self, route):
        seconds = self.deadline.elapsed()
        self.history.append(Finding(seconds, route, self.bound, self.value))
