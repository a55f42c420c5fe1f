"""Arguments of ReLUNetworkBlock: Vars, scalings, networks, and what is wrong with them."""

import types

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import Network, ReLUNetworkBlock
from pyomo_relu.errors import ModelError, NetworkError, NetworkFileError, RuleError
from tests.networks import chain, two_two_one
from tests.truth import solve


def check_inputs(given, names):
    m = pyo.ConcreteModel()
    m.a = pyo.Var(bounds=(-1, 1))
    m.b = pyo.Var([1, 2], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=two_two_one(), inputs=given(m))
    assert [v.name for v in m.nn.input_vars()] == names


def test_inputs_may_be_any_vars():
    check_inputs(lambda m: [m.a, m.b[1]], ["a", "b[1]"])
    check_inputs(lambda m: m.b, ["b[1]", "b[2]"])
    check_inputs(lambda m: (m.b[2], m.b[1]), ["b[2]", "b[1]"])
    check_inputs(lambda m: {1: m.a, 0: m.b[1]}, ["b[1]", "a"])
    check_inputs(lambda m: {"x": m.b}, ["b[1]", "b[2]"])
    check_inputs(lambda m: pyo.Reference(m.b), ["b[1]", "b[2]"])
    check_inputs(lambda m: np.array([m.a, m.b[2]], dtype=object), ["a", "b[2]"])
    check_inputs(lambda m: lambda: [m.a, m.a], ["a", "a"])


def test_one_var_as_two_inputs_and_outputs_given():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-1, 1))
    m.y = pyo.Var()
    m.nn = ReLUNetworkBlock(network=chain([2, 6, 6, 1]), inputs=[m.x, m.x], outputs=m.y)
    m.objective = pyo.Objective(expr=m.y)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    grid = np.linspace(-1, 1, 2001)
    best = m.nn.network.forward(np.stack([grid, grid], 1)).min()
    assert solve(m) == pytest.approx(best, abs=1e-3)


def test_several_tensors_by_name():
    network = Network(
        chain([3, 4, 2]).layers, [("u", (1,)), ("s", (2,))], [("y", (2,))]
    )
    m = pyo.ConcreteModel()
    m.u = pyo.Var(bounds=(0, 1))
    m.s = pyo.Var([0, 1], bounds=(0, 1))
    m.nn = ReLUNetworkBlock(network=network, inputs={"s": m.s, "u": m.u})
    assert [v.name for v in m.nn.input_vars()] == ["u", "s[0]", "s[1]"]
    m.mm = ReLUNetworkBlock(network=network, inputs=[m.u, m.s])
    assert [v.name for v in m.mm.input_vars()] == ["u", "s[0]", "s[1]"]


def test_scaling_is_folded_into_the_network():
    network = chain([2, 5, 1])
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(
        network=network,
        inputs=m.x,
        input_scaling=([1.0, 2.0], 0.5),
        output_scaling=(3.0, -2.0),
    )
    x = np.array([0.3, -0.7])
    m.nn.initialize(x)
    expected = 3.0 - 2.0 * network.forward((x - [1.0, 2.0]) / 0.5)
    assert m.nn.outputs[0].value == pytest.approx(expected[0], rel=1e-12)


def _other_model():
    m = pyo.ConcreteModel("other")
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    return m


#: Kept, as Vars do not keep their model.
_OTHER = _other_model()


def test_a_block_reads_vars_of_the_model_that_it_will_lie_on():
    m = _other_model()
    part = pyo.Block(concrete=True)
    part.nn = ReLUNetworkBlock(network=two_two_one(), inputs=m.x)
    m.part = part
    assert m.part.nn.inputs[0] is m.x[0]


@pytest.mark.parametrize(
    ("scaler", "advice"),
    [
        ({"mean_": 1, "scale_": 1}, "scaler.mean_, scaler.scale_"),
        ({"center_": 1, "scale_": 1}, "scaler.center_, scaler.scale_"),
        ({"min_": 1, "scale_": 1}, "-scaler.min_ / scaler.scale_, 1 / scaler.scale_"),
    ],
)
def test_scalers_are_told_what_of_them_to_give(scaler, advice):
    with pytest.raises(NetworkError) as error:
        two_two_one().with_scaling(types.SimpleNamespace(**scaler))
    assert f"Give ({advice})." in str(error.value)


