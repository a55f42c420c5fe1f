"""relu.branch on models with nonlinear rows around networks whose answers are known."""

import logging

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.network import Network
from tests.random_networks import random_network

#: |x| as a network.
ABSOLUTE = Network.sequential([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.0]])


def solve(m, **options):
    results = pyo.SolverFactory("relu.branch").solve(m, **options)
    return results.solver.termination_condition, results


def optimal(m, **options):
    status, results = solve(m, **options)
    assert status == pyo.TerminationCondition.optimal
    return results.problem.lower_bound, results.problem.upper_bound


def absolute(bounds=(-1, 2)):
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=bounds), pyo.Var()
    m.nn = ReLUNetworkBlock(network=ABSOLUTE, inputs=[m.x], outputs=[m.y])
    return m


def flowsheet(size):
    """A mixer behind a network, its Vars in units of any size."""
    m = pyo.ConcreteModel()
    a, b, c = size
    network = random_network(7, 2, (12, 12), 1)
    m.u = pyo.Var(range(2), bounds=(-1 / a, 1 / a))
    m.y = pyo.Var()
    m.f, m.g = pyo.Var(bounds=(0.5 / b, 3 / b)), pyo.Var(bounds=(-50 / c, 50 / c))
    m.nn = ReLUNetworkBlock(
        network=network, inputs=m.u, outputs=[m.y], input_scaling=([0, 0], [1 / a] * 2)
    )
    m.balance = pyo.Constraint(expr=c * m.g == b * m.f * m.y + a * m.u[0])
    m.limit = pyo.Constraint(expr=pyo.exp(a * m.u[0]) + (a * m.u[1]) ** 2 <= 1.5)
    m.obj = pyo.Objective(expr=c * m.g + 0.3 * (b * m.f) ** 0.6)
    return m


@pytest.mark.parametrize("size", [(1e4, 1e-5, 1e3), (1e-6, 1e6, 1e-4)])
def test_units_of_vars_change_nothing(size):
    bound, value = optimal(flowsheet((1.0, 1.0, 1.0)))
    there = optimal(flowsheet(size))
    assert there == pytest.approx((bound, value), rel=2e-4)


def test_threads_and_executors_give_the_same_value():
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    _, value = optimal(flowsheet((1.0, 1.0, 1.0)))
    _, threaded = optimal(flowsheet((1.0, 1.0, 1.0)), threads=2)
    assert threaded == pytest.approx(value, rel=2e-4)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        _, apart = optimal(flowsheet((1.0, 1.0, 1.0)), executor=executor)
    assert apart == pytest.approx(value, rel=2e-4)


def test_equality_rows_between_products():
    """Two outputs that must match a product: solved exactly by hand."""
    m = absolute()
    m.a = pyo.Var(bounds=(0.5, 4))
    m.row = pyo.Constraint(expr=m.a * m.y == 1)
    m.obj = pyo.Objective(expr=m.a + m.y)
    bound, value = optimal(m)
    assert bound <= 2.0 + 1e-9 and value == pytest.approx(2.0, abs=3e-4)
    assert m.a.value * abs(m.x.value) == pytest.approx(1.0, abs=1e-5)


def test_a_network_that_reads_what_an_atom_computes():
    m = pyo.ConcreteModel()
    m.a, m.b = pyo.Var(bounds=(-1, 2)), pyo.Var(bounds=(-1, 1))
    m.x, m.y = pyo.Var(), pyo.Var()
    m.link = pyo.Constraint(expr=m.x == m.a * m.b - 0.3)
    m.nn = ReLUNetworkBlock(network=ABSOLUTE, inputs=[m.x], outputs=[m.y])
    m.more = pyo.Constraint(expr=m.a**2 + m.b**2 >= 1.5)
    m.obj = pyo.Objective(expr=m.y + 0.1 * pyo.sin(m.a))
    bound, value = optimal(m)
    a, b = np.meshgrid(np.linspace(-1, 2, 1201), np.linspace(-1, 1, 801))
    grid = np.where(a**2 + b**2 >= 1.5, np.abs(a * b - 0.3) + 0.1 * np.sin(a), np.inf)
    assert bound <= grid.min() + 1e-9
    assert value <= grid.min() + 2e-5


def test_networks_in_a_chain_with_an_atom_in_between():
    """The first network's output is read by a product and by the second network."""
    rng = np.random.default_rng(3)
    first, second = (random_network(rng, 1, (6,), 1) for _ in range(2))
    m = pyo.ConcreteModel()
    m.x, m.y, m.z = pyo.Var(bounds=(-2, 2)), pyo.Var(), pyo.Var(bounds=(-9, 9))
    m.t = pyo.Var(bounds=(0, 1))
    m.one = ReLUNetworkBlock(network=first, inputs=[m.x], outputs=[m.y])
    m.two = ReLUNetworkBlock(network=second, inputs=[m.y], outputs=[m.z])
    m.obj = pyo.Objective(expr=m.z - m.t * m.y + 0.4 * m.t**2)
    bound, value = optimal(m)
    x, t = np.linspace(-2, 2, 4001)[:, None], np.linspace(0, 1, 401)
    y = first.forward(x)
    grid = second.forward(y) - t * y + 0.4 * t**2
    assert bound <= grid.min() + 1e-9
    assert value <= grid.min() + 1e-5


