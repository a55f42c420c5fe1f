"""Any units: the same optima, bounds and points; what feasible means; tiny objectives."""

import numpy as np
import pyomo.environ as pyo
import pytest
from scipy import sparse

from pyomo_relu.branch.branch import BranchOptions, branch
from pyomo_relu.branch.interface.read import read_model
from pyomo_relu.branch.problem.joint import build_problem
from pyomo_relu.linear.box_rows import BoxRows, RowPattern
from pyomo_relu.linear.embedded import FEASIBILITY, EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.network import Network
from pyomo_relu.network.scaling import scaled_layers
from pyomo_relu.search.methods.ascent import box_model
from tests import units

#: Each scale, output factor and kind of model at least once.
SOME = [
    (1, units.SCALES[0], units.OUTPUTS[0], "plain"),
    (2, units.SCALES[1], units.OUTPUTS[2], "row"),
    (3, units.SCALES[2], units.OUTPUTS[0], "two"),
    (9, units.SCALES[3], units.OUTPUTS[1], "two and row"),
    (5, units.SCALES[0], units.OUTPUTS[2], "two and row"),
    (6, units.SCALES[2], units.OUTPUTS[1], "row"),
]


@pytest.mark.covering(2)
@pytest.mark.parametrize("case", SOME, ids=str)
@pytest.mark.parametrize("what", units.CHECKS)
def test_units_do_not_matter(what, case):
    assert units.CHECKS[what](*case)


# -- what feasible means ---------------------------------------------------------------


def box(scale=1.0, out=1.0):
    """One network whose input reaches ``scale`` and whose output reaches ``out``."""
    given = Network.sequential([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.0]])
    layers = scaled_layers(given, (0.0, scale), (0.0, out))
    network = Network(layers, given.inputs, given.outputs, "scaled")
    return box_model(network, [1.0], np.zeros(1), [-scale], [scale])


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e4, 1e9])
@pytest.mark.parametrize("out", [1e-7, 1e-3, 1.0, 1e3, 1e7])
def test_a_violation_is_relative_to_what_can_be(scale, out):
    problem = box(scale, out)
    good = problem.complete([0.5 * scale, 0.0])
    beyond = problem.complete([(1.0 + 1e-3) * scale, 0.0])
    barely = problem.complete([(1.0 + 1e-9) * scale, 0.0])
    assert problem.violation(good) == 0.0
    assert problem.violation(good + [0.0, 1e-3 * out]) > FEASIBILITY
    assert problem.violation(good + [0.0, 1e-9 * out]) <= FEASIBILITY
    assert problem.violation(beyond) > FEASIBILITY
    assert problem.violation(barely) <= FEASIBILITY


@pytest.mark.parametrize("size", [1.0 / 32, 1.0, 50.0])
def test_ordinary_sizes_are_judged_absolutely(size):
    problem = box(size, size)
    good = problem.complete([0.5 * size, 0.0])
    off = problem.violation(good + [0.0, 1e-4])
    assert off == pytest.approx(1e-4)
    beyond = problem.complete([size + 1e-4, 0.0])
    assert problem.violation(beyond) == pytest.approx(1e-4)


def test_unit_range_is_found_once():
    problem = box(1e5, 1e-7)
    unit = problem.in_unit_range()
    assert not problem.units.identity and unit.units.identity
    again = box_model(
        unit.functions[0].network,
        unit.costs[1:],
        unit.costs[:1],
        unit.linear.lower[:1],
        unit.linear.upper[:1],
    )
    assert again.units.identity
    point = np.array([3e4, 0.0])
    there = unit.complete(point / problem.units.columns)
    assert np.array_equal(there * problem.units.columns, problem.complete(point))


def test_rows_are_judged_by_their_coefficients_times_ranges():
    """A row in Pa and one in mol/mol are missed by the same share."""
    network = Network.sequential([[[1e-5, 1e4]]], [[0.0]])
    linear = LinearModel(
        sparse.csr_array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1e-5, 1e4, 0.0]]),
        [-np.inf] * 3,
        [5e4, 5e-5, 1.0],
        [-1e5, -1e-4, -np.inf],
        [1e5, 1e-4, np.inf],
    )
    function = EmbeddedNetwork(network, [0, 1], [2])
    problem = build_problem(EmbeddedModel(linear, [function], [0, 0, 1.0]))
    points = np.array([[5e4, 5e-5], [5e4 + 0.01, 0.0], [0.0, 5e-5 + 1e-11]])
    points = np.vstack([points, [[5e4 + 1.0, 0.0], [0.0, 5e-5 + 1e-9]]])
    full = problem.complete(points)
    feasible = problem.original.violation(full) <= FEASIBILITY
    assert feasible.tolist() == [True, True, True, False, False]


