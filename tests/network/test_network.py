"""The Network object: evaluation, linear pieces, scaling, identity, bad arguments."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from pyomo_relu.errors import NetworkError
from pyomo_relu.network import (
    ACTIVE,
    AT_CEILING,
    INACTIVE,
    INPUT,
    Layer,
    Network,
    Source,
    Tensor,
)
from tests.random_networks import networks, random_network

QUICK = settings(max_examples=60, deadline=None, derandomize=True)


def by_hand(network, x):
    """The forward pass neuron by neuron, in plain Python."""
    pre, post = [], []
    for layer in network.layers:
        v = [float(b) for b in layer.bias]
        for (source, is_post), w in zip(layer.sources, layer.weights, strict=True):
            t = x if source == INPUT else (post if is_post else pre)[source]
            rows = w.toarray() if sparse.issparse(w) else w
            for i in range(layer.size):
                v[i] += sum(float(rows[i, j]) * t[j] for j in range(len(t)))
        pre.append(v)
        if layer.activation == "identity":
            post.append(v)
        elif layer.ceiling is None:
            post.append([max(0.0, a) for a in v])
        else:
            post.append(
                [min(max(0.0, a), c) for a, c in zip(v, layer.ceiling, strict=True)]
            )
    return pre, post


@QUICK
@given(networks(), st.integers(0, 1000))
def test_forward_is_the_sum_over_sources(network, seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((4, network.n_inputs))
    Y = network.forward(X)
    pre = network.pre_activations(X)
    for n, x in enumerate(X):
        v, t = by_hand(network, list(x))
        scale = 1 + max(abs(a) for row in v for a in row)
        np.testing.assert_allclose(Y[n], t[-1], rtol=0, atol=1e-12 * scale)
        for ours, theirs in zip(pre, v[:-1], strict=True):
            np.testing.assert_allclose(ours[n], theirs, rtol=0, atol=1e-12 * scale)


def test_one_point_gives_one_output():
    network = random_network(3, 4, (5,), 2)
    x = np.arange(4.0)
    assert network.forward(x).shape == (2,)
    assert np.array_equal(network.forward(x), network.forward(x[None])[0])


@QUICK
@given(networks(), st.integers(0, 1000))
def test_linear_piece_is_the_derivative(network, seed):
    """Finite differences within the linear region reproduce C, and d is the rest."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(network.n_inputs)
    pattern = [p[0] for p in network.activation_pattern(x[None])]
    C, d = network.linear_piece(pattern)[-1]
    y = network.forward(x)
    scale = 1 + np.max(np.abs(C)) + np.max(np.abs(d))
    np.testing.assert_allclose(C @ x + d, y, rtol=0, atol=1e-10 * scale)
    h = 1e-6
    for j in range(network.n_inputs):
        step = np.zeros(network.n_inputs)
        step[j] = h
        near = [network.activation_pattern((x + s)[None]) for s in (step, -step)]
        same = all(
            np.array_equal(p[0], q)
            for other in near
            for p, q in zip(other, pattern, strict=True)
        )
        if same:
            slope = (network.forward(x + step) - network.forward(x - step)) / (2 * h)
            np.testing.assert_allclose(slope, C[:, j], rtol=0, atol=1e-5 * scale)


def test_linear_piece_of_inner_layers():
    network = random_network(8, 3, (4, 4), residual=True, pre=True)
    x = np.array([[0.3, -0.7, 0.2]])
    pattern = [p[0] for p in network.activation_pattern(x)]
    for (C, d), v in zip(
        network.linear_piece(pattern), network.propagate(x)[0], strict=True
    ):
        np.testing.assert_allclose(C @ x[0] + d, v[0], atol=1e-12)


def test_patterns_have_three_states():
    network = Network.sequential([[[1.0]], [[1.0]]], [[0.0], [0.0]], ceilings=[2.0])
    (states,) = network.activation_pattern([[-1.0], [0.0], [1.0], [2.0], [3.0]])
    expected = [INACTIVE, INACTIVE, ACTIVE, AT_CEILING, AT_CEILING]
    assert states.ravel().tolist() == expected
    assert network.forward([[3.0]]) == 2.0


@QUICK
@given(networks(), st.integers(0, 1000))
def test_scaling_is_a_change_of_units(network, seed):
    rng = np.random.default_rng(seed)
    n, m = network.n_inputs, network.n_outputs
    x_offset, x_factor = rng.standard_normal(n), rng.uniform(0.5, 2, n)
    y_offset, y_factor = rng.standard_normal(m), -rng.uniform(0.5, 2, m)
    scaled = network.with_scaling((x_offset, x_factor), (y_offset, y_factor))
    X = rng.standard_normal((5, n))
    expected = y_offset + y_factor * network.forward((X - x_offset) / x_factor)
    scale = 1 + np.max(np.abs(expected))
    np.testing.assert_allclose(scaled.forward(X), expected, rtol=0, atol=1e-9 * scale)
    assert [layer.size for layer in scaled.layers] == [
        layer.size for layer in network.layers
    ]


