"""Which columns can take one value only, and functions without those inputs."""

from fractions import Fraction

import numpy as np
from scipy import sparse

from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.fixed_inputs import fixed_columns
from pyomo_relu.linear.model import LinearModel
from tests.random_networks import random_network


def model(rows, sides, lower, upper):
    matrix = sparse.csr_array(np.array(rows, dtype=float).reshape(-1, len(lower)))
    return LinearModel(matrix, sides, sides, np.array(lower), np.array(upper))


def test_equations_make_numbers_of_columns():
    free = [-np.inf] * 4, [np.inf] * 4
    rows = [[3, 0, 0, 0], [0.1, 1, 0, 0], [0, 0, 1, 1]]
    known = fixed_columns(model(rows, [1.0, 2.0, 1.0], *free))
    assert known == {0: Fraction(1, 3), 1: 2 - Fraction(0.1) / 3}


def test_equal_bounds_count_and_help_equations():
    known = fixed_columns(
        model([[1, 2, 0], [0, 1, -1]], [0.0, 0.5], [1.0, -5, -5], [1.0, 5, 5])
    )
    assert known == {0: 1, 1: Fraction(-1, 2), 2: -1}


def test_values_out_of_bounds_are_left_alone():
    assert fixed_columns(model([[1.0]], [3.0], [0.0], [1.0])) == {}


def test_inequalities_and_twice_open_rows_fix_nothing():
    linear = model([[1.0, 1.0]], [0.0], [-1.0, -1.0], [1.0, 1.0])
    assert fixed_columns(linear) == {}
    loose = linear.replace(row_lower=np.array([-np.inf]))
    assert fixed_columns(loose) == {}


def embedded(functions, lower, upper):
    n = len(lower)
    linear = model(np.zeros((0, n)), [], lower, upper)
    return EmbeddedModel(linear, functions)


def test_equal_networks_at_equal_values_stay_one():
    network = random_network(0, 2)
    functions = [EmbeddedNetwork(network, [i, 6], [i + 3]) for i in range(3)]
    lower, upper = [-1.0] * 7, [1.0] * 7
    lower[6] = upper[6] = 0.25
    given = embedded(functions, lower, upper)
    folded = given.without_fixed_inputs()
    assert [f.inputs.tolist() for f in folded.functions] == [[0], [1], [2]]
    assert len({id(f.network) for f in folded.functions}) == 1
    assert folded.linear is given.linear
    x = np.array([0.3, -0.2, 0.9, 0, 0, 0, 0.25])
    np.testing.assert_allclose(folded.complete(x), given.complete(x), rtol=1e-13)


def test_one_input_is_kept_and_computed_ones_stay():
    network = random_network(1, 2)
    functions = [
        EmbeddedNetwork(network, [0, 1], [2]),
        EmbeddedNetwork(network, [2, 3], [4]),
    ]
    values = [0.5, 0.1, 0.2, 1.0, 0.0]
    folded = embedded(functions, values, [*values[:3], 2.0, 1.0]).without_fixed_inputs()
    assert [f.inputs.tolist() for f in folded.functions] == [[0], [2, 3]]


def test_nothing_fixed_is_the_same_model():
    network = random_network(2, 2)
    given = embedded([EmbeddedNetwork(network, [0, 1], [2])], [-1.0] * 3, [1.0] * 3)
    assert given.without_fixed_inputs() is given


class Sum:
    """A function that knows no fixed inputs."""

    name, inputs, outputs = "sum", np.array([0, 1]), np.array([2])

    def values(self, X):
        return X.sum(axis=1, keepdims=True)


def test_other_functions_stay_as_they_are():
    function = Sum()
    folded = embedded([function], [0.0, -1, -1], [0.0, 1, 1]).without_fixed_inputs()
    assert folded.functions == (function,)
