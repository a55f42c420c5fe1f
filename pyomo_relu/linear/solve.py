"""One linear or mixed-integer linear programme, solved once by HiGHS."""

import numpy as np

from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import Settings

#: Share of the objective within which a mixed-integer subproblem counts as solved.
MIP_GAP = 1e-6


#: Rows from which a linear programme is worth presolving.
_PRESOLVED_ROWS = 2000


def solve_linear(linear, costs, time_limit=None, integer=True, mip_gap=MIP_GAP):
    """Solve ``min costs . x`` over a LinearModel.

    Parameters
    ----------
    linear : LinearModel
    costs : numpy.ndarray, shape (n_columns,)
    time_limit : float, optional
        Seconds.
    integer : bool
        If False integrality is ignored.
    mip_gap : float
        Relative gap at which a mixed-integer programme may stop.

    Returns
    -------
    Answer
        ``primal`` is None where no feasible point was found.
    """
    settings = Settings(
        presolve=linear.n_rows > _PRESOLVED_ROWS, relative_gap=mip_gap, rays=False
    )
    with HighsSession(linear, integer, settings) as session:
        at = np.flatnonzero(costs)
        return session.minimize(at, np.asarray(costs, dtype=float)[at], time_limit)
