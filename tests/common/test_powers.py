"""Powers of two: next to the size they are asked for, and exact."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu.common.powers import is_power_of_two, power_of_two


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-80, 1e80))
def test_power_of_two(size):
    down, up = float(power_of_two(size)), float(power_of_two(size, up=True))
    assert down <= size < 2 * down and up / 2 < size <= up
    assert is_power_of_two(down) and is_power_of_two(up)
    nearest = float(power_of_two(size, up=None))
    assert max(size / nearest, nearest / size) <= np.sqrt(2) * (1 + 1e-15)


def test_zero_infinite_and_extreme_sizes():
    sizes = [0.0, np.inf, 1e-300, 1e300, 5e-324]
    expected = [1.0, 1.0, 2.0**-300, 2.0**300, 2.0**-300]
    assert power_of_two(sizes).tolist() == expected
    assert power_of_two(1e300, exponent=60) == 2.0**60
    assert not is_power_of_two(3.0)
