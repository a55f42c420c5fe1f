"""Successive LPs end at feasible points, go down, hold or find integers, give up."""

import numpy as np
import pyomo.environ as pyo
import pytest
from scipy import sparse

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.common.deadline import Deadline
from pyomo_relu.linear.embedded import EmbeddedModel, EmbeddedNetwork
from pyomo_relu.linear.model import LinearModel
from pyomo_relu.linear.rounding import FEASIBILITY
from pyomo_relu.model.blocks import network_blocks
from pyomo_relu.model.surrounding import read_surrounding
from pyomo_relu.search.nonlinear.nonlinear import NonlinearSearcher
from pyomo_relu.search.nonlinear.smooth import Smooth
from pyomo_relu.search.nonlinear.successive import SuccessiveLPs, moving_columns
from tests.branch.test_atoms import ABSOLUTE, absolute, flowsheet
from tests.networks import chain


def read(m):
    blocks = network_blocks(m, None, "a test")
    surrounding = read_surrounding(m, blocks, atoms_for="a test")
    return surrounding.embedded.in_unit_range(), surrounding


def starts(model, count, seed=0):
    searcher = NonlinearSearcher(model, Deadline(), seed)
    return searcher.complete(searcher.points(count))


def test_they_end_feasible_and_go_down():
    model, _ = read(flowsheet((1.0, 1.0, 1.0)))
    solver, found = SuccessiveLPs(model), []
    for start in starts(model, 8):
        point = solver.improve(start, Deadline())
        if point is None:
            continue
        assert model.violation(point) <= FEASIBILITY
        if model.violation(start) <= FEASIBILITY:
            assert model.objective(point) <= model.objective(start) + 1e-9
        found.append(float(model.objective(point)))
    assert len(found) >= 6
    best = min(found)
    assert sum(value <= best + 0.2 * (1.0 + abs(best)) for value in found) >= 2


def test_they_give_up_where_there_is_nothing():
    m = flowsheet((1.0, 1.0, 1.0))
    m.limit.set_value(m.limit.body <= 0.01)
    m.more = type(m.limit)(expr=m.u[0] * m.u[1] >= 2.0)
    model, _ = read(m)
    start = np.zeros(model.n_columns)
    assert SuccessiveLPs(model).improve(start, Deadline()) is None


def blend():
    """Two streams of some quality are mixed; without any flow the rows are flat."""
    m = pyo.ConcreteModel()
    m.u = pyo.Var(range(2), bounds=(-1, 2))
    m.y = pyo.Var(range(2))
    m.f = pyo.Var(range(2), bounds=(0, 3))
    m.mix = pyo.Var(bounds=(-60, 60))
    m.nn = ReLUNetworkBlock(
        [0, 1],
        network=ABSOLUTE,
        inputs=lambda i: [m.u[i]],
        outputs=lambda i: [m.y[i]],
    )
    total = m.f[0] + m.f[1]
    m.quality = pyo.Constraint(expr=m.f[0] * m.y[0] + m.f[1] * m.y[1] == m.mix * total)
    m.demand = pyo.Constraint(expr=total >= 1)
    m.cost = pyo.Objective(expr=m.mix + 0.5 * (m.f[0] - 1) ** 2)
    return m


def test_where_a_low_price_leads_away_a_higher_one_starts_again():
    model, _ = read(blend())
    solver, found = SuccessiveLPs(model), []
    for start in starts(model, 12):
        point = solver.improve(start, Deadline(), polish=False)
        if point is not None:
            assert model.violation(point) <= FEASIBILITY
            found.append(float(model.objective(point)))
    # the least quality of both streams is 0
    assert len(found) >= 11
    assert min(found) == pytest.approx(0.0, abs=1e-4)


def test_integer_columns_stay_or_are_found():
    """Only k = 3 with b = 1 permits a point; rounding alone keeps the start's."""
    m = absolute()
    m.k, m.b = pyo.Var(domain=pyo.Integers, bounds=(0, 9)), pyo.Var(domain=pyo.Binary)
    m.row = pyo.Constraint(expr=m.k**2 + m.y**2 == 9 * m.b + 0.25)
    m.more = pyo.Constraint(expr=m.k >= 2 * m.b)
    m.least = pyo.Constraint(expr=m.k + m.b >= 3)
    m.obj = pyo.Objective(expr=m.x)
    model, surrounding = read(m)
    k, b = surrounding.column(m.k), surrounding.column(m.b)
    solver = SuccessiveLPs(model)
    start = starts(model, 1)[0]
    start[[k, b]] = np.array([2.0, 1.0]) / surrounding.embedded.units.columns[[k, b]]
    assert solver.improve(start, Deadline()) is None
    point = solver.improve(start, Deadline(), relax=True)
    assert model.violation(point) <= FEASIBILITY
    point = point * surrounding.embedded.units.columns
    assert point[k] == 3.0 and point[b] == 1.0
    assert point[surrounding.column(m.x)] == pytest.approx(-0.5, abs=1e-5)


