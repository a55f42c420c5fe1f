"""Time limits shared by several steps."""

import time

from pyomo_relu.common.arguments import checked, optional, seconds
from pyomo_relu.errors import BoundsError


class Deadline:
    """A number of seconds from now on.

    Parameters
    ----------
    seconds : float or None
        None means no limit.
    """

    @checked(BoundsError, seconds=optional(seconds))
    def __init__(self, seconds=None):
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self):
        """Seconds left, not below 0; None without a limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())
