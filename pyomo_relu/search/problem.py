"""The time that a search may take."""

import time

import numpy as np


class Clock:
    """Seconds since it was made, and a limit of them; None is no limit."""

    def __init__(self, seconds=None):
        self._begin = time.perf_counter()
        self.seconds = np.inf if seconds is None else float(seconds)

    def elapsed(self):
        """Seconds since the clock was made."""
        return time.perf_counter() - self._begin

    def passed(self):
        """True once the limit is over."""
        return self.elapsed() >= self.seconds

    def stop(self):
        """Let the limit be over now."""
        self.seconds = 0.0

    def limit(self, most=None):
        """Seconds that one subproblem may take, or None without a limit."""
        left = max(0.0, self.seconds - self.elapsed())
        seconds = left if most is None else min(left, most)
        return seconds if np.isfinite(seconds) else None

    def share(self, seconds):
        """A clock that ends with this one, or after ``seconds`` if that is sooner."""
        return Clock(self.limit(seconds))
