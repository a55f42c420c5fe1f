"""A Pyomo solver that the user names or brings: whether it is there, and one call of it."""

import io
import logging
import math

from pyomo.common.log import LoggingIntercept

from pyomo_relu.common.wording import meant
from pyomo_relu.errors import ReLUError, SolverError

#: Options of one call by solver: how it ends by itself, as ``timelimit`` only kills it,
#: and how a log is prevented that can fill a pipe.
_SECONDS = {"ipopt": "max_cpu_time", "cyipopt": "max_cpu_time"}
_QUIET = {
    "scip_direct": {"display/verblevel": 0},
    "scip_persistent": {"display/verblevel": 0},
}

#: Those that take no ``timelimit``.
_WITHOUT_TIMELIMIT = ("cyipopt",)


def check_name(solver: str, where: str, error: type[ReLUError] = SolverError) -> None:
    """Refuse the name of a solver that Pyomo cannot make anything of.

    One that is not installed passes: the model may be solved elsewhere.  What Pyomo
    does not know by name it runs as an executable, if there is one.

    Raises
    ------
    ReLUError
        Of type ``error``.
    """
    from pyomo.common import Executable
    from pyomo.opt import SolverFactory

    known = [name for name in SolverFactory if not name.startswith("_")]
    if solver.split(":")[0] not in known and not Executable(solver).available():
        raise error(
            f"{where}: Pyomo knows no solver '{solver}'.{meant(solver, known)} Give a "
            "name that pyo.SolverFactory takes."
        )


class PyomoSolver:
    """A solver of Pyomo's, ready to be called.

    Parameters
    ----------
    solver : str or solver object
        A name for ``pyo.SolverFactory``, or what that returns.
    where : str
        Who asks for it, for messages.
    remedy : str
        What to do where it is not there.
    error : type
        The ReLUError to raise.

    Raises
    ------
    ReLUError
        If there is no such solver, it cannot run here, or it holds a model of its own.
    """

    def __init__(self, solver, where, remedy, error=SolverError):
        from pyomo.opt import SolverFactory
        from pyomo.solvers.plugins.solvers.persistent_solver import PersistentSolver

        named = isinstance(solver, str)
        with LoggingIntercept(io.StringIO(), "pyomo", logging.WARNING):
            self.opt = SolverFactory(solver) if named else solver
            there = bool(self.opt.available(exception_flag=False))
        own = getattr(self.opt, "type", None) or getattr(self.opt, "name", None)
        self.name = solver if named else own or type(solver).__name__
        if not there:
            raise error(
                f"{where}: the solver '{self.name}' is not available to Pyomo. {remedy}"
            )
        if isinstance(self.opt, PersistentSolver):
            raise error(
                f"{where}: the solver '{self.name}' holds a model of its own and is "
                f"given another one here. {remedy}"
            )

    def solve(self, model, seconds, start=False):
        """Let the solver set the model's Vars.

        Its status is not asked for: what the Vars hold afterwards is to be judged.

        Parameters
        ----------
        model : ConcreteModel
        seconds : float
        start : bool
            Whether to pass ``warmstart=True``.

        Raises
        ------
        SolverError
            If it failed: its own error, whatever that was.
        """
        with LoggingIntercept(io.StringIO(), "pyomo", logging.WARNING):
            try:
                self.opt.solve(model, **self._keywords(seconds, start))
            except Exception as error:  # any interface raises what it likes
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                raise SolverError(f"'{self.name}' failed: {reason:.200}") from error

    def _keywords(self, seconds, start):
        from pyomo.contrib.solver.common.base import LegacySolverWrapper, SolverBase

        new = isinstance(self.opt, SolverBase)
        native = new and not isinstance(self.opt, LegacySolverWrapper)
        keywords, options = {}, dict(_QUIET.get(self.name, {}))
        if start:
            keywords["warmstart"] = True
        if new:
            keywords["raise_exception_on_nonoptimal_result"] = False
        if self.name in _SECONDS:
            options[_SECONDS[self.name]] = seconds
            seconds = math.ceil(seconds)
        if self.name not in _WITHOUT_TIMELIMIT:
            keywords["time_limit" if native else "timelimit"] = seconds
        if options:
            keywords["solver_options" if native else "options"] = options
        return keywords
