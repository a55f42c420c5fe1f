"""The coordinator played on a recorded trace, with any number of workers.

The model:

- A task takes the processor time that it took when it was recorded, on any worker.
- It can be given away once as many boxes wait as it was given, whichever they are: the
  real coordinator gives whoever is free what waits.  Or, with ``exact``, once all tasks
  have come back whose boxes it was given: it may then not start with the boxes of some of
  them, which is too strict, as the other is too lenient about what is worth doing first.
- Of those that can, the earliest number goes first: the order of the recording.
- Each task costs the coordinator the same processor time, as it took for all of them in
  the recording, one task after another; and its worker is idle for the seconds that it is
  on its way there and back.
- What the coordinator did before the first task it does alone.

Not in the model: other boxes because of cutoffs that come earlier or later (record with
as many workers as are simulated, so that the tasks know as little of each other), and
processors that slow each other down.
"""

import heapq
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """A simulated run.

    Attributes
    ----------
    workers : int
    seconds : float
        From the start to the last task's return.
    work : float
        Processor seconds of all tasks and of the coordinator's own start.
    """

    workers: int
    seconds: float
    work: float

    def efficiency(self, serial=None):
        """Share of the workers' time that one process would have needed.

        Parameters
        ----------
        serial : float, optional
            Seconds of one process alone; by default the work that was recorded.
        """
        return (serial or self.work) / (self.workers * self.seconds)


#: Seconds that a task is assumed to be on its way to a worker and back.
TRANSPORT = 0.01


def simulate(report, workers, transport=TRANSPORT, exact=False):
    """Play the coordinator.

    Parameters
    ----------
    report : TaskReport
    workers : int
    transport : float
        Seconds.
    exact : bool
        Whether tasks wait for the very boxes that they were given.

    Returns
    -------
    Outcome
    """
    tasks = {record.number: record for record in report.trace if not record.lost}
    handling, before = report.during / max(len(tasks), 1), report.before
    waiting = (_OfTasks if exact else _Boxes)(tasks)
    idle, running = workers, []
    now = free_at = before
    while waiting or running:
        while idle and waiting.ready(not running):
            number = waiting.pop()
            idle -= 1
            free_at = max(now, free_at) + handling
            end = free_at + transport + tasks[number].cpu
            heapq.heappush(running, (end, number))
        now, number = heapq.heappop(running)
        idle += 1
        waiting.back(number)
    work = before + sum(record.cpu for record in tasks.values())
    return Outcome(workers, now, work)


class _Boxes:
    """Tasks in the order of the recording, each of so many of the boxes that wait."""

    def __init__(self, tasks):
        self._tasks, self._left = tasks, sorted(tasks, reverse=True)
        # of the coordinator's own work: at least those that went into tasks of nothing else
        self._boxes = sum(t.boxes for t in tasks.values() if not _earlier(t, tasks))

    def __len__(self):
        return len(self._left)

    def ready(self, nobody_works):
        """Whether the next one can be given away."""
        if not self._left:
            return False
        return nobody_works or self._tasks[self._left[-1]].boxes <= self._boxes

    def pop(self):
        """Give the next one away."""
        number = self._left.pop()
        self._boxes = max(0, self._boxes - self._tasks[number].boxes)
        return number

    def back(self, number):
        """Take one back."""
        self._boxes += self._tasks[number].left


class _OfTasks:
    """Tasks that wait for all whose boxes they were given; the earliest goes first."""

    def __init__(self, tasks):
        self._waits, self._then = {}, {}
        for number, record in tasks.items():
            needed = _earlier(record, tasks)
            self._waits[number] = len(needed)
            for n in needed:
                self._then.setdefault(n, []).append(number)
        self._ready = [number for number, count in self._waits.items() if not count]
        heapq.heapify(self._ready)

    def __len__(self):
        return len(self._ready)

    def ready(self, nobody_works):
        """Whether one can be given away."""
        return bool(self._ready)

    def pop(self):
        """Give the next one away."""
        return heapq.heappop(self._ready)

    def back(self, number):
        """Take one back."""
        for following in self._then.get(number, ()):
            self._waits[following] -= 1
            if not self._waits[following]:
                heapq.heappush(self._ready, following)


def _earlier(record, tasks):
    return {n for n in record.after if n in tasks}
