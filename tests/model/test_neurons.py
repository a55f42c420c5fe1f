"""Which bounds of outputs and neurons are rows of a model, and which say nothing."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.branch.interface.read import read_model
from tests.random_networks import random_network

UNITS = range(6)


def units():
    """Units of one network, with boxes of their own, that share a resource."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(UNITS, bounds=lambda m, u: (-1.0 - 0.1 * u, 1.0))
    m.y = pyo.Var(UNITS)
    m.nn = ReLUNetworkBlock(
        UNITS,
        network=random_network(0, 1, (8,), 1),
        inputs=lambda u: [m.x[u]],
        outputs=lambda u: [m.y[u]],
    )
    m.resource = pyo.Constraint(expr=sum(m.x.values()) <= 1.0)
    m.o = pyo.Objective(expr=sum(m.y.values()))
    return m


def test_bounds_that_were_recorded_make_no_rows():
    m = units()
    pyo.TransformationFactory("relu.bounds").apply_to(m)
    assert all(m.y[u].lb is not None for u in UNITS)
    problem = read_model(m).problem
    assert problem.function_lower.size == 0
    assert problem.network.n_outputs == 1
    plain = read_model(units()).problem
    assert plain.original.linear.n_columns == problem.original.linear.n_columns


def test_bounds_that_say_more_stay():
    m = units()
    pyo.TransformationFactory("relu.bounds").apply_to(m)
    middle = 0.5 * (m.y[2].lb + m.y[2].ub)
    m.y[2].setub(middle)
    m.nn[3].pre[0, 1].setlb(0.5 * m.nn[3].pre[0, 1].ub)
    model = read_model(m)
    problem = model.problem
    assert problem.function_lower.size == 2
    linear = problem.original.linear
    assert np.isfinite(linear.upper).sum() == len(UNITS) + 1
    column = model.surrounding.column(m.y[2])
    assert linear.upper[column] == middle


def test_bounds_of_what_another_network_reads_stay():
    m = units()
    m.z = pyo.Var()
    m.last = ReLUNetworkBlock(
        network=random_network(1, 1, (4,), 1), inputs=[m.y[0]], outputs=[m.z]
    )
    pyo.TransformationFactory("relu.bounds").apply_to(m)
    model = read_model(m)
    linear = model.problem.original.linear
    assert linear.upper[model.surrounding.column(m.y[0])] == m.y[0].ub
    assert linear.upper[model.surrounding.column(m.y[1])] == np.inf


def test_optimum_is_the_same_with_recorded_bounds():
    values = []
    for bounded in (False, True):
        m = units()
        if bounded:
            pyo.TransformationFactory("relu.bounds").apply_to(m)
            m.y[1].setub(m.y[1].ub - 1e-3)
        results = pyo.SolverFactory("relu.branch").solve(m)
        values.append(pyo.value(m.o))
        assert results.problem.lower_bound <= values[-1] + 1e-9
        for block in m.nn.values():
            assert block.forward_error() <= 1e-9
    assert values[0] == pytest.approx(values[1], rel=2e-4, abs=1e-6)
