"""The MILP in which every part lies in one of its pieces: a bound, and which pieces.

    min c x  over the model's rows, columns and integers,
             cuts of all parts (``pieces``),
             sum_b z_b lower_b <= v <= sum_b z_b upper_b,  sum_b z_b = 1,  z binary.

Every point of the model below the cutoff satisfies it.
"""

import itertools
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.rounding import up
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings, ask

#: Padding of the solver's dual bound, relative to the objective's size.
_MARGIN = 1e-8


class Choice(NamedTuple):
    """An answer of the MILP.

    Attributes
    ----------
    bound : float
        Infinite if there is no point below the cutoff.
    value : float
        Of the columns found; infinite without any.
    x : numpy.ndarray, shape (n,), or None
    z : list of numpy.ndarray, shapes (P,), or None
        By family.
    """

    bound: float
    value: float = np.inf
    x: object = None
    z: object = None


def choose(linear, costs, constant, pieces, cutoff, gap, time_limit):
    """Solve the MILP.

    Parameters
    ----------
    linear : LinearModel
        With bounds of its columns that hold below the cutoff.
    costs : numpy.ndarray, shape (n,)
    constant : float
    pieces : sequence of Pieces
        Each member has one.
    cutoff, gap : float
        Absolute; points of at least ``cutoff`` do not count.
    time_limit : float

    Returns
    -------
    Choice
    """
    n = linear.n_columns
    lower, upper = linear.lower.copy(), linear.upper.copy()
    starts = n + np.cumsum([0, *(len(p) for p in pieces)])
    blocks = [_rows(p, z, lower, upper) for p, z in zip(pieces, starts, strict=False)]
    if (lower > upper).any():
        return Choice(np.inf)
    builder = ModelBuilder()
    builder.add_columns(lower, upper, linear.integer)
    n_z = int(starts[-1]) - n
    builder.add_columns(np.zeros(n_z), np.ones(n_z), True)
    builder.add_rows(
        [(np.arange(n), linear.matrix)], linear.row_lower, linear.row_upper
    )
    every = np.arange(n + n_z)
    for rows, columns, data, low, high in blocks:
        matrix = sparse.csr_array((data, (rows, columns)), shape=(low.size, n + n_z))
        builder.add_rows([(every, matrix)], low, high)
    if np.isfinite(cutoff) and np.any(costs):
        row = sparse.csr_array(costs[None])
        builder.add_rows([(np.arange(n), row)], [-np.inf], [up(cutoff - constant)])
    model = builder.build()
    model.matrix.eliminate_zeros()
    settings = Settings(
        "relu.decompose",
        presolve=True,
        absolute_gap=gap,
        rays=False,
        small_milps=False,
    )
    answer = _solved(model, costs, settings, time_limit)
    if answer.status is Status.INFEASIBLE:
        # presolve has called models infeasible whose columns have almost no room
        settings = replace(settings, presolve_milps=False)
        answer = _solved(model, costs, settings, time_limit)
    if answer.status is Status.INFEASIBLE:
        return Choice(np.inf)
    bound = -np.inf if answer.dual_bound is None else answer.dual_bound + constant
    bound -= _MARGIN * (answer.unit + abs(bound) + abs(constant))
    if answer.primal is None:
        return Choice(bound)
    z = [answer.primal[a:b] for a, b in itertools.pairwise(starts)]
    return Choice(bound, answer.objective + constant, answer.primal[:n], z)


def _solved(model, costs, settings, time_limit):
    with HighsSession(model, True, settings) as session:
        return ask(session, np.arange(costs.size), costs, max(time_limit, 0.01))


def _rows(p, start, lower, upper):
    """Rows, columns, data and sides; boxes of members of one piece shrink the columns."""
    f, d = p.family, p.family.columns.shape[1]
    alone = p.counts[p.member] == 1
    at = f.columns[p.member[alone]]
    np.maximum.at(lower, at, p.lower[alone])
    np.minimum.at(upper, at, p.upper[alone])
    K, z = len(f), start + np.arange(len(p))
    rows, columns, data = [p.member], [z], [np.ones(len(p))]
    low, high = [np.ones(K)], [np.ones(K)]
    height = K
    several = np.flatnonzero(p.counts > 1)
    number = np.full(K, -1)
    number[several] = np.arange(several.size)
    more, every = np.flatnonzero(~alone), np.arange(d)
    none, endless = np.zeros(several.size * d), np.full(several.size * d, np.inf)
    for box, ends in ((p.lower, (none, endless)), (p.upper, (-endless, none))):
        of_v = (height + d * np.arange(several.size)[:, None] + every).ravel()
        of_z = (height + d * number[p.member[more]][:, None] + every).ravel()
        rows += [of_v, of_z]
        columns += [f.columns[several].ravel(), np.repeat(z[more], d)]
        data += [np.ones(of_v.size), -box[more].ravel()]
        low.append(ends[0])
        high.append(ends[1])
        height += of_v.size
    cut, piece, value = p.entries
    C = p.of.size
    rows += [np.repeat(height + np.arange(C), d), height + cut]
    columns += [f.columns[p.of].ravel(), z[piece]]
    data += [p.duals.ravel(), -value]
    low.append(np.zeros(C))
    high.append(np.full(C, np.inf))
    return tuple(np.concatenate(a) for a in (rows, columns, data, low, high))
