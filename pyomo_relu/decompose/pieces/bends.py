"""Pieces split where profiles bend, and the slopes that describe pieces."""

import numpy as np

from pyomo_relu.decompose.nodes.branching import split_at
from pyomo_relu.decompose.pieces.facets import facets
from pyomo_relu.decompose.pieces.profiles import breaks, profiles, slopes


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
    splits, (some, _) = [], _with_profiles(pieces, range(len(pieces)))
    for b, j, x, values in _profiles(pieces, some, duals):
        low, high = pieces.lower[b], pieces.upper[b]
        integer = pieces.family.integer[pieces.member[b]]
        at = breaks(x, values, most)
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
    found, (some, others) = [], _with_profiles(pieces, some)
    for b, j, x, values in _profiles(pieces, some, duals):
        for slope in slopes(x, values, most):
            pi = duals[pieces.member[b]].copy()
            pi[j] = -slope
            found.append((b, pi))
    return found + facets(pieces, others, duals)


def along(family, k, linked):
    """The one linked input of a member, or None if there are more, or it is whole."""
    at = np.flatnonzero(linked[k, : family.n])
    return int(at[0]) if at.size == 1 and not family.integer[k, at[0]] else None


def _with_profiles(pieces, some):
    """Pieces that have a profile, as pairs with its input, and the others."""
    found, others = [], []
    for b in some:
        j = along(pieces.family, pieces.member[b], pieces.linked)
        if j is None or not pieces.lower[b, j] < pieces.upper[b, j]:
            others.append(b)
        else:
            found.append((b, j))
    return found, others


def _profiles(pieces, some, duals):
    """Piece, input, its grid and the profile's values there; the family keeps the points.

    Parameters
    ----------
    pieces : Pieces
    some : list of tuple
        Pieces and inputs.
    duals : numpy.ndarray, shape (K, n + m)
    """
    if not some:
        return []
    f, (b, j) = pieces.family, (np.array(column) for column in zip(*some, strict=True))
    k, n = pieces.member[b], pieces.family.n
    ends = pieces.lower[b, :n], pieces.upper[b, :n]
    V, values = profiles(f.networks, k, j, *ends, f.integer[k], duals[k])
    f.keep(np.repeat(k, V.shape[1]), V.reshape(-1, V.shape[2]))
    x = V[np.arange(b.size), :, j]
    return [(*pair, *rest) for pair, *rest in zip(some, x, values, strict=True)]