def test_no_scaling_is_the_network():
    network = random_network(2, 3, (4,))
    assert network.with_scaling() == network
    assert network.with_scaling((0.0, 1.0), (0.0, 1.0)) == network


@pytest.mark.parametrize(
    "scaling,text",
    [
        (3.0, "pair"),
        (([1.0, 2.0], 1.0), "pair"),
        ((0.0, 0.0), "must not be zero"),
        ((np.nan, 1.0), "finite"),
        ((0.0, np.inf), "finite"),
        (("a", 1.0), "pair"),
    ],
)
def test_bad_scaling(scaling, text):
    network = random_network(2, 3, (4,))
    with pytest.raises(NetworkError, match=f"input_scaling.*{text}"):
        network.with_scaling(input_scaling=scaling)


def test_a_scaler_in_place_of_the_pair_is_told_what_to_give():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    scaler = preprocessing.StandardScaler().fit([[0.0, 1.0, 2.0], [1.0, 3.0, 8.0]])
    network = random_network(2, 3, (4,))
    with pytest.raises(NetworkError, match=r"\(scaler\.mean_, scaler\.scale_\)"):
        network.with_scaling(scaler)
    x = np.array([[0.2, 1.4, 3.0]])
    scaled = network.with_scaling((scaler.mean_, scaler.scale_))
    assert np.allclose(scaled.forward(x), network.forward(scaler.transform(x)))


# -- identity and immutability -----------------------------------------------------------


@QUICK
@given(networks())
def test_pickle_keeps_everything(network):
    twin = pickle.loads(pickle.dumps(network))
    assert twin == network and hash(twin) == hash(network)
    assert twin.name == network.name
    x = np.ones(network.n_inputs)
    assert np.array_equal(twin.forward(x), network.forward(x))


def test_copies_are_the_same_object():
    network = random_network(2, 3, (4,))
    assert copy.copy(network) is network
    assert copy.deepcopy(network) is network
    assert copy.deepcopy(network.layers[0]) is network.layers[0]


def test_arrays_are_read_only_copies():
    w, b = np.ones((2, 2)), np.zeros(2)
    layer = Layer([Source(INPUT)], [w], b, "identity")
    w[:], b[:] = 7.0, 7.0
    assert np.all(layer.weights[0] == 1.0) and np.all(layer.bias == 0.0)
    for array in (layer.weights[0], layer.bias):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
    csr = Layer([Source(INPUT)], [sparse.csr_array(np.eye(2))], b, "identity").weights[
        0
    ]
    with pytest.raises(ValueError, match="read-only"):
        csr.data[0] = 1.0
    with pytest.raises(AttributeError, match="immutable"):
        layer.bias = b


def test_the_hash_sees_every_number():
    base = Network.sequential([[[1.0, 2.0]], [[1.0]]], [[0.5], [0.0]])
    others = [
        Network.sequential([[[1.0, 2.5]], [[1.0]]], [[0.5], [0.0]]),
        Network.sequential([[[1.0, 2.0]], [[1.0]]], [[0.25], [0.0]]),
        Network.sequential([[[1.0, 2.0]], [[1.0]]], [[0.5], [0.0]], ceilings=[1.0]),
    ]
    assert len({base.content_hash, *(n.content_hash for n in others)}) == 4
    assert base != others[0] and base != "a network"
    assert base == Network.sequential([[[1, 2]], [[1]]], [[0.5], [0]], name="twin")


