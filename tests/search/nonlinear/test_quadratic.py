"""Second derivatives of costs, which models have them, and points by quadratic programmes."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.linear.rounding import FEASIBILITY
from pyomo_relu.search.nonlinear.programme import Tangents
from pyomo_relu.search.nonlinear.quadratic import RegionWalk
from pyomo_relu.search.nonlinear.successive import SuccessiveLPs
from tests.branch.test_atoms import ABSOLUTE
from tests.networks import chain
from tests.search.nonlinear.test_successive import read, starts


def tracking(seed=0, steps=3):
    """States follow each other by networks and shall be near something."""
    rng = np.random.default_rng(seed)
    network = chain([2, 6, 1], seed=seed)
    m = pyo.ConcreteModel()
    m.k = pyo.RangeSet(steps)
    m.u = pyo.Var(m.k, bounds=(-2, 2))
    m.s = pyo.Var(range(steps + 1), bounds=(-9, 9))
    m.s[0].fix(float(rng.uniform(-1, 1)))
    m.nn = ReLUNetworkBlock(
        m.k,
        network=network,
        inputs=lambda k: [m.s[k - 1], m.u[k]],
        outputs=lambda k: [m.s[k]],
    )
    m.few = pyo.Constraint(expr=sum(m.u.values()) <= 1)
    want, cross = rng.normal(size=steps), rng.uniform(-0.5, 0.5)
    m.obj = pyo.Objective(
        expr=sum((m.s[k] - want[k - 1]) ** 2 for k in m.k)
        + sum(0.3 * m.u[k] ** 2 + cross * m.s[k] * m.u[k] * 0.5 for k in m.k)
    )
    return m, network, want, cross


@pytest.mark.parametrize("seed", range(3))
def test_second_derivatives_are_those_of_the_costs_in_a_region(seed):
    model, _ = read(tracking(seed)[0])
    solver = SuccessiveLPs(model)
    rng = np.random.default_rng(seed)
    for x in starts(model, 2, seed):
        here = solver.tangents(x)
        assert here.hessian is not None
        # a column that is fixed stays
        step = 1e-7 * rng.normal(size=solver.free.size) * (solver.width > 0)
        there = solver.tangents(solver.moved(x, step))
        assert there.costs - here.costs == pytest.approx(
            here.hessian @ step, rel=1e-5, abs=1e-12
        )


@pytest.mark.parametrize("seed", range(2))
def test_points_are_as_good_as_a_grid(seed):
    m, network, want, cross = tracking(seed, steps=2)
    model, surrounding = read(m)
    solver = SuccessiveLPs(model)
    found = [solver.improve(x, Deadline()) for x in starts(model, 4, seed)]
    found = [x for x in found if x is not None]
    assert all(model.violation(x) <= FEASIBILITY for x in found)
    units = surrounding.embedded.units
    best = min(surrounding.embedded.objective(x * units.columns) for x in found)
    grid = np.linspace(-2, 2, 201)
    first = np.column_stack([np.full(grid.size, m.s[0].value), grid])
    s1 = network.propagate(first)[0][-1][:, 0]
    pairs = np.column_stack([np.repeat(s1, grid.size), np.tile(grid, grid.size)])
    s2 = network.propagate(pairs)[0][-1][:, 0].reshape(grid.size, -1)
    cost = (s1 - want[0]) ** 2 + 0.3 * grid**2 + 0.5 * cross * s1 * grid
    cost = cost[:, None] + (s2 - want[1]) ** 2 + 0.3 * grid**2 + 0.5 * cross * s2 * grid
    cost[grid[:, None] + grid > 1] = np.inf
    assert best <= cost.min() + 1e-9


def absolute(**more):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.y = pyo.Var()
    m.nn = ReLUNetworkBlock(network=ABSOLUTE, inputs=[m.x[0]], outputs=[m.y])
    for name, rule in more.items():
        make = pyo.Objective if name == "obj" else pyo.Constraint
        m.add_component(name, make(expr=rule(m)))
    return m


@pytest.mark.parametrize(
    "parts",
    [
        {"obj": lambda m: m.x[0] * m.x[1] + m.y},
        {"obj": lambda m: -(m.x[1] ** 2)},
        {"obj": lambda m: pyo.exp(m.x[1]) + m.x[0] ** 2},
        {"obj": lambda m: (m.x[0] ** 2 + m.y) ** 2},
        {"obj": lambda m: m.y**2, "row": lambda m: m.x[1] * m.y >= -0.5},
        {"obj": lambda m: m.y**2, "row": lambda m: m.x[1] == (m.x[0] + 0.1) ** 2},
        {"obj": lambda m: m.y, "row": lambda m: m.x[1] ** 2 <= m.y + 0.1},
    ],
)
def test_other_models_have_none(parts):
    model, _ = read(absolute(**parts))
    x = starts(model, 1)[0]
    assert SuccessiveLPs(model).tangents(x).hessian is None


def test_forms_known_to_be_convex_are_no_rows():
    """The row that says of a form that it is convex holds at every point."""
    m = absolute(obj=lambda m: (m.x[0] + m.x[1]) ** 2 + m.x[0] * m.y + m.y**2)
    model, _ = read(m)
    assert SuccessiveLPs(model).tangents(starts(model, 1)[0]).hessian is not None


def test_where_a_quadratic_programme_is_given_up_a_linear_one_follows():
    """HiGHS refuses what is not semidefinite, and ends with a deadline."""
    model, _ = read(tracking()[0])
    solver = SuccessiveLPs(model)
    x = starts(model, 1)[0]
    here, ends = solver.tangents(x), solver.room(x, 0.5)
    linear = solver.programme.solved(here, 10.0, ends, Deadline(), False)
    wrong = Tangents(*here[:-1], -np.eye(len(linear)))
    assert solver.programme.solved(wrong, 10.0, ends, Deadline(), True) == (
        pytest.approx(linear)
    )
    over = solver.programme.solved(here, 10.0, ends, Deadline(0.0), True)
    assert over == pytest.approx(linear)
    right = solver.programme.solved(here, 10.0, ends, Deadline(), True)
    value = [
        here.costs @ step + 0.5 * step @ here.hessian @ step for step in (right, linear)
    ]
    assert value[0] < value[1]


def test_a_walk_crosses_kinks_and_ends_with_the_time():
    """From |x| = x to the least of (x - 1)^2 / 10 + |x| in two regions."""
    m = absolute(obj=lambda m: 0.1 * (m.x[0] + 1) ** 2 + 0.1 * m.y + 0.1 * m.x[1] ** 2)
    model, surrounding = read(m)
    solver = SuccessiveLPs(model)
    start = np.zeros(model.n_columns)
    start[surrounding.column(m.x[0])] = 0.9
    start = solver.completed(start)
    assert RegionWalk(solver, start, 10.0, Deadline(0.0)).solved() is None
    end = RegionWalk(solver, start, 10.0, Deadline()).solved()
    at = end * surrounding.embedded.units.columns
    assert at[surrounding.column(m.x[0])] == pytest.approx(-0.5, abs=1e-6)
    assert at[surrounding.column(m.x[1])] == pytest.approx(0.0, abs=1e-6)
    assert RegionWalk(solver, end, 10.0, Deadline()).solved() is None
