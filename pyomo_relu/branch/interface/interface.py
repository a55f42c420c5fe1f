"""What Pyomo sees of a solver of models with networks in them: options, results, values.

``EmbeddedSolver`` reads the model, hands it to a search and turns what that found into
a ``SolverResults``; each solver adds its own options, search and log.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from pyomo.common.collections import Bunch
from pyomo.common.config import ConfigDict
from pyomo.core.base.block import BlockData
from pyomo.opt.base.solvers import OptSolver

from pyomo_relu.branch.interface.keywords import (
    log_file,
    warn_of_suffixes,
    without_effect,
)
from pyomo_relu.branch.interface.results import (
    EmbeddedResults,
    HistoryEntry,
    results_of,
)
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.common.model_building import pause_garbage_collection
from pyomo_relu.common.options import read_options
from pyomo_relu.common.transaction import transaction
from pyomo_relu.errors import ModelError
from pyomo_relu.model.options import declare
from pyomo_relu.version import __version__

logger = logging.getLogger("pyomo.relu")

#: Seconds between two lines of a log.
LOG_EVERY = 1.0


def common_options(name: str) -> ConfigDict:
    """The options that all of them have.

    Parameters
    ----------
    name : str
        The solver's.
    """
    config = declare(ConfigDict(name), "time_limit", "mip_gap", "abs_gap")
    declare(config, "load_solutions", "warmstart", "seed")
    return declare(config, "logfile", "report_timing")


def threshold(value, read, default):
    """An objective value that an option gives, as one of the minimisation.

    Parameters
    ----------
    value : float or None
    read : BranchModel
    default : float
        In place of None.
    """
    if value is None:
        return default
    return -value if read.maximise else value


class EmbeddedSolver(OptSolver):
    """A solver of models with ``ReLUNetworkBlock``s in them.

    A subclass has a ``NAME``, a ``CONFIG`` that holds ``common_options``, and
    ``_search``.

    Parameters
    ----------
    **options
        Defaults of the options of ``solve``; also in the attribute ``options``.
    """

    NAME: str
    CONFIG: ConfigDict

    def __init__(self, **options: Any) -> None:
        for key in ("type", "solver_io", "executable"):
            options.pop(key, None)
        given = options.pop("options", None) or {}
        super().__init__(type=self.NAME, options={**given, **options})
        self._capabilities = Bunch(linear=True, integer=True)

    def _search(self, read, config, deadline):
        """Find and prove an optimum.

        Parameters
        ----------
        read : BranchModel
        config : ConfigDict
        deadline : Deadline

        Returns
        -------
        BranchResult
        work : str
            How much was done, for the message.
        log : Log
        """
        raise NotImplementedError

    # -- what Pyomo asks of a solver -----------------------------------------------

    def available(self, exception_flag: bool = False) -> bool:
        """True: numpy and scipy suffice for boxes, models with rows need highspy."""
        return True

    def license_is_valid(self) -> bool:
        """True: there is no licence."""
        return True

    def version(self) -> tuple[int, ...]:
        """Version of pyomo_relu as a tuple of four."""
        parts = [int(p) for p in __version__.split(".")[:3] if p.isdigit()]
        return tuple([*parts, 0, 0, 0, 0][:4])

    def warm_start_capable(self) -> bool:
        """True: see the option ``warmstart``."""
        return True

    @transaction
    def solve(self, model: BlockData, **kwds: Any) -> EmbeddedResults:
        """Solve the model to proven global optimality.

        Parameters
        ----------
        model : Block
        **kwds
            Any of ``CONFIG`` (``timelimit`` is ``time_limit``), or ``options``, a dict
            of them.  Messages and results have the model's own names whatever
            ``symbolic_solver_labels`` says.  What asks for files of a solver's, such as
            ``keepfiles`` and ``io_options``, has no effect, which a warning says;
            ``suffixes`` are refused, and a Suffix ``dual``, ``rc`` or ``slack`` that is
            to be imported gets a warning.

        Returns
        -------
        EmbeddedResults
            A ``pyomo.opt.SolverResults`` whose ``history`` has bound and incumbent over
            time.  ``problem.lower_bound`` and ``upper_bound`` are proven bound and best value
            in the modeller's sense, also where time or Ctrl-C ended the run.
            Termination conditions: optimal, infeasible, unbounded, maxTimeLimit,
            maxEvaluations (``node_limit``), userInterrupt (Ctrl-C; the best point so far is
            loaded), minFunctionValue (``stop_at``), other (``prove_above``; or boxes were
            left that are too small to be split: the message says which).  Ctrl-C while the model is read or the
            solution loaded is a KeyboardInterrupt, and the model stays as it was.

        Raises
        ------
        ModelError
            If the model is not of the class above; names the component at fault.
        BoundsError
            If a network's input is not bounded by the model.
        """
        if not isinstance(model, BlockData) or not model.is_constructed():
            raise ModelError(
                f"{self.NAME} solves a concrete model or a block of one, not "
                f"{getattr(model, 'name', None) or model!r:.80}. Make one with "
                "AbstractModel.create_instance(...)."
            )
        config = self._configured(kwds)
        warn_of_suffixes(self.NAME, model)
        with log_file(self.NAME, config.logfile, config.tee):
            config.tee = config.tee or config.logfile is not None
            results, reading = self._solve(model, config)
        if config.report_timing:
            solver: Any = results.solver
            rest = float(solver.wallclock_time) - reading
            print(f"{reading:8.2f} seconds required to read the model")
            print(f"{max(0.0, rest):8.2f} seconds required for solver")
        return results

    def _solve(self, model, config):
        deadline = Deadline(config.time_limit)
        from pyomo_relu.branch.interface.read import read_model
        from pyomo_relu.model.contradiction import SECONDS

        with pause_garbage_collection():
            read = read_model(model, self.NAME)
        reading = deadline.elapsed()
        result, work, log = self._search(read, config, deadline)
        result.seconds = deadline.elapsed()
        message = result.status
        if result.status == "infeasible":
            left = deadline.left(SECONDS)
            if left > 0:
                message += f". {read.contradiction(left)}"
        log.summary(result, message)
        message = f"{message.removesuffix('.')}; {work}"
        results = results_of(
            self.NAME, model, read, result, message, config.load_solutions
        )
        results.keep_history(log.history(result))
        return results, reading

    def _configured(self, kwds):
        """All options: the constructor's, ``self.options``, then this call's."""
        more = kwds.pop("options", None) or {}
        places = (
            self.options,
            more if isinstance(more, Mapping) else {"options": more},
            self._options_string_to_dict(kwds.pop("options_string", None) or ""),
            kwds,
        )
        given = {}
        for place in map(dict, places):
            if "timelimit" in place:  # None: not given
                limit = place.pop("timelimit")
                place.update({} if limit is None else {"time_limit": limit})
            given.update(place)
        without_effect(self.NAME, given)
        config = read_options(self.NAME, self.CONFIG, given, error=ModelError)
        if config.mip_gap >= 1.0:
            logger.warning(
                "%s: mip_gap=%g calls any value optimal whose bound is up to %g %% of it "
                "away. It is a share: 0.05 for 5 %%.",
                self.NAME,
                config.mip_gap,
                100.0 * config.mip_gap,
            )
        return config


class Log:
    """Lines that ``tee`` prints and the history, in the modeller's sense.

    Parameters
    ----------
    read : BranchModel
    tee : bool
        Whether anything is printed.
    """

    def __init__(self, read, tee):
        self.tee = tee
        self._noted = []
        self._last, self._value = -LOG_EVERY, None
        self.sign = -1.0 if read.maximise else 1.0

    def note(self, seconds, bound, value):
        """Keep what is known of the minimisation, if it is more than before."""
        if self._noted:
            bound = max(bound, self._noted[-1][1])
            if (bound, value) == self._noted[-1][1:]:
                return
        self._noted.append((seconds, bound, value))

    def mark_if_due(self, seconds, value):
        """What marks a line that is due, "*" for a new incumbent; None if none is.

        One is due each second, and for each new value.
        """
        better = value != self._value
        if not better and seconds - self._last < LOG_EVERY:
            return None
        self._last, self._value = seconds, value
        return "*" if better and abs(value) < float("inf") else ""

    def history(self, result):
        """All HistoryEntry, the outcome the last one."""
        last = result.seconds, result.bound, result.value
        return tuple(
            HistoryEntry(seconds, self.sign * bound, self.sign * value)
            for seconds, bound, value in (*self._noted, last)
        )

    def print(self, text):
        """Print a line."""
        if self.tee:
            sys.stdout.write(text.rstrip() + "\n")
            sys.stdout.flush()

    def number(self, value):
        """An objective value of the minimisation, as the modeller knows it."""
        if not abs(value) < float("inf"):
            return "-"
        # an outward-rounded zero is shown as one
        return f"{self.sign * value:.8g}" if abs(value) > 1e-200 else "0"

    @staticmethod
    def gap(bound, value):
        """The relative gap in per cent."""
        if not (abs(value) < float("inf") and abs(bound) < float("inf")):
            return "-"
        from pyomo_relu.linear.rounding import relative_gap

        return f"{100 * relative_gap(value, min(bound, value)):.4f}%"

    def summary(self, result, message):
        """Print the last line and the outcome."""
        raise NotImplementedError
