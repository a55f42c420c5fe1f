"""relu.cuts: ordinary rows that raise the root bound of the whole model."""

import itertools
import logging

import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from tests.networks import chain
from tests.transform.battery import box_model, lp_bound, violations
from tests.truth import solve


def encode(m, name="relu.cuts", **options):
    return pyo.TransformationFactory(name).apply_to(m, **options)


def wide():
    return box_model(chain([6, 14, 12, 1], seed=3))


def linked():
    m = pyo.ConcreteModel()
    m.I = pyo.RangeSet(2)
    m.nn = ReLUNetworkBlock(m.I, network={i: chain([4, 8, 6, 1], seed=i) for i in m.I})
    for i in m.I:
        for var in m.nn[i].input_vars():
            var.setlb(-1)
            var.setub(1)
    m.link = pyo.Constraint(expr=sum(m.nn[i].inputs[0] for i in m.I) >= 1.2)
    m.objective = pyo.Objective(expr=sum(m.nn[i].outputs[0] for i in m.I))
    return m


@pytest.mark.parametrize("model", [wide, linked])
def test_root_bound_rises_and_the_optimum_stays(model, caplog):
    m, big = model(), model()
    with caplog.at_level(logging.INFO, "pyomo.relu"):
        encode(m)
    encode(big, "relu.bigm")
    weak, strong = lp_bound(big), lp_bound(m)
    optimum = solve(big)
    assert weak + 0.1 * (optimum - weak) < strong <= optimum + 1e-7
    # the relaxation that was solved while separating is the one that Pyomo builds
    assert f"relaxation {weak:.4g}"[:-1] in caplog.text
    assert solve(m) == pytest.approx(optimum, abs=1e-5)


def test_cuts_are_looked_up_and_hold_for_the_network():
    m = wide()
    encode(m)
    t = pyo.TransformationFactory("relu.cuts")
    cuts = t.get_cuts(m.nn)
    assert cuts
    for cut in cuts:
        src = t.get_src_constraint(cut)
        assert any(row is cut for row in t.get_transformed_constraints(src))
    for x in ([0.0] * 6, [1.0, -1.0] * 3, [0.3, 0.9, -0.2, -1.0, 0.1, 0.7]):
        m.nn.initialize(x)
        assert violations(m) == []


def test_no_rounds_and_no_linear_objective_are_big_m(caplog):
    m, big = wide(), wide()
    encode(m, max_rounds=0)
    encode(big, "relu.bigm")
    assert lp_bound(m) == pytest.approx(lp_bound(big), abs=1e-9)
    nonlinear = wide()
    nonlinear.objective.expr = nonlinear.nn.outputs[0] ** 2
    encode(nonlinear)
    assert "no single linear objective" in caplog.text
    assert pyo.TransformationFactory("relu.cuts").get_cuts(nonlinear.nn) == []


def test_more_rounds_never_weaken():
    bounds = []
    for n in (0, 1, 3, 10):
        m = wide()
        encode(m, max_rounds=n, min_improvement=0.0)
        bounds.append(lp_bound(m))
    assert all(b >= a - 1e-7 for a, b in itertools.pairwise(bounds))
    assert bounds[1] > bounds[0]


def test_time_limit(caplog):
    with caplog.at_level(logging.INFO, "pyomo.relu"):
        encode(wide(), time_limit=0.0)
    assert "1 solve (time)" in caplog.text