@pytest.mark.parametrize(
    "kwds, error, text",
    [
        ({}, ModelError, "no network given"),
        ({"network": "nowhere.onnx"}, NetworkFileError, "nowhere.onnx"),
        ({"network": 3}, ModelError, "must be a path"),
        ({"network": two_two_one(), "inpust": None}, ModelError, "keyword 'inpust'"),
        ({"network": two_two_one(), "output": "y"}, ModelError, "already loaded"),
        (
            {"network": two_two_one(), "input_scaling": (0, 0)},
            NetworkError,
            "^nn: input_scaling: factors must not be zero, and that of entry 0 is",
        ),
        (
            {"network": two_two_one(), "input_scaling": ([1, 1, 1], [1, 1])},
            NetworkError,
            r"got \(3 numbers, 2 numbers\)",
        ),
        (
            {"network": two_two_one(), "input_scaling": 2.0},
            NetworkError,
            r"pair \(offset, factor\)",
        ),
        (
            {"network": two_two_one(), "input_scaling": {0: 1.0, 1: 2.0}},
            NetworkError,
            r"pair \(offset, factor\).*got {0: 1.0, 1: 2.0}",
        ),
        (
            {"network": two_two_one(), "inputs": lambda m: _OTHER.x},
            ModelError,
            r"inputs= has 'x\[0\]' of another model, 'other'",
        ),
        (
            {"network": two_two_one(), "inputs": lambda m: lambda m: None},
            RuleError,
            "function given for inputs= returned None.*'return' missing",
        ),
        (
            {"network": two_two_one(), "output_scaling": (0, np.inf)},
            NetworkError,
            "must be finite",
        ),
        (
            {"network": two_two_one(), "inputs": lambda m: [m.x[0]]},
            ModelError,
            "2 inputs .* but got 1 Var",
        ),
        (
            {"network": two_two_one(), "inputs": lambda m: [m.x[0], "x"]},
            ModelError,
            "entry 1 is 'x', a str",
        ),
        (
            {"network": two_two_one(), "outputs": lambda m: [m.x[0] + 1]},
            ModelError,
            "Outputs stay Vars",
        ),
        (
            {"network": two_two_one(), "inputs": lambda m: {"a": m.x[0]}},
            ModelError,
            r"must be the network's \[0, 1\]",
        ),
        (
            {"network": two_two_one(), "outputs": lambda m: [m.x[0], m.x[1]]},
            ModelError,
            "1 output .* but got 2 Vars",
        ),
        (
            {
                "network": two_two_one(),
                "inputs": lambda m: [m.x[0]],
                "outputs": lambda m: m.x,
            },
            ModelError,
            "got 1 Var by inputs=.*swap the two: what outputs= got fits here",
        ),
    ],
)
def test_wrong_arguments_leave_the_model_as_it_was(kwds, error, text):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=(-1, 1))
    kwds = {k: v(m) if callable(v) else v for k, v in kwds.items()}
    before = list(m.component_map())
    with pytest.raises(error, match=text):
        m.nn = ReLUNetworkBlock(**kwds)
    assert list(m.component_map()) == before


def test_wrong_number_of_vars_for_one_tensor():
    network = Network(
        chain([3, 4, 2]).layers, [("u", (1,)), ("s", (2,))], [("y", (2,))]
    )
    m = pyo.ConcreteModel()
    m.u = pyo.Var([0, 1])
    with pytest.raises(ModelError, match="tensor 'u' of the inputs has 1 entry"):
        m.nn = ReLUNetworkBlock(network=network, inputs={"u": m.u, "s": m.u})


def test_slices_as_inputs_and_outputs():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(["a", "b"], [0, 1], bounds=(-1, 1))
    m.y = pyo.Var(["a", "b"])
    m.nn = ReLUNetworkBlock(
        ["a", "b"],
        network=two_two_one(),
        inputs=lambda k: m.x[k, :],
        outputs=lambda k: m.y[k],
    )
    assert [v.name for v in m.nn["b"].input_vars()] == ["x[b,0]", "x[b,1]"]
    m.one = ReLUNetworkBlock(network=two_two_one(), inputs=m.x["a", :])
    assert [v.name for v in m.one.input_vars()] == ["x[a,0]", "x[a,1]"]


def test_trained_models_are_told_to_be_exported():
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(2, 1))
    m = pyo.ConcreteModel()
    with pytest.raises(ModelError, match=r"nn: .* a Sequential.*torch\.onnx\.export"):
        m.nn = ReLUNetworkBlock(network=model)
