"""The networks of a family's members: what each computes at points and over boxes."""

import copy

import numpy as np

from pyomo_relu.branch.bounding.lines.lines import LineBounder
from pyomo_relu.branch.bounding.lines.stacked_lines import StackedLineBounder


class MemberNetworks:
    """One network for all members, or several of one architecture.

    Parameters
    ----------
    stack : NetworkStack
    which : numpy.ndarray of int, shape (K,)
        The network of each member.
    flipped : bool
        Whether lines come with further ones; see ``LineBounder``.
    """

    def __init__(self, stack, which, flipped=True):
        self.stack, self.which = stack, which
        if stack.alone:
            self._bounder = LineBounder(stack.first, flipped)
        else:
            self._bounder = StackedLineBounder(stack, flipped)

    def __len__(self):
        return self.which.size

    def __getitem__(self, members):
        """Those of some members, of which some may occur several times."""
        other = copy.copy(self)
        other.which = self.which[members]
        return other

    def compact(self):
        """The same without networks that no member has."""
        if self.stack.alone:
            return self
        used, which = np.unique(self.which, return_inverse=True)
        flipped = self._bounder.flipped
        return MemberNetworks(self.stack[used], which.ravel(), flipped)

    def forward(self, owner, X):
        """Outputs at points of members, shape (N, m).

        Parameters
        ----------
        owner : numpy.ndarray of int, shape (N,)
        X : numpy.ndarray, shape (N, n)
        """
        return self.stack.forward(self.which[owner], X)

    def graph(self, owner, X):
        """Points of members' graphs, shape (N, n + m)."""
        return np.concatenate([X, self.forward(owner, X)], axis=1)

    def regions(self, owner, X):
        """Linear regions around points of members; see ``NetworkStack.regions``."""
        return self.stack.regions(self.which[owner], X)

    def lines(self, owner, lower, upper):
        """FunctionLines over boxes of members, shapes (B, n)."""
        if self.stack.alone:
            return self._bounder.lines(lower, upper)
        return self._bounder.lines_of(self.which[owner], lower, upper)
