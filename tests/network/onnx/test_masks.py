"""Masks, signs and where: exact where they are continuous, refused where they jump."""

import numpy as np
import pyomo.environ as pyo
import pytest
from onnx import TensorProto, helper

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.errors import UnsupportedOperatorError
from pyomo_relu.network import load_onnx
from tests.network.onnx.graphs import batched, build, check_agreement, node, session
from tests.truth import solve

FLOAT, DOUBLE, BOOL = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.BOOL

W = np.array([[1.0, -2.0, 0.5], [0.25, 1.0, -1.0], [2.0, 0.5, 1.5]])
B = np.array([0.5, -0.25, 0.125])

#: Numbers that graphs may use by name.
NUMBERS = {
    "zero": 0.0,
    "one": 1.0,
    "half": 0.5,
    "two": 2.0,
    "minus": -1.0,
    "third": 0.3,
    "nine": 0.9,
    "three": 3.0,
    "tenth": 0.1,
    "inf": np.inf,
    "minf": -np.inf,
    "t": [0.5, -1.0, 2.0],
}


def masked(*lines, kind=FLOAT, opset=18, outputs=("y",), shape=("N", 3)):
    """A model from lines "out = Operator in in ..."; ``z = x W + b`` comes first."""
    nodes = [node("Gemm", ["x", "W", "B"], ["z"])]
    used = set()
    for line in lines:
        out, right = line.split(" = ")
        operator, *inputs = right.split()
        attributes = {}
        if operator in ("Cast", "CastBool", "CastInt"):
            to = {"Cast": kind, "CastBool": BOOL, "CastInt": TensorProto.INT64}
            attributes, operator = {"to": to[operator]}, "Cast"
        nodes.append(
            helper.make_node(
                operator, inputs, out.split(","), name=f"the {out}", **attributes
            )
        )
        used.update(inputs)
    constants = {n: np.array(v) for n, v in NUMBERS.items() if n in used}
    constants.update(W=W, B=B)
    return build(nodes, {"x": list(shape)}, outputs, constants, opset=opset, kind=kind)


def check_everywhere(model, thresholds=(0.0,), **options):
    """Agreement at random points, and at and beside the thresholds of every z_i."""
    network = check_agreement(model, points=40, **options)
    runner = session(model)
    rng = np.random.default_rng(1)
    names = [i.name for i in runner.get_inputs()]
    for t in thresholds:
        for gap in (0.0, 1e-6, -1e-6, 1e-3, -1e-3):
            z = rng.normal(size=3)
            z[rng.integers(3)] = t + gap
            x = np.linalg.solve(W.T, z - B)
            arrays = batched(network, runner, x)
            theirs = runner.run(None, dict(zip(names, arrays, strict=True)))
            theirs = np.concatenate([np.ravel(y) for y in theirs])
            ours = network.forward(np.ravel(arrays[0]).astype(float))
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-5)
    return network


