"""What counts as feasible and as an integer, once for the whole library."""

import numpy as np

#: What solvers let an integer column miss an integer by.
INTEGRALITY = 1e-6

#: Largest violation of a feasible point, in unit range.
FEASIBILITY = 1e-6


def whole(lower, upper):
    """The least and the largest integer between bounds, to ``INTEGRALITY``."""
    return np.ceil(lower - INTEGRALITY), np.floor(upper + INTEGRALITY)
