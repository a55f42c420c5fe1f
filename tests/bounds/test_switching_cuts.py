"""Cuts around binary columns: no feasible point is lost, the relaxation's are."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from pyomo_relu.bounds.relaxation.curve_rows import envelope
from pyomo_relu.bounds.relaxation.switched import Sides, neighbourhoods
from pyomo_relu.bounds.relaxation.switching_cuts import switching_cuts
from pyomo_relu.errors import InfeasibleError
from pyomo_relu.linear.embedded import EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.solve import solve_linear
from pyomo_relu.network import INPUT, Layer, Network, Source
from pyomo_relu.network.pieces import breakpoints
from tests.random_networks import random_network

#: Columns of one unit: input, output, what it makes and takes, whether it is on.
X, Y, Q, P, ON = range(5)
BIG = 4.0


def rows_of(rows, n):
    """Rows (dict column -> coefficient, lower, upper) as arrays."""
    matrix = np.zeros((len(rows), n))
    for i, (terms, _, _) in enumerate(rows):
        for column, value in terms.items():
            matrix[i, column] = value
    lower, upper = (np.array([float(row[k]) for row in rows]) for k in (1, 2))
    return sparse.csr_array(matrix), lower, upper


def unit(first, low, high, big=BIG):
    """q = x and p >= y if it is on, else q = 0."""
    x, y, q, p, on = np.arange(5) + first
    return [
        ({q: 1, on: -high}, -np.inf, 0),
        ({q: 1, on: -low}, 0, np.inf),
        ({q: 1, x: -1, on: big}, -np.inf, big),
        ({q: 1, x: -1, on: -big}, -big, np.inf),
        ({p: 1, y: -1, on: -big}, -big, np.inf),
    ]


def model_of(rows, n_units=1, low=0.25, high=1.0):
    """Units one after the other, with these rows."""
    lower = np.tile([low, -BIG, 0.0, 0.0, 0.0], n_units)
    upper = np.tile([high, BIG, high, BIG, 1.0], n_units)
    integer = np.tile([False] * 4 + [True], n_units)
    return LinearModel(*rows_of(rows, lower.size), lower, upper, integer)


def with_demand(rows, network, demand=0.125):
    """The model of a unit with these rows, whose relaxation is half on.

    What it makes has to do with a second unit, which is off: the demand is a link.
    """
    link = ({Q: 1, Q + 5: 1}, demand, np.inf)
    model = model_of([*rows, *unit(5, 0.25, 1.0), link], 2)
    upper = model.upper.copy()
    upper[[Q + 5, ON + 5]] = 0.0
    functions = [EmbeddedNetwork(network, [X + k], [Y + k]) for k in (0, 5)]
    return model.replace(upper=upper), functions


def lines_of(functions):
    """Envelopes of networks of one input, as ``Sides`` wants them."""

    def lines(i, lower, upper):
        network, each = functions[i].network, []
        for low, high in zip(lower[:, 0], upper[:, 0], strict=True):
            points = breakpoints(network, [low], [high])
            values = network.forward(points[:, None])[:, 0]
            each.append(envelope(points, values - 1e-12, values + 1e-12, low, high))
        L = max(c.size for _, c in each)
        a, c = np.zeros((len(each), L, 2)), np.zeros((len(each), L))
        for b, (some, constants) in enumerate(each):
            a[b, : constants.size], c[b, : constants.size] = some, constants
        return a, c

    return lines


def of_one_input(layers):
    return Network(layers, [("x", (1,))], [("y", (1,))])


def positive(rng):
    """A random curve with values between 0 and 3."""
    network = random_network(rng, 1, (6, 5), 1)
    y = network.forward(np.linspace(0, 1, 200)[:, None])
    scale = 2.0 / max(np.ptp(y), 1e-3)
    *hidden, last = network.layers
    last = Layer(
        last.sources,
        [scale * w for w in last.weights],
        scale * (last.bias - y.min()) + 0.5,
        "identity",
    )
    return of_one_input([*hidden, last])


def points_of(network, rng, low=0.25, high=1.0):
    """Feasible points of one unit, (N, 5), many of them on its rows."""
    x = np.concatenate([np.linspace(low, high, 60), rng.uniform(low, high, 60)])
    y = network.forward(x[:, None])[:, 0]
    more = rng.choice([0.0, 1.0], x.size) * rng.random(x.size)
    on = np.stack([x, y, x, np.minimum(y + more, BIG), np.ones(x.size)], axis=1)
    off = np.stack([x, y, 0 * x, more, 0 * x], axis=1)
    return np.concatenate([on, off])


def least(linear, costs):
    return solve_linear(linear, costs, integer=False).objective


@pytest.mark.parametrize("seed", range(12))
def test_no_feasible_point_is_cut_off(seed):
    rng = np.random.default_rng(seed)
    network = positive(rng)
    points = points_of(network, rng)
    rows = unit(0, 0.25, 1.0, rng.choice([BIG, 10.0]))
    for _ in range(3):  # further rows of anything, which most of the points meet
        a = np.round(rng.normal(size=5), 2) * (rng.random(5) < 0.7)
        rows.append((dict(enumerate(a)), np.quantile(points @ a, 0.1), np.inf))
    matrix, lower, upper = rows_of(rows, 5)
    values = points @ matrix.T.toarray()
    inside = (values >= lower - 1e-12) & (values <= upper + 1e-12)
    points = points[inside.all(axis=1)]
    model, functions = with_demand(rows, network)
    n_cuts = 0
    for _ in range(4):
        costs = np.append(rng.normal(size=5), np.zeros(5))
        costs[P] = abs(costs[P])
        cut = switching_cuts(model, functions, lines_of(functions), costs)
        assert np.all(points >= cut.lower[:5] - 1e-9)
        assert np.all(points <= cut.upper[:5] + 1e-9)
        new = cut.matrix[model.n_rows :].toarray()
        n_cuts += len(new)
        assert not new[:, 5:].any()
        over = points @ new[:, :5].T - cut.row_lower[model.n_rows :]
        assert over.min(initial=0.0) > -1e-9
    assert n_cuts


@pytest.mark.parametrize("seed", range(6))
def test_the_relaxation_becomes_the_hull_of_on_and_off(seed):
    """A mixture of feasible points is the best that is left, for one unit."""
    rng = np.random.default_rng(seed)
    network = positive(rng)
    kinks = breakpoints(network, [0.25], [1.0])
    y = network.forward(kinks[:, None])[:, 0]
    on = np.stack([kinks, y, kinks, y, np.ones(y.size)], axis=1)
    points = np.concatenate([on, on * [1, 1, 0, 0, 0]])
    costs = np.zeros(10)
    costs[[P, ON]] = 1.0, rng.choice([0.0, 0.3])
    n = len(points)
    mixture = LinearModel(
        sparse.csr_array(np.stack([np.ones(n), points[:, Q]])),
        [1.0, 0.125],
        [1.0, np.inf],
        np.zeros(n),
        np.ones(n),
    )
    expected = least(mixture, points @ costs[:5])
    model, functions = with_demand(unit(0, 0.25, 1.0), network)
    cut = switching_cuts(model, functions, lines_of(functions), costs)
    assert least(model, costs) < expected - 0.05
    assert least(cut, costs) == pytest.approx(expected, abs=1e-3)
    assert least(cut, costs) <= expected + 1e-8


def test_cuts_hold_exactly():
    """In exact arithmetic: |x - 1/2| + 1/4, dyadic numbers throughout."""
    layer = Layer([Source(INPUT)], [np.array([[1.0], [-1.0]])], [-0.5, 0.5])
    last = Layer([Source(0)], [np.array([[1.0, 1.0]])], [0.25], "identity")
    network = of_one_input([layer, last])
    model, functions = with_demand(unit(0, 0.25, 1.0), network)
    for some in ([0, 0, 0, 2.0, 0.5], [0, 0, -3.0, 4.0, 0], [0.3, 1, -0.1, 1, 1]):
        costs = np.append(some, np.zeros(5))
        cut = switching_cuts(model, functions, lines_of(functions), costs)
        rows = cut.matrix[model.n_rows :, :5].toarray()
        sides = cut.row_lower[model.n_rows :]
        assert sides.size
        for i in range(2**6 + 1):
            x = Fraction(1, 4) + Fraction(3, 4) * Fraction(i, 2**6)
            y = abs(x - Fraction(1, 2)) + Fraction(1, 4)
            for point in ([x, y, x, y, 1], [x, y, 0, 0, 0]):
                for row, side in zip(rows.tolist(), sides.tolist(), strict=True):
                    terms = zip(row, point, strict=True)
                    value = sum(Fraction(a) * t for a, t in terms)
                    assert value >= Fraction(side)


def test_nothing_is_cut_where_nothing_is_switched():
    functions = [EmbeddedNetwork(positive(0), [X], [Y])]
    costs = np.array([0, 1.0, -1, 1, 0])
    model = model_of(unit(0, 0.25, 1.0))
    continuous = model.replace(integer=np.zeros(5, dtype=bool))
    assert (
        switching_cuts(continuous, functions, lines_of(functions), costs) is continuous
    )
    none = model_of([({Q: 1, ON: -1}, -np.inf, 0), ({P: 1, Y: -1}, 0, np.inf)])
    assert switching_cuts(none, functions, lines_of(functions), costs) is none
    assert switching_cuts(model, [], None, costs) is model


def test_rows_that_know_several_functions_are_links():
    rows = [*unit(0, 0.25, 1.0), *unit(5, 0.25, 1.0)]
    links = [({X: 1, X + 5: -1}, -0.5, 0.5), ({P: 1, P + 5: 1}, 1, np.inf)]
    model = model_of(rows + links, 2)
    functions = [EmbeddedNetwork(positive(0), [X + k], [Y + k]) for k in (0, 5)]
    places = neighbourhoods(model, functions)
    assert [p.columns.tolist() for p in places] == [[4, 0, 1, 2, 3], [9, 5, 6, 7, 8]]
    assert [p.rows.tolist() for p in places] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_bounds_hold_for_both_values():
    """On, p is at least the curve's least value; off, at least 0.6."""
    network = positive(1)
    rows = [*unit(0, 0.25, 1.0), ({P: 1, ON: BIG}, 0.6, np.inf)]
    functions = [EmbeddedNetwork(network, [X], [Y])]
    model = model_of(rows)
    places = neighbourhoods(model, functions)
    sides = Sides(model, functions, lines_of(functions), places)
    lower, upper = sides.column_bounds()
    points = breakpoints(network, [0.25], [1.0])
    ends = np.sort(network.forward(points[:, None])[:, 0])[[0, -1]]
    assert (lower[X], upper[X]) == (0.25, 1.0)
    assert (lower[ON], upper[ON]) == (0.0, 1.0)
    assert lower[P] == pytest.approx(min(ends[0], 0.6), abs=1e-9)
    # lines of the envelope, not the curve's ends, are what is propagated
    assert -BIG < lower[Y] <= ends[0] and ends[1] <= upper[Y] < BIG


def test_a_value_that_leaves_no_point_is_excluded():
    functions = [EmbeddedNetwork(positive(1), [X], [Y])]
    costs = np.array([0, 0, 0, 1.0, 0])
    on = [*unit(0, 0.25, 1.0), ({Q: 1, Y: 1e-3}, 0.2, np.inf)]
    cut = switching_cuts(model_of(on), functions, lines_of(functions), costs)
    assert cut.lower[ON] == 1.0
    never = [*on, ({P: 1, ON: 1}, -np.inf, 0.9)]
    with pytest.raises(InfeasibleError, match="neither value of a binary column"):
        switching_cuts(model_of(never), functions, lines_of(functions), costs)


def test_rounds_can_be_paused():
    functions = [EmbeddedNetwork(positive(2), [X], [Y])]
    seen = []
    costs = np.array([0, 0, -1.0, 1.0, 0])
    model = model_of(unit(0, 0.25, 1.0))
    switching_cuts(model, functions, lines_of(functions), costs, lambda: seen.append(1))
    assert seen
