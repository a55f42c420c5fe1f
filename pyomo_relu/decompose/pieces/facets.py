"""Multipliers that describe pieces well: of the facet of a piece's hull at its middle."""

import numpy as np
from scipy import sparse

from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings, ask

_SETTINGS = Settings("relu.decompose")


def facets(pieces, some, duals):
    """Multipliers by which linked inputs of pieces are priced as their hulls do.

    Of all mixtures of a piece's known points whose linked inputs have the piece's mean,
    that of the least value ``duals v`` is on a facet of its hull, whose slopes in the
    linked inputs take these inputs' place in ``duals``.  Any multipliers prove something,
    so known points are enough.

    Parameters
    ----------
    pieces : Pieces
    some : sequence of int
        Pieces.
    duals : numpy.ndarray, shape (K, n + m)

    Returns
    -------
    list of tuple
        Piece and multipliers, shape (n + m,).
    """
    blocks, sides, costs, found = [], [], [], []
    for b in some:
        k = pieces.member[b]
        at = np.flatnonzero(pieces.linked[k, : pieces.family.n])
        V = pieces.inside(b)
        if not at.size or len(V) <= at.size + 1:
            continue
        blocks.append(np.concatenate([np.ones((1, len(V))), V[:, at].T]))
        middle = 0.5 * (V[:, at].min(axis=0) + V[:, at].max(axis=0))
        if at.size > 1:  # the middle of a box need not be in the hull
            middle = V[:, at].mean(axis=0)
        sides.append(np.concatenate([[1.0], middle]))
        costs.append(V @ duals[k])
        found.append((b, at))
    if not found:
        return []
    matrix = sparse.block_diag(blocks, format="csr")
    side, n = np.concatenate(sides), matrix.shape[1]
    model = LinearModel(matrix, side, side, np.zeros(n), np.full(n, np.inf))
    with HighsSession(model, settings=_SETTINGS) as session:
        answer = ask(session, np.arange(n), np.concatenate(costs))
    if answer.duals is None:
        return []
    multipliers, first = [], 0
    for b, at in found:
        pi = duals[pieces.member[b]].copy()
        pi[at] -= answer.duals[first + 1 : first + 1 + at.size]
        first += 1 + at.size
        multipliers.append((b, pi))
    return multipliers
