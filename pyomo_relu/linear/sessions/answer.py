"""What a solver answers: how a solve ended, its point, multipliers and bound, its work."""

from dataclasses import dataclass
from enum import Enum

import numpy as np


class Status(str, Enum):
    """How a solve ended."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    INFEASIBLE_OR_UNBOUNDED = "infeasible or unbounded"
    TIME_LIMIT = "time limit"
    NODE_LIMIT = "node limit"
    STOPPED = "stopped"
    WORK_LIMIT = "work limit"
    FAILED = "failed"

    __str__ = str.__str__


@dataclass
class Figures:
    """What a solve took.

    Parameters
    ----------
    nodes, iterations : int or None
    work : float or None
        Gurobi's work units.
    root_bound : float or None
        Dual bound when the root node was done.
    """

    nodes: int = None
    iterations: int = None
    work: float = None
    root_bound: float = None

    def set_root_bound(self, bound, at_root):
        """The final bound if nothing was branched on, else the last one before."""
        self.root_bound = bound
        if self.nodes > 1:
            self.root_bound = at_root[-1] if at_root else None


@dataclass
class Answer:
    """What a solver says about ``min c'x``; None where it says nothing.

    Parameters
    ----------
    status : Status
    objective : float, optional
        Value of the primal point.
    primal : numpy.ndarray, shape (n,), optional
        A feasible point, to the solver's tolerances.
    duals : numpy.ndarray, shape (m,), optional
        Row duals (LP): positive where the row's lower side binds.
    dual_bound : float, optional
        The solver's own lower bound (MILP).
    ray : numpy.ndarray, shape (m,), optional
        Multipliers that are said to prove infeasibility (LP).
    unit : float
        Size of the objective that the solver's tolerances refer to.
    word : str, optional
        The solver's own word for a failure.
    error : Exception, optional
        What the solver raised.
    figures : Figures, optional
    """

    status: Status
    objective: float = None
    primal: np.ndarray = None
    duals: np.ndarray = None
    dual_bound: float = None
    ray: np.ndarray = None
    unit: float = 1.0
    word: str = None
    error: Exception = None
    figures: Figures = None

    @property
    def outcome(self):
        """The status, with the kind of error that the solver raised."""
        if self.error is None:
            return str(self.status)
        return f"{self.status}: {type(self.error).__name__}"