def test_a_bound_given_for_form_does_not_loosen_a_row():
    """y - z <= 0 where z <= 1e6 must hold to what y can be."""
    network = Network.sequential([[[1.0]]], [[0.0]])
    linear = LinearModel(
        sparse.csr_array([[0.0, 1.0, -1.0]]),
        [-np.inf],
        [0.0],
        [-1.0, -np.inf, 0.0],
        [1.0, np.inf, 1e6],
    )
    function = EmbeddedNetwork(network, [0], [1])
    model = EmbeddedModel(linear, [function], [0, 0, 1.0])
    full = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0 - 1e-4]])
    assert (model.violation(full) <= FEASIBILITY).tolist() == [True, False]


# -- objectives of any size ------------------------------------------------------------


@pytest.mark.parametrize("out", [1e-9, 1e-7])
def test_tiny_objectives_are_not_optimal_at_once(out):
    m = units.model(7, out=out)
    results = pyo.SolverFactory("relu.branch").solve(m)
    optimum = units.model(7)
    pyo.SolverFactory("relu.branch").solve(optimum, mip_gap=1e-6)
    best = pyo.value(optimum.gain)
    assert pyo.value(m.gain) / out == pytest.approx(best, rel=2e-4)
    assert results.problem.upper_bound / out == pytest.approx(best, rel=2e-4)


def test_a_given_absolute_gap_is_taken_literally():
    read = read_model(units.model(7, (1e5, 1e-4, 1.0), 1e-7))
    loose = branch(read.problem, BranchOptions(abs_gap=1e-6))
    tight = branch(read.problem, BranchOptions(abs_gap=1e-13, mip_gap=0.0))
    assert loose.status == tight.status == "optimal"
    assert tight.value - tight.bound <= 1e-13
    assert 1e-13 < loose.value - loose.bound <= 1e-6


def test_progress_boxes_and_starts_are_in_the_modellers_units():
    scale, out = (1e5, 1e-4, 1.0), 1e7
    read = read_model(units.model(8, scale, out, "row"))
    trees, boxes = [], []
    options = BranchOptions(milp_neurons=0)
    result = branch(
        read.problem,
        options,
        lambda tree: trees.append((tree.bound, tree.incumbent.value, tree.nodes)),
        lambda lower, upper: boxes.append((lower, upper)),
    )
    assert trees[-1][1] == result.value
    assert trees[0][0] <= result.bound + 1e-3 * abs(result.bound)
    lower = np.concatenate([lo for lo, _ in boxes])
    upper = np.concatenate([hi for _, hi in boxes])
    assert np.all(lower[:, :3] >= -np.array(scale) * (1 + 1e-12))
    assert np.all(upper[:, :3] <= np.array(scale) * (1 + 1e-12))
    assert lower[:, 0].min() < -5e4 and np.abs(upper[:, 1]).max() <= 1.0001e-4
    again = branch(read.problem, BranchOptions(time_limit=0.0, start=result.full))
    assert again.value <= result.value + 1e-6 * abs(result.value)


def test_an_unbounded_input_is_named_with_the_modellers_numbers():
    from pyomo_relu import ReLUNetworkBlock
    from pyomo_relu.errors import BoundsError

    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1])
    m.x[0].setlb(-2e5)
    m.x[1].setlb(-1e-4)
    m.x[1].setub(1e-4)
    network = Network.sequential([[[1e-5, 1e4]]], [[0.0]])
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    m.gain = pyo.Objective(expr=m.nn.outputs[0])
    with pytest.raises(BoundsError, match=r"x\[0\].*\[-200000.0, inf\]"):
        pyo.SolverFactory("relu.branch").solve(m)


# -- columns without end ---------------------------------------------------------------