def test_outputs_in_a_circle_with_a_product():
    """x = |y| - 1 and y = x z through two networks that read each other."""
    shifted = Network.sequential([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [-1.0]])
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=(-2, 2)), pyo.Var(bounds=(-2, 2))
    m.z = pyo.Var(bounds=(0.1, 3))
    m.nn = ReLUNetworkBlock(network=shifted, inputs=[m.y], outputs=[m.x])
    m.back = ReLUNetworkBlock(network=shifted, inputs=[m.x], outputs=[m.y])
    m.row = pyo.Constraint(expr=m.x * m.z >= 0.0)
    m.obj = pyo.Objective(expr=m.x * m.z + m.z**2)
    # x = ||x| - 1| - 1: x in [-1, 0]; the row leaves x = 0 (y = -1)
    bound, value = optimal(m)
    assert bound <= 0.01 + 1e-9 and value == pytest.approx(0.01, abs=2e-5)


def test_integer_vars_in_products():
    m = absolute(bounds=(-2, 2))
    m.k = pyo.Var(domain=pyo.Integers, bounds=(-3, 5))
    m.b = pyo.Var(domain=pyo.Binary)
    m.row = pyo.Constraint(expr=m.k * m.y - m.b * m.x >= 1.3)
    m.obj = pyo.Objective(expr=m.k**2 - 0.7 * m.k + m.y * m.b + m.y)
    grid = np.inf
    x = np.linspace(-2, 2, 40001)
    for k in range(-3, 6):
        for b in (0, 1):
            y = np.abs(x)
            ok = k * y - b * x >= 1.3
            value = np.where(ok, k * k - 0.7 * k + y * b + y, np.inf)
            grid = min(grid, value.min())
    bound, value = optimal(m)
    assert bound <= grid + 1e-9
    assert value == pytest.approx(grid, abs=3e-4)
    assert m.k.value == round(m.k.value)


def test_infeasible_rows_are_proven():
    m = absolute()
    m.row = pyo.Constraint(expr=m.x * m.y >= 4.1)
    m.obj = pyo.Objective(expr=m.x)
    status, results = solve(m)
    assert status == pyo.TerminationCondition.infeasible
    assert "is not looked for" in str(results.solver.message)


def test_unbounded_columns_outside():
    m = absolute()
    m.z = pyo.Var()
    m.row = pyo.Constraint(expr=m.x * m.y >= 1.0)
    m.obj = pyo.Objective(expr=m.z)
    assert solve(m)[0] == pyo.TerminationCondition.unbounded
    m.more = pyo.Constraint(expr=m.z >= pyo.exp(m.x) - 5)
    _, value = optimal(m)
    assert value == pytest.approx(np.e - 5, abs=3e-4)


def test_arguments_that_rows_bound_only_with_the_objective():
    """No Var bound and no row bounds z, but no good point has it large."""
    m = absolute()
    m.z = pyo.Var()
    m.obj = pyo.Objective(expr=(m.z - m.y) ** 2 + m.x)
    bound, value = optimal(m)
    assert bound <= -1.0 + 1e-9 and value == pytest.approx(-1.0, abs=2e-4)


def test_domains_bound_arguments():
    """log and sqrt bound their arguments, and values bound them, too."""
    m = absolute(bounds=(-3, 3))
    m.row = pyo.Constraint(expr=pyo.log(m.x) >= -2)
    m.root = pyo.Constraint(expr=pyo.sqrt(m.x - 1) + m.y <= 2)
    m.obj = pyo.Objective(expr=m.x, sense=pyo.maximize)
    # sqrt(x - 1) = 2 - x
    _, value = optimal(m)
    assert value == pytest.approx((5 - np.sqrt(5)) / 2, abs=2e-4)


def test_fixed_vars_named_expressions_and_params_are_constants():
    m = absolute()
    m.p = pyo.Param(initialize=2.0, mutable=True)
    m.f = pyo.Var(initialize=3.0)
    m.f.fix()
    m.e = pyo.Expression(expr=m.p * m.x**2 - m.f * m.y)
    m.obj = pyo.Objective(expr=m.e)
    _, value = optimal(m)
    assert value == pytest.approx(-9 / 8, abs=2e-4)
    m.p.value = 1.0
    _, value = optimal(m)
    assert value == pytest.approx(-9 / 4, abs=3e-4)


def test_start_values_are_tried_first():
    m = flowsheet((1.0, 1.0, 1.0))
    _, value = optimal(m)
    m.more = pyo.Constraint(expr=m.y * m.f <= 100)
    status, results = solve(m, warmstart=True, mip_gap=1e9, abs_gap=1e9)
    assert status == pyo.TerminationCondition.optimal
    assert results.problem.upper_bound <= value + 1e-6


def test_a_time_limit_leaves_an_honest_bound(caplog):
    m = flowsheet((1.0, 1.0, 1.0))
    _, value = optimal(m)
    with caplog.at_level(logging.WARNING):
        status, results = solve(m, timelimit=0.0)
    assert status == pyo.TerminationCondition.maxTimeLimit
    assert results.problem.lower_bound <= value + 1e-9


def test_blocks_in_any_encoding_are_taken():
    m = flowsheet((1.0, 1.0, 1.0))
    _, value = optimal(m)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    _, encoded = optimal(m)
    assert encoded == pytest.approx(value, rel=2e-4)
