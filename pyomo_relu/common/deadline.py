"""The one clock: time limits shared by several steps, also in other processes."""

import contextlib
import math
import platform
import time
from typing import overload

from pyomo_relu.common.arguments import checked, optional, seconds
from pyomo_relu.errors import BoundsError


class Deadline:
    """A number of seconds from now on.

    Time is that of ``time.monotonic``, which every process of a machine shares and
    which no other machine does: pickled, a deadline stays the same moment on its own
    machine and becomes the seconds that were left elsewhere.

    Parameters
    ----------
    seconds : float or None
        None means no limit.
    """

    @checked(BoundsError, seconds=optional(seconds))
    def __init__(self, seconds=None):
        self._begin = time.monotonic()
        self._seconds = math.inf if seconds is None else float(seconds)

    @property
    def endless(self):
        """True if there is no limit."""
        return math.isinf(self._seconds)

    def elapsed(self):
        """Seconds since it was made."""
        return time.monotonic() - self._begin

    def passed(self):
        """True once the time is over."""
        return self.elapsed() >= self._seconds

    @overload
    def left(self, most: float) -> float: ...

    @overload
    def left(self, most: float | None = None) -> float | None: ...

    def left(self, most=None):
        """Seconds left, not below 0 and at most ``most``; None without either limit."""
        left = max(0.0, self._seconds - self.elapsed())
        left = left if most is None else min(left, most)
        return left if math.isfinite(left) else None

    def share(self, seconds):
        """A deadline that ends with this one, or after ``seconds`` if that is sooner."""
        return Deadline(self.left(seconds))

    def part(self, parts):
        """A deadline that ends after one of ``parts`` equal parts of what is left."""
        return self if self.endless else Deadline(self.left() / parts)

    def later(self, seconds):
        """A deadline that ends so many seconds after this one."""
        return self if self.endless else Deadline(self.left() + seconds)

    def stop(self):
        """Let the time be over now."""
        self._seconds = 0.0

    @contextlib.contextmanager
    def early(self, share):
        """Within the block the time is over after a share of what is left.

        Parameters
        ----------
        share : float
            Between 0 and 1.
        """
        whole, elapsed = self._seconds, self.elapsed()
        if elapsed < whole < math.inf:
            self._seconds = elapsed + share * (whole - elapsed)
        try:
            yield
        finally:
            if self._seconds > 0.0:  # nobody has stopped it
                self._seconds = whole

    def __getstate__(self):
        return platform.node(), self._begin, self._seconds, self.left()

    def __setstate__(self, state):
        machine, self._begin, self._seconds, left = state
        if machine != platform.node():
            self.__init__(left)


#: For steps without a limit.
ENDLESS = Deadline()
