"""What all solver sessions have in common: settings, statuses, answers, one interface.

A session holds one linear model in a solver's memory.  Its answers are hints: what is
used as a bound is proven elsewhere (``certificate``) from the row duals.
"""

import importlib
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pyomo_relu.common.deadline import ENDLESS
from pyomo_relu.errors import ReLUError, SolverError
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.sessions.answer import Answer, Status
from pyomo_relu.linear.sessions.watcher import WatcherInUnitRange
from pyomo_relu.linear.unit_range import UnitRange

#: Least absolute gap that a solver is asked for.
LEAST_GAP = 1e-9


@dataclass(frozen=True)
class Settings:
    """What a session asks of its solver.

    Parameters
    ----------
    purpose : str
        What needs the solver, for the message if it is missing.
    only_costs_change : bool
        The last basis of an LP stays primal feasible: HiGHS goes on by the primal
        simplex method, without scaling.
    presolve : bool
        Whether HiGHS presolves LPs.
    tolerance : float or None
        Feasibility (also of integers) and optimality; None for the solver's own.
    relative_gap, absolute_gap : float
        At which a MILP counts as solved; ``absolute_gap`` in the model's units (but not
        below ``LEAST_GAP`` in the solver's), None for the solver's own.
    node_limit : int, optional
        Most nodes of a MILP's tree.
    work_limit : float, optional
        Gurobi's work units.
    threads : int
    seed : int, optional
    rays : bool
        Whether an infeasible LP is worth another solve for multipliers that prove it.
    figures : bool
        Whether answers come with ``Figures``.
    presolve_milps : bool
        Whether MILPs are presolved.
    small_milps : bool
        Whether HiGHS, before it branches, looks for points by MILPs of the columns
        that the relaxation leaves open (RENS, reduced costs).
    """

    purpose: str = "this"
    only_costs_change: bool = False
    presolve: bool = False
    tolerance: float | None = 1e-9
    relative_gap: float = 0.0
    absolute_gap: float | None = 0.0
    node_limit: int | None = None
    work_limit: float | None = None
    threads: int = 1
    seed: int | None = None
    rays: bool = True
    figures: bool = False
    presolve_milps: bool = True
    small_milps: bool = True


BOUND_TIGHTENING = Settings("bound tightening", only_costs_change=True)


@dataclass
class Batch:
    """B linear programmes in unit range whose matrices have one sparsity pattern.

    With ``hessian`` convex quadratic ones, ``min c'x + y'Hy / 2`` with y the first q
    columns.

    Parameters
    ----------
    start, columns : numpy.ndarray of int, shapes (m + 1,) and (nnz,)
        The pattern by rows.
    data : numpy.ndarray, shape (B, nnz)
    row_lower, row_upper : numpy.ndarray, shape (B, m)
    lower, upper : numpy.ndarray, shape (B, n)
    costs : numpy.ndarray, shape (B, n)
    hessian : numpy.ndarray, shape (B, q, q), optional
        Symmetric and positive semidefinite.
    """

    start: np.ndarray
    columns: np.ndarray
    data: np.ndarray
    row_lower: np.ndarray
    row_upper: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    costs: np.ndarray
    hessian: np.ndarray | None = None

    def __len__(self):
        return len(self.costs)

    def __getitem__(self, some):
        """Those of some numbers."""
        of_each = self.row_lower, self.row_upper, self.lower, self.upper, self.costs
        data = self.data[some]
        hessian = None if self.hessian is None else self.hessian[some]
        some_of_each = (a[some] for a in of_each)
        return Batch(self.start, self.columns, data, *some_of_each, hessian=hessian)

    def model(self, b):
        """Number b as a LinearModel."""
        shape = self.row_lower.shape[1], self.lower.shape[1]
        return LinearModel(
            sparse.csr_array((self.data[b], self.columns, self.start), shape=shape),
            self.row_lower[b],
            self.row_upper[b],
            self.lower[b],
            self.upper[b],
            in_unit_range=True,
        )


