"""Pieces of parts: boxes of which a part's point lies in one, and cuts proven on each.

With multipliers pi, and z_b = 1 if the part's point v lies in its piece b,

    pi v  >=  sum_b z_b min { pi w : w in piece b },      sum_b z_b = 1,

holds for all points of the part, and all such cuts together describe the convex hull of
(v, z): so each piece is replaced by its convex hull, not the part by its own.  The minima
are those that ``pricing`` proves.
"""

from dataclasses import replace

import numpy as np

from pyomo_relu.decompose.subproblems.cover import Cover
from pyomo_relu.decompose.subproblems.pricing import Subproblems
from pyomo_relu.linear.rounding import whole

#: Models in a row that a cut may have slack in before it is forgotten.
_IDLE = 8


class Pieces:
    """The pieces of a family's members; at first each member is one.

    Parameters
    ----------
    family : Family
    cover : Cover
        Of its members.

    Attributes
    ----------
    member : numpy.ndarray of int, shape (P,)
        The member that each piece belongs to.
    cover : Cover
        Of the pieces.
    lower, upper : numpy.ndarray, shape (P, n + m)
        Boxes of the pieces' inputs and outputs.
    duals : numpy.ndarray, shape (C, n + m)
        Multipliers of each cut.
    of : numpy.ndarray of int, shape (C,)
        The member that each cut belongs to.
    entries : tuple
        Cut, piece and proven least value of each term of all cuts.
    slack : float
        A piece whose least value is this much above its member's needs no accuracy.
    """

    def __init__(self, family, cover):
        self.family, self.cover = family, cover
        self.member = np.arange(len(family))
        self.lower, self.upper = self._hull()
        self.duals = np.zeros((0, family.columns.shape[1]))
        self.of = self._idle = np.zeros(0, dtype=int)
        self.entries = np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros(0)
        self.slack = np.inf

    def __len__(self):
        return self.member.size

    @property
    def counts(self):
        """Pieces of each member, shape (K,)."""
        return np.bincount(self.member, minlength=len(self.family))

    # -- subproblems, as a Family has them -----------------------------------------

    def inside(self, b):
        """Known points of a piece, shape (N, n + m)."""
        f = self.family
        V = f.points[f.of_member(self.member[b])]
        x, low, high = V[:, : f.n], self.lower[b, : f.n], self.upper[b, : f.n]
        return V[((x >= low) & (x <= high)).all(axis=1)]

    def least(self, costs):
        """Least value at known points of each piece, shape (P,)."""
        least = np.full(len(self), np.inf)
        for b in range(len(self)):
            V = self.inside(b)
            if len(V):
                least[b] = (V @ costs[b]).min()
        return least

    def keep(self, owner, V):
        """Keep points of pieces."""
        return self.family.keep(self.member[owner], V)

    def subproblems(self, cover, costs, tolerance):
        """Subproblems of all pieces; see ``pricing``."""
        f, best = self.family, self.least(costs)
        best = np.minimum(best, self._least_of_members(best) + self.slack)
        integer = f.integer[self.member]
        return Subproblems(f.bounder, integer, cover, costs, best, tolerance)

    def members_least(self, values):
        """Least of the pieces' values of each member, shape (K,)."""
        least = np.full(len(self.family), np.inf)
        np.minimum.at(least, self.member, values)
        return least

    def _least_of_members(self, values):
        return self.members_least(values)[self.member]

    # -- pieces --------------------------------------------------------------------

    def split(self, b, split):
        """Split piece b in input ``split.column``; the second part is the last piece."""
        j, new = split.column, len(self)
        self.member = np.append(self.member, self.member[b])
        self.lower = np.concatenate([self.lower, self.lower[b][None]])
        self.upper = np.concatenate([self.upper, self.upper[b][None]])
        self.upper[b, j], self.lower[new, j] = split.low, split.high
        mine = self.cover.owner == b
        first = self.cover[mine]
        second = replace(first, owner=np.full(len(first), new))
        parts = Cover.joined([first, second])
        parts = parts.within(self.family.bounder, self.lower, self.upper)
        self.cover = Cover.joined([self.cover[~mine], parts])
        cut, piece, value = self.entries
        both = piece == b  # what holds on the whole holds on both parts
        self.entries = (
            np.concatenate([cut, cut[both]]),
            np.concatenate([piece, np.full(both.sum(), new)]),
            np.concatenate([value, value[both]]),
        )

    def drop(self, drop):
        """Leave out pieces, and shrink the others to their covers."""
        low, high = self._hull()
        self.lower = np.maximum(self.lower, low)
        self.upper = np.minimum(self.upper, high)
        keep = ~drop & (self.lower <= self.upper).all(axis=1)
        if keep.all():
            return
        number = np.cumsum(keep) - 1
        cover = self.cover[keep[self.cover.owner]]
        self.cover = replace(cover, owner=number[cover.owner])
        self.member = self.member[keep]
        self.lower, self.upper = self.lower[keep], self.upper[keep]
        cut, piece, value = self.entries
        some = keep[piece]
        self.entries = cut[some], number[piece[some]], value[some]

    def _hull(self):
        """Boxes around the pieces' covers; ends of integer inputs are whole."""
        low, high = self.cover.hull(len(self))
        n, integer = self.family.n, self.family.integer[self.member]
        within = whole(low[:, :n], high[:, :n])
        low[:, :n] = np.where(integer, within[0], low[:, :n])
        high[:, :n] = np.where(integer, within[1], high[:, :n])
        return low, high

    def of_pieces(self, some):
        """Covers of some pieces, one of each member, as that of the members."""
        member = np.full(len(self), -1)
        member[some] = self.member[some]
        cover = self.cover[member[self.cover.owner] >= 0]
        return replace(cover, owner=member[cover.owner])

    def take_back(self, some, cover):
        """The cover of ``of_pieces`` after it was refined."""
        piece = np.zeros(len(self.family), dtype=int)
        piece[self.member[some]] = some
        others = np.ones(len(self), dtype=bool)
        others[some] = False
        rest = self.cover[others[self.cover.owner]]
        self.cover = Cover.joined([rest, replace(cover, owner=piece[cover.owner])])

    # -- cuts ----------------------------------------------------------------------

    def add_cuts(self, duals, values, members):
        """Cuts of some members.

        Parameters
        ----------
        duals : numpy.ndarray, shape (K, n + m)
        values : numpy.ndarray, shape (P,)
            Proven least values on the pieces.
        members : numpy.ndarray of bool, shape (K,)
        """
        some = np.flatnonzero(members & (np.abs(duals).max(axis=1, initial=0.0) > 0))
        number = np.full(len(self.family), -1)
        number[some] = self.of.size + np.arange(some.size)
        size = np.ones(len(self.family))  # a power of two changes no digit
        size[some] = 2.0 ** np.floor(np.log2(np.abs(duals[some]).max(axis=1)))
        pieces = np.flatnonzero((number[self.member] >= 0) & np.isfinite(values))
        cut, piece, value = self.entries
        member = self.member[pieces]
        self.entries = (
            np.concatenate([cut, number[member]]),
            np.concatenate([piece, pieces]),
            np.concatenate([value, values[pieces] / size[member]]),
        )
        self.duals = np.concatenate([self.duals, duals[some] / size[some, None]])
        self.of = np.concatenate([self.of, some])
        self._idle = np.concatenate([self._idle, np.zeros(some.size, dtype=int)])

    def age(self, x, z):
        """Forget cuts that had slack at the last points (x of columns, z of pieces)."""
        cut, piece, value = self.entries
        most = np.bincount(cut, value * z[piece], minlength=self.of.size)
        v = x[self.family.columns[self.of]]
        slack = np.einsum("cd,cd->c", self.duals, v) - most
        binds = slack <= 1e-6 * (1.0 + np.abs(most))
        self._idle = np.where(binds, 0, self._idle + 1)
        keep = self._idle <= _IDLE
        if keep.all():
            return
        number, some = np.cumsum(keep) - 1, keep[cut]
        self.entries = number[cut[some]], piece[some], value[some]
        self.duals, self.of = self.duals[keep], self.of[keep]
        self._idle = self._idle[keep]
