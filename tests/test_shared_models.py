"""Real networks with known answers: loaded or refused, and optima reproduced."""

import json

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import load_onnx
from pyomo_relu.errors import UnsupportedOperatorError
from tests.paths import SHARED_MODELS, needs_shared_models
from tests.truth import check_against_onnx, optimise, run_onnx

pytestmark = needs_shared_models

ANSWERS = (
    json.loads((SHARED_MODELS / "ANSWERS.json").read_text()) if SHARED_MODELS else {}
)
REFUSED = {SHARED_MODELS / name for name in ANSWERS.get("refuse", [])}
FILES = sorted(SHARED_MODELS.rglob("*.onnx")) if SHARED_MODELS else []


def relative(path):
    return str(path.relative_to(SHARED_MODELS))


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_every_file_loads_and_agrees_or_is_refused(path):
    if path in REFUSED:
        with pytest.raises(UnsupportedOperatorError, match="Sigmoid"):
            load_onnx(path)
        return
    network = load_onnx(path)
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (20, network.n_inputs))
    Y = network.forward(X)
    for x, y in zip(X, Y, strict=True):
        truth = run_onnx(path, x)
        # float32 inputs and arithmetic on onnxruntime's side
        scale = max(1.0, np.max(np.abs(truth)))
        assert np.max(np.abs(truth - y)) <= 2e-4 * scale


CASES = [
    (entry["file"], entry["box"], entry["output"], sense, entry[sense])
    for entry in ANSWERS.get("optimum", [])
    for sense in ("min", "max")
]


@pytest.mark.covering(1)  # both solvers, not on each
@pytest.mark.parametrize("solver", ["appsi_highs", "gurobi_direct"])
@pytest.mark.parametrize("file, box, output, sense, optimum", CASES)
def test_known_optima(file, box, output, sense, optimum, solver):
    path = SHARED_MODELS / file
    found, m = optimise(
        str(path),
        box,
        pyo.minimize if sense == "min" else pyo.maximize,
        output,
        solver=solver,
    )
    assert found == pytest.approx(optimum, abs=1e-5, rel=1e-5)
    check_against_onnx(m.nn, path)
