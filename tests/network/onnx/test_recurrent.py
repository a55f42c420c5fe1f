"""Recurrent layers with Relu and its like, unrolled."""

import numpy as np
import pytest

from pyomo_relu.errors import UnsupportedOperatorError
from pyomo_relu.network import load_onnx
from tests.network.onnx.graphs import build, check_agreement, node

STEPS, WIDTH, HIDDEN = 4, 2, 3


def recurrent(
    *,
    directions=1,
    batch=1,
    bias=True,
    lengths=None,
    start=None,
    outputs=("y", "last"),
    activations=("Relu",),
    steps=STEPS,
    **attributes,
):
    rng = np.random.default_rng(7)
    constants = {
        "w": rng.standard_normal((directions, HIDDEN, WIDTH)),
        "r": 0.7 * rng.standard_normal((directions, HIDDEN, HIDDEN)),
        "b": 0.3 * rng.standard_normal((directions, 2 * HIDDEN)),
    }
    inputs = {"x": [steps, batch, WIDTH]}
    names = ["x", "w", "r", "b" if bias else "", "", ""]
    if not bias:
        constants.pop("b")
    if lengths is not None:
        constants["lengths"], names[4] = np.array(lengths, dtype=np.int32), "lengths"
    if start == "constant":
        constants["h"], names[5] = rng.random((directions, batch, HIDDEN)), "h"
    elif start == "input":
        inputs["h"], names[5] = [directions, batch, HIDDEN], "h"
    last = node(
        "RNN",
        names,
        [n if n in outputs else "" for n in ("y", "last")],
        hidden_size=HIDDEN,
        activations=[*activations] * directions,
        **attributes,
    )
    return build([last], inputs, list(outputs), constants)


READ = {
    "plain": {},
    "no_bias": {"bias": False},
    "reverse": {"direction": "reverse"},
    "both_ways": {"direction": "bidirectional", "directions": 2},
    "start": {"start": "constant"},
    "start_as_input": {"start": "input"},
    "batch": {"batch": 3},
    "lengths": {"batch": 3, "lengths": [4, 1, 2]},
    "lengths_both_ways": {
        "batch": 3,
        "lengths": [3, 4, 1],
        "direction": "bidirectional",
        "directions": 2,
        "start": "constant",
    },
    "lengths_reverse": {"batch": 2, "lengths": [2, 4], "direction": "reverse"},
    "only_all": {"outputs": ("y",)},
    "only_last": {"outputs": ("last",), "direction": "reverse"},
    "one_step": {"steps": 1},
    "clip": {"clip": 0.8},
    "leaky": {"activations": ("LeakyRelu",), "activation_alpha": [0.2]},
    "affine": {
        "activations": ("Affine",),
        "activation_alpha": [0.5],
        "activation_beta": [0.1],
    },
    "hard_sigmoid": {
        "activations": ("HardSigmoid",),
        "activation_alpha": [0.4],
        "activation_beta": [0.3],
    },
}


@pytest.mark.parametrize("name", READ)
def test_recurrent_layer(name):
    options = READ[name]
    network = check_agreement(
        recurrent(**options), points=24, input_shapes=shapes(options)
    )
    if name in ("plain", "reverse", "no_bias"):
        assert network.n_neurons == STEPS * HIDDEN


def shapes(options):
    batch, steps = options.get("batch", 1), options.get("steps", STEPS)
    given = {"x": (steps, batch, WIDTH)}
    if options.get("start") == "input":
        given["h"] = (options.get("directions", 1), batch, HIDDEN)
    return given


@pytest.mark.parametrize("activation", ["Tanh", "Sigmoid", "ThresholdedRelu"])
def test_other_activations_are_refused(activation):
    with pytest.raises(UnsupportedOperatorError, match=f"activation {activation} is"):
        load_onnx(recurrent(activations=(activation,)))


def test_weights_that_depend_on_the_inputs_are_refused():
    model = recurrent()
    del model.graph.initializer[0]
    model.graph.input.add(name="w", type=model.graph.input[0].type)
    for d, n in zip(
        model.graph.input[1].type.tensor_type.shape.dim, (1, HIDDEN, WIDTH), strict=True
    ):
        d.dim_value = n
    with pytest.raises(UnsupportedOperatorError, match="'w' depends on the network"):
        load_onnx(model)


def test_batchwise_layout_is_refused():
    model = recurrent(layout=1, batch=STEPS, steps=1)
    with pytest.raises(UnsupportedOperatorError, match="layout=1"):
        load_onnx(model)
