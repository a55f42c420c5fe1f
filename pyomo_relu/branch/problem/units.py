"""Searches work in unit range: options go in, progress and results come out in units."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

#: Absolute gap that counts as none where none is given, in unit range.
ABSOLUTE_GAP = 1e-6

#: What float64 resolves of a sum of terms of size 1 that cancel.
_LEAST_GAP = 1e-9


def gap_in_unit_range(gap, unit):
    """An absolute gap in unit range; None for the default one.

    Terms of 1e5 that cancel to 1 make an objective of 1e5: a share of that is no gap
    that counts as none, so the default is no more than that of an objective of size 1.

    Parameters
    ----------
    gap : float or None
        In the modeller's units.
    unit : float
        The objective's.
    """
    if gap is not None:
        return gap / unit
    return max(_LEAST_GAP, ABSOLUTE_GAP / max(1.0, unit))


def in_unit_range(options, units):
    """BranchOptions for a model that was brought into unit range.

    Parameters
    ----------
    options : BranchOptions
    units : Units
    """
    start = options.start
    return replace(
        options,
        start=None if start is None else start / units.columns[: start.size],
        abs_gap=gap_in_unit_range(options.abs_gap, units.objective),
        stop_at=options.stop_at / units.objective,
        prove_above=options.prove_above / units.objective,
    )


def in_units(found, units):
    """A BranchResult of a model in unit range, in the modeller's units."""
    return replace(
        found,
        bound=found.bound * units.objective,
        value=found.value * units.objective,
        full=None if found.full is None else found.full * units.columns,
    )


class Progress:
    """What a search in unit range tells, in the modeller's units.

    Parameters
    ----------
    search : Tree or Decomposition
    units : Units
    """

    def __init__(self, search, units):
        self._search, self._units = search, units

    def __getattr__(self, name):
        return getattr(self._search, name)

    @property
    def bound(self):
        """Proven lower bound."""
        return self._search.bound * self._units.objective

    @property
    def incumbent(self):
        """The best point's ``value`` and ``full``."""
        best = self._search.incumbent
        full = None if best.full is None else best.full * self._units.columns
        return SimpleNamespace(value=best.value * self._units.objective, full=full)

    @property
    def paused(self):
        """Seconds for which the search paused; who makes it pause adds to them."""
        return self._search.paused

    @paused.setter
    def paused(self, seconds):
        self._search.paused = seconds

    def offer(self, full):
        """Give a point found elsewhere; one of another shape is ignored."""
        full = np.asarray(full, dtype=float)
        if full.shape == self._units.columns.shape:
            self._search.offer(full / self._units.columns)
