"""Pieces of parts: boxes of which a part's point lies in one, and cuts proven on each.

With multipliers pi, and z_b = 1 if the part's point v lies in its piece b, v_b = z_b v,

    pi v_b  >=  z_b min { pi w : w in piece b },      sum_b v_b = v,      sum_b z_b = 1,

holds for all points of the part, and all such cuts together describe the convex hull of
(v, z): so each piece is replaced by its convex hull, not the part by its own.  The minima
are those that ``pricing`` proves.

Columns of a part that nothing else reads occur only as what they cost: ``value``.  In all
multipliers their entries are their costs, which loses nothing.
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
    linked : numpy.ndarray of bool, shape (K, n + m), optional
        Columns that rows or other parts read; None for all.
    costs : numpy.ndarray, shape (K, n + m), optional
        Costs of the others.

    Attributes
    ----------
    member : numpy.ndarray of int, shape (P,)
        The member that each piece belongs to.
    cover : Cover
        Of the pieces.
    lower, upper : numpy.ndarray, shape (P, n + m)
        Boxes of the pieces' inputs and outputs.
    of : numpy.ndarray of int, shape (C,)
        The piece that each cut belongs to.
    duals : numpy.ndarray, shape (C, n + m)
        Multipliers of each cut.
    least : numpy.ndarray, shape (C,)
        Proven on the cut's piece.
    slack : float
        A piece whose least value is this much above its member's needs no accuracy.
    """

    def __init__(self, family, cover, linked=None, costs=None):
        self.family, self.cover = family, cover
        shape = family.columns.shape
        self.linked = np.ones(shape, dtype=bool) if linked is None else linked
        costs = np.zeros(shape) if costs is None else costs
        self.costs = np.where(self.linked, 0.0, costs)
        self.member = np.arange(len(family))
        self.lower, self.upper = self._hull()
        self.duals = np.zeros((0, shape[1]))
        self.of = self._idle = np.zeros(0, dtype=int)
        self.least = np.zeros(0)
        self.slack = np.inf

    def __len__(self):
        return self.member.size

    @property
    def counts(self):
        """Pieces of each member, shape (K,)."""
        return np.bincount(self.member, minlength=len(self.family))

    def priced(self, duals):
        """Multipliers, shape (K, n + m), with costs at columns that nothing else reads."""
        return np.where(self.linked, duals, self.costs)

    # -- subproblems, as a Family has them -----------------------------------------

    def inside(self, b):
        """Known points of a piece, shape (N, n + m)."""
        f = self.family
        V = f.points[f.of_member(self.member[b])]
        x, low, high = V[:, : f.n], self.lower[b, : f.n], self.upper[b, : f.n]
        return V[((x >= low) & (x <= high)).all(axis=1)]

    def known(self, costs):
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
        f, best = self.family, self.known(costs)
        best = np.minimum(best, self.members_least(best)[self.member] + self.slack)
        integer = f.integer[self.member]
        networks = f.networks[self.member]
        return Subproblems(networks, integer, cover, costs, best, tolerance)

    def several(self, of):
        """Subproblems of some pieces, which may occur several times."""
        return Several(self, of)

    def members_least(self, values):
        """Least of the pieces' values of each member, shape (K,)."""
        least = np.full(len(self.family), np.inf)
        np.minimum.at(least, self.member, values)
        return least

    # -- pieces --------------------------------------------------------------------

    def split(self, splits):
        """Split pieces, all at once.

        Parameters
        ----------
        splits : list of tuple
            Piece, and its Splits in one input, ascending; each piece once.

        Returns
        -------
        numpy.ndarray of int
            The pieces that were split, and then the new ones, which come last.
        """
        if not splits:
            return np.zeros(0, dtype=int)
        pieces, parents = np.array([b for b, _ in splits]), []
        lower, upper = [], []
        for b, every in splits:
            j = every[0].column
            parents += [b] * len(every)
            low = np.tile(self.lower[b], (len(every), 1))
            high = np.tile(self.upper[b], (len(every), 1))
            low[:, j] = [split.high for split in every]
            high[:-1, j] = [split.low for split in every[1:]]
            self.upper[b, j] = every[0].low
            lower.append(low)
            upper.append(high)
        parents = np.array(parents)
        new = len(self) + np.arange(parents.size)
        owner, boxes = _where(self.cover.owner, parents)
        copies = replace(self.cover[boxes], owner=new[owner])
        mine = np.isin(self.cover.owner, pieces)
        self.member = np.concatenate([self.member, self.member[parents]])
        self.lower = np.concatenate([self.lower, *lower])
        self.upper = np.concatenate([self.upper, *upper])
        parts = Cover.joined([self.cover[mine], copies])
        parts = parts.within(self.family.networks[self.member], self.lower, self.upper)
        self.cover = Cover.joined([self.cover[~mine], parts])
        # what holds on the whole holds on all parts
        of, cuts = _where(self.of, parents)
        self._append(new[of], self.duals[cuts], self.least[cuts])
        return np.concatenate([pieces, new])

    def drop(self, pieces, boxes=None):
        """Leave out pieces, and boxes of covers; shrink the others to their covers."""
        if boxes is not None and boxes.any():
            self.cover = self.cover[~boxes]
        low, high = self._hull()
        self.lower = np.maximum(self.lower, low)
        self.upper = np.minimum(self.upper, high)
        keep = ~pieces & (self.lower <= self.upper).all(axis=1)
        if keep.all():
            return
        number = np.cumsum(keep) - 1
        cover = self.cover[keep[self.cover.owner]]
        self.cover = replace(cover, owner=number[cover.owner])
        self.member = self.member[keep]
        self.lower, self.upper = self.lower[keep], self.upper[keep]
        self._keep_cuts(keep[self.of])
        self.of = number[self.of]

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

    def add_cuts(self, of, duals, least):
        """Cuts of pieces; those of empty ones, of infinite values, are left out.

        Parameters
        ----------
        of : numpy.ndarray of int, shape (C,)
            Pieces, which may occur several times.
        duals : numpy.ndarray, shape (C, n + m)
        least : numpy.ndarray, shape (C,)
            Proven on the pieces.
        """
        some = np.isfinite(least)
        self._append(of[some], duals[some], least[some])

    def _append(self, of, duals, least):
        self.of = np.concatenate([self.of, of])
        self.duals = np.concatenate([self.duals, duals])
        self.least = np.concatenate([self.least, least])
        self._idle = np.concatenate([self._idle, np.zeros(of.size, dtype=int)])

    def _keep_cuts(self, keep):
        self.of, self.duals = self.of[keep], self.duals[keep]
        self.least, self._idle = self.least[keep], self._idle[keep]

    def at(self, duals, x, value):
        """What multipliers are worth at values of columns, and of what the rest costs.

        Parameters
        ----------
        duals : numpy.ndarray, shape (K, n + m)
            As ``priced`` makes them.
        x : numpy.ndarray, shape (n_columns,)
        value : numpy.ndarray, shape (K,)
        """
        pi = np.where(self.linked, duals, 0.0)
        return np.einsum("kd,kd->k", pi, x[self.family.columns]) + value

    def age(self, x, value, z):
        """Forget cuts that had slack whenever their piece was chosen."""
        k = self.member[self.of]
        pi = np.where(self.linked[k], self.duals, 0.0)
        slack = np.einsum("cd,cd->c", pi, x[self.family.columns[k]]) + value[k]
        slack -= self.least
        chosen = z[self.of] > 0.5
        binds = slack <= 1e-6 * (1.0 + np.abs(self.least))
        idle = np.where(binds, 0, self._idle + 1)
        self._idle = np.where(chosen, idle, self._idle)
        self._keep_cuts(self._idle <= _IDLE)