#: Name -> lines, number of neurons, thresholds.
CONTINUOUS = {
    "where": (["m = Greater z zero", "y = Where m z zero"], 3, [0]),
    "where_reversed": (["m = Less z zero", "y = Where m zero z"], 3, [0]),
    "where_constant_first": (["m = Less zero z", "y = Where m z zero"], 3, [0]),
    "where_or_equal": (["m = GreaterOrEqual z zero", "y = Where m z zero"], 3, [0]),
    "where_less_or_equal": (["m = LessOrEqual z zero", "y = Where m zero z"], 3, [0]),
    "minimum": (["m = Greater z zero", "y = Where m zero z"], 3, [0]),
    "leaky": (
        ["a = Mul z tenth", "m = Greater z zero", "y = Where m z a"],
        3,
        [0],
    ),
    "threshold": (["m = LessOrEqual z two", "y = Where m two z"], 3, [2]),
    "a_threshold_each": (["m = Greater z t", "y = Where m z t"], 3, [0.5, -1, 2]),
    "rounded_constants": (
        ["m = Greater z third", "p = Mul z three", "y = Where m p nine"],
        3,
        [0.3],
    ),
    "negated": (["n = Neg z", "m = Less n zero", "y = Where m z zero"], 3, [0]),
    "not": (["k = Greater z zero", "m = Not k", "y = Where m zero z"], 3, [0]),
    "product": (["m = Greater z zero", "f = Cast m", "y = Mul f z"], 3, [0]),
    "product_reversed": (["m = Greater z zero", "f = Cast m", "y = Mul z f"], 3, [0]),
    "product_by_integers": (
        ["m = Greater z zero", "i = CastInt m", "f = Cast i", "y = Mul z f"],
        3,
        [0],
    ),
    "complement": (
        ["m = Greater z zero", "f = Cast m", "g = Sub one f", "y = Mul g z"],
        3,
        [0],
    ),
    "both_sides": (
        [
            *("m = Greater z zero", "f = Cast m", "p = Mul f z"),
            *("n = LessOrEqual z zero", "g = Cast n", "a = Mul z tenth"),
            *("q = Mul g a", "y = Add p q"),
        ],
        3,
        [0],
    ),
    "jumps_that_cancel": (
        [
            *("m = Greater z one", "n = LessOrEqual z one", "f = Cast m"),
            *("g = Cast n", "p = Mul f z", "y = Add p g"),
        ],
        3,
        [1],
    ),
    "sign": (["s = Sign z", "y = Mul s z"], 3, [0]),
    "sign_as_condition": (
        ["s = Sign z", "m = Greater s zero", "y = Where m z zero"],
        3,
        [0],
    ),
    "sign_squared_times_z": (["s = Sign z", "q = Mul s s", "y = Mul q z"], 0, [0]),
    "maximum_of_two": (
        [
            "u = Neg z",
            "v = Add u one",
            "m = Greater z v",
            "y = Where m z v",
        ],
        3,
        [0.5],
    ),
    "clip_by_masks": (
        [
            *("m = Less z minus", "n = Greater z one", "a = Where m minus z"),
            "y = Where n one a",
        ],
        6,
        [-1, 1],
    ),
    "interval": (
        [
            *("m = Greater z zero", "n = Less z one", "i = And m n"),
            *("o = GreaterOrEqual z one", "f = Cast o", "y = Where i z f"),
        ],
        6,
        [0, 1],
    ),
    "outside": (
        [
            *("m = Less z zero", "n = Greater z one", "i = Or m n"),
            "y = Where i z z",
        ],
        0,
        [0, 1],
    ),
    "exclusive": (
        [
            *("m = Greater z zero", "n = Greater z one", "i = Xor m n"),
            *("f = Cast i", "p = Mul z f", "g = Cast n", "y = Add p g"),
        ],
        6,
        [0, 1],
    ),
    "soft_threshold_torchscript": (
        [
            *("m = Greater z half", "p = Sub z half", "a = Where m p zero"),
            *("h = Neg half", "n = Less z h", "q = Add z half"),
            *("b = Where n q zero", "y = Add a b"),
        ],
        6,
        [-0.5, 0.5],
    ),
    "soft_threshold_dynamo": (
        [
            *("a = Abs z", "m = Greater a half", "s = Sign z", "h = Mul s half"),
            *("p = Sub z h", "q = Mul z zero", "y = Where m p q"),
        ],
        6,
        [-0.5, 0, 0.5],
    ),
    "soft_threshold_lista": (
        [
            *("s = Sign z", "a = Abs z", "d = Sub a half", "r = Relu d"),
            "y = Mul s r",
        ],
        6,
        [-0.5, 0, 0.5],
    ),
    "clipped_magnitude": (
        [*("s = Sign z", "a = Abs z", "c = Clip a zero one"), "y = Mul s c"],
        6,
        [-1, 0, 1],
    ),
    "magnitude_times_sign": (
        ["s = Sign z", "a = Abs z", "r = Relu a", "y = Mul s r"],
        0,
        [0],
    ),
    "mask_of_a_relu": (
        ["r = Relu z", "m = Greater r zero", "f = Cast m", "y = Mul z f"],
        3,
        [0],
    ),
    "relu_times_mask": (
        ["r = Relu z", "m = Greater z zero", "f = Cast m", "y = Mul r f"],
        3,
        [0],
    ),
    "mask_of_a_leaky_relu": (
        ["r = LeakyRelu z", "m = Greater r zero", "y = Where m r zero"],
        None,
        [0],
    ),
    "equal": (["m = Equal z zero", "y = Where m zero z"], 0, [0]),
    "never": (["m = Greater z inf", "y = Where m one z"], 0, [0]),
    "always": (["m = Greater z minf", "y = Where m z one"], 0, [0]),
    "not_a_number": (["m = IsNaN z", "y = Where m zero z"], 0, [0]),
    "never_reached": (
        ["a = Abs z", "m = Less a minus", "y = Where m one z"],
        0,
        [0],
    ),
    "mask_that_is_never_true": (
        [
            *("v = Mul x two", "n = Greater v zero", "i = Xor n n"),
            *("m = Greater z zero", "o = Or i m", "y = Where o z zero"),
        ],
        3,
        [0],
    ),
    "masks_that_are_constant": (
        [
            *("v = Mul x two", "n = Greater v zero", "i = Xor n n"),
            *("m = Greater z zero", "j = Xor m m", "o = Or i j", "y = Where o one z"),
        ],
        0,
        [0],
    ),
    "repeated_scalar": (
        [
            *("m = Greater z zero", "n = Greater z zero", "a = Where m z zero"),
            *("f = Cast n", "b = Mul z f", "y = Add a b"),
        ],
        3,
        [0],
    ),
    "another_tensor_beside": (
        [
            *("w = Sum z one", "v = Mul w B", "p = Add z v"),
            *("m = Greater z zero", "y = Where m p v"),
        ],
        3,
        [0],
    ),
}


