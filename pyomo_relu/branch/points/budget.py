"""Shares of the run time for what proves nothing; less of it where it gains nothing."""

import time

#: What a share is multiplied by after work without gain, and the least it comes to.
_LESS, _LEAST = 0.85, 0.2


class Budget:
    """A share of the time for one way to look for points.

    Parameters
    ----------
    share : float
        Largest share of the time since the start.
    """

    def __init__(self, share):
        self.share = share
        self._now = share
        self._spent = 0.0

    def seconds(self, elapsed):
        """Seconds that may be spent now, ``elapsed`` after the start."""
        return self._now * elapsed - self._spent

    def within(self, share, elapsed):
        """Whether all that was spent is within another share, ``elapsed`` after the start."""
        return self._spent <= share * elapsed

    def run(self, work):
        """Do ``work()``, which says whether it gained anything, and book its time."""
        started = time.perf_counter()
        gained = work()
        self._spent += time.perf_counter() - started
        self._now = (
            self.share if gained else max(_LEAST * self.share, _LESS * self._now)
        )
        return gained

    def renew(self):
        """The full share again."""
        self._now = self.share
