"""When a box is better solved by a MILP than by splitting it; measured while running."""

#: Seconds that a MILP is assumed to take before one has been solved.
_FIRST_GUESS = 0.02

#: Counted boxes before which nothing is known.
_LEARN = 60

#: More open descendants than this per small box: splitting them does not end.
_ENDLESS = 4.0

#: Every so many decisions the dearer way is tried again.
_EXPLORE = 20

#: Unstable neurons up to which MILPs are tried at first.
_NEURONS = 12


#: Of inputs more than these splitting is slow, and a MILP of the whole box is tried with
#: so many times the neurons of others: measured on ten inputs and 30 neurons (0.2 against
#: 3 seconds), seven and 40 (0.6 against 3), six and 72 of integer inputs (not).
_MANY_INPUTS, _AT_ROOT = 6, 1.5

#: Seconds and nodes of a MILP of the whole box.
ROOT_LIMITS = 5.0, 5000


class Handover:
    """Compares the seconds of a MILP with those of the boxes it would save.

    Boxes with few unstable neurons go one of two ways.  Of those that are split, all
    descendants are counted, done and still open; their mean number times the seconds
    per box is what a MILP must beat.  Which is cheaper depends on the network: measured
    with HiGHS, a MILP saved 60 to 90 boxes and broke even on five inputs and 3x50 neurons,
    saved 15 and did not on 5x25 neurons, never did on two inputs, and is the only way
    where lines lose a cancellation that no splitting recovers.

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
        self._families, self._family_boxes = 0, 0
        self._boxes, self._box_seconds = 1, 0.0
        self._decisions = 0

    def prefers_milp(self, counted, still_open, root=False):
        """Decide for one box; one that is split counts from then on.

        Parameters
        ----------
        counted : bool
            Whether the box descends from one that counts already.
        still_open : int
            Descendants of counted boxes that are open.
        root : bool
            Whether it is the whole box: a small network is a small MILP.
        """
        if root:
            return True
        milp = False
        if self._families and self._family_boxes >= _LEARN:
            splitting = self._split_seconds(still_open)
            milp = self._mean_milp() < splitting
            self._decisions += 1
            if self._decisions % _EXPLORE == 0 and not milp:
                milp = splitting > 0.3 * self._mean_milp()
        if not milp and not counted:
            self._families += 1
        return milp

    def at_root(self, n_inputs):
        """Most unstable neurons with which the whole box may go to a MILP."""
        if n_inputs <= _MANY_INPUTS:
            return self.neurons
        return _AT_ROOT * self.most

    def book_milp(self, seconds, finished):
        """Book one MILP."""
        self._milps += 1
        self._milp_seconds += seconds if finished else 2.0 * seconds
        if finished:
            self.neurons = min(self.most, self.neurons + 1)
        else:
            self.neurons = max(0, self.neurons - 4)

    def book_boxes(self, seconds, boxes, counted):
        """Book bounded boxes, some of which descend from small ones."""
        self._boxes += boxes
        self._box_seconds += seconds
        self._family_boxes += counted

    def _mean_milp(self):
        return self._milp_seconds / self._milps

    def _split_seconds(self, still_open):
        """Seconds that a small box and all its descendants are expected to take."""
        waiting = still_open / self._families
        if waiting > _ENDLESS:
            return float("inf")
        boxes = self._family_boxes / self._families * (1.0 + waiting)
        return self._box_seconds / self._boxes * boxes
