"""The log of ``SolverFactory("relu")``: bound, incumbent, and the routes that hold them."""

from pyomo_relu.branch.interface import LOG_EVERY, Log
from pyomo_relu.common.wording import counted
from pyomo_relu.version import __version__


class PortfolioLog(Log):
    """Prints a line each second and for each new incumbent."""

    def __init__(self, read, tee):
        super().__init__(read, tee)
        self._read = read
        self._last, self._value, self._run = -LOG_EVERY, None, None

    def begin(self, run):
        """Print what the model is and which routes it gets."""
        self._run = run
        model = run.model
        self.print(
            f"relu {__version__}: {counted(len(model.functions), 'network')}, "
            f"{counted(model.input_columns().size, 'input')}; "
            f"{counted(model.n_columns, 'column')} "
            f"({int(model.linear.integer.sum())} integer), "
            f"{counted(model.linear.n_rows, 'row')}"
        )
        names = ", ".join(route.name for route, *_ in run.routes)
        self.print(f"routes: {names} ({run.reason})")
        self.print(
            f"{'seconds':>8} {'bound':>15} {'by':<8} {'incumbent':>15} {'by':<8} "
            f"{'gap':>9}"
        )

    def __call__(self, run):
        """Print a line if there is something to say."""
        seconds, value = run.deadline.elapsed(), run.findings.value
        if value == self._value and seconds - self._last < LOG_EVERY:
            return
        self._last, better = seconds, value != self._value
        self._value = value
        self._line(seconds, "*" if better and abs(value) < float("inf") else "")

    def _line(self, seconds, mark=""):
        found, unit = self._run.findings, self._run.units.objective
        bound, value = found.bound * unit, found.value * unit
        self.print(
            f"{seconds:>8.2f} {self.number(bound):>15} {found.bound_by or '-':<8} "
            f"{self.number(value):>15} {found.value_by or '-':<8} "
            f"{self.gap(bound, value):>9} {mark}"
        )

    def summary(self, result, message):
        """Print the last line and the outcome."""
        if self.tee:
            self._line(result.seconds)
            self.print(f"status: {message}")
