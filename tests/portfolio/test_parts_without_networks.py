"""Parts of a model that share no Var with a network are solved beside it."""

import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock, example_network
from pyomo_relu.errors import BoundsError

#: The least value of peaks_2x20 over its box.
LEAST = -6.972255


def model(row, u=(None, None), v=(None, None), domain=pyo.Reals):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([1, 2], bounds=(-2, 2))
    m.y, m.t, m.v = pyo.Var(), pyo.Var(), pyo.Var(bounds=v)
    m.u = pyo.Var(bounds=u, domain=domain)
    network = example_network("peaks_2x20")
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x, outputs=m.y)
    m.row = pyo.Constraint(expr=m.t >= row(m.u, m.v))
    m.cost = pyo.Objective(expr=m.y + m.t)
    return m


@pytest.mark.parametrize(
    "least, row, boxes",
    [
        (-3, lambda u, v: u + v, {"u": (-2, None), "v": (-1, None)}),
        (-4, lambda u, v: u * v, {"u": (-2, 3), "v": (-1, 2)}),
        (
            -4,
            lambda u, v: u * v,
            {"u": (-2.5, 3), "v": (-1, 2), "domain": pyo.Integers},
        ),
        (-3, lambda u, v: u**2 + u * v + v**2 - 3 * u, {}),
    ],
    ids=["half-bounded", "product", "whole", "bounded by its rows"],
)
@pytest.mark.parametrize("solver", ["relu", "relu.branch"])
def test_it_is_solved(least, row, boxes, solver):
    m = model(row, **boxes)
    results = pyo.SolverFactory(solver).solve(m)
    assert results.solver.termination_condition == "optimal"
    assert pyo.value(m.cost) == pytest.approx(LEAST + least, abs=1e-3)
    assert pyo.value(m.t) >= row(pyo.value(m.u), pyo.value(m.v)) - 1e-5


@pytest.mark.parametrize("solver", ["relu", "relu.branch"])
def test_a_var_without_bounds_is_named(solver):
    with pytest.raises(BoundsError, match="u has the bounds .* setlb"):
        pyo.SolverFactory(solver).solve(model(lambda u, v: u**3 + v))
