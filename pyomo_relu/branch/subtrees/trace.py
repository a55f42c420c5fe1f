"""What each task of a run took, as a record that can be written down and simulated."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pyomo_relu.common.wording import counted


@dataclass(frozen=True)
class TaskRecord:
    """One task, as its coordinator saw it.

    Attributes
    ----------
    number : int
        From 1 on.
    start, end : float
        Seconds from the start of the run to its submission and its return.
    worker : str
        Machine, process and thread; empty if it was lost.
    seconds, cpu : float
        Wall and processor time of the work itself.
    evaluated : int
        Boxes bounded.
    boxes, left : int
        Boxes that it was given and that it gave back.
    after : tuple of int
        The tasks that gave back the boxes which this one was given; 0 stands for the
        coordinator's own work.
    lost : bool
        Its worker died or failed, and the boxes were given to others.
    """

    number: int
    start: float
    end: float
    worker: str
    seconds: float
    cpu: float
    evaluated: int
    boxes: int
    left: int
    after: tuple
    lost: bool = False

    @classmethod
    def of(cls, number, start, end, nodes, answer):
        """The record of a task of these nodes; without an answer it was lost."""
        lost = answer is None
        return cls(
            number,
            start,
            end,
            "" if lost else answer.worker,
            0.0 if lost else answer.seconds,
            0.0 if lost else answer.cpu,
            0 if lost else answer.evaluated,
            len(nodes),
            0 if lost else len(answer.nodes),
            tuple(int(i) for i in np.unique(nodes.origin)),
            lost,
        )


@dataclass
class TaskReport:
    """What a run on workers did.

    Attributes
    ----------
    workers : int
        Tasks that could run at the same time.
    tasks, lost : int
        Tasks that came back, and tasks whose worker died or failed.
    before, during : float
        Processor seconds of the coordinator before the first task and from then on,
        without those of the executor's threads.
    notes : list of str
        What did not go as planned.
    trace : list of TaskRecord
    """

    workers: int
    tasks: int
    lost: int
    before: float
    during: float
    notes: list
    trace: list

    @property
    def done(self):
        """How much was done, for people."""
        text = f"{counted(self.tasks, 'task')} on {counted(self.workers, 'worker')}"
        return f"{text} ({self.lost} lost)" if self.lost else text

    def write(self, path):
        """Write everything as JSON."""
        Path(path).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, path):
        """What ``write`` has written."""
        report = cls(**json.loads(Path(path).read_text(encoding="utf-8")))
        report.trace = [
            TaskRecord(**{**one, "after": tuple(one["after"])}) for one in report.trace
        ]
        return report


def joined(reports):
    """Several TaskReports in a row as one; None of none."""
    if not reports:
        return None
    return TaskReport(
        max(report.workers for report in reports),
        sum(report.tasks for report in reports),
        sum(report.lost for report in reports),
        sum(report.before for report in reports),
        sum(report.during for report in reports),
        [note for report in reports for note in report.notes],
        [record for report in reports for record in report.trace],
    )
