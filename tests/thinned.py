"""Many cases of one kind: some of them by default, all with ``pytest --dense``."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

#: Whether every case is run; set by conftest before tests are imported.
DENSE = False


def examples(few, many):
    """How many examples hypothesis tries: ``many`` of them with ``--dense`` only."""
    return many if DENSE else few


def thinned(values, keep):
    """Parameters of a test of which all but ``keep``, evenly spread, are marked dense."""
    values = list(values)
    kept = {round(i) for i in np.linspace(0, len(values) - 1, min(keep, len(values)))}
    return [
        value if i in kept else pytest.param(value, marks=pytest.mark.dense)
        for i, value in enumerate(values)
    ]


def covering(cases, times):
    """Positions of cases among which every value of every parameter occurs ``times``.

    What ``@pytest.mark.covering(times)`` leaves of parameters that are crossed.  Cases
    are taken one by one: the one with most values that are still wanted, and among
    those the one with most pairs of values that have not met.

    Parameters
    ----------
    cases : list of tuple of int
        A number for each parameter's value.
    times : int
        A value with fewer cases occurs in all of them.

    Returns
    -------
    set of int
    """
    values = [list(enumerate(case)) for case in cases]
    pairs = [list(combinations(each, 2)) for each in values]
    there = Counter(value for each in values for value in each)
    wanted = {value: min(times, there[value]) for value in there}
    met, left, kept = set(), dict.fromkeys(range(len(cases))), set()
    while any(wanted.values()):
        best = max(
            left,
            key=lambda i: (
                sum(wanted[value] > 0 for value in values[i]),
                sum(pair not in met for pair in pairs[i]),
            ),
        )
        for value in values[best]:
            wanted[value] = max(0, wanted[value] - 1)
        met.update(pairs[best])
        kept.add(best)
        del left[best]
    return kept