@pytest.mark.parametrize("kind", [FLOAT, DOUBLE], ids=["float32", "float64"])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_masks(name, kind):
    lines, neurons, thresholds = CONTINUOUS[name]
    model = masked(*lines, kind=kind)
    network = check_everywhere(model, thresholds)
    if neurons is not None:
        assert network.n_neurons == neurons


#: Name -> lines, node that jumps, node of the mask, threshold, height.
JUMPING = {
    "hard_threshold": (
        ["m = Greater z half", "y = Where m z zero"],
        *("the y", "the m", "0.5", "by 0.5"),
    ),
    "small_jump": (
        ["m = Greater z zero", "d = Mul tenth tenth", "y = Where m z d"],
        *("the y", "the m", "0 ", "by 0.01"),
    ),
    "steps": (
        ["m = Greater z zero", "y = Cast m"],
        *("the y", "the m", "0 ", "by 1"),
    ),
    "sign": (["y = Sign z"], "the y", "the y", "0 ", "by 2"),
    "heaviside_product": (
        ["m = Less z two", "f = Cast m", "y = Mul z f"],
        *("the y", "the m", "2 ", "by 2"),
    ),
    "hard_shrink": (
        ["a = Abs z", "m = LessOrEqual a half", "y = Where m zero z"],
        *("the y", "the m", "0.5", "by 0.5"),
    ),
    "point": (
        ["m = Equal z zero", "y = Where m one z"],
        *("the y", "the m", "0 ", "by 1"),
    ),
    "sign_squared": (["s = Sign z", "y = Mul s s"], "the y", "the s", "0 ", "by 1"),
    "other_tensor": (
        ["m = Greater z zero", "v = Mul x two", "y = Where m v zero"],
        *("the y", "the m", "0 ", "by an amount that varies"),
    ),
    "infinite_fill": (
        ["m = Greater z zero", "y = Where m z minf"],
        *("the y", "the m", "0 ", "jumps"),
    ),
    "infinite_point": (
        ["m = Equal z zero", "y = Where m inf z"],
        *("the y", "the m", "0 ", "by inf"),
    ),
    "used_by_a_product": (
        ["m = Greater z one", "s = Where m z zero", "y = MatMul s W"],
        *("the s", "the m", "1 ", "by 1"),
    ),
    "used_by_relu": (
        ["m = Greater z one", "s = Where m z zero", "y = Relu s"],
        *("the s", "the m", "1 ", "by 1"),
    ),
}


@pytest.mark.parametrize("name", JUMPING)
def test_jumps_are_refused_with_node_threshold_height_and_remedy(name):
    lines, jumping, mask, threshold, height = JUMPING[name]
    with pytest.raises(UnsupportedOperatorError) as error:
        load_onnx(masked(*lines))
    text = str(error.value)
    for part in (f"'{jumping}'", f"'{mask}'", f"threshold {threshold}", height):
        assert part in text
    assert "Make the two sides meet" in text and "pass output='" in text
    remedy = text.split("output='")[1].split("'")[0]
    assert load_onnx(masked(*lines), output=remedy).n_outputs == 3


