"""TopK and sorting of small groups: networks of comparators, one neuron each."""

import itertools

import numpy as np
import pytest

from pyomo_relu.errors import UnsupportedOperatorError
from pyomo_relu.network import load_onnx
from pyomo_relu.network.onnx.operators.sorting import MAX_GROUP, sorting_stages
from tests.network.onnx.graphs import build, check_agreement, node, single


def top_k(shape, k, *, opset=17, **attributes):
    """A model of one TopK node whose indices are not used."""
    model = single("TopK", shape, {"k": np.array([k])}, opset=opset, **attributes)
    model.graph.node[0].output.append("where")
    return model


@pytest.mark.parametrize("size", range(1, 9))
def test_stages_sort_every_sequence_of_zeros_and_ones(size):
    """Enough for all numbers, by the 0-1 principle (Knuth, vol. 3, 5.3.4)."""
    values = np.array(list(itertools.product([0, 1], repeat=size)))
    expected = np.sort(values, axis=1)
    for stage in sorting_stages(size, range(size)):
        assert len({i for pair in stage for i in pair}) == 2 * len(stage)
        for i, j in stage:
            pair = values[:, [i, j]]
            values[:, i], values[:, j] = pair.min(axis=1), pair.max(axis=1)
    assert np.array_equal(values, expected)


@pytest.mark.parametrize("size,count", [(2, 1), (3, 3), (4, 5), (8, 19), (16, 63)])
def test_number_of_comparators(size, count):
    assert sum(map(len, sorting_stages(size, range(size)))) == count


def test_comparators_that_no_wanted_place_needs_are_left_out():
    whole = sum(map(len, sorting_stages(16, range(16))))
    assert sum(map(len, sorting_stages(16, [15, 14]))) < 0.7 * whole
    assert sum(map(len, sorting_stages(16, [15]))) == 15


@pytest.mark.parametrize(
    "shape,k,attributes",
    [
        (["N", 2], 2, {}),
        (["N", 5], 5, {}),
        (["N", 5], 5, {"largest": 0}),
        (["N", 7], 3, {}),
        (["N", 7], 3, {"largest": 0}),
        (["N", 6], 1, {}),
        (["N", 6], 1, {"sorted": 0, "largest": 0}),
        ([1, 4, 3], 3, {"axis": 1}),
        ([1, 4, 3], 2, {"axis": -2, "largest": 0}),
        ([3, 2], 2, {"axis": 0}),
    ],
    ids=str,
)
def test_top_k(shape, k, attributes):
    check_agreement(top_k(shape, k, **attributes), points=40)


def test_top_k_with_its_number_as_attribute():
    model = build(
        [node("TopK", ["x"], ["y", "where"], k=2)], {"x": ["N", 5]}, ["y"], opset=9
    )
    check_agreement(model, points=20)


def test_equal_entries_are_sorted():
    network = load_onnx(top_k(["N", 4], 4))
    assert np.array_equal(network.forward([1.0, 2.0, 1.0, 2.0]), [2.0, 2.0, 1.0, 1.0])


def test_group_sort_network():
    rng = np.random.default_rng(0)
    nodes, constants = [], {"shape": np.array([1, 4, 2]), "flat": np.array([1, 8])}
    constants["two"] = np.array([2])
    source, width = "x", 3
    for k in range(2):
        constants[f"w{k}"] = rng.standard_normal((width, 8))
        nodes += [
            node("MatMul", [source, f"w{k}"], [f"a{k}"]),
            node("Reshape", [f"a{k}", "shape"], [f"g{k}"]),
            node("TopK", [f"g{k}", "two"], [f"s{k}", f"i{k}"], largest=0),
            node("Reshape", [f"s{k}", "flat"], [f"h{k}"]),
        ]
        source, width = f"h{k}", 8
    network = check_agreement(build(nodes, {"x": [1, 3]}, ["h1"], constants))
    assert [layer.size for layer in network.activation_layers] == [4, 4]


REFUSED = {
    "large": (top_k(["N", MAX_GROUP + 1], 2), f"more than {MAX_GROUP}"),
    "unsorted": (top_k(["N", 5], 2, sorted=0), "order of its values is left open"),
    "too_many": (top_k(["N", 5], 6), "TopK"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    model, text = REFUSED[name]
    with pytest.raises(Exception, match=text):
        load_onnx(model)


def test_the_largest_of_many_needs_no_sorting():
    assert load_onnx(top_k(["N", 3 * MAX_GROUP], 1)).n_neurons == 3 * MAX_GROUP - 1


def test_positions_are_refused():
    model = top_k(["N", 5], 2)
    model.graph.node.append(node("Cast", ["where"], ["z"], to=1))
    model.graph.output[0].name = "z"
    with pytest.raises(UnsupportedOperatorError, match="'where' is used"):
        load_onnx(model)
    with pytest.raises(UnsupportedOperatorError, match="ArgMax.*It jumps"):
        load_onnx(single("ArgMax", ["N", 5]))
