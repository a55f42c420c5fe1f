"""The MILP in which every part lies in one of its pieces: a bound, and which pieces.

    min c x + sum_k w_k  over the model's rows, columns and integers,
             sum_b z_b = 1,  z binary,  (v, w) = sum_b (v_b, w_b),
             z_b lower_b <= v_b <= z_b upper_b,
             cuts of all pieces (``pieces``): pi v_b + w_b >= z_b least,

where v are a part's columns that something else reads and w is what its others cost.
Every point of the model below the cutoff satisfies it.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from pyomo_relu.decompose.pieces.rows import PieceRows
from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.rounding import up
from pyomo_relu.linear.sessions.answer import Status
from pyomo_relu.linear.sessions.confirmed import confirmed
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
        Columns that nothing but one part reads are anywhere.
    z : list of numpy.ndarray, shapes (P,), or None
        By family.
    w : list of numpy.ndarray, shapes (K,), or None
        What these columns cost, by family.
    """

    bound: float
    value: float = np.inf
    x: object = None
    z: object = None
    w: object = None


def choose(linear, costs, constant, pieces, cutoff, gap, time_limit, watcher=None):
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
    time_limit : float or None
    watcher : Watcher, optional

    Returns
    -------
    Choice
    """
    n = linear.n_columns
    lower, upper = linear.lower.copy(), linear.upper.copy()
    builder, costs = PieceRows(lower, upper), costs.copy()
    for p in pieces:
        if (p.counts == 0).any():
            return Choice(np.inf)
        builder.add(p)
        costs[p.family.columns[~p.linked]] = 0.0
    if (lower > upper).any():
        return Choice(np.inf)
    whole = np.concatenate([linear.integer, *builder.integer])
    costs = np.concatenate([costs, *builder.costs])
    model = ModelBuilder()
    model.add_columns(
        np.concatenate([lower, *builder.lower]),
        np.concatenate([upper, *builder.upper]),
        whole,
    )
    model.add_rows([(np.arange(n), linear.matrix)], linear.row_lower, linear.row_upper)
    every = np.arange(whole.size)
    model.add_rows([(every, builder.matrix())], *builder.sides())
    if np.isfinite(cutoff) and np.any(costs):
        row = sparse.csr_array(costs[None])
        model.add_rows([(every, row)], [-np.inf], [up(cutoff - constant)])
    model = model.build()
    model.matrix.eliminate_zeros()
    settings = Settings(
        "relu.decompose",
        presolve=True,
        absolute_gap=gap,
        rays=False,
        small_milps=False,
    )

    def solved(settings):
        with HighsSession(model, True, settings) as session:
            session.watcher = watcher
            return ask(session, every, costs, time_limit)

    answer = confirmed(solved, settings)
    if answer.status is Status.INFEASIBLE:
        return Choice(np.inf)
    bound = -np.inf
    if answer.dual_bound is not None:
        bound = padded(answer.dual_bound, constant, answer.unit)
    if answer.primal is None:
        return Choice(bound)
    x = answer.primal
    return Choice(
        bound,
        answer.objective + constant,
        x[:n],
        [x[some] for some in builder.z],
        [x[some] for some in builder.w],
    )


def padded(bound, constant, unit=1.0):
    """What is believed of a solver's dual bound, with the objective's constant."""
    if not np.isfinite(bound):
        return -np.inf
    bound += constant
    return bound - _MARGIN * (unit + abs(bound) + abs(constant))
