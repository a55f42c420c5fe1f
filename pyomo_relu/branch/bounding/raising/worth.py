"""Whether raising the bounds of boxes pays, next to splitting them; measured meanwhile."""

import numpy as np

#: Boxes before which nothing is raised: a tree of fewer is no work.
_FIRST = 300

#: Fewest boxes of a batch that is measured, and of one that is raised: of fewer a call
#: takes the time of many.
_MEASURED, _FEWEST = 32, 8

#: Batches until the next trial at first; after each that did not pay twice as many.
_UNTIL_NEXT = 8

#: Share of what was measured that is kept from one batch to the next.
_KEPT = 0.9

#: Most splits that count as saved.
_MOST_SPLITS = 12.0


class Worth:
    """Compares what raising gains, and costs, with what a split does.

    Raising a box's bound by as much as s splits in a row would saves the ``2^(s+1) - 2``
    boxes that these make of it.  Where boxes have few edges, a split gains much and this
    is little; with many it gains little, and raising is worth whole subtrees.

    Attributes
    ----------
    on : bool
        Whether it pays at present.
    """

    def __init__(self):
        self.on = False
        self._boxes = self._batches = 0
        self._next, self._wait = 0, _UNTIL_NEXT
        # sums of (seconds, boxes) of either, of what raising and what splitting gained
        self._of_boxes, self._of_raising, self._raised, self._split = np.zeros((4, 2))

    def wanted(self, count):
        """Whether to raise the bounds of a batch of so many boxes: it pays, or a trial."""
        if self.on:
            return count >= _FEWEST
        due = self._boxes >= _FIRST and self._batches >= self._next
        return due and count >= _MEASURED

    def book_batch(self, seconds, boxes):
        """Book bounding some boxes, without the seconds of raising."""
        self._boxes += boxes
        self._batches += 1
        if boxes >= _MEASURED and not self.on:
            self._of_boxes = _KEPT * self._of_boxes + (seconds, boxes)

    def book_splits(self, gains):
        """Book by how much bounds rose from boxes to their parts."""
        if gains.size >= _MEASURED:
            self._split = _KEPT * self._split + (gains.sum(), gains.size)

    def book_raising(self, seconds, gains):
        """Book raising some bounds, by so much; decides."""
        if gains.size < _MEASURED:
            return
        self._of_raising = _KEPT * self._of_raising + (seconds, gains.size)
        self._raised = _KEPT * self._raised + (gains.sum(), gains.size)
        was, self.on = self.on, self._pays()
        if self.on != was:
            # splits of raised boxes gain less, or more, than those of others
            self._split = np.zeros(2)
            self._wait = _UNTIL_NEXT
        if not self.on:
            self._next, self._wait = self._batches + self._wait, 2 * self._wait
            self._of_raising, self._raised = np.zeros((2, 2))

    def _pays(self):
        if not self._split[1] or not self._of_boxes[1]:
            return self.on
        splits = _MOST_SPLITS
        if self._split[0] > 0:
            splits = min(splits, _mean(self._raised) / _mean(self._split))
        saved = 2.0 ** (splits + 1.0) - 2.0
        return bool(_mean(self._of_raising) < saved * _mean(self._of_boxes))


def _mean(pair):
    return pair[0] / max(pair[1], 1)
