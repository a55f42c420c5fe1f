"""The same survey: ways to write a network that must be refused with a remedy."""

import numpy as np
import onnx
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.errors import (
    NetworkError,
    NetworkFileError,
    UnsupportedOperatorError,
)
from pyomo_relu.network import load_onnx
from tests.network.onnx.graphs import build, check_agreement, node, save
from tests.network.onnx.test_probes import chain


def refusal(model, text, *, error=NetworkError, **options):
    with pytest.raises(error, match=text) as caught:
        load_onnx(model, **options)
    return str(caught.value)


def test_02_fixed_batch():
    # the reader gives the batch as a whole, which is right; a block refuses it
    whole = check_agreement(chain(shape=[4, 3]))
    assert whole.inputs[0].shape == (4, 3) and whole.n_outputs == 8
    assert whole.fixed_batch == ("x", (4, 3))
    m = pyo.ConcreteModel()
    with pytest.raises(NetworkError, match="fixed batch of 4") as caught:
        m.nn = ReLUNetworkBlock(network=chain(shape=[4, 3]))
    assert "'x'" in str(caught.value)
    assert "input_shapes={'x': (4, 3)}" in str(caught.value)
    assert m.component("nn") is None
    sample = check_agreement(chain(shape=[4, 3]), input_shapes={"x": (4, 3)})
    m.nn = ReLUNetworkBlock(network=sample)
    assert len(m.nn.inputs) == 12


def test_03_all_dimensions_symbolic():
    model = chain(shape=["N", "M"])
    assert "'x'" in refusal(model, "only the first of several axes")
    network = load_onnx(model, input_shapes={"x": (1, 3)})
    check_agreement(chain(), network=network)


def test_03b_a_symbolic_vector():
    model = build([node("Relu", ["x"], ["y"])], {"x": ["N"]}, ["y"])
    refusal(model, "only the first of several axes")


def test_04_no_shape():
    model = chain(shape=["N", 3])
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert "input_shapes" in refusal(model, "has no shape")
    check_agreement(chain(), network=load_onnx(model, input_shapes={"x": (1, 3)}))


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax", "Sigmoid"])
def test_20_21_22_smooth_heads(op_type):
    model = chain(
        last=[
            node("Gemm", ["r", "W2", "b2"], ["logits"]),
            node(op_type, ["logits"], ["y"]),
        ]
    )
    text = refusal(model, op_type, error=UnsupportedOperatorError)
    assert "output='logits'" in text and "unnamed node" in text
    check_agreement(chain(), network=load_onnx(model, output="logits"))


@pytest.mark.parametrize(
    "number,weights",
    [
        ("34", {"W1": np.full((3, 4), np.nan)}),
        ("35", {"b1": np.array([0.0, np.inf, 0.0, 0.0])}),
    ],
)
def test_34_35_nan_and_infinite_weights(number, weights):
    text = refusal(chain(weights=weights), "NaN or infinite")
    assert f"'{next(iter(weights))}'" in text and "train or export" in text


def test_39_external_data_missing(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(
        chain(), str(path), save_as_external_data=True, location="w", size_threshold=0
    )
    (tmp_path / "w").unlink()
    text = refusal(path, "external data 'w'", error=NetworkFileError)
    assert "net.onnx" in text and "next to the model" in text


def test_40_garbage(tmp_path):
    path = tmp_path / "garbage.onnx"
    path.write_bytes(b"this is no protobuf at all, whatever the name says" * 9)
    assert "garbage.onnx" in refusal(path, "not an ONNX file", error=NetworkFileError)


def test_41_empty(tmp_path):
    path = tmp_path / "empty.onnx"
    path.write_bytes(b"")
    assert "empty.onnx" in refusal(path, "file is empty", error=NetworkFileError)


@pytest.mark.parametrize(
    "number,weights",
    [
        ("42", {"W1": np.ones((5, 4))}),
        ("42b", {"W1": np.ones((2, 4))}),
        ("42c", {"b1": np.ones(3)}),
        ("42d", {"b1": np.ones(7)}),
    ],
)
def test_42_shapes_that_do_not_fit(number, weights, tmp_path):
    path = save(chain(weights=weights), tmp_path / "wrong.onnx")
    text = refusal(path, "Gemm")
    assert "fit" in text and "wrong.onnx" in text and "'h'" in text
    assert "fit" in refusal(path, "Gemm", check=False)
