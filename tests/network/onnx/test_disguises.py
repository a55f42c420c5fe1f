"""Whatever dress a network wears in its file: it is read as onnxruntime runs it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pyomo_relu.network import load_onnx
from tests.disguises import DISGUISES, disguised, ends_onnxruntime, with_external_data
from tests.network.onnx.graphs import session
from tests.random_graphs import random_model, random_models
from tests.thinned import examples

QUICK = settings(
    max_examples=examples(60, 150),
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
    ],
)

DRESSES = st.lists(st.sampled_from(sorted(DISGUISES)), min_size=1, max_size=6)


def values(source, points):
    """Flat outputs of onnxruntime on these very bytes; None where it refuses them."""
    try:
        runner = session(source)
        return [
            np.concatenate([np.ravel(y) for y in runner.run(None, _feeds(runner, x))])
            for x in points
        ]
    except Exception:  # noqa: BLE001  (its many exceptions have no common base)
        return None


def _feeds(runner, x):
    text = np.full((1, 2), "", object)
    return {v.name: x if v.name == "x" else text for v in runner.get_inputs()}


def agrees(source, content, shape, seed=0):
    """Load and compare at many points; False if onnxruntime refuses the content."""
    rng = np.random.default_rng(seed)
    scales = (0.1, 0.5, 1.0, 1.0, 2.0, 5.0, 20.0)
    points = [s * rng.standard_normal((1, *shape)).astype(np.float32) for s in scales]
    theirs = values(content, points)
    if theirs is None:
        return False
    network = load_onnx(source)
    for x, expected in zip(points, theirs, strict=True):
        atol = 1e-4 * (1.0 + np.max(np.abs(expected)))
        np.testing.assert_allclose(
            network.forward(x.ravel().astype(float)), expected, rtol=0, atol=atol
        )
    return True


@QUICK
@given(random_models(), DRESSES, st.integers(0, 2**20))
def test_a_disguised_model_is_what_onnxruntime_runs(model, names, seed):
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    model = disguised(model, names, seed)
    assume(not ends_onnxruntime(model))
    content = model.SerializeToString()
    assume(agrees(content, content, shape))


def test_disguised_models_with_external_data(tmp_path):
    ran = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        names = [
            str(n) for n in rng.choice(["as_function", "in_branch", "shuffled"], 4)
        ]
        base = random_model(["gemm", "relu", "gemm", "leaky", "gemm"], seed, (5,))
        model = disguised(base, names, seed)
        if not ends_onnxruntime(model):
            path = with_external_data(model, tmp_path, seed)
            ran += agrees(path, str(path), (5,))
    assert ran >= 6


@pytest.mark.parametrize("name", sorted(DISGUISES))
def test_every_disguise_changes_the_file_and_can_be_run(name):
    changed = ran = 0
    for seed in range(12):
        base = random_model(["gemm", "relu", "clip", "gemm"], seed, (4,))
        model = disguised(base, [name], seed)
        changed += model != base
        x = [np.ones((1, 4), np.float32)]
        if not ends_onnxruntime(model):
            theirs = values(model.SerializeToString(), x)
            if theirs is not None:
                ran += 1
                expected = values(base.SerializeToString(), x)
                np.testing.assert_allclose(theirs, expected, atol=1e-5)
    assert changed >= 4 and ran >= 6
