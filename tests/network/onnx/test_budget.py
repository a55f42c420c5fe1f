"""What loading may cost: limits in total, errors that say how to raise them."""

import sys

import numpy as np
import pytest
from onnx import helper

from pyomo_relu.errors import BudgetExceededError, NetworkError, ReLUError
from pyomo_relu.network import Budget, load_onnx
from pyomo_relu.network.onnx.nodes.constants import check_numerical
from pyomo_relu.network.onnx.verification import runner
from tests.network.onnx.graphs import build, check_agreement, node, refusal
from tests.network.onnx.hostile import (
    HOSTILE,
    branches_within_branches,
    calls_in_a_row,
    chain,
    functions_that_double,
    large_layers,
)

#: What each hostile model must end in with a small budget; None where it is read.
ENDS = {
    "functions_that_double": "nodes",
    "functions_that_double_less": None,
    "functions_in_a_row": "nested more than",
    "functions_that_call_themselves": "calls itself",
    "functions_with_data": "nodes",
    "branches_within_branches": "nodes",
    "branches_in_memory": "nested more than",
    "endless_loop": "loops",
    "backtracking": "RegexFullMatch",
    "large_layers": "elements",
    "einsum_without_end": "seconds",
    "eye_like": "elements",
    "sparse_constants": "elements",
    "wide_input_2^20": "elements",
    "wide_input_2^23": "elements",
    "wide_input_2^25": "elements",
    "summed_input": "elements",
    "tiled_input": "elements",
    "dense_expansion": "elements",
    "resized_input": "elements",
    "pooled_input": "elements",
    "convolved_input": "elements",
    "summed_along": "elements|seconds",
    "chain_of_wide_additions": "elements",
    "masks_of_many_thresholds": "elements",
    "recurrent_with_neurons": "elements",
    "recurrent_without_neurons": "elements",
    "sorted_input": "elements",
    "unread_constants": None,
    "branch_not_taken": None,
    "many_attributes": "Unrecognized attribute",
    **{n: "elements|seconds" for n in HOSTILE if n.startswith("constants_")},
}

#: These take seconds, whatever they end in; the fuzzer's command loads them too.
LONG = set(HOSTILE) - set(ENDS)


#: Read within the budget, in a dozen seconds.
SLOW = {"functions_that_double_less"}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(k, marks=pytest.mark.dense if k in SLOW else ())
        for k in sorted(ENDS)
    ],
)
def test_small_files_that_ask_for_much(kind):
    model = HOSTILE[kind]()
    source = model if kind == "branches_in_memory" else model.SerializeToString()
    budget = Budget(elements=2**24, seconds=1000)
    if ENDS[kind] is None:
        assert load_onnx(source, budget=budget).n_inputs > 0
    else:
        refusal(source, ENDS[kind], budget=budget)


def test_every_hostile_model_has_its_end():
    assert {
        "calls_in_a_row",
        "chain_of_identities",
        "chain_of_additions",
        "chain_of_relus",
        "residuals",
    } == LONG


@pytest.mark.parametrize("kind", ["elements", "nodes", "seconds"])
def test_each_limit_can_be_lowered_and_says_how_to_raise_it(kind):
    model = chain(20, "Relu")
    small = Budget(**{kind: 1e-9 if kind == "seconds" else 1})
    text = refusal(model, kind, BudgetExceededError, budget=small)
    assert f"budget=Budget({kind}=" in text
    assert "g:" in text
    assert load_onnx(model, budget=Budget(**{kind: np.inf})).n_neurons == 40


def test_the_budget_is_a_total_and_not_per_tensor():
    """One layer fits, twelve equal ones do not; with a larger budget they do."""
    model = large_layers(layers=12, width=200)
    budget = Budget(elements=6 * 200**2)
    assert load_onnx(large_layers(1, 200), budget=budget, check=False).n_neurons == 200
    refusal(model, "elements", BudgetExceededError, budget=budget, check=False)
    assert load_onnx(model, check=False).n_neurons == 12 * 200


def test_the_files_own_weights_are_not_counted():
    rng = np.random.default_rng(0)
    weights = {f"w{k}": rng.standard_normal((60, 60)) for k in range(6)}
    names = ["x", *(f"h{k}" for k in range(6))]
    nodes = []
    for k in range(6):
        nodes.append(node("MatMul", [names[k], f"w{k}"], [f"a{k}"]))
        nodes.append(node("Relu", [f"a{k}"], [names[k + 1]]))
    model = build(nodes, {"x": [1, 60]}, ["h5"], weights)
    budget = Budget(elements=12000)  # less than the weights' 21,600
    assert load_onnx(model, budget=budget, check=False).n_neurons == 360


