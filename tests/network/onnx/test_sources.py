"""What can be handed in as a network, and what to call for everything else."""

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.errors import ModelError, NetworkError, NetworkFileError
from pyomo_relu.network import load_onnx
from pyomo_relu.network.onnx.file.export_advice import advice_for_object
from tests.network.onnx.graphs import refusal, save, small_network

CALLS = {
    ".pt": "torch.onnx.export",
    ".pth": "load_state_dict",
    ".ckpt": "torch.onnx.export",
    ".pt2": "torch.export.load",
    ".safetensors": "torch.onnx.export",
    ".h5": "tf2onnx.convert.from_keras",
    ".keras": 'format="onnx"',
    ".pkl": "skl2onnx.to_onnx",
    ".joblib": "skl2onnx.to_onnx",
    ".tflite": "tf2onnx.convert --tflite",
    ".pb": "tf2onnx.convert --saved-model",
    ".mat": "exportONNXNetwork",
}


@pytest.mark.parametrize("ending", CALLS)
@pytest.mark.parametrize("exists", [True, False])
def test_paths_of_other_formats_name_the_export_call(tmp_path, ending, exists):
    path = tmp_path / f"net{ending.upper() if exists else ending}"
    if exists:
        path.write_bytes(b"PK\x03\x04 no protobuf" * 20)
    message = refusal(path, "It seems to be", NetworkFileError)
    assert CALLS[ending] in message and path.name in message


def test_the_ending_does_not_matter_if_it_is_onnx(tmp_path):
    model = small_network(np.random.default_rng(0))
    assert load_onnx(save(model, tmp_path / "net.pt")) == load_onnx(model)


def test_other_missing_files_get_no_advice(tmp_path):
    assert "seems to be" not in refusal(tmp_path / "no.onnx", "no such file")


def test_a_folder_with_a_saved_model(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert "--saved-model" in refusal(tmp_path, "cannot be read")


class Estimator:
    """Has the shape of scikit-learn's estimators, without being one."""

    def predict(self, X):
        return X


class Like:
    """A class that another package seems to define."""


@pytest.mark.parametrize(
    "package, text",
    [
        ("torch.nn.modules.module", "torch.onnx.export"),
        ("keras.src.models.model", "tf2onnx"),
        ("tensorflow.python.keras", "tf2onnx"),
        ("sklearn.neural_network", "skl2onnx"),
        ("flax.linen.module", "jax2onnx"),
        ("onnx_ir._core", "onnx_ir.to_proto"),
        ("onnxruntime.capi", "path of the file"),
    ],
)
def test_models_in_memory_name_the_export_call(package, text):
    parent = type("Model", (Like,), {"__module__": package})
    model = type("Mine", (parent,), {"__call__": lambda self, x: x})()
    assert text in refusal(model, "a path, bytes or an onnx.ModelProto, not a Mine")
    for network in (model, lambda *index: model):
        with pytest.raises(ModelError, match="network= must be a path") as error:
            block(network)
        assert text in str(error.value)


def test_whatever_predicts():
    assert "skl2onnx" in refusal(Estimator(), "not a Estimator")
    assert advice_for_object(object()) == "" == advice_for_object({1: "net.onnx"})


def block(network):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    return m.nn


# -- PyTorch -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def module():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    nn = torch.nn
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).eval()


def test_modules_and_their_weights(module):
    refusal(module, r"torch\.onnx\.export")
    refusal(module.state_dict(), "load_state_dict")
    with pytest.raises(ModelError, match=r"torch\.onnx\.export"):
        block(module)


@pytest.mark.filterwarnings("ignore")
def test_an_exported_program_is_a_network(module):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    example = (torch.zeros(1, 2),)
    program = torch.onnx.export(module, example, dynamo=True, verbose=False)
    network = load_onnx(program)
    x = np.array([[0.5, -1.0], [2.0, 1.0]])
    expected = module(torch.tensor(x, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(network.forward(x), expected, atol=1e-6)
    assert block(program).network == network
    assert block(lambda *index: program).network == network
    inner = load_onnx(program, output=program.model_proto.graph.node[0].output[0])
    assert inner.n_outputs == 3
    with pytest.raises(NetworkError, match="there is no tensor"):
        load_onnx(program, output="nowhere")
