"""Bounds that the modeller brings: used, checked, dropped, taken back, carried along."""

import logging
import pickle

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.bounds import NeuronBounds, interval_bounds, tighten
from pyomo_relu.errors import BoundsError, TransformationError
from tests.networks import chain, two_two_one


def apply(name, model, **options):
    return pyo.TransformationFactory(name).apply_to(model, **options)


def model(box=(-1, 1), **kwds):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=box)
    m.nn = ReLUNetworkBlock(network=chain([2, 6, 6, 1]), inputs=m.x, **kwds)
    m.best = pyo.Objective(expr=m.nn.outputs[0])
    return m


def proven(m, box=(-1, 1), methods=("crown", "split")):
    return tighten(m.nn.network, *box, methods=methods)[0]


def widths(bounds):
    return [bounds.mean_width(k) for k in range(len(bounds.lower))]


def best_at(m):
    pyo.SolverFactory("appsi_highs").solve(m)
    assert m.nn.forward_error() < 1e-5
    return pyo.value(m.best)


def same(a, b):
    return all(map(np.array_equal, a.lower + a.upper, b.lower + b.upper))


def test_formulations_use_them_and_the_optimum_stays():
    plain, m = model(), model()
    given = proven(m)
    declared = [v.bounds for v in m.component_data_objects(pyo.Var)]
    m.nn.use_bounds(given)
    assert [v.bounds for v in m.component_data_objects(pyo.Var)] == declared
    assert max(np.subtract(widths(m.nn.neuron_bounds()), widths(given))) <= 0
    for each in (plain, m):
        apply("relu.bigm", each)
    T = pyo.TransformationFactory("relu.bigm")
    assert T.get_largest_M_value(m) < T.get_largest_M_value(plain)
    assert best_at(m) == pytest.approx(best_at(plain), abs=1e-5)


def test_they_are_intersected_with_what_is_recorded_before_and_after():
    m, start = model(), model().nn.neuron_bounds()
    half = [np.where(np.arange(a.size) % 2, a, np.inf) for a in proven(m).upper]
    other = NeuronBounds(
        m.nn.network, start.lower, half, "given", start.input_lower, start.input_upper
    )
    m.nn.use_bounds(other)
    apply("relu.bounds", m, methods=["crown"])
    m.nn.use_bounds(proven(m))
    found = m.nn.neuron_bounds()
    for bounds in (other, proven(m, methods=("crown",)), proven(m)):
        assert same(found, found.intersect(bounds))


def test_scaling_belongs_to_the_network():
    m = model(input_scaling=([1.0, 0.0], [2.0, 1.0]))
    unscaled = interval_bounds(chain([2, 6, 6, 1]), -1, 1)
    with pytest.raises(BoundsError, match=r"nn: the bounds belong.*nn\.network"):
        m.nn.use_bounds(unscaled)
    m.nn.use_bounds(proven(m))
    assert m.nn.record.bounds is not None


def wrong(bounds, k=0, i=0):
    upper = [a.copy() for a in bounds.upper]
    upper[k][i] = bounds.lower[k][i] + 0.01 * (upper[k][i] - bounds.lower[k][i])
    box = bounds.input_lower, bounds.input_upper
    return NeuronBounds(bounds.network, bounds.lower, upper, "given", *box)


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda m: {"lower": 0}, "takes a NeuronBounds, not dict"),
        (lambda m: interval_bounds(two_two_one(), -1, 1), "belong to the network"),
        (
            lambda m: proven(m, (-1, 0.5)),
            r"for 'x\[0\]' in \[-1.0, 0.5\] but it may lie in \[-1.0, 1.0\]",
        ),
        (lambda m: wrong(proven(m)), r"wrong: neuron 0 of layer 0 .*Prove them again"),
        (lambda m: wrong(proven(m), 2), "wrong: neuron 0 of layer 2"),
    ],
    ids=["type", "network", "box", "first layer", "output"],
)
def test_what_cannot_be_right_is_refused(make, text):
    m = model()
    with pytest.raises(BoundsError, match=f"nn: .*{text}"):
        m.nn.use_bounds(make(m))
    assert m.nn.record.bounds is None and not m.nn.record.runs


