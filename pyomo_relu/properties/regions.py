"""Boxes with smaller networks of their own, where many of their parts are bounded."""

#: Networks of less work (``folding.work``) are bounded as they are.
_LEAST_WORK = 1 << 21

#: Boxes bounded within a region before it gets a network, and with that network before
#: its open boxes become regions.
_BEFORE, _WITH = 32, 128


class Region:
    """A box, and what bounds the boxes within it.

    A network is folded where that many boxes were bounded that it has paid, whatever
    follows; an unfruitful attempt makes the next ones wait twice as long.

    Parameters
    ----------
    lower, upper : numpy.ndarray, shape (n_inputs,)
    bounder : RowBounder
        Of the region that contains it.
    lifetime : int
        Boxes bounded with a network of its own before its open boxes become regions.

    Attributes
    ----------
    bounder : RowBounder
        Its own, once ``fold`` has found a smaller network.
    """

    __slots__ = ("_bounded", "_lifetime", "_tried", "bounder", "lower", "upper")

    def __init__(self, lower, upper, bounder, lifetime=_WITH):
        self.lower, self.upper, self.bounder = lower, upper, bounder
        self._lifetime, self._bounded = lifetime, 0
        self._tried = bounder.work < _LEAST_WORK

    @property
    def due(self):
        """Whether a network of its own is to be looked for."""
        return not self._tried and self._bounded >= _BEFORE

    def count(self, boxes):
        """Take note of boxes that were bounded."""
        self._bounded += boxes

    def fold(self):
        """Look for a smaller network."""
        self._tried, self._bounded = True, 0
        smaller = self.bounder.folded(self.lower, self.upper)
        if smaller is None:
            self._lifetime *= 2
        else:
            self.bounder = smaller

    def of_box(self, lower, upper):
        """The region that a box within this one belongs to: this one, or a new one."""
        settled = self.bounder.work < _LEAST_WORK or self._bounded < self._lifetime
        if settled or not self._tried:
            return self
        return Region(lower, upper, self.bounder, self._lifetime)
