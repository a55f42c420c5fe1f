"""Records of what a tightening run did and did not do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pyomo_relu.common.html import Table, Tabular
from pyomo_relu.common.wording import counted

#: Reasons why a bound of a neuron got no LP or MILP.
STABLE = "stable"
EXACT = "exact"
FILTERED = "filtered"
SIGN_KNOWN = "sign known"
NO_TIME = "time limit"
INTERRUPTED = "interrupted"
WORKER_LOST = "worker lost"
NOT_ASKED = "not asked"


@dataclass
class LayerStatistics:
    """What one method did to one layer.

    Parameters
    ----------
    method : str
    network : str
    layer : int
        Position in ``Network.layers``; -1 for the inputs.
    neurons : int
    solves : int
        LPs or MILPs solved.
    skipped : dict of str to int
        Bounds that got no solve (two per neuron), by reason.
    failures : dict of str to int
        Solves that proved nothing, by the status that the solver gave.
    tightened : int
        Bounds that became tighter.
    stable_before, stable_after : int
        Stable neurons; for the outputs and inputs always 0.
    width_before, width_after : float
        Mean of upper - lower.
    seconds : float
        Wall time.
    solver_seconds : float
        CPU time of the solves, over all workers.
    """

    method: str
    network: str
    layer: int
    neurons: int
    solves: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    tightened: int = 0
    stable_before: int = 0
    stable_after: int = 0
    width_before: float = 0.0
    width_after: float = 0.0
    seconds: float = 0.0
    solver_seconds: float = 0.0

    def skip(self, reason: str, count: int) -> None:
        """Count bounds that got no solve."""
        if count:
            self.skipped[reason] = self.skipped.get(reason, 0) + int(count)

    def fail(self, failures: Mapping[str, int]) -> None:
        """Add failures by status."""
        for status, count in failures.items():
            self.failures[status] = self.failures.get(status, 0) + int(count)


@dataclass
class TighteningStatistics(Tabular):
    """The record of a tightening run; ``str()`` is a table, ``to_dict()`` a dict.

    Parameters
    ----------
    layers : list of LayerStatistics
        In the order in which they were run.
    interrupted : bool
        Stopped by the keyboard; the bounds proven until then are kept.
    time_limit_reached : bool
    notes : list of str
        What was not done, and why.
    seconds : float
        Wall time of the whole run.
    """

    layers: list[LayerStatistics] = field(default_factory=list)
    interrupted: bool = False
    time_limit_reached: bool = False
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def solves(self) -> int:
        """LPs and MILPs solved."""
        return sum(row.solves for row in self.layers)

    @property
    def failures(self) -> dict[str, int]:
        """Solves that proved nothing, by status."""
        return _summed(row.failures for row in self.layers)

    @property
    def skipped(self) -> dict[str, int]:
        """Bounds that got no solve, by reason."""
        return _summed(row.skipped for row in self.layers)

    def note(self, text: str) -> None:
        """Record what was not done; the same text only once."""
        if text not in self.notes:
            self.notes.append(text)

    def extend(self, other: TighteningStatistics) -> None:
        """Append another run's record."""
        self.layers.extend(other.layers)
        self.interrupted |= other.interrupted
        self.time_limit_reached |= other.time_limit_reached
        for text in other.notes:
            self.note(text)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings (json-ready)."""
        return asdict(self)

    def _table(self) -> Table:
        head = (
            "method",
            "layer",
            "neurons",
            "solves",
            "skipped",
            "failed",
            "stable",
            "mean width",
            "seconds",
        )
        names = {row.network for row in self.layers}
        table = []
        for row in self.layers:
            where = "inputs" if row.layer < 0 else str(row.layer)
            table.append(
                (
                    row.method,
                    where if len(names) < 2 else f"{row.network}:{where}",
                    row.neurons,
                    row.solves,
                    _counts(row.skipped),
                    _counts(row.failures),
                    f"{row.stable_before} -> {row.stable_after}",
                    f"{row.width_before:.4g} -> {row.width_after:.4g}",
                    f"{row.seconds:.3f}",
                )
            )
        lines = [f"{counted(self.solves, 'solve')}, {self.seconds:.3f} seconds"]
        if self.interrupted:
            lines.append("interrupted: the bounds proven until then are kept")
        if self.time_limit_reached:
            lines.append("time limit reached: the bounds proven until then are kept")
        lines.extend(f"note: {text}" for text in self.notes)
        return Table("Bound tightening", head, table, len(head), lines)


def _summed(dicts):
    total = {}
    for counts in dicts:
        for key, count in counts.items():
            total[key] = total.get(key, 0) + count
    return total


def _counts(counts):
    return ", ".join(f"{n} {reason}" for reason, n in counts.items()) or "-"