def test_functions_are_counted_as_often_as_they_are_called():
    model = functions_that_double(6)
    refusal(model, "32 nodes", BudgetExceededError, budget=Budget(nodes=31))
    assert load_onnx(model, budget=Budget(nodes=32)).n_neurons == 128


def test_the_time_that_onnxruntime_takes_to_inline_is_foreseen(monkeypatch):
    model = calls_in_a_row(10)
    assert load_onnx(model).n_inputs == 4
    monkeypatch.setattr(runner, "_INLINED", 1.0)  # pairs of calls per second
    text = refusal(model, "seconds", BudgetExceededError)
    assert "onnxruntime" in text
    assert load_onnx(model, check=False).n_inputs == 4


def test_one_load_leaves_nothing_to_the_next():
    model = chain(5, "Relu")
    budget = Budget(elements=3000, nodes=5)
    for _ in range(5):
        assert load_onnx(model, budget=budget, check=False).n_neurons == 10


def test_the_time_that_onnxruntime_takes_for_branches_is_foreseen(monkeypatch):
    model = branches_within_branches(4)
    assert load_onnx(model).n_neurons == 4
    monkeypatch.setattr(runner, "_BRANCHES", 0.1)  # If nodes per second
    text = refusal(model, "seconds", BudgetExceededError)
    assert "onnxruntime" in text
    assert load_onnx(model, check=False).n_neurons == 4


@pytest.mark.parametrize("kind", ["elements", "nodes", "seconds"])
@pytest.mark.parametrize("value", [0, -1, np.nan, "many", None])
def test_limits_that_cannot_be(kind, value):
    with pytest.raises(NetworkError, match=f"{kind} must be a positive number"):
        Budget(**{kind: value})


def test_a_budget_of_another_kind():
    refusal(chain(2), "Budget", budget=60)


@pytest.mark.parametrize(
    "op_type", ["StringConcat", "RegexFullMatch", "TfIdfVectorizer", "ImageDecoder"]
)
def test_operators_on_other_than_numbers_are_not_evaluated(op_type):
    with pytest.raises(ReLUError, match="deterministic operators on numbers"):
        check_numerical(helper.make_node(op_type, ["a"], ["b"]))


def test_what_the_outputs_do_not_need_is_not_evaluated():
    model = HOSTILE["unread_constants"]()
    assert load_onnx(model).forward([1.0, -1.0, 2.0, -2.0]).tolist() == [1, 0, 2, 0]


def test_sparse_weights_stored_densely_are_multiplied_sparsely():
    """The product of layers without activation between, as TLL networks have them."""
    rng = np.random.default_rng(0)
    eye = np.eye(40)[rng.permutation(40)]
    constants = {
        "a": rng.standard_normal((3, 40)),
        "b": eye,
        "c": np.repeat(eye, 3, axis=1)[:, ::2] - np.repeat(eye, 3, axis=1)[:, 1::2],
    }
    nodes = [
        node("MatMul", ["x", "a"], ["p"]),
        node("MatMul", ["p", "b"], ["q"]),
        node("Relu", ["q"], ["r"]),
        node("MatMul", ["r", "b"], ["s"]),
        node("MatMul", ["s", "c"], ["t"]),
        node("Relu", ["t"], ["y"]),
    ]
    network = check_agreement(build(nodes, {"x": [1, 3]}, ["y"], constants))
    expected = constants["b"].astype(np.float32) @ constants["c"].astype(np.float32)
    weights = network.layers[1].weights[0]
    assert weights.nnz == np.count_nonzero(expected)
    np.testing.assert_array_equal(weights.toarray(), expected.T)


def test_inputs_left_out_that_are_not_optional():
    """onnxruntime ends the process when it runs such a node, needed or not."""
    nodes = [node("Min", ["x", "a", ""], ["z"]), node("Relu", ["x"], ["y"])]
    constants = {"a": np.ones(2)}
    refusal(build(nodes, {"x": [1, 2]}, ["z"], constants), "is not optional")
    unread = build(nodes, {"x": [1, 2]}, ["y"], constants)
    assert load_onnx(unread).forward([-1.0, 2.0]).tolist() == [0.0, 2.0]


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and resource limits")
def test_damaged_files_end_equal_to_onnxruntime_or_in_an_error():
    """A part of ``python -m tests.network.onnx.fuzz``, without its limit on time."""
    from tests.network.onnx import fuzz

    results = fuzz.run(fuzz.mutants(range(300), seed=2), seconds=1000)
    assert [r for r in results if r[1] not in fuzz.RIGHT] == []
    verdicts = [verdict for _, verdict, _ in results]
    assert verdicts.count(fuzz.EQUAL) > 30
    assert verdicts.count(fuzz.REFUSED) > 100
