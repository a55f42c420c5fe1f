"""The log of ``SolverFactory("relu")``: bound, incumbent, and the routes that hold them."""

from typing import Any

from pyomo_relu.branch.interface.interface import LOG_EVERY, Log
from pyomo_relu.common.wording import counted
from pyomo_relu.version import __version__


class PortfolioLog(Log):
    """Prints a line each second and for each new incumbent."""

    def __init__(self, read, tee):
        super().__init__(read, tee)
        self._run: Any = None  # until the first part begins
        self._unit = 1.0
        self._parts = 1
        self._begun = set()

    def begin(self, portfolio):
        """Print what the model is."""
        model, self._unit = portfolio.model, portfolio.units.objective
        self._parts = len(portfolio.parts)
        from pyomo_relu.linear.embedded import EmbeddedNetwork

        networks = sum(isinstance(f, EmbeddedNetwork) for f in model.functions)
        atoms = len(model.functions) - networks
        more = f"{counted(atoms, 'atom')}, " if atoms else ""
        self.print(
            f"relu {__version__}: {counted(networks, 'network')}, {more}"
            f"{counted(model.input_columns().size, 'input')}; "
            f"{counted(model.n_columns, 'column')} "
            f"({int(model.linear.integer.sum())} integer), "
            f"{counted(model.linear.n_rows, 'row')}"
        )

    def routes(self, run, at):
        """Print which routes a part gets, and whether it had some before."""
        self._run, self._value, self._last = run, None, -LOG_EVERY
        part = f"part {at + 1} of {self._parts}, " if self._parts > 1 else ""
        if at in self._begun:
            part += "again for a smaller gap, "
        self._begun.add(at)
        names = ", then ".join(route.name for route in run.routes)
        self.print(f"{part}routes: {names} ({run.reason})")
        self.print(
            f"{'seconds':>8} {'bound':>15} {'by':<8} {'incumbent':>15} {'by':<8} "
            f"{'gap':>9}"
        )

    def tick(self):
        """Print a line if there is something to say."""
        seconds, value = self._run.deadline.elapsed(), self._run.findings.value
        mark = self.mark_if_due(seconds, value)
        if mark is not None:
            self._line(seconds, mark)

    def _line(self, seconds, mark=""):
        found = self._run.findings
        bound, value = found.bound * self._unit, found.value * self._unit
        self.print(
            f"{seconds:>8.2f} {self.number(bound):>15} {found.bound_by or '-':<8} "
            f"{self.number(value):>15} {found.value_by or '-':<8} "
            f"{self.gap(bound, value):>9} {mark}"
        )

    def summary(self, result, message):
        """Print the last line and the outcome."""
        if not self.tee:
            return
        if self._run is not None:
            self._line(self._run.deadline.elapsed())
        if self._parts > 1:
            bound, value = result.bound, result.value
            self.print(
                f"all parts: bound {self.number(bound)}, incumbent "
                f"{self.number(value)}, gap {self.gap(bound, value)}"
            )
        self.print(f"status: {message}")