def test_masks_of_different_tensors_are_refused():
    lines = ["v = Mul x two", "m = Greater z zero", "n = Greater v zero"]
    lines += ["i = And m n", "y = Where i z zero"]
    with pytest.raises(UnsupportedOperatorError, match="masks of different") as error:
        load_onnx(masked(*lines))
    for part in ("'the i'", "'the m'", "'the n'"):
        assert part in str(error.value)


def test_masks_of_different_tensors_that_are_continuous_by_themselves():
    lines = ["v = Mul x two", "s = Sign v", "a = Abs v", "r = Relu a", "p = Mul s r"]
    lines += ["m = Greater z zero", "f = Cast m", "q = Mul f z", "y = Add p q"]
    check_everywhere(masked(*lines))


def test_a_mask_as_output_is_refused():
    model = masked("y = Greater z zero")
    model.graph.output[0].type.tensor_type.elem_type = BOOL
    with pytest.raises(UnsupportedOperatorError, match="output of type bool.*'z'"):
        load_onnx(model)


def test_more_thresholds_than_are_followed():
    lines = ["v = Add z one"]
    names = [f"k{i}" for i in range(40)]
    lines += [f"m{i} = Greater z {n}" for i, n in enumerate(names)]
    lines += [f"f{i} = Cast m{i}" for i in range(40)]
    lines += [f"s{i} = Add {f's{i - 1}' if i else 'f39'} f{i}" for i in range(40)]
    lines += ["y = Mul z s39"]
    NUMBERS.update({n: float(i) for i, n in enumerate(names)})
    try:
        model = masked(*lines)
    finally:
        for n in names:
            NUMBERS.pop(n)
    with pytest.raises(UnsupportedOperatorError, match="more than 32 thresholds"):
        load_onnx(model)


def test_comparing_with_nan_is_refused():
    NUMBERS["nan"] = np.nan
    try:
        model = masked("m = Greater z nan", "y = Where m z zero")
    finally:
        NUMBERS.pop("nan")
    with pytest.raises(UnsupportedOperatorError, match="compares with NaN"):
        load_onnx(model)


def test_float16_masks():
    model = masked(*CONTINUOUS["clip_by_masks"][0], kind=TensorProto.FLOAT16)
    assert check_agreement(model, tolerance=1e-2).n_neurons == 6


def test_a_search_for_scalars_ends():
    """Narrow layers give a neuron countless paths to a scalar; the effort is bounded."""
    rng = np.random.default_rng(0)
    nodes, constants, source, width = [], {"o": np.array(0.0)}, "x", 2
    for k in range(12):
        constants[f"w{k}"] = rng.standard_normal((width, 3))
        nodes += [
            node("MatMul", [source, f"w{k}"], [f"a{k}"]),
            node("LeakyRelu", [f"a{k}"], [f"h{k}"]),
        ]
        source, width = f"h{k}", 3
    nodes += [
        node("Greater", [source, "o"], ["m"]),
        node("Where", ["m", "a0", "o"], ["y"]),
    ]
    with pytest.raises(UnsupportedOperatorError, match="not seen to be continuous"):
        load_onnx(build(nodes, {"x": ["N", 2]}, ["y"], constants))


def test_masks_are_moved_like_data():
    nodes = [
        node("Greater", ["x", "zero"], ["m"]),
        node("Transpose", ["m"], ["t"], perm=[1, 0]),
        node("Transpose", ["x"], ["xt"], perm=[1, 0]),
        node("Slice", ["t", "one", "four"], ["s"]),
        node("Slice", ["xt", "one", "four"], ["xs"]),
        node("Where", ["s", "xs", "scaled"], ["w"]),
        node("Less", ["x", "half"], ["n"]),
        node("Concat", ["m", "n"], ["c"], axis=1),
        node("Concat", ["x", "below"], ["xc"], axis=1),
        node("Cast", ["c"], ["f"], to=FLOAT),
        node("Mul", ["f", "xc"], ["p"]),
        node("Reshape", ["p", "flat"], ["y"]),
        node("Unsqueeze", ["w", "axis"], ["v"]),
    ]
    nodes.insert(5, node("Mul", ["xs", "tenth"], ["scaled"]))
    nodes.insert(8, node("Sub", ["x", "half"], ["below"]))
    constants = {
        "zero": np.array(0.0),
        "half": np.array(0.5),
        "tenth": np.array(0.1),
        "one": np.array([1]),
        "four": np.array([4]),
        "flat": np.array([1, 8]),
        "axis": np.array([0]),
    }
    model = build(nodes, {"x": [1, 4]}, ["y", "v"], constants, opset=18)
    network = check_agreement(model, points=40)
    assert network.n_neurons == 4 + 3 + 4


