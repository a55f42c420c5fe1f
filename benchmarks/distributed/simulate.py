"""The coordinator played on a recorded trace, with any number of workers.

The model:

- A task takes the processor time that it took when it was recorded, on any worker.
- It can be given away once all tasks have come back whose boxes it was given: it may not
  start with the boxes of some of them, which the real coordinator would.
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


def simulate(report, workers, transport=TRANSPORT):
    """Play the coordinator.

    Parameters
    ----------
    report : TaskReport
    workers : int
    transport : float
        Seconds.

    Returns
    -------
    Outcome
    """
    tasks = {record.number: record for record in report.trace if not record.lost}
    handling, before = report.during / max(len(tasks), 1), report.before
    waits, then = {}, {}
    for number, record in tasks.items():
        needed = {n for n in record.after if n in tasks}
        waits[number] = len(needed)
        for n in needed:
            then.setdefault(n, []).append(number)
    ready = [number for number, count in waits.items() if not count]
    heapq.heapify(ready)
    idle, running = workers, []
    now = free_at = before
    while ready or running:
        while ready and idle:
            number = heapq.heappop(ready)
            idle -= 1
            free_at = max(now, free_at) + handling
            end = free_at + transport + tasks[number].cpu
            heapq.heappush(running, (end, number))
        now, number = heapq.heappop(running)
        idle += 1
        for following in then.get(number, ()):
            waits[following] -= 1
            if not waits[following]:
                heapq.heappush(ready, following)
    work = before + sum(record.cpu for record in tasks.values())
    return Outcome(workers, now, work)
