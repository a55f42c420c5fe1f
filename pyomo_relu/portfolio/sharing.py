"""Time shared by routes: each works on a thread of its own, and some of them at a time.

A route calls ``Turn.pause`` often; where its slice of time is over, it waits there until
its next one, with all that it holds in memory.  So routes that cannot be resumed (a
MILP solver's tree) take turns on one processor without losing their work.
"""

import math
import threading
import time

from pyomo_relu.linear.sessions.highs_runs import as_own_thread, end_run

#: Seconds of a first slice, and of a later one as a share of the run so far.
_FIRST, _GROWTH = 0.25, 0.1

#: Share of the wall clock that counts towards delays where the process worked for less.
#: On a busy machine a second route would begin before the first one has done its part;
#: but one that waits for another process is not waited for forever.
_WAITED = 0.05

#: Seconds between two looks at the clock while routes work.
_TICK = 0.1

#: Seconds for which a stopped route is waited for; it ends by itself afterwards.
_PATIENCE = 1.0


class Stopped(BaseException):
    """Raised in a route's thread when the run is over."""


class Turn:
    """A route's turns at working.

    Parameters
    ----------
    name : str
    work : callable
        ``work(turn)``, run on a thread of its own; it calls ``turn.pause()`` often.
    weight : float
        How long its slices are, relative to other routes'.
    delay : float
        Seconds of the run before its first slice; see ``worked``.
    elsewhere : bool
        Whether its work is done by others, so that it takes no time from the rest and
        needs no slices.

    Attributes
    ----------
    seconds : float
        For which it worked.
    error : BaseException or None
        What its work raised.
    """

    def __init__(self, name, work, weight=1.0, delay=0.0, elsewhere=False):
        self.name, self.weight, self.delay = name, weight, delay
        self.elsewhere = elsewhere
        self.seconds, self.error = 0.0, None
        self.alive, self.working = True, False
        self._work = work
        self._go, self._stopped = threading.Event(), False
        self._begun = self._end = 0.0
        self._changed = None
        self._thread = None

    @property
    def begun(self):
        """Whether it has had a slice."""
        return self._thread is not None

    def pause(self):
        """Wait if the slice is over; returns the seconds for which it waited.

        Raises
        ------
        Stopped
            If the run is over.
        """
        self._check()
        if time.monotonic() < self._end:
            return 0.0
        began = time.monotonic()
        self._put_down()
        self._go.wait()
        self._check()
        return time.monotonic() - began

    def _check(self):
        if self._stopped:
            raise Stopped

    def _put_down(self):
        self.seconds += time.monotonic() - self._begun
        self._go.clear()
        if self._stopped:  # it may have been since the last look
            self._go.set()
        self.working = False
        self._changed.set()

    def _run(self):
        try:
            with as_own_thread(self._check):
                self._work(self)
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001  (raised by whoever shares)
            self.error = error
        finally:
            self.alive = False
            self._put_down()

    def grant(self, seconds, changed):
        """Let it work for so long; ``changed`` is set when it stops."""
        self._changed, self.working = changed, True
        self._begun = time.monotonic()
        self._end = self._begun + seconds
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self.name)
            self._thread.start()
        self._go.set()

    def stop(self):
        """Ask it to end at its next look at the clock, and what HiGHS runs for it."""
        self._stopped = True
        self._end = 0.0
        self._go.set()
        if self._thread is not None:
            end_run(self._thread.ident)

    def join(self, seconds):
        """Wait for its thread; False if that is still at work after ``seconds``."""
        if self._thread is not None:
            self._thread.join(seconds)
            return not self._thread.is_alive()
        return True


def worked(processor, wall):
    """Seconds of a run as they count towards delays.

    Parameters
    ----------
    processor, wall : float
        Processor seconds of the process since the run began, and those of the clock.
    """
    return max(min(processor, wall), _WAITED * wall)


