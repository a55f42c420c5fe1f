"""What exporters write today: PyTorch (both exporters), scikit-learn, Keras style."""

import io
import logging
import warnings

import numpy as np
import pytest

from pyomo_relu.errors import UnsupportedOperatorError
from pyomo_relu.network import load_onnx
from tests.network.onnx.graphs import build, check_agreement, node, session

# -- PyTorch -------------------------------------------------------------------------


def torch_models():
    """Name -> (module, shape of one sample)."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(4)

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 6)
            self.last = nn.Linear(10, 2)

        def forward(self, x):
            h = torch.relu(self.first(x))
            h = h + torch.relu(self.second(h))
            return self.last(torch.cat([h, x], dim=1))

    class Odds(nn.Module):
        """abs, clamp, max of halves, mean, view, permute, leaky and hard functions."""

        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(6, 8)
            self.slope = nn.PReLU(2, init=0.3)

        def forward(self, x):
            h = torch.abs(self.lin(x)).clamp(0.2, 1.5)
            a, b = h.chunk(2, dim=1)
            m = torch.maximum(a, b) - torch.minimum(a, 0.5 * b)
            m = self.slope(m.view(-1, 2, 2)).permute(0, 2, 1).reshape(-1, 4)
            m = nn.functional.hardtanh(m, -0.7, 0.9) + m.mean(dim=1, keepdim=True)
            return m.amax(dim=1, keepdim=True) - m.sum(dim=1, keepdim=True)

    return {
        "mlp": (nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2)), (5,)),
        "relu6": (nn.Sequential(nn.Linear(5, 8), nn.ReLU6(), nn.Linear(8, 2)), (5,)),
        "leaky": (
            nn.Sequential(
                nn.Linear(5, 8), nn.LeakyReLU(0.1), nn.Dropout(), nn.Linear(8, 2)
            ),
            (5,),
        ),
        "batch_norm": (
            nn.Sequential(
                nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)
            ),
            (5,),
        ),
        "hard": (
            nn.Sequential(
                nn.Linear(5, 8), nn.Hardsigmoid(), nn.Linear(8, 2), nn.Hardtanh()
            ),
            (5,),
        ),
        "cnn": (
            nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1),
                nn.BatchNorm2d(4),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=2, bias=False),
                nn.ReLU(),
                nn.AvgPool2d(2),
                nn.Flatten(),
                nn.Linear(4, 3),
            ),
            (1, 8, 8),
        ),
        "conv1d": (
            nn.Sequential(
                nn.Conv1d(2, 3, 3, dilation=2),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(12, 1),
            ),
            (2, 8),
        ),
        "decoder": (
            nn.Sequential(
                nn.Linear(3, 8),
                nn.ReLU(),
                nn.Unflatten(1, (2, 2, 2)),
                nn.ConvTranspose2d(2, 1, 2, stride=2),
                nn.Upsample(scale_factor=2, mode="nearest"),
            ),
            (3,),
        ),
        "adaptive": (
            nn.Sequential(
                nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
            ),
            (2, 5, 5),
        ),
        "residual": (Residual(), (4,)),
        "odds": (Odds(), (6,)),
    }


TORCH_NAMES = [
    "mlp",
    "relu6",
    "leaky",
    "batch_norm",
    "hard",
    "cnn",
    "conv1d",
    "decoder",
    "adaptive",
    "residual",
    "odds",
]


def exported(module, shape, *, dynamo, folder=None, output_names=None):
    """Bytes of the ONNX export, or the path of a file with external data."""
    torch = pytest.importorskip("torch")
    if dynamo:
        pytest.importorskip("onnxscript")
    module.eval()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    sample = torch.zeros(1, *shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not dynamo:
            buffer = io.BytesIO()
            axes = {"input": {0: "batch"}}
            torch.onnx.export(
                module,
                (sample,),
                buffer,
                dynamo=False,
                input_names=["input"],
                output_names=output_names,
                dynamic_axes=axes,
            )
            return buffer.getvalue()
        program = torch.onnx.export(
            module, (sample,), dynamo=True, verbose=False, output_names=output_names
        )
        if folder is None:
            return program.model_proto.SerializeToString()
        program.save(str(folder / "net.onnx"), external_data=True)
        return folder / "net.onnx"


#: Exported by the newer exporter, too, which takes seconds for each.
BY_BOTH = ("mlp", "cnn", "odds")


@pytest.mark.parametrize(
    "name, dynamo",
    [(name, False) for name in TORCH_NAMES]
    + [
        pytest.param(name, True, marks=() if name in BY_BOTH else pytest.mark.dense)
        for name in TORCH_NAMES
    ],
)
def test_torch_export(name, dynamo):
    torch = pytest.importorskip("torch")
    module, shape = torch_models()[name]
    network = load_onnx(exported(module, shape, dynamo=dynamo))
    assert network.inputs[0].shape == shape
    X = np.random.default_rng(1).standard_normal((20, network.n_inputs))
    X = X.astype(np.float32)
    with torch.no_grad():
        Y = module(torch.from_numpy(X.reshape(-1, *shape))).numpy().reshape(20, -1)
    np.testing.assert_allclose(network.forward(X), Y, rtol=1e-4, atol=1e-5)


def test_torch_model_list_is_complete():
    assert sorted(torch_models()) == sorted(TORCH_NAMES)


def test_torch_external_data(tmp_path):
    module, shape = torch_models()["mlp"]
    path = exported(module, shape, dynamo=True, folder=tmp_path)
    assert (tmp_path / "net.onnx.data").exists()
    assert load_onnx(path) == load_onnx(exported(module, shape, dynamo=True))


def test_torch_softmax_head_is_refused_with_the_logits_as_remedy():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    module = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
    data = exported(module, (4,), dynamo=True)
    with pytest.raises(UnsupportedOperatorError, match="Softmax") as error:
        load_onnx(data)
    name = str(error.value).split("output='")[1].split("'")[0]
    x = np.ones((1, 4), dtype=np.float32)
    with torch.no_grad():
        logits = module[0](torch.from_numpy(x)).numpy()
    assert np.allclose(load_onnx(data, output=name).forward(x), logits, atol=1e-6)


# -- scikit-learn ------------------------------------------------------------------------


def sklearn_export(model, n_inputs, kind="float"):
    skl2onnx = pytest.importorskip("skl2onnx")
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    types = {"float": FloatTensorType, "double": DoubleTensorType}
    initial = [("X", types[kind]([None, n_inputs]))]
    return skl2onnx.convert_sklearn(model, initial_types=initial)


def fitted(outputs=1, hidden=(7, 5), **options):
    neural_network = pytest.importorskip("sklearn.neural_network")
    rng = np.random.default_rng(6)
    X = rng.uniform(-2, 2, (80, 3))
    Y = np.column_stack([np.sin(X[:, 0]) + X[:, 1], X[:, 2] ** 2])[:, :outputs]
    model = neural_network.MLPRegressor(
        hidden_layer_sizes=hidden, max_iter=60, random_state=0, **options
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, Y[:, 0] if outputs == 1 else Y)
    return model, X


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_sklearn_regressor(kind, outputs):
    model, X = fitted(outputs)
    network = load_onnx(sklearn_export(model, 3, kind))
    assert network.n_outputs == outputs and network.n_neurons == 12
    expected = model.predict(X).reshape(-1, outputs)
    np.testing.assert_allclose(network.forward(X), expected, atol=1e-5)


def test_sklearn_pipeline_with_scaler():
    pipeline = pytest.importorskip("sklearn.pipeline")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    model, X = fitted()
    scaler = preprocessing.StandardScaler().fit(3 * X + 1)
    onx = sklearn_export(pipeline.make_pipeline(scaler, model), 3)
    expected = model.predict(scaler.transform(X))[:, None]
    np.testing.assert_allclose(load_onnx(onx).forward(X), expected, atol=1e-4)


def test_sklearn_linear_model():
    linear_model = pytest.importorskip("sklearn.linear_model")
    X = np.random.default_rng(0).standard_normal((30, 3))
    model = linear_model.LinearRegression().fit(X, X @ [[1.0, 2], [3, 4], [5, 6]] + 1)
    network = load_onnx(sklearn_export(model, 3))
    np.testing.assert_allclose(network.forward(X), model.predict(X), atol=1e-5)


def test_sklearn_classifier_is_refused_by_operator():
    neural_network = pytest.importorskip("sklearn.neural_network")
    rng = np.random.default_rng(6)
    X = rng.uniform(-2, 2, (80, 3))
    model = neural_network.MLPClassifier(
        hidden_layer_sizes=(6,), max_iter=20, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, (X[:, 0] > 0).astype(int))
    with pytest.raises(UnsupportedOperatorError, match="operator .*output tensor"):
        load_onnx(sklearn_export(model, 3))


# -- Keras style ---------------------------------------------------------------------------


def test_keras_style_dense():
    """tf2onnx: names with slashes and colons, MatMul + Add, weights as input times W."""
    rng = np.random.default_rng(2)
    model = build(
        [
            node(
                "MatMul",
                ["dense_input:0", "seq/dense/kernel:0"],
                ["seq/dense/MatMul:0"],
            ),
            node(
                "Add", ["seq/dense/MatMul:0", "seq/dense/bias:0"], ["seq/dense/Add:0"]
            ),
            node("Relu", ["seq/dense/Add:0"], ["seq/dense/Relu:0"]),
            node("MatMul", ["seq/dense/Relu:0", "k2"], ["m"]),
            node("Add", ["m", "b2"], ["Identity:0"]),
        ],
        {"dense_input:0": ["unk__6", 3]},
        ["Identity:0"],
        {
            "seq/dense/kernel:0": rng.standard_normal((3, 5)),
            "seq/dense/bias:0": rng.standard_normal(5),
            "k2": rng.standard_normal((5, 1)),
            "b2": rng.standard_normal(1),
        },
    )
    assert check_agreement(model).layers[0].name == "seq/dense/Add:0"


def test_keras_style_image():
    """Channels last: Transpose to NCHW, Conv, Relu, Min 6, pool, Transpose, Reshape."""
    rng = np.random.default_rng(2)
    model = build(
        [
            node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
            node("Conv", ["t", "k"], ["c"], strides=[2, 2], auto_pad="SAME_UPPER"),
            node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], epsilon=1e-3),
            node("Relu", ["n"], ["r"]),
            node("Min", ["r", "six"], ["r6"]),
            node("MaxPool", ["r6"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Transpose", ["p"], ["q"], perm=[0, 2, 3, 1]),
            node("Reshape", ["q", "shape"], ["f"]),
            node("MatMul", ["f", "w"], ["y"]),
        ],
        {"x": ["N", 7, 7, 2]},
        ["y"],
        {
            "k": rng.standard_normal((3, 2, 3, 3)),
            "s": rng.standard_normal(3),
            "b": rng.standard_normal(3),
            "m": rng.standard_normal(3),
            "v": rng.uniform(0.5, 2, 3),
            "six": np.array(6.0),
            "shape": np.array([-1, 12]),
            "w": rng.standard_normal((12, 2)),
        },
    )
    network = check_agreement(model)
    assert network.inputs[0].shape == (7, 7, 2)


def test_agreement_helper_feeds_every_input():
    """The tests' own helper: two inputs reach the session in the right order."""
    model = build(
        [node("Sub", ["b", "a"], ["y"])], {"a": ["N", 2], "b": ["N", 2]}, ["y"]
    )
    network = check_agreement(model)
    assert [i.name for i in session(model).get_inputs()] == ["a", "b"]
    assert np.array_equal(network.forward([1.0, 2.0, 5.0, 7.0]), [4.0, 5.0])
