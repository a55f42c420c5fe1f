"""When a box is better solved by a MILP than by splitting it; measured while running."""

#: Seconds that a MILP is assumed to take before one has been solved.
_FIRST_GUESS = 0.02

#: Counted boxes before which nothing is known, and after which old ones count half.
_LEARN, _MEMORY = 60, 2000

#: Every so many decisions the dearer way is tried again.
_EXPLORE = 20

#: Unstable neurons up to which MILPs are tried at first.
_NEURONS = 12


class Handover:
    """Compares the seconds of a MILP with those of the boxes it would save.

    Boxes with few unstable neurons go one of two ways.  Of those that are split, all
    descendants are counted.  If a share q of them survives and has two halves, a box
    has ``1 / (1 - 2 q)`` descendants, itself included, in the mean (a branching
    process), or infinitely many if q >= 1/2; that number times the seconds per box is
    what a MILP must beat.  Which is cheaper depends on the network: measured with
    HiGHS, a MILP saved about 90 boxes and paid for itself on five inputs and 3x50
    neurons, but saved 18 and did not on 5x25 neurons, and never did on two inputs.

    Parameters
    ----------
    most : int
        Most unstable neurons that a MILP may have; 0 for no MILPs.

    Attributes
    ----------
    neurons : int
        Most unstable neurons at present: more as long as MILPs finish within their
        limits, fewer when they do not; negative if no box may go to a MILP.
    """

    def __init__(self, most):
        self.most = most
        self.neurons = min(_NEURONS, most) if most > 0 else -1
        self._milps, self._milp_seconds = 1, _FIRST_GUESS
        self._counted, self._survived = 0, 0
        self._boxes, self._box_seconds = 1, 0.0
        self._decisions = 0

    def prefers_milp(self, root=False):
        """Decide for one box; one that is split counts from then on.

        Parameters
        ----------
        root : bool
            Whether it is the whole box: a small network is a small MILP.
        """
        if root:
            return True
        if self._counted < _LEARN:
            return False
        self._decisions += 1
        cheaper = self._mean_milp() < self._split_seconds()
        if self._decisions % _EXPLORE == 0 and not cheaper:
            return self._split_seconds() > 0.3 * self._mean_milp()
        return cheaper

    def book_milp(self, seconds, finished):
        """Book one MILP."""
        self._milps += 1
        self._milp_seconds += seconds if finished else 2.0 * seconds
        if finished:
            self.neurons = min(self.most, self.neurons + 1)
        else:
            self.neurons = max(0, self.neurons - 4)

    def book_boxes(self, seconds, boxes, counted, survived):
        """Book bounded boxes: all, those below small ones, and survivors of these."""
        self._boxes += boxes
        self._box_seconds += seconds
        self._counted += counted
        self._survived += survived
        if self._counted > _MEMORY:
            self._counted, self._survived = 0.5 * self._counted, 0.5 * self._survived

    def _mean_milp(self):
        return self._milp_seconds / self._milps

    def _split_seconds(self):
        """Seconds that a small box and all its descendants are expected to take."""
        survivors = self._survived / self._counted
        if survivors >= 0.5:
            return float("inf")
        return self._box_seconds / self._boxes * (2.0 / (1.0 - 2.0 * survivors))
