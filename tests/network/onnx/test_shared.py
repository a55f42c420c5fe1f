"""Reading the folder of real networks: file by file against onnxruntime."""

import json

import onnx
import pytest

from pyomo_relu.errors import UnsupportedOperatorError
from pyomo_relu.network import load_onnx
from tests.network.onnx.graphs import check_agreement
from tests.paths import SHARED_MODELS, needs_shared_models

pytestmark = needs_shared_models

ANSWERS = (
    json.loads((SHARED_MODELS / "ANSWERS.json").read_text()) if SHARED_MODELS else {}
)
FILES = sorted(SHARED_MODELS.rglob("*.onnx")) if SHARED_MODELS else []
REFUSED = set(ANSWERS.get("refuse", ()))
BRANCHES = "small/oneInput_twoBranches.onnx"


def relative(path):
    return path.relative_to(SHARED_MODELS).as_posix()


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_file(path):
    if relative(path) in REFUSED:
        with pytest.raises(UnsupportedOperatorError, match="output='"):
            load_onnx(path)
        return
    network = load_onnx(path)
    check_agreement(onnx.load(path), network=network, points=12, tolerance=2e-5)
    assert network.name == str(path)


def test_the_fixed_batch_is_marked():
    assert load_onnx(SHARED_MODELS / BRANCHES).fixed_batch == ("X", (2, 6))


def test_a_sigmoid_output_has_a_remedy():
    path = SHARED_MODELS / "small" / "keras_linear_131_sigmoid.onnx"
    with pytest.raises(UnsupportedOperatorError) as error:
        load_onnx(path)
    name = str(error.value).split("output='")[1].split("'")[0]
    assert load_onnx(path, output=name).outputs[0].name == name
