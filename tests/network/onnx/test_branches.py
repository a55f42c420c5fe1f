"""What exporters write around a network: known branches, columns, weight quantisation."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pyomo_relu.network import load_onnx
from tests.network.onnx.graphs import build, check_agreement, node

RNG = np.random.default_rng(8)
W, B = RNG.standard_normal((3, 4)), RNG.standard_normal(4)


def chain(*steps, constants=None, last="h", **options):
    """Gemm and Relu from x to h, then the steps."""
    nodes = [node("Gemm", ["x", "W", "b"], ["g"]), node("Relu", ["g"], ["h"]), *steps]
    constants = {"W": W, "b": B, **(constants or {})}
    return build(nodes, {"x": ["N", 3]}, [last], constants, **options)


def graph(name, nodes, output, constants=None):
    value = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    arrays = [
        onnx.numpy_helper.from_array(a.astype(np.float32), n)
        for n, a in (constants or {}).items()
    ]
    return helper.make_graph(nodes, name, [], [value], arrays)


@pytest.mark.parametrize("width", [1, 2])
def test_axis_squeezed_if_its_length_allows(width):
    """What PyTorch writes for squeeze(1) of a tensor with an open axis."""
    squeeze = node("ReduceSum", ["s", "axis"], ["a"], keepdims=0)  # legal for 2 too
    model = chain(
        node("Slice", ["h", "start", "end", "axis"], ["s"]),
        node("Shape", ["s"], ["shape"]),
        node("Gather", ["shape", "axis"], ["length"]),
        node("Equal", ["length", "axis"], ["equal"]),
        node("Squeeze", ["equal"], ["condition"]),
        node(
            "If",
            ["condition"],
            ["y"],
            then_branch=graph("then", [squeeze], "a"),
            else_branch=graph("else", [node("Identity", ["s"], ["b1"])], "b1"),
        ),
        constants={k: np.array([v]) for k, v in (("start", 0), ("end", width))}
        | {"axis": np.array([1])},
        last="y",
    )
    network = check_agreement(model)
    assert network.n_outputs == width


@pytest.mark.parametrize("condition", [True, False])
def test_branches_within_branches_with_weights_of_their_own(condition):
    """The inner branch reads a tensor that nothing else reads, and has activations."""
    inner = node(
        "If",
        ["c"],
        ["p"],
        then_branch=graph("t", [node("Abs", ["side"], ["q"])], "q"),
        else_branch=graph("e", [node("Neg", ["side"], ["r"])], "r"),
    )
    outer = node(
        "If",
        ["c"],
        ["y"],
        then_branch=graph("then", [inner, node("Add", ["p", "h"], ["s"])], "s"),
        else_branch=graph(
            "else", [node("Mul", ["h", "k"], ["t"])], "t", {"k": np.arange(4.0)}
        ),
    )
    model = chain(
        node("MatMul", ["x", "W"], ["side"]),
        outer,
        constants={"c": np.array(condition)},
        last="y",
    )
    network = check_agreement(model)
    assert network.n_neurons == (8 if condition else 4)


def test_branch_that_only_hands_on_an_outer_tensor():
    value = helper.make_tensor_value_info("h", TensorProto.FLOAT, None)
    branches = [
        helper.make_graph([node("Identity", ["h"], [n])], n, [], [value])
        for n in ("a1", "b1")
    ]
    for g, n in zip(branches, ("a1", "b1"), strict=True):
        g.output[0].name = n
    model = chain(
        node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]),
        constants={"c": np.array(False)},
        last="y",
    )
    assert check_agreement(model).n_neurons == 4


def test_open_batch_written_as_minus_one():
    model = chain()
    axis = model.graph.input[0].type.tensor_type.shape.dim[0]
    axis.Clear()
    axis.dim_value = -1
    assert load_onnx(model) == load_onnx(chain())


@pytest.mark.parametrize("imported", ["", "ai.onnx"])
@pytest.mark.parametrize("written", ["", "ai.onnx"])
def test_the_standard_domain_under_both_names(imported, written):
    model = chain()
    model.opset_import[0].domain = imported
    for n in model.graph.node:
        n.domain = written
    network = load_onnx(model)
    assert network == load_onnx(chain())
    assert {n.domain for n in model.graph.node} == {written}


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_weights_stored_as_integers(opset):
    """Quantised weights in DequantizeLinear nodes; the data stay floats."""
    steps = [
        node("DequantizeLinear", ["Q", "s", "z"], ["D"], axis=1),
        node("MatMul", ["h", "D"], ["y"]),
    ]
    constants = {
        "Q": RNG.integers(-120, 120, (4, 2)).astype(np.int8),
        "s": np.array([0.01, 0.03]),
        "z": np.array([3, -2], dtype=np.int8),
    }
    model = chain(*steps, constants=constants, last="y", opset=opset)
    check_agreement(model)


def test_one_hot_with_a_depth_of_one_entry():
    model = chain(
        node("OneHot", ["i", "depth", "values"], ["P"]),
        node("MatMul", ["h", "P"], ["y"]),
        constants={
            "i": np.array([2, 0, 1, 3]),
            "depth": np.array([4]),
            "values": np.array([0.0, 1.0]),
        },
        last="y",
    )
    check_agreement(model)


# -- scikit-learn's operators ------------------------------------------------------------


def with_ml(model):
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return model


def ml(op_type, inputs, output, **attributes):
    return helper.make_node(
        op_type, inputs, [output], domain="ai.onnx.ml", **attributes
    )


def test_choice_of_columns():
    model = chain(
        ml("ArrayFeatureExtractor", ["h", "i"], "y"),
        constants={"i": np.array([[3, 0, 0]])},
        last="y",
    )
    assert check_agreement(with_ml(model)).n_outputs == 3


def test_columns_side_by_side():
    nodes = [
        ml("FeatureVectorizer", ["u", "v"], "x", inputdimensions=[1, 2]),
        node("Gemm", ["x", "W", "b"], ["g"]),
        node("Relu", ["g"], ["y"]),
    ]
    model = build(nodes, {"u": ["N", 1], "v": ["N", 2]}, ["y"], {"W": W, "b": B})
    assert check_agreement(with_ml(model)).n_inputs == 3


def test_missing_values_do_not_matter():
    model = chain(
        ml(
            "Imputer",
            ["h"],
            "y",
            imputed_value_floats=[1.0, 2.0, 3.0, 4.0],
            replaced_value_float=float("nan"),
        ),
        last="y",
    )
    assert check_agreement(with_ml(model)).n_outputs == 4


def pipelines():
    """Name -> what comes before the regressor."""
    compose = pytest.importorskip("sklearn.compose")
    decomposition = pytest.importorskip("sklearn.decomposition")
    select = pytest.importorskip("sklearn.feature_selection")
    impute = pytest.importorskip("sklearn.impute")
    scale = pytest.importorskip("sklearn.preprocessing")
    return {
        "columns": compose.ColumnTransformer(
            [("a", scale.StandardScaler(), [2, 0]), ("b", "passthrough", [1, 3])]
        ),
        "remainder": compose.ColumnTransformer(
            [("a", scale.MinMaxScaler(), [3])], remainder="passthrough"
        ),
        "imputer": impute.SimpleImputer(),
        "selected": select.SelectKBest(select.f_regression, k=2),
        "clipped": scale.MinMaxScaler(clip=True),
        "components": decomposition.PCA(2),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["columns", "remainder", "imputer", "selected", "clipped", "components"]
)
def test_pipelines(name):
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline

    X = np.random.default_rng(2).uniform(-2, 2, (60, 4)).astype(np.float32)
    regressor = MLPRegressor(hidden_layer_sizes=(5,), max_iter=30, random_state=0)
    model = make_pipeline(pipelines()[name], regressor)
    model.fit(X, X[:, 0] ** 2 + X[:, 1])
    network = load_onnx(skl2onnx.to_onnx(model, X[:1]))
    expected = model.predict(X)
    np.testing.assert_allclose(network.forward(X)[:, 0], expected, atol=1e-5)
