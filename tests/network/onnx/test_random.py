"""Random legal graphs: what is read equals what onnxruntime computes."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.network.onnx.graphs import check_agreement
from tests.random_graphs import STEPS, random_model, random_models
from tests.thinned import examples

QUICK = settings(
    max_examples=examples(60, 120),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@QUICK
@given(random_models())
def test_random_graph_agrees_with_onnxruntime(model):
    check_agreement(model, points=9, tolerance=1e-4)


@pytest.mark.parametrize("step", sorted(STEPS))
def test_every_step_of_the_generator_makes_nodes(step):
    """The generator covers what it claims: each step acts on some shape and opset."""
    shapes = [(3,), (2, 5), (2, 4, 5)]
    models = [
        random_model([step, "relu"], 1, shape, opset)
        for shape in shapes
        for opset in (17, 21)
    ]
    assert max(len(m.graph.node) for m in models) >= 2
    for model in models:
        check_agreement(model, points=6, tolerance=1e-4)
