"""One linear or mixed-integer linear programme, solved once by HiGHS."""

import numpy as np

from pyomo_relu.linear.sessions.highs import HighsSession

#: Share of the objective within which a mixed-integer subproblem counts as solved.
MIP_GAP = 1e-6


class _OneSolve(HighsSession):
    """A session with the options that a single solve from scratch wants."""

    def __init__(self, linear, integer, mip_gap):
        super().__init__(linear, integer)
        options = {"simplex_strategy": 1, "simplex_scale_strategy": 2}
        if self.integer:
            options = {"mip_rel_gap": mip_gap, "mip_abs_gap": 1e-9}
        elif linear.n_rows > 2000:
            options["presolve"] = "on"
        for name, value in options.items():
            self._highs.setOptionValue(name, value)


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
    with _OneSolve(linear, integer, mip_gap) as session:
        at = np.flatnonzero(costs)
        return session.minimize(at, np.asarray(costs, dtype=float)[at], time_limit)