def share(turns, deadline, done, threads=1, watch=None, leader=None):
    """Let routes work in turns until all is done.

    Whoever leads gets as much as the first one.  What was expected when the routes were
    put in order and what they have proven since then may disagree: then no more than
    half of the time goes to the wrong one of the two.

    Parameters
    ----------
    turns : list of Turn
        In the order of their first slices.
    deadline : Deadline
    done : callable
        Whether nothing is left to do.
    threads : int
        Routes that work at the same time.
    watch : callable, optional
        Called now and then from this thread.
    leader : callable, optional
        Returns the one of ``turns`` that has proven most, and whether it is about to
        get done, for which the others then wait.

    Raises
    ------
    BaseException
        What a route raised, if no other route got done without it.
    """
    changed, began, first = threading.Event(), time.monotonic(), True
    processor = time.process_time()
    books = _Books(turns)
    try:
        # whatever the time, the first one begins: a root's bound is worth having
        while not done() and (first or not deadline.passed()):
            alive, elapsed = [t for t in turns if t.alive], time.monotonic() - began
            waiting = [t for t in alive if not t.working]
            if not alive:
                break
            here = [t for t in alive if not t.elsewhere]
            working = sum(t.working for t in here)
            counted = worked(time.process_time() - processor, elapsed)
            late = [t.delay for t in waiting if counted < t.delay]
            ready = [t for t in waiting if counted >= t.delay]
            ahead, soon = (turns[0], False) if leader is None else leader()
            if soon and ahead.alive:
                ready = [t for t in ready if t is ahead]
            if len(waiting) == len(alive) and not ready:
                ready = waiting[:1]  # nobody else has anything to do
            free = [t for t in ready if not t.elsewhere]
            free = sorted(free, key=books.spent.get)[: threads - working]
            for turn in [t for t in ready if t.elsewhere] + free:
                length = _weight(turn, turns, ahead) * max(_FIRST, _GROWTH * elapsed)
                if late:  # whose turn is about to come does not wait for a whole slice
                    length = min(length, max(_TICK, min(late) - counted))
                sliced = len(here) > threads and not turn.elsewhere
                turn.grant(length if sliced else math.inf, changed)
                first = False
            changed.wait(deadline.left(_TICK))
            changed.clear()
            books.book(ahead, counted)
            if watch is not None:
                watch()
        if not done():
            failed = [t.error for t in turns if t.error is not None]
            if failed and not any(t.alive for t in turns):
                raise failed[0]
    finally:
        _stop(turns)


def _weight(turn, turns, ahead):
    """Of a turn, if ``ahead`` leads."""
    return max(turn.weight, turns[0].weight) if turn is ahead else turn.weight


class _Books:
    """How long each has worked by its weight; who begins late is owed no time before.

    Parameters
    ----------
    turns : list of Turn

    Attributes
    ----------
    spent : dict of Turn -> float
    """

    def __init__(self, turns):
        self.turns, self.spent = turns, dict.fromkeys(turns, 0.0)
        self._booked = dict.fromkeys(turns, 0.0)

    def book(self, ahead, counted):
        """Note what each worked since the last call, while ``ahead`` was leading."""
        begun = [t for t in self.turns if t.begun]
        for turn in begun:
            more, self._booked[turn] = turn.seconds - self._booked[turn], turn.seconds
            self.spent[turn] += more / _weight(turn, self.turns, ahead)
        least = min((self.spent[t] for t in begun), default=0.0)
        for turn in self.turns:
            if not turn.begun and counted < turn.delay:
                self.spent[turn] = least


def _stop(turns):
    """End all of them; an interrupt while waiting is raised once none is at work."""
    until, interrupted = time.monotonic() + _PATIENCE, None
    ends = [turn.stop for turn in turns]
    ends += [
        lambda t=turn: t.join(max(0.0, until - time.monotonic())) for turn in turns
    ]
    for end in ends:
        while True:
            try:
                end()
                break
            except KeyboardInterrupt as error:
                interrupted = error  # and whoever is waited for still is at work
    if interrupted is not None:
        raise interrupted
