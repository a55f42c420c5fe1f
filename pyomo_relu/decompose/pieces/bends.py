"""Pieces split where profiles bend, and the slopes that describe pieces."""

import numpy as np

from pyomo_relu.decompose.nodes.branching import split_at
from pyomo_relu.decompose.pieces.facets import facets
from pyomo_relu.decompose.pieces.profiles import breaks, profile, slopes


def split_at_bends(pieces, duals, most):
    """Split members' pieces so that their profiles are nearly convex on each.

    Only members with one linked input, which is not whole: of others no profile is made.

    Parameters
    ----------
    pieces : Pieces
    duals : numpy.ndarray, shape (K, n + m)
        As ``Pieces.priced`` makes them.
    most : float
        How far above its convex hull a profile may be on a piece.
    """
    splits = []
    for b in range(len(pieces)):
        k = pieces.member[b]
        j = along(pieces.family, k, pieces.linked)
        low, high = pieces.lower[b], pieces.upper[b]
        if j is None or not low[j] < high[j]:
            continue
        V, values = _profile(pieces, b, j, duals)
        integer, at = pieces.family.integer[k], breaks(V[:, j], values, most)
        every = [split_at(j, x, low, high, integer, margin=0.0) for x in at]
        if at and None not in every:
            splits.append((b, every))
    pieces.split(splits)


def slopes_of(pieces, some, duals, most):
    """Multipliers whose cuts describe pieces.

    With one linked input, those of its profile's convex hull; else of a facet of the
    hull at the piece's middle.

    Parameters
    ----------
    pieces : Pieces
    some : sequence of int
        Pieces.
    duals : numpy.ndarray, shape (K, n + m)
        As ``Pieces.priced`` makes them.
    most : float
        How far below its convex hull a profile may be described.

    Returns
    -------
    list of tuple
        Piece and multipliers, shape (n + m,).
    """
    found, others = [], []
    for b in some:
        k = pieces.member[b]
        j = along(pieces.family, k, pieces.linked)
        if j is None or not pieces.lower[b, j] < pieces.upper[b, j]:
            others.append(b)
            continue
        V, values = _profile(pieces, b, j, duals)
        for slope in slopes(V[:, j], values, most):
            pi = duals[k].copy()
            pi[j] = -slope
            found.append((b, pi))
    return found + facets(pieces, others, duals)


def along(family, k, linked):
    """The one linked input of a member, or None if there are more, or it is whole."""
    at = np.flatnonzero(linked[k, : family.n])
    return int(at[0]) if at.size == 1 and not family.integer[k, at[0]] else None


def _profile(pieces, b, j, duals):
    f, k = pieces.family, pieces.member[b]
    low, high = pieces.lower[b, : f.n], pieces.upper[b, : f.n]
    V, values = profile(f.network, j, low, high, f.integer[k], duals[k])
    f.keep(np.full(len(V), k), V)
    return V, values