class Several:
    """Subproblems of pieces of which some have several, each with a cover of its own.

    Parameters
    ----------
    pieces : Pieces
    of : numpy.ndarray of int, shape (S,)
        The piece of each.

    Attributes
    ----------
    cover : Cover
    """

    def __init__(self, pieces, of):
        self.pieces, self.of = pieces, of
        owner, boxes = _where(pieces.cover.owner, of)
        self.cover = replace(pieces.cover[boxes], owner=owner)

    def keep(self, owner, V):
        """Keep points of pieces."""
        return self.pieces.keep(self.of[owner], V)

    def subproblems(self, cover, costs, tolerance):
        """One for each; see ``pricing``."""
        p = self.pieces
        best = np.full(self.of.size, np.inf)
        for b in np.unique(self.of):
            mine, V = np.flatnonzero(self.of == b), p.inside(b)
            if len(V):
                best[mine] = (costs[mine] @ V.T).min(axis=1)
        member = p.member[self.of]
        networks, integer = p.family.networks[member], p.family.integer[member]
        return Subproblems(networks, integer, cover, costs, best, tolerance)


def _where(owner, values):
    """Where each of some values stands in an array: which value, and at what places."""
    order = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[order], values)
    count = np.searchsorted(owner[order], values, side="right") - first
    which = np.repeat(np.arange(values.size), count)
    within = np.arange(which.size) - np.repeat(np.cumsum(count) - count, count)
    return which, order[first[which] + within]