def test_sparse_weights_are_canonical():
    w = sparse.coo_array(([1.0, 2.0, 0.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    layer = Layer([Source(INPUT)], [w], np.zeros(2), "identity")
    assert layer.weights[0].nnz == 1
    assert layer.weights[0].toarray().tolist() == [[0.0, 3.0], [0.0, 0.0]]


# -- shapes and names ----------------------------------------------------------------------


def test_indices_of_tensors():
    assert Tensor("x", (3,)).index() == [0, 1, 2]
    assert Tensor("x", ()).index() == [0]
    assert Tensor("x", (2, 2)).index() == [(0, 0), (0, 1), (1, 0), (1, 1)]
    layer = Layer([Source(INPUT)], [np.eye(3)], np.zeros(3), "identity")
    two = Network([layer], [("a", (2,)), ("b", (1,))], [("y", (3,))])
    assert two.input_index() == [("a", 0), ("a", 1), ("b", 0)]
    assert two.output_index() == [0, 1, 2]


def test_sizes_and_representation():
    network = random_network(0, 3, (5, 4), 2)
    assert network.n_neurons == 9
    assert network.source_size(INPUT) == 3 and network.source_size(1) == 4
    assert network.output_layer is network.layers[-1]
    assert "3 -> 5 -> 4 -> 2" in repr(network)
    assert "5 neurons, relu" in repr(network.layers[0])


# -- what is refused ----------------------------------------------------------------------


EYE, ZERO = np.eye(2), np.zeros(2)


@pytest.mark.parametrize(
    "arguments,text",
    [
        (([(-1, True)], [EYE], np.zeros((2, 1))), "bias must be a vector"),
        (([(-1, True)], [EYE], []), "bias must be a vector"),
        (([(-1, True)], [EYE, EYE], ZERO), "one weight matrix per distinct source"),
        (([(-1, True)] * 2, [EYE, EYE], ZERO), "one weight matrix per distinct source"),
        (([(-1, True)], [np.eye(3)], ZERO), "but the bias has 2 entries"),
        (([(-1, True)], [EYE], ZERO, "tanh"), "unknown activation 'tanh'"),
        (([(-1, True)], [EYE], ZERO, "clipped"), "ceilings go with"),
        (([(-1, True)], [EYE], ZERO, "relu", [1.0, 1.0]), "ceilings go with"),
        (([(-1, True)], [EYE], ZERO, "clipped", [1.0, 0.0]), "must be positive"),
        (([(-1, True)], [EYE], ZERO, "clipped", [1.0, np.nan]), "must be positive"),
        (([(-1, True)], [EYE * np.nan], ZERO), "NaN or infinite"),
        (([(-1, True)], [EYE], [0.0, np.inf]), "NaN or infinite"),
    ],
)
def test_bad_layers(arguments, text):
    with pytest.raises(NetworkError, match=text):
        Layer(*arguments)


RELU = Layer([Source(INPUT)], [EYE], ZERO, name="hidden")
OUT = Layer([Source(0)], [EYE], ZERO, "identity", name="out")
BACK = Layer([Source(1)], [EYE], ZERO, name="back")
PRE = Layer([Source(INPUT, post=False)], [EYE], ZERO, "identity", name="odd")
X, Y = [("x", (2,))], [("y", (2,))]


@pytest.mark.parametrize(
    "layers,inputs,outputs,text",
    [
        ([], X, Y, "must be the output layer"),
        ([RELU], X, Y, "must be the output layer"),
        ([OUT, OUT], X, Y, "only the output layer may be affine"),
        ([RELU, OUT], [], Y, "no inputs"),
        ([RELU, OUT], [("x", (3,))], Y, "expects 2 entries"),
        ([RELU, OUT], X, [("y", (3,))], "the output tensors"),
        ([BACK, OUT], X, Y, "cannot read"),
        ([PRE], X, Y, "cannot read"),
    ],
)
def test_bad_networks(layers, inputs, outputs, text):
    with pytest.raises(NetworkError, match=text):
        Network(layers, inputs, outputs)


def test_bad_sequences_and_points():
    with pytest.raises(NetworkError, match="2 weight matrices need 2 biases"):
        Network.sequential([EYE, EYE], [ZERO])
    with pytest.raises(NetworkError, match=r"expected points of shape \(N, 2\)"):
        Network([RELU, OUT], X, Y).forward(np.zeros((4, 3)))


@pytest.mark.parametrize(
    "weights, biases, text",
    [
        ([], [], "at least one weight matrix"),
        (["a"], [[0.0]], "layer 'layer 0': .* arrays of numbers"),
        ([[[1.0]]], [[None, "b"]], "layer 'layer 0': .* arrays of numbers"),
        ([np.ones((2, 3))], [np.ones(3)], "weights of the inputs .* Transpose"),
        ([EYE, EYE[:, :1]], [ZERO, ZERO], "a column for each entry that it reads"),
    ],
)
def test_weights_that_are_no_arrays_are_named(weights, biases, text):
    with pytest.raises(NetworkError, match=text):
        Network.sequential(weights, biases)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_parameters_of_pytorch_are_told_to_be_detached():
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(2, 1)
    with pytest.raises(NetworkError, match=r"detach\(\)\.numpy\(\)"):
        Network.sequential([layer.weight], [layer.bias])
    weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
    assert Network.sequential([weight], [bias]).n_inputs == 2


@pytest.mark.parametrize("turned", [[0, 1, 2], [1], [0, 2]])
def test_transposed_weights_are_recognised(turned):
    rng = np.random.default_rng(0)
    sizes = (2, 3, 4, 1)
    weights = [rng.standard_normal(shape) for shape in ((3, 2), (4, 3), (1, 4))]
    biases = [np.zeros(m) for m in sizes[1:]]
    assert Network.sequential(weights, biases).n_inputs == 2
    weights = [w.T if k in turned else w for k, w in enumerate(weights)]
    with pytest.raises(NetworkError, match="Transpose?") as error:
        Network.sequential(weights, biases)
    assert f"layers {turned}" in str(error.value)


def test_biases_in_the_place_of_weights_are_recognised():
    with pytest.raises(NetworkError, match=r"Swap the two\? The weights come first"):
        Network.sequential([np.ones(3), np.ones(1)], [np.ones((3, 2)), np.ones((1, 3))])


def test_weights_that_fit_in_no_way_are_not_said_to_be_transposed():
    with pytest.raises(NetworkError) as error:
        Network.sequential([np.ones((3, 2)), np.ones((5, 5))], [np.zeros(3), [0.0]])
    assert "Transpose" not in str(error.value)