def test_a_column_without_ends_that_nothing_reads_moves_far():
    m = absolute()
    m.far = pyo.Var()
    m.link = pyo.Constraint(expr=m.far == 5e3 * m.y + 2e4)
    m.row = pyo.Constraint(expr=m.x * m.y >= 0.5)
    m.obj = pyo.Objective(expr=m.far)
    model, surrounding = read(m)
    point = SuccessiveLPs(model).improve(starts(model, 1)[0], Deadline())
    point = point * surrounding.embedded.units.columns
    assert point[surrounding.column(m.far)] == pytest.approx(
        2e4 + 5e3 * 0.5**0.5, rel=1e-6
    )


def test_which_columns_move():
    def model(functions, integer=()):
        whole = np.isin(np.arange(4), integer)
        none = sparse.csr_array((0, 4)), np.zeros(0), np.zeros(0)
        linear = LinearModel(*none, np.full(4, -1.0), np.full(4, 1.0), whole)
        return EmbeddedModel(linear, functions)

    one, two = ABSOLUTE, chain([1, 3, 1])
    row = [EmbeddedNetwork(two, [1], [2]), EmbeddedNetwork(one, [0], [1])]
    assert moving_columns(model(row)).tolist() == [0, 3]
    assert moving_columns(model(row, [2])).tolist() == [0, 2, 3]
    circle = [EmbeddedNetwork(one, [0], [1]), EmbeddedNetwork(two, [1], [0])]
    assert moving_columns(model(circle)).tolist() == [0, 2, 3]
    twice = [EmbeddedNetwork(one, [0], [1]), EmbeddedNetwork(two, [2], [1])]
    assert moving_columns(model(twice)).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("steps", [12, 40])
def test_many_sums_and_equations_end_as_they_should(steps):
    """More equations than columns that move are no model for SLSQP (SciPy 1.17 dies)."""
    m = pyo.ConcreteModel()
    m.k = pyo.RangeSet(steps)
    m.u = pyo.Var(m.k, bounds=(-2, 2))
    m.s = pyo.Var(range(steps + 1), bounds=(-2, 2))
    m.s[0].fix(-0.5)
    m.nn = ReLUNetworkBlock(
        m.k,
        network=chain([2, 5, 1]),
        inputs=lambda k: [m.s[k - 1], m.u[k]],
        outputs=lambda k: [m.s[k]],
    )
    m.obj = pyo.Objective(
        expr=sum((m.s[k] - 0.8) ** 2 + 0.1 * (m.u[k] - 0.1) ** 2 for k in m.k)
        + sum(0.5 * (m.u[k] - m.u[k - 1]) ** 2 for k in m.k if k > 1)
    )
    model, _ = read(m)
    solver = SuccessiveLPs(model)
    for start in starts(model, 3):
        point = solver.improve(start, Deadline())
        assert point is None or model.violation(point) <= FEASIBILITY
    full = pyo.ConcreteModel()
    full.x = pyo.Var(range(2), bounds=(-1, 1))
    full.y = pyo.Var()
    full.nn = ReLUNetworkBlock(network=ABSOLUTE, inputs=[full.x[0]], outputs=[full.y])
    full.one = pyo.Constraint(expr=full.y * full.x[1] == 0.25)
    full.two = pyo.Constraint(expr=full.x[0] * full.x[1] == 0.25)
    full.three = pyo.Constraint(expr=full.x[0] ** 2 + full.x[1] ** 2 == 0.5)
    full.four = pyo.Constraint(expr=full.x[0] + full.x[1] >= 0.9)
    model, surrounding = read(full)
    for start in starts(model, 6):
        point = SuccessiveLPs(model).improve(start, Deadline())
        if point is not None:
            x = point[surrounding.column(full.x[0])]
            assert x == pytest.approx(0.5, abs=1e-3)


def test_a_polish_ends_with_the_time():
    model, _ = read(flowsheet((1.0, 1.0, 1.0)))
    solver = SuccessiveLPs(model)
    start = starts(model, 1)[0]
    assert Smooth(solver, start, Deadline(0.0)).solved() is None
    assert Smooth(solver, start, Deadline()).solved() is not None
