"""What a tree asks of those who work on its boxes besides itself; here, of nobody."""

import numpy as np


class Alone:
    """A tree that does all of its work itself.

    Attributes
    ----------
    out : sequence of Nodes
        The boxes that others work on, as they were given away.
    """

    out = ()

    #: Whether they look for points, or are about to, and the tree leaves it to them.
    search_instead = False

    @property
    def bound(self):
        """Least bound of the boxes that others work on."""
        return min((float(nodes.bound.min()) for nodes in self.out), default=np.inf)

    def take(self, tree):
        """Whether ``step`` is to be called rather than a batch done by the tree."""
        return False

    def step(self, tree):
        """Give boxes away and take back what is done, waiting for something."""
        raise NotImplementedError

    def prune(self, cutoff):
        """Let go of boxes whose bound reaches ``cutoff``; the least of their bounds."""
        return np.inf

    def finish(self, tree):
        """Take everything back: what was done by now, and the other boxes as they were."""

    def report(self):
        """What was done, as a TaskReport; None for nothing."""
        return

    def close(self):
        """Give nothing more away, and wait for nobody."""


#: The same for every tree without helpers.
ALONE = Alone()
