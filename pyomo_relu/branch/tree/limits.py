"""What bounds the objective where boxes are no longer open."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Limits:
    """Lower bounds of the objective in what a tree has done; infinite for nothing.

    Attributes
    ----------
    closed : float
        In boxes that were dropped or solved.
    unresolved : float
        In boxes that cannot be split.
    shrunk_to : float
        Outside what boxes were shrunk to: the least cutoff that any was shrunk by.
    """

    closed: float = np.inf
    unresolved: float = np.inf
    shrunk_to: float = np.inf

    @property
    def least(self):
        """The bound that they allow together."""
        return min(self.closed, self.unresolved, self.shrunk_to)

    def close(self, bound):
        """Note a box that was dropped or solved."""
        self.closed = min(self.closed, bound)

    def leave(self, bound):
        """Note a box that cannot be split."""
        self.unresolved = min(self.unresolved, bound)

    def shrink_to(self, cutoff):
        """Note, and return, a cutoff that boxes are going to be shrunk by."""
        self.shrunk_to = min(self.shrunk_to, cutoff)
        return cutoff

    def merge(self, other):
        """Note all that another part of the tree has done."""
        self.close(other.closed)
        self.leave(other.unresolved)
        self.shrink_to(other.shrunk_to)
