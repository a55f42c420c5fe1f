import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu.bounds import NeuronBounds
from pyomo_relu.bounds.box_bounds import BoundsOfBoxes
from pyomo_relu.bounds.crown.backward import BackwardPass
from pyomo_relu.bounds.crown.crown import crown_bounds, crown_several
from pyomo_relu.bounds.crown.splitting import _run
from pyomo_relu.bounds.crown.splitting_cells import CellSplitting
from pyomo_relu.bounds.solver_free import tighten_several
from pyomo_relu.bounds.tightening import tighten
from pyomo_relu.common.deadline import ENDLESS
from pyomo_relu.errors import BoundsError
from tests.bounds.soundness import assert_sound
from tests.random_networks import boxes, networks, random_network, sample


def assert_same(one, other):
    for a, b in zip(
        (*one.lower, *one.upper), (*other.lower, *other.upper), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * (1.0 + np.abs(b).max()))
    assert np.array_equal(one.input_lower, other.input_lower)
    assert np.array_equal(one.input_upper, other.input_upper)


def inner(lower, upper):
    """A box within a box."""
    return 0.75 * lower + 0.25 * upper, 0.25 * lower + 0.75 * upper


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_crown_of_many_boxes_is_that_of_each(data):
    network = data.draw(networks(max_inputs=4, max_depth=4))
    pairs = [data.draw(boxes(network.n_inputs)) for _ in range(3)]
    starts = [crown_bounds(network, *pair) for pair in pairs]
    within = [inner(*pair) for pair in pairs]
    lower, upper = (np.stack(ends) for ends in zip(*within, strict=True))
    known = BoundsOfBoxes.of(starts) if data.draw(st.booleans()) else None
    together = crown_several(BackwardPass(network), lower, upper, known).records()
    for box, start, found in zip(within, starts, together, strict=True):
        alone = crown_bounds(network, *box, None if known is None else start)
        assert_same(found, alone)
        assert_sound(network, found, sample(0, *box, 100))


@settings(max_examples=5, deadline=None)
@given(st.data())
def test_many_boxes_are_tightened_as_each_alone(data):
    network = data.draw(networks(max_inputs=6, max_depth=3))
    pairs = [data.draw(boxes(network.n_inputs)) for _ in range(3)]
    methods = ("interval", "crown", "split")
    starts = [crown_bounds(network, *pair) for pair in pairs]
    found, statistics = tighten_several(
        BoundsOfBoxes.of(starts), methods=methods, max_cells=20
    )
    for pair, start, one, record in zip(
        pairs, starts, found.records(), statistics, strict=True
    ):
        alone, row = tighten(network, *pair, start=start, methods=methods, max_cells=20)
        assert_same(one, alone)
        assert_sound(network, one, sample(0, *pair, 100))
        kept = ("method", "layer", "neurons", "stable_before", "stable_after")
        for a, b in zip(record.layers, row.layers, strict=True):
            assert [getattr(a, name) for name in kept] == [
                getattr(b, name) for name in kept
            ]
            assert a.width_after == pytest.approx(b.width_after)


def test_boxes_split_in_parts_get_the_same_cells():
    network = random_network(3, 2, (12, 12), 1, scale=1.4)
    lower = np.array([[-1.0, -1.0], [0.0, -2.0], [0.5, 0.5]])
    bases = crown_several(BackwardPass(network), lower, lower + 2.0)

    def split(in_parts):
        kernel = BackwardPass(network)
        whole = CellSplitting(kernel, bases, 30, "all", 0.02)
        if in_parts:
            for boxes_ in (np.array([2]), np.array([0, 1])):
                part = whole.part(boxes_)
                _run(kernel, part, ENDLESS)
                whole.absorb(boxes_, part)
        else:
            _run(kernel, whole, ENDLESS)
        return whole

    one, other = split(False), split(True)
    assert list(one.stopped) == list(other.stopped) != [None] * 3
    np.testing.assert_allclose(one.union_low, other.union_low, atol=1e-12)
    np.testing.assert_allclose(one.union_high, other.union_high, atol=1e-12)
    np.testing.assert_array_equal(one.attained.low, other.attained.low)


def test_a_box_with_contradicting_bounds_is_named():
    network = random_network(0, 2, (3,), 1)
    bounds = BoundsOfBoxes.of([crown_bounds(network, -1.0, 1.0)] * 2)
    above = [a + 1.0 for a in bounds.upper]
    with pytest.raises(BoundsError, match=r"neuron 0 of layer 0"):
        bounds.intersect(above, bounds.upper, "given")


def test_records_do_not_share_the_callers_box():
    network = random_network(0, 2, (3,), 1)
    lower, upper = -np.ones(2), np.ones(2)
    found = crown_bounds(network, lower, upper)
    lower[0] = -7.0
    assert isinstance(found, NeuronBounds) and found.input_lower[0] == -1.0
    assert lower.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        found.lower[0][0] = 0.0


def test_bounds_to_start_from_are_of_the_network_asked_for():
    network, other = random_network(0, 2, (3,), 1), random_network(1, 2, (3,), 1)
    with pytest.raises(BoundsError, match="belong to the network"):
        tighten(network, -1.0, 1.0, start=crown_bounds(other, -1.0, 1.0))
