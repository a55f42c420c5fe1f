"""Rounds of search within a share of the time, each twice as long as the one before."""

import time

#: Share of the time that may go into searching while nothing feasible is known.
SEARCHING = 0.3

#: Seconds of the first round.
_FIRST = 0.5


class SearchRounds:
    """Rounds of ``Incumbent.search``.

    Parameters
    ----------
    incumbent : Incumbent
    seed : int
    """

    def __init__(self, incumbent, seed):
        self._incumbent, self._seed = incumbent, seed
        self._round, self._spent = _FIRST, 0.0

    @property
    def spent(self):
        """Seconds of the next round, and of all before."""
        return self._round, self._spent

    @spent.setter
    def spent(self, seconds):
        self._round, self._spent = seconds

    def due(self, share, elapsed):
        """Whether less than a share of the seconds that went by has been spent."""
        return self._spent <= share * elapsed

    def run(self, deadline):
        """One round, no longer than the deadline allows."""
        started = time.perf_counter()
        self._incumbent.search(deadline.left(self._round), self._seed)
        self._round *= 2.0
        self._spent += time.perf_counter() - started
