"""The common interface of LP and MILP sessions, and how one is chosen by name.

A session holds one linear model in a solver's memory; between solves only the costs
change, so every solve starts from the last basis.  Its answers are hints: what is used
as a bound is proven elsewhere (``certificate``) from the row duals.
"""

import importlib
import logging
from dataclasses import dataclass

import numpy as np

from pyomo_relu.errors import ReLUError, SolverError

logger = logging.getLogger("pyomo.relu.bounds")

OPTIMAL = "optimal"
INFEASIBLE = "infeasible"
UNBOUNDED = "unbounded"
TIME_LIMIT = "time limit"
FAILED = "failed"

SOLVERS = ("highs", "gurobi")


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
    """

    status: str
    objective: float = None
    primal: np.ndarray = None
    duals: np.ndarray = None
    dual_bound: float = None
    ray: np.ndarray = None


class Session:
    """One linear model in a solver's memory, minimised for one cost after another.

    Parameters
    ----------
    model : LinearModel
    integer : bool
        Whether the model's integer columns are kept integer.
    """

    def __init__(self, model, integer=False):
        self.model = model
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


def session_class(solver):
    """The session class of a solver's name; imports the solver.

    Raises
    ------
    SolverError
        If the name is unknown or the solver's Python package is missing.
    """
    if isinstance(solver, type) or callable(solver):
        return solver
    if solver == "auto":
        return automatic_session
    if solver not in SOLVERS:
        raise SolverError(
            f"unknown solver '{solver}' for bound tightening; use one of "
            f"{', '.join(SOLVERS)}."
        )
    package = {"highs": "highspy", "gurobi": "gurobipy"}[solver]
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise SolverError(
            f"solver '{solver}' needs the Python package {package}: {error}. "
            f"Install it (pip install {package}) or choose another solver."
        ) from error
    if solver == "highs":
        from pyomo_relu.bounds.session_highs import HighsSession

        return HighsSession
    from pyomo_relu.bounds.session_gurobi import GurobiSession

    return GurobiSession


def automatic_session(model, integer=False):
    """Gurobi where it is installed and licensed for the model's size, else HiGHS."""
    try:
        return session_class("gurobi")(model, integer)
    except SolverError as error:
        _log_once(f"using HiGHS for bound tightening: {error}")
        return session_class("highs")(model, integer)


_logged = set()


def _log_once(message):
    """One log line per run of the program, not one per solve."""
    kind = message.split(":")[0]
    if kind not in _logged:
        _logged.add(kind)
        logger.info(message)


def open_session(solver, model, integer=False):
    """A session on ``model``, by a solver's name, "auto" or any Session class."""
    return session_class(solver)(model, integer)


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
