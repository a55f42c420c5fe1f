"""A model with curves in place of its parts, as one MILP.

Each part's column of z is a mixture of the corners of one slab; what the part costs is at
least what the corners cost, mixed alike.  Parts without a curve keep their boxes and the
line that the multipliers of the last proof make.  The MILP has every point of the model,
so its bound is one of the model's, up to the solver's tolerances.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings

#: A MILP solver's dual bound is believed up to this margin, relative to its size.
_MARGIN = 1e-9


class CurveAnswer(NamedTuple):
    """What the MILP says.

    Attributes
    ----------
    bound : float
        Of the objective without its constant; infinite if there is no point.
    x : numpy.ndarray, shape (n,), or None
        Values of the model's columns.
    """

    bound: float
    x: np.ndarray


def solve_curves(
    linear, costs, families, directions, curves, values, gap, clock, watcher=None
):
    """Minimise over the MILP.

    Parameters
    ----------
    linear : LinearModel
        Bounds are those of the node.
    costs : numpy.ndarray, shape (n,)
    families : sequence of Family
    directions : list of numpy.ndarray, shapes (K, n + m)
        By family.
    curves : list of list of Curve or None
        By family and member.
    values : list of (numpy.ndarray, numpy.ndarray), shapes (K, n + m) and (K,)
        Multipliers of links, and what they prove of parts, by family.
    gap : float
        Absolute.
    clock : Deadline
    watcher : Watcher, optional
    """
    builder = ModelBuilder(linear)
    for f, along, mine, (pi, least) in zip(
        families, directions, curves, values, strict=True
    ):
        for k, curve in enumerate(mine):
            columns = f.columns[k]
            if np.isfinite(least[k]):
                _row(builder, [(columns, pi[k])], least[k], np.inf)
            if curve is not None:
                _add(builder, columns, along[k], costs[columns], curve)
    model = builder.build()
    settings = Settings(
        "relu.decompose",
        presolve=True,
        rays=False,
        absolute_gap=gap,
        relative_gap=0.0,
    )
    prices = np.zeros(model.n_columns)
    prices[: costs.size] = costs
    with HighsSession(model, True, settings) as session:
        session.watcher = watcher
        every = np.arange(model.n_columns)
        answer = session.minimize(every, prices, clock.left())
    bound = -np.inf if answer.dual_bound is None else answer.dual_bound
    if np.isfinite(bound):
        bound -= _MARGIN * (answer.unit + abs(bound))
    x = None if answer.primal is None else answer.primal[: costs.size]
    return CurveAnswer(float(bound), x)


def _add(builder, columns, along, costs, curve):
    """Mixtures of the corners of one slab."""
    corners = [curve.vertices(i) for i in range(len(curve.lines))]
    sizes = [z.size for z, _ in corners]
    z, g = (np.concatenate(part) for part in zip(*corners, strict=True))
    shares = builder.add_columns(np.zeros(z.size), np.ones(z.size))
    _row(builder, [(columns, along), (shares, -z)], 0.0, 0.0)
    _row(builder, [(columns, costs), (shares, -g)], 0.0, np.inf)
    if len(sizes) == 1:
        _row(builder, [(shares, np.ones(z.size))], 1.0, 1.0)
        return
    slabs = builder.add_columns(np.zeros(len(sizes)), np.ones(len(sizes)), True)
    _row(builder, [(slabs, np.ones(len(sizes)))], 1.0, 1.0)
    which = np.repeat(np.arange(len(sizes)), sizes)
    member = sparse.csr_array(
        (np.ones(z.size), (which, np.arange(z.size))), shape=(len(sizes), z.size)
    )
    none = np.zeros(len(sizes))
    builder.add_rows([(shares, member), (slabs, -1.0)], none, none)


def _row(builder, entries, low, high):
    blocks = [(columns, np.asarray(a, dtype=float)[None]) for columns, a in entries]
    builder.add_rows(blocks, np.array([low]), np.array([high]))