def test_masked_tensors_chosen_by_constants():
    # both jump at 1; their sum with the mask of the other side does not
    nodes = [
        node("Greater", ["x", "ones"], ["m"]),
        node("Where", ["m", "x", "zero"], ["p"]),
        node("Where", ["even", "p", "x"], ["q"]),
        node("ScatterElements", ["x", "places", "p"], ["r"], axis=1),
        node("Gather", ["r", "back"], ["g"], axis=1),
        node("Not", ["m"], ["n"]),
        node("Cast", ["n"], ["f"], to=FLOAT),
        node("Mul", ["f", "even_float"], ["h"]),
        node("Add", ["q", "h"], ["y"]),
        node("Add", ["g", "f"], ["v"]),
    ]
    even = np.array([[True, False, True]])
    constants = {
        "ones": np.array(1.0),
        "zero": np.array(0.0),
        "even": even,
        "even_float": even.astype(float),
        "places": np.array([[1, 2, 0]]),
        "back": np.array([1, 2, 0]),
    }
    model = build(nodes, {"x": [1, 3]}, ["y", "v"], constants, opset=18)
    assert check_agreement(model, points=40).n_neurons <= 2 + 3


def test_broadcast_masks():
    nodes = [
        node("ReduceSum", ["x"], ["s"], keepdims=1),
        node("Greater", ["s", "t"], ["m"]),
        node("Cast", ["m"], ["f"], to=FLOAT),
        node("Mul", ["s", "k"], ["p"]),
        node("Mul", ["p", "f"], ["y"]),
    ]
    constants = {"t": np.zeros(1), "k": np.array([[1.0], [2.0], [-1.0]])}
    check_agreement(build(nodes, {"x": [1, 4]}, ["y"], constants), points=40)