def endless(duals, costs, coefficients=((1.0, 1.0),)):
    """Bound of ``min costs x`` over ``x_0 + x_1 >= 0.5`` with x_0 free, x_1 in [0, 1]."""
    A = np.array(coefficients)
    row, column = np.nonzero(A)
    pattern = RowPattern(row, column, *A.shape)
    rows = BoxRows(
        pattern,
        A[row, column][None],
        np.full((1, len(A)), 0.5),
        np.full((1, len(A)), np.inf),
    )
    lower, upper = np.array([[-np.inf, 0.0]]), np.array([[np.inf, 1.0]])
    return rows.dual_bounds(
        np.array([costs]), np.zeros(1), np.array([duals]), lower, upper
    )[0]


def test_a_residual_on_a_column_without_end_is_no_proof():
    assert endless([1.0], [1.0, 1.0]) == pytest.approx(0.5)
    # with this cost x_0 may fall for ever: the bound is -inf however small the rest
    assert endless([1.0], [1.0 + 1e-10, 1.0]) == -np.inf
    assert endless([1.0], [1.0 - 2.0**-53, 1.0]) == -np.inf
    # a third and two thirds do not add up to one in binary, whatever a sum says
    third = 1.0 / 3.0
    thirds = endless([third, 2 * third], [1.0, 1.0], [[1.0, 1.0], [1.0, 1.0]])
    assert third + 2 * third == 1.0 and thirds == -np.inf
    halves = endless([0.25, 0.75], [1.0, 1.0], [[1.0, 1.0], [1.0, 1.0]])
    assert halves == pytest.approx(0.5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_on_half_lines_only_the_right_sign_proves(sign):
    """``min c x_0`` with ``x_0`` in [0, inf) and a row with a tiny coefficient."""
    pattern = RowPattern(np.array([0]), np.array([0]), 1, 1)
    rows = BoxRows(pattern, np.array([[1.0]]), np.array([[1.0]]), np.array([[np.inf]]))
    costs, duals = np.array([[1.0 + sign * 2.0**-52]]), np.array([[1.0]])
    bound = rows.dual_bounds(
        costs, np.zeros(1), duals, np.zeros((1, 1)), np.full((1, 1), np.inf)
    )[0]
    assert bound == (pytest.approx(1.0) if sign > 0 else -np.inf)


@pytest.mark.parametrize("seed", [2, 3])
def test_columns_without_end_get_ends_from_rows_and_cutoff(seed):
    """Free columns whose multipliers cannot cancel exactly; only rows confine them."""
    rng = np.random.default_rng(seed)
    m = units.model(seed)
    m.gain.deactivate()
    m.z = pyo.Var(range(4))
    A = rng.uniform(0.1, 1.0, size=(6, 4))
    costs = rng.dirichlet(np.ones(6)) @ A
    m.rows = pyo.ConstraintList()
    for row in A:
        level = rng.normal() * m.first.outputs[0] + rng.normal()
        m.rows.add(sum(a * m.z[j] for j, a in enumerate(row)) >= level)
    m.cost = pyo.Objective(expr=sum(c * m.z[j] for j, c in enumerate(costs)))
    results = pyo.SolverFactory("relu.branch").solve(m)
    assert str(results.solver.termination_condition) == "optimal"
    value, bound = pyo.value(m.cost), results.problem.lower_bound
    assert bound <= value <= bound + 1e-4 * abs(value) + 1e-6
    # with the inputs fixed what is left is a linear programme
    for x in rng.uniform(-1, 1, (20, 3)):
        y = m.first.network.forward(x)[0]
        assert _least(m, y) >= bound - 1e-7


def _least(m, y):
    """Least cost of the other columns where the network's output is y."""
    from pyomo.repn import generate_standard_repn
    from scipy.optimize import linprog

    place = {id(m.z[j]): j for j in m.z}
    A, b = [], []
    for row in m.rows.values():
        level = row.upper if row.lower is None else row.lower
        sign = 1.0 if row.upper is None else -1.0
        repn = generate_standard_repn(sign * (row.body - level))
        coefficients, rest = np.zeros(4), repn.constant
        for var, c in zip(repn.linear_vars, repn.linear_coefs, strict=True):
            if id(var) in place:
                coefficients[place[id(var)]] = c
            else:
                rest += c * y
        A.append(-coefficients)
        b.append(rest)
    repn = generate_standard_repn(m.cost.expr)
    return linprog(repn.linear_coefs, A, b, bounds=(None, None)).fun
