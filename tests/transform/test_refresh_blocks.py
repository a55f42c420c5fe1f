"""relu.refresh: which blocks it takes, members, targets, networks in a row."""

import pyomo.environ as pyo
import pytest

from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.errors import TransformationError
from tests.networks import two_two_one
from tests.transform.test_refresh import T, peak, state
from tests.truth import solve


def members():
    m = pyo.ConcreteModel()
    m.t = pyo.Set(initialize=[1, 2, 3])
    m.x = pyo.Var(m.t, [0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(
        m.t, network=two_two_one(), inputs=lambda t: [m.x[t, 0], m.x[t, 1]]
    )
    m.best = pyo.Objective(
        expr=sum(m.nn[t].outputs[0] for t in m.t), sense=pyo.maximize
    )
    return m


def test_a_member_is_refreshed_alone():
    m = members()
    T("relu.bigm").apply_to(m)
    m.x.setub(2)
    others = {t: m.nn[t].record.encoding for t in (1, 3)}
    assert m.nn[2].refresh()
    assert all(m.nn[t].record.encoding is e for t, e in others.items())
    assert m.nn.refresh()
    assert all(m.nn[t].record.encoding is not e for t, e in others.items())
    assert solve(m) == pytest.approx(3 * 8, abs=1e-4)


def test_targets_and_the_answer():
    m = members()
    T("relu.bigm").apply_to(m)
    m.x[1, 0].setub(2)
    m.x[3, 0].setub(2)
    found = T("relu.refresh").apply_to(m, targets=[m.nn[2], m.nn[3]])
    assert [block.name for block in found] == ["nn[3]"]
    assert "inputs of 'nn[3]'" in found[m.nn[3]]
    assert [block.name for block in T("relu.refresh").apply_to(m)] == ["nn[1]"]
    assert not T("relu.refresh").apply_to(m)
    with pytest.raises(TransformationError, match="is a IndexedVar"):
        T("relu.refresh").apply_to(m, targets=m.x)


def test_networks_in_a_row_are_refreshed_in_their_order():
    m = peak()
    m.c.deactivate()
    m.second = ReLUNetworkBlock(
        network=Network.sequential([[[1.0]], [[1.0]]], [[-5.0], [0.0]]),
        inputs=[m.nn.outputs[0]],
    )
    m.best.deactivate()
    m.top = pyo.Objective(expr=m.second.outputs[0], sense=pyo.maximize)
    T("relu.bigm").apply_to(m)
    m.p.value = 3
    found = T("relu.refresh").apply_to(m)
    assert [b.name for b in found] == ["second", "nn"]
    assert solve(m) == pytest.approx(7, abs=1e-5)


def test_a_run_on_two_blocks_takes_both():
    """Both encodings rest on the run, so both are made again."""
    m = members()
    T("relu.bounds").apply_to(m)
    T("relu.bigm").apply_to(m)
    m.x[1, 0].setub(2)
    assert m.nn[1].refresh()
    assert not m.nn.refresh()
    assert solve(m) == pytest.approx(5 + 4 + 4, abs=1e-5)


def test_create_using_refreshes_a_clone():
    m = peak()
    T("relu.bigm").apply_to(m)
    m.p.value = m.q.value = 3
    before = state(m)
    fresh = T("relu.refresh").create_using(m)
    assert state(m) == before
    assert solve(fresh) == pytest.approx(6, abs=1e-5)


def test_a_deactivated_member_of_a_run_is_taken_off():
    m = members()
    T("relu.obbt").apply_to(m, scope="model")
    T("relu.bigm").apply_to(m)
    m.nn[2].deactivate()
    m.best.set_value(m.nn[1].outputs[0] + m.nn[3].outputs[0])
    assert m.nn[1].refresh()
    assert m.nn[2].record.encoding is None
    assert solve(m) == pytest.approx(8, abs=1e-5)
    m.nn[1].forward_error()


def test_refresh_has_no_token():
    m = peak()
    token = T("relu.bigm").apply_to(m)
    with pytest.raises(TransformationError, match="no token of its own"):
        T("relu.refresh").apply_to(m, reverse=token)


def test_nothing_in_force():
    assert not peak().nn.refresh()