class Session:
    """One linear model in a solver's memory, minimised for one cost after another.

    The solver gets the model in unit range (``unit_range``); numbers given and answers
    are the model's.  Every solve of an LP starts from the last basis, whatever was
    changed in between.

    Parameters
    ----------
    model : LinearModel, optional
        None to ``load`` one later.
    integer : bool
        Whether models' integer columns are kept integer.
    settings : Settings

    Attributes
    ----------
    watcher : Watcher or None
        Follows every MILP from now on.
    """

    def __init__(self, model=None, integer=False, settings=BOUND_TIGHTENING):
        self.settings = settings
        self.watcher = self._watching = None
        self._keeps_integers = integer
        self._open()
        if model is not None:
            self.load(model)

    def load(self, model):
        """Hold another model instead."""
        self.model = model
        self._range = UnitRange(model)
        self.integer = bool(self._keeps_integers and np.any(model.integer))
        self._set = np.zeros(0, dtype=np.int32)
        self._asked = None
        self._load(self._range.model)

    def set_bounds(self, columns, lower, upper):
        """Change column bounds; ``model`` stays as it was loaded."""
        columns = np.asarray(columns, dtype=np.int32)
        factors = self._range.columns[columns]
        self._set_bounds(columns, lower / factors, upper / factors)

    def set_rows(self, rows, lower, upper):
        """Change the sides of rows; ``model`` stays as it was loaded."""
        rows = np.asarray(rows, dtype=np.int32)
        factors = self._range.rows[rows]
        self._set_rows(rows, lower / factors, upper / factors)

    def set_coefficient(self, row, column, value):
        """Change one coefficient; ``model`` stays as it was loaded."""
        value = value * self._range.columns[column] / self._range.rows[row]
        self._set_coefficient(row, column, value)

    def add_columns(self, matrix, lower, upper):
        """Append columns without costs; ``model`` stays as it was loaded.

        Parameters
        ----------
        matrix : scipy.sparse.csc_array, shape (n_rows, q)
            Of numbers about as large as those of the model's own columns.
        lower, upper : numpy.ndarray, shape (q,)
        """
        data = matrix.data / self._range.rows[matrix.indices]
        self._range.grow(matrix.shape[1])
        self._add_columns(matrix.indptr, matrix.indices, data, lower, upper)

    def add_rows(self, matrix, lower, upper):
        """Append rows; ``model`` stays as it was loaded.

        Parameters
        ----------
        matrix : scipy.sparse.csr_array, shape (q, n_columns)
        lower, upper : numpy.ndarray, shape (q,)
        """
        data = matrix.data * self._range.columns[matrix.indices]
        factors = self._range.grow_rows(matrix.indptr, data)
        data = data / np.repeat(factors, np.diff(matrix.indptr))
        self._add_rows(
            matrix.indptr, matrix.indices, data, lower / factors, upper / factors
        )

    def go_on_primal(self, primal):
        """Whether the next solves of an LP go on by the primal simplex method.

        After new columns the last basis is primal feasible, after new bounds it is dual
        feasible.  Solvers that choose by themselves take no notice.
        """

    def minimize(self, columns, coefficients, time_limit=None, constant=0.0):
        """Minimise ``coefficients . x[columns] + constant``; other costs are zero.

        Parameters
        ----------
        columns : numpy.ndarray of int, shape (p,), distinct
        coefficients : numpy.ndarray, shape (p,)
        time_limit : float, optional
            Seconds.
        constant : float

        Returns
        -------
        Answer
        """
        coefficients, unit = self._in_unit_range(columns, coefficients)
        at, values = self._cost_changes(columns, coefficients)
        if self.watcher is not None and self.integer:
            self._watching = WatcherInUnitRange(self.watcher, self._range, unit)
        try:
            answer = self._minimize(at, values, time_limit, constant / unit, unit)
            if self._watching is not None and self._watching.error is not None:
                raise self._watching.error
        finally:
            self._watching = None
        return self._range.answer(answer, unit)

    def minimize_each(self, batch, deadline=ENDLESS):
        """Minimise over each model of a batch, each from scratch.

        What was loaded is gone afterwards.

        Parameters
        ----------
        batch : Batch
        deadline : Deadline
            After it no further one is begun.

        Yields
        ------
        Answer

        Raises
        ------
        SolverError
            If the programmes are quadratic and the solver is not HiGHS.
        """
        if batch.hessian is not None:
            raise SolverError(
                f"{self.settings.purpose} has quadratic costs, for which only HiGHS is "
                "called; use solver 'highs'."
            )
        every = np.arange(batch.costs.shape[1])
        for b in range(len(batch)):
            if deadline.passed():
                return
            self.load(batch.model(b))
            yield self.minimize(every, batch.costs[b])

    def close(self):
        """Free what the solver holds; the session cannot be used afterwards."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _gap(self, unit):
        """The absolute gap to ask for where the objective is divided by ``unit``."""
        return max(self.settings.absolute_gap / unit, LEAST_GAP)

    def _in_unit_range(self, columns, coefficients):
        """Costs in unit range, and the objective's unit; often those of the last solve."""
        if self._asked is not None:
            *asked, found = self._asked
            given = zip(asked, (columns, coefficients), strict=True)
            if all(np.array_equal(*pair) for pair in given):
                return found
        found = self._range.costs(columns, coefficients)
        self._asked = np.array(columns), np.array(coefficients), found
        return found

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

    # -- what a solver does, all in unit range --------------------------------------

    def _open(self):
        raise NotImplementedError

    def _load(self, model):
        raise NotImplementedError

    def _set_bounds(self, columns, lower, upper):
        raise NotImplementedError

    def _set_rows(self, rows, lower, upper):
        raise NotImplementedError

    def _set_coefficient(self, row, column, value):
        raise NotImplementedError

    def _add_columns(self, start, rows, data, lower, upper):
        raise NotImplementedError

    def _add_rows(self, start, columns, data, lower, upper):
        raise NotImplementedError

    def _minimize(self, columns, coefficients, time_limit, constant, unit):
        """Change these costs and solve; ``unit`` is what all were divided by."""
        raise NotImplementedError


def ask(session, columns, coefficients, time_limit=None):
    """``session.minimize`` where a solver in trouble costs this solve, not the run.

    Errors about the problem itself (ReLUError) and the keyboard's come through.
    """
    try:
        return session.minimize(columns, coefficients, time_limit)
    except ReLUError:
        raise
    except Exception as error:  # noqa: BLE001  (a solver may fail in any way)
        return Answer(Status.FAILED, error=error)


def import_solver(package, purpose, remedy=""):
    """A solver's Python package.

    Raises
    ------
    SolverError
        If it is missing: what needs it, and that installing it (or ``remedy``) helps.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise SolverError(
            f"{purpose} needs the Python package {package}: {error}. Install it "
            f"(pip install {package}){remedy}."
        ) from error
