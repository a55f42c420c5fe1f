"""Which solver session a name stands for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import TypeAlias

from pyomo_relu.errors import SolverError
from pyomo_relu.linear.sessions.gurobi import GurobiSession
from pyomo_relu.linear.sessions.highs import HighsSession
from pyomo_relu.linear.sessions.session import (
    BOUND_TIGHTENING,
    Session,
    import_solver,
)

logger = logging.getLogger("pyomo.relu.bounds")

#: {solver: the Python package that it needs}
PACKAGES = {"highs": "highspy", "gurobi": "gurobipy"}

SOLVERS = tuple(PACKAGES)

#: A solver's name or a Session class.
SolverLike: TypeAlias = "str | type[Session]"


def is_installed(solver: str) -> bool:
    """Whether the Python package of a solver is there; of its licence it says nothing."""
    return find_spec(PACKAGES[solver]) is not None


def session_class(solver) -> Callable[..., Session]:
    """The session class of a solver's name; imports the solver.

    Raises
    ------
    SolverError
        If the name is unknown or the solver's Python package is missing.
    """
    if solver is automatic_session or (
        isinstance(solver, type) and issubclass(solver, Session)
    ):
        return solver
    if isinstance(solver, str) and solver == "auto":
        return automatic_session
    if not isinstance(solver, str) or solver not in SOLVERS:
        raise SolverError(
            f"unknown solver {solver!r} for bound tightening; use one of "
            f"{', '.join(SOLVERS)}, or 'auto'."
        )
    import_solver(PACKAGES[solver], f"solver '{solver}'", " or choose another solver")
    return {"highs": HighsSession, "gurobi": GurobiSession}[solver]


def automatic_session(model, integer=False, settings=BOUND_TIGHTENING):
    """Gurobi where it is installed and licensed for the model's size, else HiGHS."""
    try:
        return session_class("gurobi")(model, integer, settings)
    except SolverError as error:
        _log_once(f"using HiGHS for bound tightening: {error}")
        return session_class("highs")(model, integer, settings)


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
