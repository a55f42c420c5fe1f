"""Many cases of one kind: some of them by default, all with ``pytest --dense``."""

import numpy as np
import pytest


def thinned(values, keep):
    """Parameters of a test of which all but ``keep``, evenly spread, are marked dense."""
    values = list(values)
    kept = {round(i) for i in np.linspace(0, len(values) - 1, min(keep, len(values)))}
    return [
        value if i in kept else pytest.param(value, marks=pytest.mark.dense)
        for i, value in enumerate(values)
    ]