def test_inputs_need_finite_bounds():
    m = model()
    m.x[1].setub(None)
    with pytest.raises(BoundsError, match=r"x\[1\]"):
        m.nn.use_bounds(proven(m))


def test_an_encoded_block_is_left_alone():
    m = model()
    given = proven(m)
    token = apply("relu.bigm", m)
    for bounds in (given, None):
        with pytest.raises(TransformationError, match="'nn' is already encoded by"):
            m.nn.use_bounds(bounds)
    apply("relu.bigm", m, reverse=token)
    m.nn.use_bounds(given)
    assert same(m.nn.record.bounds, given)


def test_a_wider_box_drops_them(caplog):
    m = model()
    m.nn.use_bounds(proven(m))
    m.x[0].setub(3)
    assert same(m.nn.neuron_bounds(), interval_bounds(m.nn.network, [-1, -1], [3, 1]))
    m.nn.initialize([2, 0])
    assert m.nn.forward_error() < 1e-9  # no Var bounds were set that could be wrong
    with caplog.at_level(logging.WARNING, "pyomo.relu"):
        apply("relu.bigm", m)
    assert "nn: bounds recorded by use_bounds are dropped" in caplog.text
    assert m.nn.record.bounds is None
    plain = model()
    plain.x[0].setub(3)
    apply("relu.bigm", plain)
    assert best_at(m) == pytest.approx(best_at(plain), abs=1e-5)


def test_none_takes_them_back_with_what_was_built_on_them():
    m = model()
    apply("relu.bounds", m, methods=["interval"])
    before = m.nn.neuron_bounds()
    bounds_of_vars = [v.bounds for v in m.component_data_objects(pyo.Var)]
    m.nn.use_bounds(proven(m, methods=("crown", "split", "lp")))
    assert not same(m.nn.neuron_bounds(), before)
    apply("relu.obbt", m)
    m.nn.use_bounds(None)
    assert same(m.nn.neuron_bounds(), before)
    assert [v.bounds for v in m.component_data_objects(pyo.Var)] == bounds_of_vars
    m.nn.use_bounds(None)  # nothing is left to take back
    assert same(m.nn.neuron_bounds(), before)


def test_reversing_what_lies_below_names_the_way():
    m = model()
    token = apply("relu.bounds", m)
    m.nn.use_bounds(proven(m))
    with pytest.raises(TransformationError, match=r"Call nn\.use_bounds\(None\) first"):
        apply("relu.bounds", m, reverse=token)
    m.nn.use_bounds(None)
    apply("relu.bounds", m, reverse=token)
    assert m.nn.record.bounds is None


@pytest.mark.parametrize(
    "copy", [lambda m: m.clone(), lambda m: pickle.loads(pickle.dumps(m))]
)
def test_clones_and_pickles_keep_them(copy):
    m = model()
    given = proven(m)
    m.nn.use_bounds(given)
    again = copy(m)
    assert same(again.nn.neuron_bounds(), m.nn.neuron_bounds())
    again.nn.use_bounds(None)
    assert again.nn.record.bounds is None
    assert m.nn.record.bounds is given


def test_contradicting_bounds_name_the_block():
    """Wrong only where no trial falls: found once the box shrinks to that place."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=two_two_one(), inputs=m.x)
    box = interval_bounds(m.nn.network, -1, 1)
    upper = [box.upper[0] - [1e-10, 0], box.upper[1]]
    bad = NeuronBounds(m.nn.network, box.lower, upper, "given", [-1, -1], [1, 1])
    m.nn.use_bounds(bad)
    for x in m.x.values():
        x.fix(1.0)
    with pytest.raises(BoundsError, match="nn: recorded bounds contradict"):
        m.nn.neuron_bounds()
