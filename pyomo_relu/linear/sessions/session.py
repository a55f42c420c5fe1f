"""The common interface of LP and MILP sessions.

A session holds one linear model in a solver's memory; between solves only the costs
change, so every solve starts from the last basis.  Its answers are hints: what is used
as a bound is proven elsewhere (``certificate``) from the row duals.
"""

from dataclasses import dataclass

import numpy as np

from pyomo_relu.errors import ReLUError
from pyomo_relu.linear.unit_range import UnitRange

OPTIMAL = "optimal"
INFEASIBLE = "infeasible"
UNBOUNDED = "unbounded"
TIME_LIMIT = "time limit"
FAILED = "failed"


@dataclass
class Answer:
    """What a solver says about ``min c'x``; None where it says nothing.

    Parameters
    ----------
    status : {"optimal", "infeasible", "unbounded", "time limit", "failed"}
    objective : float, optional
        Value of the primal point.
    primal : numpy.ndarray, shape (n,), optional
    duals : numpy.ndarray, shape (m,), optional
        Row duals (LP): positive where the row's lower side binds.
    dual_bound : float, optional
        The solver's own lower bound (MILP).
    ray : numpy.ndarray, shape (m,), optional
        Multipliers that are said to prove infeasibility (LP).
    unit : float
        Size of the objective that the solver's tolerances refer to.
    """

    status: str
    objective: float = None
    primal: np.ndarray = None
    duals: np.ndarray = None
    dual_bound: float = None
    ray: np.ndarray = None
    unit: float = 1.0


class Session:
    """One linear model in a solver's memory, minimised for one cost after another.

    The solver gets the model in unit range (``unit_range``); answers are the model's.

    Parameters
    ----------
    model : LinearModel
    integer : bool
        Whether the model's integer columns are kept integer.
    """

    def __init__(self, model, integer=False):
        self.model = model
        self._range = UnitRange(model)
        self.integer = bool(integer and np.any(model.integer))
        self._set = np.zeros(0, dtype=np.int32)

    def minimize(self, columns, coefficients, time_limit=None):
        """Minimise ``coefficients . x[columns]``; all other costs are zero.

        Parameters
        ----------
        columns : numpy.ndarray of int, shape (p,), distinct
        coefficients : numpy.ndarray, shape (p,)
        time_limit : float, optional
            Seconds.

        Returns
        -------
        Answer
        """
        raise NotImplementedError

    def close(self):
        """Free what the solver holds; the session cannot be used afterwards."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _cost_changes(self, columns, coefficients):
        """Indices and values of the costs that change: the old ones become zero."""
        columns = np.asarray(columns, dtype=np.int32)
        coefficients = np.asarray(coefficients, dtype=float)
        if self._set.size == columns.size and np.array_equal(self._set, columns):
            return columns, coefficients
        stale = np.setdiff1d(self._set, columns, assume_unique=True)
        self._set = columns
        return (
            np.concatenate([stale, columns]).astype(np.int32),
            np.concatenate([np.zeros(stale.size), coefficients]),
        )


def ask(session, columns, coefficients, time_limit=None):
    """``session.minimize`` where a solver in trouble costs this solve, not the run.

    Errors about the problem itself (ReLUError) and the keyboard's come through.
    """
    try:
        return session.minimize(columns, coefficients, time_limit)
    except ReLUError:
        raise
    except Exception as error:  # noqa: BLE001  (a solver may fail in any way)
        return Answer(f"{FAILED}: {type(error).__name__}")