def test_where_of_a_constant_tensor_among_masked_entries():
    # rows of zeros: these entries of z do not depend on the inputs at all
    nodes = [
        node("MatMul", ["x", "w"], ["u"]),
        node("Add", ["u", "b"], ["z"]),
        node("Greater", ["z", "half"], ["m"]),
        node("Sub", ["z", "half"], ["d"]),
        node("Where", ["m", "d", "zero"], ["y"]),
    ]
    w = np.array([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    constants = {"w": w, "b": np.array([0.0, 0.75, 0.25])}
    constants.update(half=np.array(0.5), zero=np.array(0.0))
    network = check_agreement(build(nodes, {"x": [1, 2]}, ["y"], constants))
    assert network.n_neurons == 1


def test_a_leaky_mask_reads_its_pre_activation():
    lines = CONTINUOUS["leaky"][0]
    network = load_onnx(masked(*lines))
    assert all(s.layer == 0 for s in network.output_layer.sources)


# -- property: random masks ----------------------------------------------------------


def random_function(rng, jump):
    """Thresholds, slopes and levels of a random piecewise linear function."""
    count = int(rng.integers(1, 4))
    thresholds = np.sort(rng.choice(np.arange(-8, 9), count, replace=False)) / 4
    slopes = rng.integers(-6, 7, count + 1) / 2
    levels = [rng.integers(-4, 5) / 4]
    for t, s, r in zip(thresholds, slopes, slopes[1:], strict=False):
        levels.append(levels[-1] + (s - r) * t)
    if jump:
        levels[rng.integers(count + 1)] += rng.choice([-1, 1]) * 2.0 ** -rng.integers(
            0, 12
        )
    return thresholds, slopes, levels


def random_mask(rng, k, numbers):
    """Lines that make the mask m{k} of z > t{k}, up to the threshold itself."""
    t = f"t{k}"
    numbers[f"n{k}"] = -numbers[t]
    ways = [
        [f"m{k} = Greater z {t}"],
        [f"m{k} = GreaterOrEqual z {t}"],
        [f"m{k} = Less {t} z"],
        [f"l{k} = LessOrEqual z {t}", f"m{k} = Not l{k}"],
        [f"g{k} = Neg z", f"m{k} = Less g{k} n{k}"],
        [f"d{k} = Sub z {t}", f"m{k} = Greater d{k} zero"],
        [f"d{k} = Sub z {t}", f"s{k} = Sign d{k}", f"m{k} = Greater s{k} zero"],
        [f"c{k} = Mul z two", f"e{k} = Add {t} {t}", f"m{k} = Greater c{k} e{k}"],
    ]
    return ways[rng.integers(len(ways))]


def random_model(rng, jump, kind):
    """A random piecewise linear function of z, written with masks."""
    thresholds, slopes, levels = random_function(rng, jump)
    numbers = {f"t{k}": t for k, t in enumerate(thresholds, 1)}
    lines = []
    for k, (slope, level) in enumerate(zip(slopes, levels, strict=True)):
        numbers[f"a{k}"], numbers[f"b{k}"] = slope, level
        lines += [f"q{k} = Mul z a{k}", f"p{k} = Add q{k} b{k}"]
    for k in range(1, len(slopes)):
        lines += random_mask(rng, k, numbers)
    style = rng.integers(3)
    last = len(slopes) - 1
    if style == 0:  # where in where
        lines += ["y0 = Identity p0"]
        lines += [f"y{k} = Where m{k} p{k} y{k - 1}" for k in range(1, last + 1)]
    elif style == 1:  # sum of increments times masks
        lines += ["y0 = Identity p0"]
        for k in range(1, last + 1):
            lines += [f"f{k} = Cast m{k}", f"i{k} = Sub p{k} p{k - 1}"]
            lines += [f"j{k} = Mul f{k} i{k}", f"y{k} = Add y{k - 1} j{k}"]
    else:  # sum over the cells, each a product with its indicator
        for k in range(1, last + 1):
            lines += [f"f{k} = Cast m{k}"]
        for k in range(last + 1):
            low, high = f"f{k}" if k else "one", f"f{k + 1}" if k < last else "zero"
            lines += [f"h{k} = Sub {low} {high}", f"j{k} = Mul h{k} p{k}"]
        lines += ["y0 = Identity j0"]
        lines += [f"y{k} = Add y{k - 1} j{k}" for k in range(1, last + 1)]
    lines += [f"y = MatMul y{last} W"]
    NUMBERS.update(numbers)
    try:
        return masked(*lines, kind=kind), thresholds
    finally:
        for n in numbers:
            NUMBERS.pop(n)


@pytest.mark.parametrize("seed", range(60))
def test_random_continuous_masks(seed):
    rng = np.random.default_rng(seed)
    model, thresholds = random_model(rng, False, (FLOAT, DOUBLE)[seed % 2])
    check_everywhere(model, thresholds, seed=seed)


@pytest.mark.parametrize("seed", range(60))
def test_random_jumps(seed):
    rng = np.random.default_rng(1000 + seed)
    model, _ = random_model(rng, True, (FLOAT, DOUBLE)[seed % 2])
    with pytest.raises(UnsupportedOperatorError, match="'the y' .* jumps by .*'the "):
        load_onnx(model)


# -- in an optimisation model --------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["leaky", "a_threshold_each", "soft_threshold_dynamo", "interval", "sign"]
)
def test_optimum_over_a_masked_network(name):
    lines, *_ = CONTINUOUS[name]
    model = masked(*lines[:-1], lines[-1].replace("y =", "v ="), "y = MatMul v W")
    network = load_onnx(model)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=network, inputs=[m.x[i] for i in range(3)])
    m.o = pyo.Objective(expr=m.nn.outputs[0] - 0.3 * m.x[1], sense=pyo.maximize)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    best = solve(m)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 21)] * 3), -1).reshape(-1, 3)
    seen = network.forward(grid)[:, 0] - 0.3 * grid[:, 1]
    assert best >= seen.max() - 1e-6
    x = np.array([m.x[i].value for i in range(3)])
    (theirs,) = session(model).run(None, {"x": x[None].astype(np.float32)})
    assert best == pytest.approx(theirs[0, 0] - 0.3 * x[1], abs=1e-4)
